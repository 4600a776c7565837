package plays

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
)

// TestValuesOfEveryType sends what the vectors were recorded with: over our relays a
// value becomes what it becomes over one of the package's own.
func TestValuesOfEveryType(t *testing.T) {
	d := harness.StartDriver(t)
	ctx := harness.Context(t)
	near := harness.GoPeer(t, peers.Spec{Name: "near", Listen: true})
	far := harness.GoPeer(t, peers.Spec{Name: "far", Listen: true, Bootstrap: near.Ready.Addrs[:1]})
	c1 := harness.NPMPeer(t, d, peers.NPMSpec{Spec: peers.Spec{Name: "c1", Bootstrap: []string{near.URL()}}, Hold: true})
	c3 := harness.NPMPeer(t, d, peers.NPMSpec{Spec: peers.Spec{Name: "c3", Bootstrap: []string{far.URL()}}, Hold: true})
	harness.Must(t, peers.WaitLinks(ctx, near.URL(), 2))
	harness.Must(t, peers.WaitLinks(ctx, far.URL(), 2))

	vectors := readVectors(t, filepath.Join("..", "..", "compat", "legacy", "testdata", "legacy", "relayed.jsonl"), "relayed")
	values := 0
	for _, v := range vectors {
		if v.Value == "" {
			continue
		}
		values++
		// JS to Go, to a JS peer beyond, and from a Go peer that does not know what it was.
		for _, to := range []peers.Peer{near, c3, far} {
			harness.Must(t, c1.Send(ctx, to.ID(), peers.JS(v.Value)))
		}
		for _, to := range []peers.Peer{near, c3, far} {
			got, err := to.Events().WaitN(ctx, values, peers.IsKind(peers.EventMessage))
			harness.Must(t, err)
			checkValue(t, v, got[values-1], c1, to)
		}
	}
	if values == 0 {
		t.Fatal("no vector has a value")
	}
	// Go to JS: what is JSON, and the two that are not.
	sent := 0
	for _, v := range vectors {
		if v.Value == "" {
			continue
		}
		data := any(peers.Undefined{})
		if v.Received != nil {
			data = json.RawMessage(*v.Received)
		}
		harness.Must(t, near.Send(ctx, c1.ID(), data))
		harness.Must(t, near.Send(ctx, c3.ID(), data))
		sent++
		for _, to := range []*peers.NPMPeer{c1, c3} {
			got, err := to.Events().WaitN(ctx, sent, func(e peers.Event) bool { return e.Kind == peers.EventMessage && e.Node == near.ID() })
			harness.Must(t, err)
			checkValue(t, v, got[sent-1], near, to)
		}
	}
}

// checkValue compares what a peer received with what the package's own peers do.
func checkValue(t *testing.T, v vector, e peers.Event, from, to peers.Peer) {
	t.Helper()
	want := ""
	if v.Received != nil {
		want = *v.Received
	}
	if e.Node != from.ID() || string(e.Data) != want || (e.Data == nil) != (v.Received == nil) {
		t.Errorf("%s from %v reached %v as %s from %v, want %s", v.Name, from.ID(), to.ID(), e.Data, e.Node, want)
	}
}
