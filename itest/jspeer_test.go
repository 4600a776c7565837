package itest

import (
	"context"
	"regexp"
	"strconv"
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
)

// TestJSPeer runs the tests of the peer that was written from nothing but SPEC.md: its codec
// against the golden vectors, its router, its receipts, what it dials; and with our binary, over
// WebSocket and webrtc-direct, the rules of links and of custody, and messages and offers.
//
// By hand, in compat/js, with Node 22:
//
//	PEER_RELAY=/path/to/peer-relay node test/link.test.js
func TestJSPeer(t *testing.T) {
	harness.NeedNPM(t)
	for name, least := range map[string]int{"wire": 162, "router": 39, "addresses": 3, "overlay": 3, "receipts": 28, "link": 39, "custody": 24, "network": 27} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The processes of our binary that a test starts end with its own, by their standard input.
			// WebRTC's native module sometimes keeps Node alive when all tests have ended: it is made to go.
			// A file is up to 35 tests, one after the other, each of which is as patient as ours.
			ctx, cancel := context.WithTimeout(t.Context(), 3*harness.Patience)
			defer cancel()
			out, err := peers.RunNode(ctx, []string{"PEER_RELAY=" + harness.Binary(t)},
				"--test-force-exit", "--test-reporter=tap", "../../compat/js/test/"+name+".test.js")
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			passed := regexp.MustCompile(`(?m)^# pass (\d+)$`).FindSubmatch(out)
			if passed == nil {
				t.Fatalf("no count of what passed:\n%s", out)
			}
			if n, _ := strconv.Atoi(string(passed[1])); n < least {
				t.Errorf("%d tests passed, want at least %d\n%s", n, least, out)
			}
		})
	}
}
