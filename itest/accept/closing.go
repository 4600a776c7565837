package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peer-relay/peer-relay/itest/trials"
)

// closing sends and ends at once, n times each way, and reports how much arrived.
func closing(ctx context.Context, opts options, r *report) error {
	return withGo(ctx, func(ctx context.Context, binary string) (err error) {
		stage, err := trials.NewClosingStage(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stage.Close()) }()
		type row struct {
			way                   trials.Closing
			sent, arrived, named  int
			lost, failed, playing int
			times                 series
		}
		var rows []*row
		for _, way := range trials.Closings(binary) {
			rows = append(rows, &row{way: way})
		}
		var mu sync.Mutex // guards the rows and failures
		var failures []error
		var number atomic.Int64
		for _, row := range rows {
			p := newPool(opts.workers)
			for round := 1; round <= opts.n && ctx.Err() == nil; round++ {
				p.do(func() {
					playing, cancel := context.WithTimeout(ctx, playTime)
					defer cancel()
					got, err := row.way.Play(playing, stage, int(number.Add(1)))
					if err == nil && got.Lost() > 0 {
						err = fmt.Errorf("%s: of %d sent, %d arrived and %d were named", row.way.Name, got.Sent, got.Arrived, got.Named)
					}
					mu.Lock()
					defer mu.Unlock()
					row.playing++
					row.sent += got.Sent
					row.arrived += got.Arrived
					row.named += got.Named
					row.lost += got.Lost()
					row.times = append(row.times, got.Took)
					if err != nil {
						row.failed++
						failures = append(failures, err)
						opts.log.Printf("%d/%d FAILED: %v", round, opts.n, err)
					}
				})
			}
			p.wait()
			opts.log.Printf("%s: %d of %d arrived, %d named, %d lost", row.way.Name, row.arrived, row.sent, row.named, row.lost)
		}

		t := r.table("way", "runs", "sent", "arrived", "named by an error", "lost", "median", "max")
		passed := 0
		for _, row := range rows {
			t.row(row.way.Name, row.playing, row.sent, row.arrived, row.named, row.lost, row.times.median().Round(time.Millisecond), row.times.max().Round(time.Millisecond))
			passed += row.playing - row.failed
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
