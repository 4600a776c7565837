package sim

import (
	"math"
	"math/rand/v2"
	"time"
)

const (
	minLatency = 20 * time.Millisecond  // latency between places that are near each other
	maxLatency = 200 * time.Millisecond // and between those that are far apart
)

// A Place is where a peer is: a point of the plane, which is a square of side 1.
type Place struct {
	Index int // tells peers at the same point apart
	X, Y  float64
}

// NewPlace returns a random place.
func NewPlace(index int, rng *rand.Rand) Place {
	return Place{Index: index, X: rng.Float64(), Y: rng.Float64()}
}

// Latency returns the time from one place to another, 20 to 200 ms. It grows with their distance,
// and has a part that depends on the pair.
func (a Place) Latency(b Place) time.Duration {
	own := uint64(a.Index^b.Index)*0x9e3779b97f4a7c15>>60 + uint64(min(a.Index, b.Index))&3
	ms := float64(minLatency/time.Millisecond) + 210*math.Hypot(a.X-b.X, a.Y-b.Y) + 0.7*float64(own)
	return min(time.Duration(ms*float64(time.Millisecond)), maxLatency)
}
