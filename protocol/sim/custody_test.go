package sim

import (
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
)

func drops(w *World) string {
	var d core.Drops
	for _, p := range w.Living() {
		for i, n := range p.Core.Stats().Dropped {
			d[i] += n
		}
	}
	return d.String()
}

func TestCustodyDraft(t *testing.T) {
	for _, features := range []bool{true, false} {
		for _, n := range []int{2} {
			w := Join(Config{Seed: 1, Bootstraps: 1, NoCustody: features}, 200, 50*time.Millisecond)
			w.Run(w.Now() + 30*time.Second)
			e := w.Exchange(1000)
			t.Logf("%v stable: %.3f %% twice %d hops %.2f took %v", features, 100*e.Share(), e.Twice, e.Hops, e.Took)
			w.KillShare(n)
			t.Log(drops(w))
			e = w.Exchange(1000)
			t.Log(drops(w))
			t.Logf("%v 1/%d killed at once: %.3f %% twice %d hops %.2f took %v", features, n, 100*e.Share(), e.Twice, e.Hops, e.Took)
			e = w.Exchange(1000)
			t.Logf("%v 1/%d 8 s later: %.3f %% twice %d hops %.2f took %v", features, n, 100*e.Share(), e.Twice, e.Hops, e.Took)
		}
	}
}
