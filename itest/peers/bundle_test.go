package peers_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
)

// TestBundlePeer makes the JS peer for pages. It holds only what runs in browsers: no module
// of Node, and none of the resolvers over HTTPS that js-libp2p brings.
func TestBundlePeer(t *testing.T) {
	harness.NeedNPM(t)
	dir := t.TempDir()
	sizes, err := peers.BundlePeer(harness.Context(t), dir)
	harness.Must(t, err)
	t.Log(sizes)
	script, err := os.ReadFile(filepath.Join(dir, "peer.js"))
	harness.Must(t, err)
	if !bytes.Contains(script, []byte("/peer-relay/1")) {
		t.Errorf("the bundle of %d bytes does not speak our protocol", len(script))
	}
	for _, banned := range []string{"dns.google", "cloudflare-dns.com", "node-datachannel", "stun:"} {
		if bytes.Contains(script, []byte(banned)) {
			t.Errorf("the bundle contains %q", banned)
		}
	}
}
