package node

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/protocol"
)

// circuitTo returns an address of a host behind a circuit relay.
func circuitTo(t *testing.T, h host.Host, opts ...relay.Option) string {
	t.Helper()
	r := nodetest.Listening(t)
	service, err := relay.New(r, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { service.Close() })
	to := peer.AddrInfo{ID: r.ID(), Addrs: r.Addrs()}
	nodetest.Connect(t, h, to)
	if _, err := client.Reserve(t.Context(), h, to); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s/p2p/%s/p2p-circuit/p2p/%s", r.Addrs()[0], r.ID(), h.ID())
}

// A circuit relay ends a connection after two minutes or 128 KiB. A node whose only way to its
// bootstrap is such a one says so, at once, and has a link as soon as there is another way.
func TestLimitedConnectionIsNamed(t *testing.T) {
	h := nodetest.Listening(t, libp2p.EnableRelay())
	a, err := Attach(h, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	o, _, peers := inboxOf(Options{Bootstraps: []string{circuitTo(t, h)}})
	failed := make(chan error, 100)
	o.OnDialError = func(_ protocol.Contact, err error) { failed <- err }
	other := nodetest.StockHost(t, libp2p.EnableRelay())
	begun := time.Now()
	b, err := Attach(other, o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := nodetest.Receive(t, "an error", failed); !errors.Is(err, network.ErrLimitedConn) {
		t.Errorf("the dial failed with %v", err)
	}
	if took := time.Since(begun); took > helloTimeout/2 {
		t.Errorf("it was told after %v", took)
	}
	direct := network.WithForceDirectDial(t.Context(), "as after a hole was punched")
	if err := other.Connect(direct, peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}); err != nil {
		t.Fatal(err)
	}
	if i := nodetest.Receive(t, "a link", peers); i.ID != a.ID() {
		t.Errorf("linked to %+v", i)
	}
}

// A circuit relay without limits is a way like any other.
func TestUnlimitedCircuit(t *testing.T) {
	h := nodetest.Listening(t, libp2p.EnableRelay())
	a, err := Attach(h, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	o, _, peers := inboxOf(Options{Bootstraps: []string{circuitTo(t, h, relay.WithInfiniteLimits())}})
	b, err := Attach(nodetest.StockHost(t, libp2p.EnableRelay()), o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if i := nodetest.Receive(t, "a link", peers); i.ID != a.ID() {
		t.Errorf("linked to %+v", i)
	}
}
