package sim

import (
	"testing"
	"time"
)

// TestKilledAtOnce checks that messages take another way at once when peers are killed, and that
// none arrives twice.
func TestKilledAtOnce(t *testing.T) {
	for _, test := range []struct {
		one  int     // every n-th peer is killed
		want float64 // the share of the messages between the living that arrive within 6 s
	}{{5, 0.999}, {2, 0.97}} {
		w := Join(Config{Seed: 1, Bootstraps: 1}, *peers/5, 50*time.Millisecond)
		w.Run(w.Now() + 30*time.Second)
		w.KillShare(test.one)
		e := w.Exchange(2000)
		t.Logf("1 in %d killed: %.2f %% delivered, %.2f hops, %v", test.one, 100*e.Share(), e.Hops, e.Took.Round(time.Millisecond))
		if e.Share() < test.want || e.Twice > 0 {
			t.Errorf("1 in %d killed: %+v", test.one, e)
		}
	}
}
