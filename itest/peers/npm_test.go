package peers_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
)

// TestLockFileNamesNoAddress keeps download addresses out of the lock file.
func TestLockFileNamesNoAddress(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "js", "package-lock.json"))
	harness.Must(t, err)
	var lock struct {
		Packages map[string]map[string]any
	}
	harness.Must(t, json.Unmarshal(b, &lock))
	for name, p := range lock.Packages {
		if _, has := p["resolved"]; has {
			t.Errorf("%s has an address", name)
		}
		if _, has := p["integrity"]; !has && name != "" {
			t.Errorf("%s has no hash", name)
		}
	}
	if len(lock.Packages) < 2 {
		t.Error("the lock file names no package")
	}
}
