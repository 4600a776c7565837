package peers_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
)

// TestLockFileNamesNoAddress keeps download addresses out of the lock files.
func TestLockFileNamesNoAddress(t *testing.T) {
	for _, dir := range []string{"itest", "compat"} {
		b, err := os.ReadFile(filepath.Join("..", "..", dir, "js", "package-lock.json"))
		harness.Must(t, err)
		var lock struct {
			Packages map[string]map[string]any
		}
		harness.Must(t, json.Unmarshal(b, &lock))
		for name, p := range lock.Packages {
			if _, has := p["resolved"]; has {
				t.Errorf("%s: %s has an address", dir, name)
			}
			if _, has := p["integrity"]; !has && name != "" {
				t.Errorf("%s: %s has no hash", dir, name)
			}
		}
		if len(lock.Packages) < 2 {
			t.Errorf("%s: the lock file names no package", dir)
		}
	}
}
