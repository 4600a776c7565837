package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/peer-relay/peer-relay/itest/trials"
)

// sweep plays every situation n times, -j of them at once.
func sweep(ctx context.Context, opts options, r *report) error {
	return withGo(ctx, func(ctx context.Context, binary string) error {
		all := trials.Situations()
		t := r.table("situation", "what should happen", "what was seen", "")
		var mu sync.Mutex // guards the rows and failures
		rows := make([][]string, len(all))
		var failures []error
		p := newPool(opts.workers)
		for round := 1; round <= opts.n && ctx.Err() == nil; round++ {
			for i, x := range all {
				if !strings.Contains(x.Name, opts.only) {
					continue
				}
				p.do(func() {
					begun := time.Now()
					seen, err := x.Play(ctx, binary)
					mu.Lock()
					defer mu.Unlock()
					verdict := "ok"
					if err != nil {
						verdict = "FAILED"
						failures = append(failures, err)
					}
					opts.log.Printf("%d/%d %s, %v: want %s; seen %s; %s %v", i+1, len(all), x.Name, time.Since(begun).Round(time.Second), x.Expect, seen, verdict, err)
					rows[i] = append(rows[i], verdict+": "+strings.Join(strings.Fields(seen), " "))
				})
			}
		}
		p.wait()
		for i, x := range all {
			for _, row := range rows[i] {
				verdict, seen, _ := strings.Cut(row, ": ")
				t.row(x.Name, x.Expect, seen, verdict)
			}
		}
		for _, err := range failures {
			r.note("%v", err)
		}
		if len(failures) > 0 {
			return errors.Join(fmt.Errorf("%d situations failed", len(failures)), ctx.Err())
		}
		return ctx.Err()
	})
}
