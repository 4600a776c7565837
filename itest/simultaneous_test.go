package itest

import (
	"math/rand/v2"
	"testing"
)

func TestSimultaneous(t *testing.T) {
	const times = 3
	needNPM(t)
	binary := goBinary(t)
	for _, g := range Glares() {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			for range times {
				seed := rand.Uint64()
				report, err := g.Play(testContext(t), binary, seed)
				must(t, err)
				t.Logf("seed %d: %+v", seed, *report)
			}
		})
	}
}
