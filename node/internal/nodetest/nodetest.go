// Package nodetest is shared by the tests of package node and of the packages under it.
package nodetest

import (
	"context"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	ma "github.com/multiformats/go-multiaddr"
)

// Patience is the time that a test waits for an event. Only a failing test waits that long.
const Patience = 30 * time.Second

// Eventually waits until cond holds.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline.C:
			t.Fatalf("not within the time: %s", what)
		case <-tick.C:
		}
	}
}

// Receive returns the next value on c.
func Receive[V any](t testing.TB, what string, c <-chan V) V {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(Patience):
		t.Fatalf("not within the time: %s", what)
		panic("unreachable")
	}
}

// StockHost returns a libp2p host with the defaults of libp2p. It listens nowhere.
func StockHost(t testing.TB, opts ...libp2p.Option) host.Host {
	t.Helper()
	h, err := libp2p.New(append(opts, libp2p.NoListenAddrs, libp2p.DisableMetrics())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// Listening returns a StockHost that listens at a free port of 127.0.0.1.
func Listening(t testing.TB, opts ...libp2p.Option) host.Host {
	t.Helper()
	h := StockHost(t, opts...)
	if err := h.Network().Listen(ma.StringCast("/ip4/127.0.0.1/tcp/0/ws")); err != nil {
		t.Fatal(err)
	}
	return h
}

// Connect connects a host to another one, and pings it.
func Connect(t testing.TB, from host.Host, to peer.AddrInfo) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	if err := from.Connect(ctx, to); err != nil {
		t.Fatal(err)
	}
	if r := Receive(t, "ping", ping.Ping(ctx, from, to.ID)); r.Error != nil {
		t.Fatal(r.Error)
	}
}

// AddrOf returns the first address that has a protocol, such as ma.P_WS.
func AddrOf(t testing.TB, addrs []ma.Multiaddr, code int) ma.Multiaddr {
	t.Helper()
	for _, a := range addrs {
		if _, err := a.ValueForProtocol(code); err == nil {
			return a
		}
	}
	t.Fatalf("no %s among %v", ma.ProtocolWithCode(code).Name, addrs)
	return nil
}
