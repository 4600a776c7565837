package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/peer-relay/peer-relay/itest/plays"
)

// mostGone is how long a killed peer may be missed over WebRTC.
const mostGone = 10 * time.Second

// gone kills a linked process, n times each kind, and tells when that is noticed.
func gone(ctx context.Context, opts options, r *report) error {
	return withBinary(ctx, func(ctx context.Context, binary string) error {
		kinds := plays.Gones()
		times := make([]series, len(kinds))
		failures := make([][]error, len(kinds))
		var mu sync.Mutex // guards times and failures
		p := newPool(opts.workers)
		for round := 1; round <= opts.n && ctx.Err() == nil; round++ {
			for i, g := range kinds {
				p.do(func() {
					playing, cancel := context.WithTimeout(ctx, playTime)
					defer cancel()
					took, err := g.Play(playing, binary)
					if err == nil && g.Sudden() && took > mostGone {
						err = fmt.Errorf("%s: noticed after %v, want at most %v", g.Name, took, mostGone)
					}
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						failures[i] = append(failures[i], err)
						opts.log.Printf("%d/%d FAILED: %v", round, opts.n, err)
						return
					}
					times[i] = append(times[i], took)
					opts.log.Printf("%d/%d %s: %v", round, opts.n, g.Name, took.Round(time.Millisecond))
				})
			}
		}
		p.wait()

		t := r.table("link", "passed", "failed", "noticed in median", "max")
		passed := 0
		var all []error
		for i, g := range kinds {
			t.row(g.Name, len(times[i]), len(failures[i]), times[i].median().Round(time.Millisecond), times[i].max().Round(time.Millisecond))
			passed += len(times[i])
			all = append(all, failures[i]...)
		}
		for _, err := range all {
			r.note("%v", err)
		}
		if want := opts.n * len(kinds); passed != want {
			return errors.Join(fmt.Errorf("%d of %d passed", passed, want), ctx.Err())
		}
		return nil
	})
}
