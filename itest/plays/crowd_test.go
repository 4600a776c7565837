package plays

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/itest/harness"
)

// TestCrowd has a few peers of ours and of the npm package write to each other, kills the bootstrap,
// and has them do it again.
func TestCrowd(t *testing.T) {
	harness.NeedNPM(t)
	ctx := harness.Context(t)
	c, err := OpenCrowd(ctx, 5, GoKind("go", harness.Binary(t)), NPMKind(5))
	harness.Must(t, err)
	defer func() { harness.Must(t, c.Close()) }()
	for range 2 {
		got, err := c.Exchange(ctx, rand.New(rand.NewPCG(1, 2)), 200, 2*time.Second, harness.Patience/4, func(from, _ string) bool { return from == "go" })
		harness.Must(t, err)
		for from, row := range got {
			for to, tally := range row {
				if tally.Sent == 0 || tally.Arrived != tally.Sent || tally.Outcomes[NoPeer] > 0 {
					t.Errorf("kind %d to %d: %+v", from, to, tally)
				}
			}
		}
		harness.Must(t, c.KillFirst())
	}
	for _, kind := range []string{"go", "npm"} {
		if plain, reliable := c.Twice(kind); plain+reliable > 0 {
			t.Errorf("to %s: %d plain and %d reliable messages came twice", kind, plain, reliable)
		}
	}
	for _, err := range c.Ended() {
		t.Error(err)
	}
}
