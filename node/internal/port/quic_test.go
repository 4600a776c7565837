package port

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
)

// narrowPath passes UDP packets on to an address, and drops those that a path with an MTU of
// 1,280 does not carry in one piece. It returns its own address.
func narrowPath(t *testing.T, to netip.AddrPort) netip.AddrPort {
	t.Helper()
	const most = 1280 - 20 - 8 // IPv4 and UDP
	listen := func() *net.UDPConn {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	near, far := listen(), listen()
	var mu sync.Mutex
	var dialler netip.AddrPort
	var running sync.WaitGroup
	t.Cleanup(func() {
		near.Close()
		far.Close()
		running.Wait()
	})
	pass := func(from *net.UDPConn, forward func(b []byte, from netip.AddrPort)) {
		running.Go(func() { // ends with the socket; awaited above
			b := make([]byte, 1<<16)
			for {
				n, addr, err := from.ReadFromUDPAddrPort(b)
				if err != nil {
					return
				}
				if n <= most {
					forward(b[:n], addr)
				}
			}
		})
	}
	pass(near, func(b []byte, from netip.AddrPort) {
		mu.Lock()
		dialler = from
		mu.Unlock()
		far.WriteToUDPAddrPort(b, to)
	})
	pass(far, func(b []byte, _ netip.AddrPort) {
		mu.Lock()
		back := dialler
		mu.Unlock()
		near.WriteToUDPAddrPort(b, back)
	})
	return near.LocalAddr().(*net.UDPAddr).AddrPort()
}

// TestQUICOverANarrowPath dials over a path that carries the least packets of IPv6.
func TestQUICOverANarrowPath(t *testing.T) {
	h := startHost(t, Options{QUIC: true})
	at := narrowPath(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), h.Port()))
	dialler := newTestHost(t, Options{QUIC: true})
	addr := ma.StringCast(fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1", at.Port()))
	nodetest.Connect(t, dialler, peer.AddrInfo{ID: h.ID(), Addrs: []ma.Multiaddr{addr}})
	conn := dialler.Network().ConnsToPeer(h.ID())[0]
	if got := conn.ConnState().Transport; got != "quic-v1" || conn.Stat().Direction != network.DirOutbound {
		t.Errorf("connected over %s", got)
	}
}
