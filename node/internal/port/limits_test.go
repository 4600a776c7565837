package port

import (
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	ma "github.com/multiformats/go-multiaddr"
)

// open returns how many of n inbound connections from addr are accepted. They stay open until
// the end of the test.
func open(t *testing.T, rm network.ResourceManager, addr string, from, n int) (in int) {
	t.Helper()
	for i := range n {
		scope, err := rm.OpenConnection(network.DirInbound, true, ma.StringCast(addr))
		if err != nil {
			continue
		}
		t.Cleanup(scope.Done)
		if err := scope.SetPeer(pseudoPeer(uint64(from + i))); err != nil {
			t.Fatal(err)
		}
		in++
	}
	return in
}

func TestLimits(t *testing.T) {
	const maxConns = 400
	rm, err := newResourceManager(maxConns)
	if err != nil {
		t.Fatal(err)
	}
	defer rm.Close()
	// One public address has its share, and no more.
	if got, want := open(t, rm, "/ip4/203.0.113.7/tcp/1/ws", 0, maxConns), maxConns/addrShare; got != want {
		t.Errorf("one public IPv4 address has %d connections, want %d", got, want)
	}
	if got, want := open(t, rm, "/ip6/2001:db8::1/tcp/1/ws", 1000, maxConns), maxConns/addrShare; got != want {
		t.Errorf("one public IPv6 address has %d connections, want %d", got, want)
	}
	// Another address of the same subnet shares it.
	if got := open(t, rm, "/ip6/2001:db8::2/tcp/1/ws", 2000, 1); got != 0 {
		t.Error("a second address of the same IPv6 subnet has a share of its own")
	}
	// UDP has no share of its own, nor has another port.
	if got := open(t, rm, "/ip4/203.0.113.7/udp/2", 2500, 1); got != 0 {
		t.Error("an address has a share of its own in UDP")
	}
	// This machine, which a reverse proxy may run on, may have all the rest.
	if got, want := open(t, rm, "/ip4/127.0.0.1/tcp/1/ws", 3000, maxConns), maxConns/2; got != want {
		t.Errorf("127.0.0.1 has %d connections, want %d", got, want)
	}
}

// TestLimitsFitARelay checks the limits of a relay. libp2p's defaults refuse the 253rd
// connection, and the 1266th stream of a protocol.
func TestLimitsFitARelay(t *testing.T) {
	rm, err := newResourceManager(DefaultMaxConns)
	if err != nil {
		t.Fatal(err)
	}
	defer rm.Close()
	// As many as the file limit of the smallest supported machine allows.
	const conns = 400
	if got := open(t, rm, "/ip4/10.0.0.1/tcp/1/ws", 0, conns); got != conns {
		t.Errorf("%d of %d connections", got, conns)
	}
	const streams = 3000
	for i := range streams {
		s, err := rm.OpenStream(peer.ID(fmt.Sprint(i)), network.DirInbound)
		if err != nil {
			t.Fatalf("stream %d: %v", i, err)
		}
		defer s.Done()
		if err := s.SetProtocol(identify.ID); err != nil {
			t.Fatalf("stream %d: %v", i, err)
		}
		if err := s.SetService(identify.ServiceName); err != nil {
			t.Fatalf("stream %d: %v", i, err)
		}
		if err := s.ReserveMemory(256<<10, network.ReservationPriorityAlways); err != nil {
			t.Fatalf("stream %d: %v", i, err)
		}
	}
}

// TestOnePeerIsLimited checks that one peer cannot take all connections.
func TestOnePeerIsLimited(t *testing.T) {
	rm, err := newResourceManager(DefaultMaxConns)
	if err != nil {
		t.Fatal(err)
	}
	defer rm.Close()
	var refused int
	for range 100 {
		scope, err := rm.OpenConnection(network.DirInbound, true, ma.StringCast("/ip4/10.0.0.1/tcp/1/ws"))
		if err != nil {
			t.Fatal(err)
		}
		defer scope.Done()
		if scope.SetPeer("one peer") != nil {
			refused++
		}
	}
	if refused == 0 {
		t.Error("one peer has 100 connections")
	}
}
