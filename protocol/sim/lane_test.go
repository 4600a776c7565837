package sim

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"time"
)

// TestWorkers checks that the bytes of a result do not depend on the number of lanes, nor on how many of
// them run at once.
func TestWorkers(t *testing.T) {
	scenarios := Scenarios()
	names := []string{"stable", "killed-50", "churn", "partition", "legacy-50"}
	if manyPeers < 500 {
		names = []string{"killed-50", "legacy-50"} // for the race detector
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := scenarios[slices.IndexFunc(scenarios, func(s Scenario) bool { return s.Name == name })]
			var first []byte
			for _, o := range []Options{{lanes: 1, workers: 1}, {lanes: 5, workers: 2}, {workers: 3}} {
				o.Peers, o.Seed, o.Cut = 40, 1, time.Minute
				r, err := s.Run(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				b, err := json.Marshal(r)
				if err != nil {
					t.Fatal(err)
				}
				if first == nil {
					first = b
				} else if !bytes.Equal(b, first) {
					t.Errorf("%d workers and %d lanes led to\n%s\nand one of each to\n%s", o.workers, o.lanes, b, first)
				}
			}
		})
	}
}

// TestReceipts checks that the messages that arrived come in the order of their times, and are not
// counted again.
func TestReceipts(t *testing.T) {
	w := Join(Config{Seed: 1, Bootstraps: 1}, MinPeers, 10*time.Millisecond)
	w.Run(w.Now() + 5*time.Second)
	for i := range w.peers[1:] {
		if err := w.Send(w.peers[i], w.peers[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	w.Run(w.Now() + 5*time.Second)
	got, twice := w.Receipts()
	ordered := slices.IsSortedFunc(got, func(a, b Receipt) int { return int(a.Took - b.Took) })
	if len(got) != len(w.peers)-1 || twice != 0 || !ordered {
		t.Errorf("%d messages, %d twice, in the order of their times: %v", len(got), twice, ordered)
	}
	if got, _ := w.Receipts(); len(got) > 0 {
		t.Errorf("%d messages were counted again", len(got))
	}
}
