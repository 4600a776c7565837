package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/peer-relay/peer-relay/itest/plays"
)

const (
	crowdTime    = 20 * time.Minute
	crowdRate    = 100              // messages a second
	crowdLate    = 20 * time.Second // messages that take longer are lost
	crowdRest    = 20 * time.Second
	crowdLeast   = 99.9 // percent of each direction
	crowdDrivers = 10   // Node processes
)

// crowd has peers of ours and of the npm package write to each other, and kills some of them. -n is
// the number of messages in each phase.
func crowd(ctx context.Context, opts options, r *report) error {
	return withBinary(ctx, func(ctx context.Context, binary string) (err error) {
		ctx, cancel := context.WithTimeout(ctx, crowdTime)
		defer cancel()
		c, err := plays.OpenCrowd(ctx, opts.each, plays.GoKind("go", binary), plays.NPMKind(max(opts.each/crowdDrivers, 1)))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.Close()) }()
		opts.log.Printf("%d peers of each kind are linked", opts.each)
		t := newTargets(opts, r)
		for _, phase := range []struct {
			name  string
			begin func() error
		}{
			{"quiet", func() error { return rest(ctx, opts, crowdRest) }},
			{"bootstrap killed", c.KillFirst},
			{"a fifth of the processes killed", func() error { return c.KillShare(5) }},
		} {
			if err := phase.begin(); err != nil {
				return err
			}
			if err := crowdPhase(ctx, opts, c, t, phase.name); err != nil {
				return fmt.Errorf("%s: %w", phase.name, err)
			}
		}
		for _, kind := range []string{"go", "npm"} {
			plain, _ := c.Twice(kind)
			t.none("all", "delivered twice to "+kind, plain)
		}
		return t.err()
	})
}

func crowdPhase(ctx context.Context, opts options, c *plays.Crowd, t *targets, phase string) error {
	rng := rand.New(rand.NewPCG(opts.seed, 0))
	over := time.Duration(opts.n) * time.Second / crowdRate
	got, err := c.Exchange(ctx, rng, opts.n, over, crowdLate, nil)
	if err != nil {
		return err
	}
	names := []string{"Go", "JS"}
	for from, row := range got {
		for to, tally := range row {
			t.share(phase, names[from]+" to "+names[to], tally, crowdLeast)
		}
	}
	ended := c.Ended()
	t.none(phase, "processes that ended by themselves", len(ended))
	return errors.Join(ended...)
}
