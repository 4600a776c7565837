package itest

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
)

// TestPrograms runs the tests of itest/programs: a BitTorrent DHT and a name server that
// others wrote, on virtual addresses. They are a module of their own, which is built as
// its go.mod says.
func TestPrograms(t *testing.T) {
	root, err := peers.Root()
	harness.Must(t, err)
	binary := filepath.Join(t.TempDir(), "programs.test")
	for _, args := range [][]string{
		{"go", "test", "-c", "-o", binary, "."},
		{binary, "-test.v", "-test.timeout=" + harness.InstallPatience.String()},
	} {
		cmd := exec.CommandContext(harness.InstallContext(t), args[0], args[1:]...)
		cmd.Dir = filepath.Join(root, "itest", "programs")
		cmd.WaitDelay = harness.Patience
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		harness.Must(t, err)
	}
}
