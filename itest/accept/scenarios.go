package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/peer-relay/peer-relay/itest"
)

// playTime is how long one performance may take. Only a failure takes it.
const playTime = 60 * time.Second

// kinds are those who play in the scenarios.
func kinds() []itest.Kind { return []itest.Kind{itest.NPM()} }

// A cell is a scenario with a cast: a row of the table.
type cell struct {
	scenario itest.Scenario
	cast     []itest.Kind
	times    series
	failed   int
}

// scenarios plays every scenario with every cast, n times in a row, and retries nothing.
func scenarios(ctx context.Context, opts options, r *report) error {
	if _, err := itest.Install(ctx); err != nil {
		return err
	}
	var cells []*cell
	for _, sc := range itest.Scenarios() {
		for _, cast := range itest.Casts(kinds(), len(sc.Parts)) {
			cells = append(cells, &cell{scenario: sc, cast: cast})
		}
	}

	type job struct {
		round int
		cell  *cell
		seed  uint64
	}
	jobs := make(chan job)
	var mu sync.Mutex // guards the cells and failures below
	var failures []error
	var workers sync.WaitGroup
	for range opts.workers {
		// Ends when jobs is closed; waited for below.
		workers.Go(func() {
			for j := range jobs {
				playing, cancel := context.WithTimeout(ctx, playTime)
				started := time.Now()
				err := j.cell.scenario.Play(playing, j.cell.cast, j.seed)
				took := time.Since(started)
				cancel()
				mu.Lock()
				if err != nil {
					j.cell.failed++
					failures = append(failures, err)
				} else {
					j.cell.times = append(j.cell.times, took)
				}
				mu.Unlock()
				verdict := "ok"
				if err != nil {
					verdict = "FAILED: " + err.Error()
				}
				opts.log.Printf("%d/%d %s, %s, seed %d: %s %s", j.round, opts.n, j.cell.scenario.Name, itest.CastName(j.cell.cast), j.seed, took.Round(time.Millisecond), verdict)
			}
		})
	}
	seeds := rand.New(rand.NewPCG(opts.seed, 0))
	for round := 1; round <= opts.n && ctx.Err() == nil; round++ {
		for _, c := range cells {
			jobs <- job{round, c, seeds.Uint64()}
		}
	}
	close(jobs)
	workers.Wait()

	t := r.table("scenario", "cast", "passed", "failed", "median", "max")
	passed, failed := 0, 0
	for _, c := range cells {
		t.row(c.scenario.Name, itest.CastName(c.cast), len(c.times), c.failed, c.times.median().Round(time.Millisecond), c.times.max().Round(time.Millisecond))
		passed, failed = passed+len(c.times), failed+c.failed
	}
	t.row("all", len(cells), passed, failed)
	for _, err := range failures {
		r.note("%v", err)
	}
	if want := opts.n * len(cells); passed != want {
		return errors.Join(fmt.Errorf("%d of %d passed", passed, want), ctx.Err())
	}
	return nil
}
