package node

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/protocol"
)

// A dial that waits for an address which does not answer makes libp2p connect over each transport
// for the next dial of the same peer. One connection is left, that of the link.
func TestSpareConnectionsAreClosed(t *testing.T) {
	n, relay, _ := connectTwice(t, 200*time.Millisecond)
	nodetest.Eventually(t, "only the connection with the link is left", func() bool {
		conns := n.Host().Network().ConnsToPeer(relay.Host().ID())
		return len(conns) == 1 && linkOver(conns[0])
	})
	nodetest.Eventually(t, "nothing watches the connections any more", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(n.tidied) == 0
	})
}

// The spare connections are closed as well when the link has ended before.
func TestSpareConnectionsAreClosedWithTheLast(t *testing.T) {
	n, relay, down := connectTwice(t, 2*time.Second)
	n.Router().Disconnect(relay.ID())
	nodetest.Receive(t, "the end of the link", down)
	nodetest.Eventually(t, "no connection is left", func() bool {
		return len(n.Host().Network().ConnsToPeer(relay.Host().ID())) == 0
	})
}

// connectTwice returns a node with a link to another one and with two connections, and what gets
// the end of the link.
func connectTwice(t *testing.T, idle time.Duration) (n, relay *Node, down chan protocol.ID) {
	t.Helper()
	relay = start(t, local(Options{QUIC: true, NoDiscovery: true})) // otherwise there would be another link
	o, _, peers := inboxOf(Options{QUIC: true, NoDiscovery: true})
	down = make(chan protocol.ID, 1)
	o.OnPeerDown = func(id protocol.ID, _ error) { down <- id }
	n = start(t, o)
	n.idleConn = idle
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a, err := manet.FromNetAddr(silent.Addr())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { // ends with ctx
		defer close(ended)
		n.Host().Connect(ctx, peer.AddrInfo{ID: relay.Host().ID(), Addrs: []ma.Multiaddr{a.Encapsulate(ma.StringCast("/ws"))}})
	}()
	defer func() {
		cancel()
		<-ended
		silent.Close()
	}()
	held, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()

	tcp, quic := nodetest.AddrOf(t, relay.Addrs(), ma.P_WS), nodetest.AddrOf(t, relay.Addrs(), ma.P_QUIC_V1)
	two := make(chan struct{}, 2)
	n.Host().Network().Notify(&network.NotifyBundle{ConnectedF: func(network.Network, network.Conn) { two <- struct{}{} }})
	if err := n.Host().Connect(t.Context(), peer.AddrInfo{ID: relay.Host().ID(), Addrs: []ma.Multiaddr{bare(tcp), bare(quic)}}); err != nil {
		t.Fatal(err)
	}
	link, err := n.openTo(t.Context(), n.router, relay.Host().ID())
	if err != nil {
		t.Fatal(err)
	}
	go n.router.Serve(t.Context(), link) // ends with the node
	nodetest.Receive(t, "link", peers)
	nodetest.Receive(t, "connection", two)
	nodetest.Receive(t, "another connection", two)
	return n, relay, down
}

// bare returns an address without the id of its peer.
func bare(a ma.Multiaddr) ma.Multiaddr {
	a, _ = ma.SplitFunc(a, func(c ma.Component) bool { return c.Protocol().Code == ma.P_P2P })
	return a
}
