package sim

import (
	"testing"
	"time"
)

// TestLegacyModel holds the model of a legacy peer to what was measured with npm peer-relay itself: in a
// network of 100 such peers with one bootstrap 31 to 48 % of the messages arrive, and each of them
// takes 26 to 43 copies.
func TestLegacyModel(t *testing.T) {
	sent, got := 0, 0
	copies := uint64(0)
	for seed := range uint64(3) {
		w := New(Config{Seed: seed, Bootstraps: 1})
		for range 100 {
			w.AddLegacy()
			w.Run(w.Now() + 100*time.Millisecond)
		}
		w.Run(w.Now() + 30*time.Second)
		carried := w.carried
		e := w.Exchange(1000)
		sent, got, copies = sent+e.Sent, got+e.Delivered, copies+w.carried-carried
		if e.Twice > 0 {
			t.Errorf("seed %d: %d messages arrived twice", seed, e.Twice)
		}
	}
	share, each := 100*float64(got)/float64(sent), float64(copies)/float64(got)
	t.Logf("%.1f %% arrived, with %.1f copies each", share, each)
	if share < 25 || share > 55 || each < 20 || each > 50 {
		t.Errorf("%.1f %% arrived, with %.1f copies each", share, each)
	}
}
