package node

import (
	"slices"
	"testing"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/protocol"
)

// TestFormerPeersAreDialledWithoutABootstrap has a node whose bootstrap is gone for good lose its
// last link.
func TestFormerPeersAreDialledWithoutABootstrap(t *testing.T) {
	bootstrap, other := start(t, local(Options{})), start(t, local(Options{}))
	n := start(t, Options{Bootstraps: []string{bootstrap.Addrs()[0].String()}})
	linked := func(to *Node) func() bool {
		return func() bool { return overlay{n}.Linked(to.ID()) }
	}
	nodetest.Eventually(t, "a link to the bootstrap", linked(bootstrap))
	n.Router().Introduce(protocol.Contact{ID: other.ID(), URL: other.Addrs()[0].String()})
	nodetest.Eventually(t, "a link to another peer", linked(other))
	if err := bootstrap.Close(); err != nil {
		t.Fatal(err)
	}
	// As when the network is away: neither side ends the link on purpose.
	for _, c := range n.Host().Network().Conns() {
		c.Close()
	}
	nodetest.Eventually(t, "the link to end", func() bool { return !linked(other)() })
	nodetest.Eventually(t, "the link to the other peer again", linked(other))
}

// TestDisconnectedPeersAreNotFormerOnes checks which peers are dialled again.
func TestDisconnectedPeersAreNotFormerOnes(t *testing.T) {
	n := newNode(Options{})
	defer n.stop()
	var ids []protocol.ID
	for i := range 2 * maxFormer {
		ids = append(ids, protocol.ID{byte(i)})
		n.left(ids[i], protocol.ErrSilent)
	}
	n.left(ids[maxFormer], protocol.ErrSilent) // it is now the latest
	n.left(ids[maxFormer+1], protocol.ErrDisconnected)
	n.left(ids[maxFormer+2], protocol.ErrOffences)
	if want := append(ids[maxFormer+3:], ids[maxFormer]); !slices.Equal(n.former, want) {
		t.Errorf("former peers %v, want %v", n.former, want)
	}
}
