package sim

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestLatency checks that links are equally long in both directions, and that far ones are longer.
func TestLatency(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 1000 {
		a, b := NewPlace(i, rng), NewPlace(i+1, rng)
		if there, back := a.Latency(b), b.Latency(a); there != back || there < 20*time.Millisecond || there > 200*time.Millisecond {
			t.Fatalf("%+v and %+v: %v and %v", a, b, there, back)
		}
	}
	if near, far := (Place{0, 0, 0}).Latency(Place{1, 0.1, 0}), (Place{0, 0, 0}).Latency(Place{1, 0.5, 0}); near >= far {
		t.Errorf("near %v, far %v", near, far)
	}
}
