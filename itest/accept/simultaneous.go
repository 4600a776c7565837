package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/peer-relay/peer-relay/itest/plays"
)

// simultaneous lets two peers dial each other at the same instant, n times each kind.
func simultaneous(ctx context.Context, opts options, r *report) error {
	return withBinary(ctx, func(ctx context.Context, binary string) error {
		type row struct {
			glare         plays.Glare
			times         series
			failed        int
			dialled, live map[int]int // plays, by the number of connections
		}
		var rows []*row
		for _, g := range plays.Glares() {
			rows = append(rows, &row{glare: g, dialled: make(map[int]int), live: make(map[int]int)})
		}
		var mu sync.Mutex // guards the rows and failures
		var failures []error
		p := newPool(opts.workers)
		seeds := rand.New(rand.NewPCG(opts.seed, 0))
		for round := 1; round <= opts.n && ctx.Err() == nil; round++ {
			for _, row := range rows {
				seed := seeds.Uint64()
				p.do(func() {
					playing, cancel := context.WithTimeout(ctx, playTime)
					defer cancel()
					got, err := row.glare.Play(playing, binary, seed)
					mu.Lock()
					defer mu.Unlock()
					verdict := "ok"
					if err != nil {
						row.failed++
						failures = append(failures, err)
						verdict = "FAILED: " + err.Error()
					} else {
						row.times = append(row.times, got.Settled)
						row.dialled[got.Dialled]++
						row.live[got.Live]++
					}
					opts.log.Printf("%d/%d %s, seed %d: %s", round, opts.n, row.glare.Name, seed, verdict)
				})
			}
		}
		p.wait()

		t := r.table("who", "passed", "failed", "connections dialled: plays", "left open: plays", "settled in median", "max")
		passed := 0
		for _, row := range rows {
			t.row(row.glare.Name, len(row.times), row.failed, row.dialled, row.live, row.times.median().Round(time.Millisecond), row.times.max().Round(time.Millisecond))
			passed += len(row.times)
		}
		for _, err := range failures {
			r.note("%v", err)
		}
		if want := opts.n * len(rows); passed != want {
			return errors.Join(fmt.Errorf("%d of %d passed", passed, want), ctx.Err())
		}
		return nil
	})
}

// A pool runs functions, a bounded number of them at once.
type pool struct {
	jobs    chan func()
	workers sync.WaitGroup
}

func newPool(workers int) *pool {
	p := &pool{jobs: make(chan func())}
	for range workers {
		// Ends when jobs is closed; wait waits.
		p.workers.Go(func() {
			for job := range p.jobs {
				job()
			}
		})
	}
	return p
}

// do runs f as soon as a worker is free.
func (p *pool) do(f func()) { p.jobs <- f }

func (p *pool) wait() {
	close(p.jobs)
	p.workers.Wait()
}
