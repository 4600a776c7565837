package plays

import (
	"math/rand/v2"
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
)

func TestSimultaneous(t *testing.T) {
	const times = 3
	harness.NeedNPM(t)
	binary := harness.Binary(t)
	for _, g := range Glares() {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			for range times {
				seed := rand.Uint64()
				report, err := g.Play(harness.Context(t), binary, seed)
				harness.Must(t, err)
				t.Logf("seed %d: %+v", seed, *report)
			}
		})
	}
}
