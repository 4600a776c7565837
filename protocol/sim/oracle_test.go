package sim

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// TestOracle checks the ways in a network of four peers, and a fifth that has no link. The fast way from
// the first peer leads by one whose id is farther from the target's, so no greedy way takes it.
func TestOracle(t *testing.T) {
	const start, away, between, target = 0, 1, 2, 3
	o := &oracle{links: make([][]hop, 5)}
	for _, id := range []wire.ID{{0x40}, {0x10}, {0x80}, {0xc0}, {0xf0}} {
		o.peers = append(o.peers, &Peer{ID: id})
	}
	link := func(a, b int, ms time.Duration) {
		o.links[a] = append(o.links[a], hop{b, ms * time.Millisecond})
		o.links[b] = append(o.links[b], hop{a, ms * time.Millisecond})
	}
	link(start, between, 100)
	link(between, target, 100)
	link(start, away, 20)
	link(away, target, 30)
	length := func(h hop) float64 { return float64(h.time / time.Millisecond) }
	inf := math.Inf(1)
	if got := o.ways(target, anyWay, length); !slices.Equal(got, []float64{50, 30, 100, 0, inf}) {
		t.Errorf("the fastest ways take %v", got)
	}
	if got := o.ways(target, greedy, length); !slices.Equal(got, []float64{200, 30, 100, 0, inf}) {
		t.Errorf("the fastest greedy ways take %v", got)
	}
	if got := o.connected(); got != 4.0*3/(5*4) {
		t.Errorf("%v of the pairs are connected", got)
	}
}
