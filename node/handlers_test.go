package node

import (
	"context"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/node/internal/status"
	"github.com/peer-relay/peer-relay/protocol"
)

// TestSlowHandlerHoldsUpNothing checks that a handler that does not return keeps the node neither
// from taking newcomers nor from noting them.
func TestSlowHandlerHoldsUpNothing(t *testing.T) {
	o, _, peers := inboxOf(local(Options{}))
	stuck, release := make(chan struct{}, 1), make(chan struct{})
	told := o.OnPeer
	o.OnPeer = func(i protocol.LinkInfo) {
		stuck <- struct{}{}
		<-release
		told(i)
	}
	n := start(t, o)
	for range 3 {
		bo, _, linked := inboxOf(Options{Bootstraps: []string{n.Addrs()[0].String()}})
		b := start(t, bo)
		nodetest.Receive(t, "peer", linked)
		nodetest.Eventually(t, "the node notes the newcomer", func() bool { return slices.Contains(n.linked(), b.ID()) })
	}
	nodetest.Receive(t, "the handler is called", stuck)
	if len(peers) > 0 {
		t.Error("the handler has returned")
	}
	close(release)
	for i := range 3 {
		if i > 0 {
			nodetest.Receive(t, "the handler is called", stuck)
		}
		nodetest.Receive(t, "a peer is told late", peers)
	}
}

// TestHandlersMayBeNil checks that a node without handlers works.
func TestHandlersMayBeNil(t *testing.T) {
	n := start(t, local(Options{}))
	b := start(t, Options{Bootstraps: []string{
		n.Addrs()[0].String(), "/ip4/127.0.0.1/tcp/1/ws/p2p/12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7",
	}})
	nodetest.Eventually(t, "the peers are linked", func() bool { return len(n.linked()) == 1 && len(b.linked()) == 1 })
	if err := b.Send(n.ID(), []byte("hello")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	defer cancel()
	if m, err := n.Receive(ctx); err != nil || m.From != b.ID() {
		t.Errorf("%+v, %v", m, err)
	}
}

// TestCountersOfTheProgram checks that the counters of the program are on the status page and in
// the metrics.
func TestCountersOfTheProgram(t *testing.T) {
	registry := prometheus.NewRegistry()
	n := start(t, local(Options{Metrics: registry, Counters: func() map[string]uint64 {
		return map[string]uint64{"lines dropped": 7}
	}}))
	if got := n.status().Counters; !slices.Contains(got, status.Counter{Name: "lines dropped", Value: 7}) {
		t.Errorf("the status has %v", got)
	}
	if got := gather(t, registry, n.ID())["peer_relay_program_total lines dropped"]; got != 7 {
		t.Errorf("the metric is %v", got)
	}
}
