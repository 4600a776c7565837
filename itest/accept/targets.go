package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/itest/plays"
)

// targets is a table of figures beside their targets.
type targets struct {
	opts   options
	table  *table
	missed []error
}

func newTargets(opts options, r *report) *targets {
	return &targets{opts: opts, table: r.table("phase", "what", "figure", "target", "")}
}

// judge adds a figure, which is good or not.
func (t *targets) judge(phase, what, figure, target string, good bool) {
	verdict := "ok"
	if !good {
		verdict = "MISSED"
		t.missed = append(t.missed, fmt.Errorf("%s: %s: %s, want %s", phase, what, figure, target))
	}
	t.table.row(phase, what, figure, target, verdict)
	t.opts.log.Printf("%s: %s: %s, target %s: %s", phase, what, figure, target, verdict)
}

// share judges how many of some letters arrived. least is in percent.
func (t *targets) share(phase, what string, got plays.Tally, least float64) {
	percent := 100 * got.Share()
	figure := fmt.Sprintf("%d of %d", got.Arrived, got.Sent)
	if got.Arrived < got.Sent {
		figure += fmt.Sprintf(", %.3f %%", percent)
	}
	t.judge(phase, what, figure, fmt.Sprintf("%v %%", least), got.Sent > 0 && percent >= least)
}

// none judges a number of what must not happen.
func (t *targets) none(phase, what string, n int) {
	t.judge(phase, what, fmt.Sprint(n), "0", n == 0)
}

// err returns an error with all targets that were missed, nil if there is none.
func (t *targets) err() error { return errors.Join(t.missed...) }

// pace says how fast messages came, for the progress.
func pace(got plays.Tally) string {
	took := series(slices.Clone(got.Took))
	return fmt.Sprintf("%.2f hops, median %v, 99 %% in %v, last %v", got.Hops, took.median().Round(100*time.Microsecond), took.quantile(0.99).Round(time.Millisecond), took.max().Round(time.Millisecond))
}

// rest waits while a network comes to rest, and shows that.
func rest(ctx context.Context, opts options, d time.Duration) error {
	opts.log.Printf("rest for %v", d)
	return peers.Sleep(ctx, d)
}
