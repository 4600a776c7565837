package core

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestTrip checks that a link's round trip time is near the least of the last ones: it falls fast and
// rises slowly, and one late answer moves it a little.
func TestTrip(t *testing.T) {
	var l link
	for i, step := range []struct{ rtt, want time.Duration }{
		{100, 100}, {60, 80}, {80, 80}, {160, 85}, {20000, 85 + (2*85+1000-85)/16},
	} {
		if l.sample(step.rtt * time.Millisecond); l.Trip.Truncate(time.Millisecond) != step.want*time.Millisecond {
			t.Errorf("after answer %d, in %d ms: %v, want %d ms", i, step.rtt, l.Trip, step.want)
		}
	}
}

// TestTripsThatJitter checks that of two links over ways of 100 ms, with waits of 20 ms on average, neither is
// a tenth faster than the other for long. Links that are compared would come and go otherwise.
func TestTripsThatJitter(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var a, b link
	const answers = 10_000
	apart := 0
	for range answers {
		for _, l := range []*link{&a, &b} {
			l.sample(100*time.Millisecond + time.Duration(rng.ExpFloat64()*float64(20*time.Millisecond)))
		}
		if (a.Trip - b.Trip).Abs() > 12*time.Millisecond {
			apart++
		}
	}
	if apart > answers/50 {
		t.Errorf("the links differ by a tenth after %d of %d answers", apart, answers)
	}
}
