package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/itest/plays"
)

// playTime is how long one performance may take. Only a failure takes it.
const playTime = 60 * time.Second

// A cell is a scenario with a cast: a row of the table.
type cell struct {
	scenario plays.Scenario
	cast     []peers.Kind
	times    series
	failed   int
}

// scenarios plays every scenario with every cast, n times in a row, and retries nothing.
func scenarios(ctx context.Context, opts options, r *report) error {
	return withBinary(ctx, func(ctx context.Context, binary string) error {
		return play(ctx, []peers.Kind{peers.NPM(), peers.Go(binary)}, opts, r)
	})
}

func play(ctx context.Context, kinds []peers.Kind, opts options, r *report) error {
	var cells []*cell
	for _, sc := range plays.Scenarios() {
		for _, cast := range peers.Casts(kinds, len(sc.Parts)) {
			cells = append(cells, &cell{scenario: sc, cast: cast})
		}
	}
	var mu sync.Mutex // guards the cells and failures
	var failures []error
	p := newPool(opts.workers)
	seeds := rand.New(rand.NewPCG(opts.seed, 0))
	for round := 1; round <= opts.n && ctx.Err() == nil; round++ {
		for _, c := range cells {
			seed := seeds.Uint64()
			p.do(func() {
				playing, cancel := context.WithTimeout(ctx, playTime)
				defer cancel()
				started := time.Now()
				err := c.scenario.Play(playing, c.cast, seed)
				took := time.Since(started)
				mu.Lock()
				defer mu.Unlock()
				verdict := "ok"
				if err != nil {
					c.failed++
					failures = append(failures, err)
					verdict = "FAILED: " + err.Error()
				} else {
					c.times = append(c.times, took)
				}
				opts.log.Printf("%d/%d %s, %s, seed %d: %s %s", round, opts.n, c.scenario.Name, peers.CastName(c.cast), seed, took.Round(time.Millisecond), verdict)
			})
		}
	}
	p.wait()

	t := r.table("scenario", "cast", "passed", "failed", "median", "max")
	passed, failed := 0, 0
	var all series
	for _, c := range cells {
		t.row(c.scenario.Name, peers.CastName(c.cast), len(c.times), c.failed, c.times.median().Round(time.Millisecond), c.times.max().Round(time.Millisecond))
		passed, failed, all = passed+len(c.times), failed+c.failed, append(all, c.times...)
	}
	t.row("all", len(cells), passed, failed, all.median().Round(time.Millisecond), all.max().Round(time.Millisecond))
	for _, err := range failures {
		r.note("%v", err)
	}
	if want := opts.n * len(cells); passed != want {
		return errors.Join(fmt.Errorf("%d of %d passed", passed, want), ctx.Err())
	}
	return nil
}
