package itest

import (
	"encoding/json"
	"math/rand/v2"
	"path/filepath"
	"testing"
)

func TestGeneratedValues(t *testing.T) {
	needNPM(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	report, err := Values(testContext(t), goBinary(t), seed, 1000)
	must(t, err)
	if report.Documents != 1000 || report.FixedPoints == 0 {
		t.Errorf("report is %+v", report)
	}
}

// TestValuesOfEveryType sends what the vectors were recorded with: over our relays a
// value becomes what it becomes over one of the package's own.
func TestValuesOfEveryType(t *testing.T) {
	d := startDriver(t)
	ctx := testContext(t)
	near := goPeer(t, Spec{Name: "near", Listen: true})
	far := goPeer(t, Spec{Name: "far", Listen: true, Bootstrap: near.Ready.Addrs[:1]})
	c1 := npmPeer(t, d, NPMSpec{Spec: Spec{Name: "c1", Bootstrap: []string{near.URL()}}, Hold: true})
	c3 := npmPeer(t, d, NPMSpec{Spec: Spec{Name: "c3", Bootstrap: []string{far.URL()}}, Hold: true})
	must(t, WaitLinks(ctx, near.URL(), 2))
	must(t, WaitLinks(ctx, far.URL(), 2))

	vectors := readVectors(t, filepath.Join("..", "compat", "legacy", "testdata", "legacy", "relayed.jsonl"), "relayed")
	values := 0
	for _, v := range vectors {
		if v.Value == "" {
			continue
		}
		values++
		// JS to Go, to a JS peer beyond, and from a Go peer that does not know what it was.
		for _, to := range []Peer{near, c3, far} {
			must(t, c1.Send(ctx, to.ID(), JS(v.Value)))
		}
		for _, to := range []Peer{near, c3, far} {
			got, err := to.Events().WaitN(ctx, values, IsKind(EventMessage))
			must(t, err)
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
		data := any(Undefined{})
		if v.Received != nil {
			data = json.RawMessage(*v.Received)
		}
		must(t, near.Send(ctx, c1.ID(), data))
		must(t, near.Send(ctx, c3.ID(), data))
		sent++
		for _, to := range []*NPMPeer{c1, c3} {
			got, err := to.Events().WaitN(ctx, sent, func(e Event) bool { return e.Kind == EventMessage && e.Node == near.ID() })
			must(t, err)
			checkValue(t, v, got[sent-1], near, to)
		}
	}
}

// checkValue compares what a peer received with what the package's own peers do.
func checkValue(t *testing.T, v Vector, e Event, from, to Peer) {
	t.Helper()
	want := ""
	if v.Received != nil {
		want = *v.Received
	}
	if e.Node != from.ID() || string(e.Data) != want || (e.Data == nil) != (v.Received == nil) {
		t.Errorf("%s from %v reached %v as %s from %v, want %s", v.Name, from.ID(), to.ID(), e.Data, e.Node, want)
	}
}
