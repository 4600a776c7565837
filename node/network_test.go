package node

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/node/internal/netif"
	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
)

// An address of this machine is gone: its connections are dead, and libp2p would use them for
// new streams. The bootstrap is dialled again at once, over a new one. The socket of QUIC does not
// tell its address.
func TestConnectionsFromALostAddressAreMadeAgain(t *testing.T) {
	for _, code := range []int{ma.P_WS, ma.P_QUIC_V1} {
		for _, attached := range []bool{false, true} {
			name := fmt.Sprintf("%s, attached %v", ma.ProtocolWithCode(code).Name, attached)
			t.Run(name, func(t *testing.T) { loseAddress(t, code, attached) })
		}
	}
}

func loseAddress(t *testing.T, code int, attached bool) {
	relay := start(t, local(Options{QUIC: true}))
	o, _, peers := inboxOf(Options{QUIC: !attached, Bootstraps: []string{nodetest.AddrOf(t, relay.Addrs(), code).String()}})
	down := make(chan protocol.ID, 10)
	o.OnPeerDown = func(id protocol.ID, _ error) { down <- id }
	n := startOn(t, attached, o)
	info := nodetest.Receive(t, "link", peers)
	conn := n.Host().Network().ConnsToPeer(relay.Host().ID())[0]

	n.networkChanged([]netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil)
	n.networkChanged([]netip.Addr{info.Local}, nil)
	nodetest.Receive(t, "the end of the link", down)
	nodetest.Receive(t, "another link", peers)
	for _, c := range n.Host().Network().ConnsToPeer(relay.Host().ID()) {
		if c.ID() == conn.ID() {
			t.Error("the old connection is there still")
		}
	}
	if len(down) > 0 {
		t.Errorf("%d links ended", 1+len(down))
	}
	n.Host().Network().ClosePeer(relay.Host().ID())
	nodetest.Eventually(t, "only open connections are noted", func() bool {
		n.ends.mu.Lock()
		defer n.ends.mu.Unlock()
		return len(n.ends.own) <= len(n.Host().Network().Conns())
	})
}

// libp2p keeps the addresses of the machine for a minute. One that is lost is not told until it
// is there again.
func TestLostAddressesAreNotTold(t *testing.T) {
	for _, attached := range []bool{false, true} {
		var n *Node
		if attached {
			var err error
			if n, err = Attach(nodetest.Listening(t), Options{}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { n.Close() })
		} else {
			n = start(t, local(Options{}))
		}
		loopback := netip.MustParseAddr("127.0.0.1")
		told := func() bool {
			return slices.ContainsFunc(n.toldAddrs(), func(a ma.Multiaddr) bool { return netif.OfMultiaddr(a) == loopback })
		}
		if !told() {
			t.Fatalf("attached %v: it tells %v", attached, n.toldAddrs())
		}
		for range maxLost {
			n.networkChanged([]netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil)
		}
		n.networkChanged([]netip.Addr{loopback}, nil)
		if told() || len(n.lost) > maxLost {
			t.Errorf("attached %v: it tells %v, and keeps %d lost addresses", attached, n.toldAddrs(), len(n.lost))
		}
		n.networkChanged(nil, []netip.Addr{loopback})
		if !told() {
			t.Errorf("attached %v: it tells %v after the address is back", attached, n.toldAddrs())
		}
	}
}

// startOn starts a node on a host of its own, or attaches it to one.
func startOn(t *testing.T, attached bool, o Options) *Node {
	t.Helper()
	if !attached {
		return start(t, o)
	}
	n, err := Attach(nodetest.StockHost(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// A peer joins by a legacy link and then has a stream. When it falls silent, its connection is
// closed as if the stream had been the first.
func TestSilentPeerIsHungUpOnAfterALegacyLink(t *testing.T) {
	o, _, peers := inboxOf(local(Options{NoDiscovery: true}))
	down := make(chan error, 1)
	o.OnPeerDown = func(_ protocol.ID, err error) { down <- err }
	n := start(t, o)
	x := approach(t, n.Addrs()[0])
	memory := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
	legacy := protocol.LinkInfo{ID: x.id, Kind: protocol.LinkWebSocket}
	ours, theirs := protocoltest.Pipe(legacy, protocol.LinkInfo{ID: n.ID(), Kind: protocol.LinkWebSocket}, protocoltest.PipeOptions{})
	memory.Serve(n.Router(), ours)
	memory.Serve(memory.Router(protocol.Options{ID: x.id}), theirs)
	if i := nodetest.Receive(t, "the legacy link", peers); i.ID != x.id || i.Proved {
		t.Fatalf("linked to %+v", i)
	}
	x.read()
	x.write([]byte{0x0a, 9, 0x19, 1, 2, 3, 4, 5, 6, 7, 8})
	nodetest.Eventually(t, "a proved link", func() bool { return n.Router().Peers()[0].Proved })
	n.Router().NetworkChanged(nil) // asks it at once, and it answers nothing
	if err := nodetest.Receive(t, "the end of the link", down); !errors.Is(err, protocol.ErrSilent) {
		t.Errorf("the link ended with %v", err)
	}
	nodetest.Eventually(t, "the connection is closed", func() bool { return !connected(n.Host(), x) })
}

func connected(h host.Host, x *stranger) bool {
	return h.Network().Connectedness(x.s.Conn().LocalPeer()) == network.Connected
}
