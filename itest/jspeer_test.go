package itest

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// TestJSPeer runs the tests of the peer that was written from SPEC.md alone: its codec
// against the golden vectors, its router, what it dials; and with our binary, over
// WebSocket and webrtc-direct, the rules of links, and messages and offers.
//
// By hand, in compat/js, with Node 22:
//
//	PEER_RELAY=/path/to/peer-relay node test/link.test.js
func TestJSPeer(t *testing.T) {
	needNPM(t)
	for name, least := range map[string]int{"wire": 140, "router": 15, "addresses": 3, "link": 32, "network": 17} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The processes of our binary that a test starts end with its own, by their standard input.
			// WebRTC's native module sometimes keeps Node alive when all tests have ended: it is made to go.
			// A file is up to 35 tests, one after the other, each of which is as patient as ours.
			ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
			defer cancel()
			out, err := runLibp2pNodeWith(ctx, []string{"PEER_RELAY=" + goBinary(t)},
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

// TestBundlePeer makes the JS peer for pages, of what browsers have alone: Node's
// modules do not stand in it, nor do the resolvers over HTTPS that js-libp2p brings.
func TestBundlePeer(t *testing.T) {
	needNPM(t)
	dir := t.TempDir()
	sizes, err := BundlePeer(testContext(t), dir)
	must(t, err)
	t.Log(sizes)
	script, err := os.ReadFile(filepath.Join(dir, "peer.js"))
	must(t, err)
	if !bytes.Contains(script, []byte("/peer-relay/1")) {
		t.Errorf("the bundle of %d bytes does not speak our protocol", len(script))
	}
	for _, banned := range []string{"dns.google", "cloudflare-dns.com", "node-datachannel", "stun:"} {
		if bytes.Contains(script, []byte(banned)) {
			t.Errorf("the bundle contains %q", banned)
		}
	}
}
