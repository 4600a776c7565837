package node

import (
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/peer-relay/peer-relay/node/dht"
	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/protocol"
)

// gather returns the node's own metrics, by name, and by name and labels without the id.
func gather(t *testing.T, registry *prometheus.Registry, id protocol.ID) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "peer_relay_") {
			continue
		}
		for _, m := range f.GetMetric() {
			name, of := f.GetName(), ""
			for _, l := range m.GetLabel() {
				if l.GetName() == "id" {
					of = l.GetValue()
				} else {
					name += " " + l.GetValue()
				}
			}
			if of == id.String() {
				values[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return values
}

func TestMetricsAreThoseOfTheRouter(t *testing.T) {
	registry := prometheus.NewRegistry()
	ao, aMessages, aPeers := inboxOf(local(Options{Metrics: registry, DHT: &dht.Options{Closed: true}}))
	a := start(t, ao)
	bo, _, bPeers := inboxOf(Options{Metrics: registry, Bootstraps: []string{a.Addrs()[0].String()}}) // the same registry
	b := start(t, bo)
	nodetest.Receive(t, "peer", aPeers)
	nodetest.Receive(t, "peer", bPeers)
	for range 3 {
		if err := b.Send(a.ID(), []byte("hello")); err != nil {
			t.Fatal(err)
		}
		nodetest.Receive(t, "message", aMessages)
	}
	atA, atB := gather(t, registry, a.ID()), gather(t, registry, b.ID())
	for name, want := range map[string]float64{
		"peer_relay_links": 1, "peer_relay_messages_delivered_total": 3,
		"peer_relay_port_requests_total libp2p": 1, "peer_relay_dht_peers": 0, "peer_relay_messages_dropped_total inbox_full": 0,
	} {
		if got, ok := atA[name]; !ok || got != want {
			t.Errorf("a: %s is %v (%v), want %v", name, got, ok, want)
		}
	}
	if sent, opened := atB["peer_relay_messages_sent_total"], atB["peer_relay_links_opened_total"]; sent != 3 || opened == 0 {
		t.Errorf("b has sent %v messages, want 3, over %v links", sent, opened)
	}
	if _, ok := atB["peer_relay_dht_peers"]; ok {
		t.Error("b has metrics of a DHT that it does not have")
	}
	b.Send(protocol.ID{1}, []byte("to no peer")) // a returns it
	nodetest.Eventually(t, "b counts what it drops", func() bool {
		dropped := gather(t, registry, b.ID())["peer_relay_messages_dropped_total no_route"]
		return dropped > 0 && dropped == float64(b.Router().Stats().Dropped[protocol.DropNoRoute])
	})

	// Every number of the router is exported.
	if want := 14 + len(protocol.Stats{}.Dropped); len(atB) < want {
		t.Errorf("%d metrics, want %d", len(atB), want)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if left := gather(t, registry, b.ID()); len(left) > 0 {
		t.Errorf("metrics are left after Close: %v", left)
	}
	if len(gather(t, registry, a.ID())) == 0 {
		t.Error("the other node's metrics were removed, too")
	}
}

// TestMetricsOfAnAttachedNode checks that an attached node has metrics, and that a registry
// that refuses them is an error.
func TestMetricsOfAnAttachedNode(t *testing.T) {
	registry, h := prometheus.NewRegistry(), nodetest.StockHost(t)
	n, err := Attach(h, Options{Metrics: registry})
	if err != nil {
		t.Fatal(err)
	}
	if got := gather(t, registry, n.ID()); len(got) == 0 {
		t.Error("no metrics")
	}
	other := nodetest.StockHost(t, libp2p.Identity(h.Peerstore().PrivKey(h.ID())))
	if again, err := Attach(other, Options{Metrics: registry}); err == nil {
		again.Close()
		t.Error("two nodes with one id share a registry")
	} else if len(other.Mux().Protocols()) != len(nodetest.StockHost(t).Mux().Protocols()) {
		t.Errorf("the host of the refused node has %v", other.Mux().Protocols())
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Attach(other, Options{Metrics: registry})
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
