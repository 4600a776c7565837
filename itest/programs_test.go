package itest

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestPrograms runs the tests of itest/programs: a BitTorrent DHT and a name server that
// others wrote, on virtual addresses. They are a module of their own, which is built as
// its go.mod says.
func TestPrograms(t *testing.T) {
	root, err := Root()
	must(t, err)
	binary := filepath.Join(t.TempDir(), "programs.test")
	for _, args := range [][]string{
		{"go", "test", "-c", "-o", binary, "."},
		{binary, "-test.v", "-test.timeout=" + installPatience.String()},
	} {
		cmd := exec.CommandContext(installContext(t), args[0], args[1:]...)
		cmd.Dir = filepath.Join(root, "itest", "programs")
		cmd.WaitDelay = exitGrace
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		must(t, err)
	}
}
