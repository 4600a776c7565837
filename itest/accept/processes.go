package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/itest/plays"
)

const (
	processHosts = 10 // in each process
	processTime  = 15 * time.Minute
	processRate  = 400              // messages a second
	processLeast = 8                // links of each host before the first message
	processRest  = 20 * time.Second // after that
	processLate  = 30 * time.Second // messages that take longer are lost

	// plainAfter is when plain messages must arrive again after a part of the network was killed.
	plainAfter = 3 * time.Second
)

// processes runs nodes in several processes and kills some of those. -n is the number of messages in
// each phase, of which a fifth is reliable when processes were killed.
func processes(ctx context.Context, opts options, r *report) (err error) {
	ctx, cancel := context.WithTimeout(ctx, processTime)
	defer cancel()
	n, err := plays.OpenFleets(ctx, opts.processes, peers.FleetSpec{Hosts: processHosts, NoDHT: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if err := linked(ctx, opts, n, processRest); err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(opts.seed, 0))
	t := newTargets(opts, r)
	if err := processPhases(ctx, opts, rng, n, t); err != nil {
		return err
	}
	total, err := n.Total(ctx)
	if err != nil {
		return err
	}
	t.none("all", "delivered twice", total.Twice)
	return t.err()
}

// linked waits until each host of a network has links, and then for the time quiet.
func linked(ctx context.Context, opts options, n *plays.Fleets, quiet time.Duration) error {
	least := min(processLeast, len(n.Hosts)-1)
	for {
		states, err := n.State(ctx)
		if err != nil {
			return err
		}
		mean, most := meanMax(states, func(s peers.FleetState) int { return s.Links })
		opts.log.Printf("%d hosts: %.1f links a host, %d at most", len(states), mean, most)
		if !slices.ContainsFunc(states, func(s peers.FleetState) bool { return s.Links < least }) {
			break
		}
		if err := rest(ctx, opts, time.Second); err != nil {
			return err
		}
	}
	return rest(ctx, opts, quiet)
}

func processPhases(ctx context.Context, opts options, rng *rand.Rand, n *plays.Fleets, t *targets) error {
	all := plays.Batch{Letters: opts.n, Over: time.Duration(opts.n) * time.Second / processRate}
	exchange := func(phase string, batches ...plays.Batch) error {
		got, err := n.Exchange(ctx, rng, processLate, batches...)
		if err != nil {
			return fmt.Errorf("%s: %w", phase, err)
		}
		for i, b := range batches {
			what := fmt.Sprintf("plain, from %v on", b.After)
			if b.Reliable {
				what = fmt.Sprintf("reliable, from %v on", b.After)
			}
			opts.log.Printf("%s: %s: %s", phase, what, pace(got[i]))
			t.share(phase, what, got[i], 100)
			if b.Reliable {
				t.judge(phase, "reliable, told", fmt.Sprint(got[i].Outcomes), "only "+plays.Proved, got[i].Outcomes[plays.Proved] == got[i].Sent)
			}
		}
		return nil
	}
	if err := exchange("quiet", all); err != nil {
		return err
	}
	if err := n.Kill(0); err != nil {
		return err
	}
	if err := exchange("bootstrap killed", all); err != nil {
		return err
	}
	fifth := (opts.processes + 2) / 5
	for i := range fifth {
		if err := n.Kill(1 + i); err != nil {
			return err
		}
	}
	sure := plays.Batch{Letters: (opts.n + 4) / 5, Over: plainAfter, Reliable: true}
	all.After = plainAfter
	return exchange(fmt.Sprintf("%d of %d processes killed", fifth, opts.processes-1), sure, all)
}
