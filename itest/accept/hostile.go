package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/itest/plays"
)

// hostile has peers do to our node what they should not, n seconds each.
func hostile(ctx context.Context, opts options, r *report) error {
	return withBinary(ctx, func(ctx context.Context, binary string) error {
		ctx, cancel := context.WithTimeout(ctx, hostileTime)
		defer cancel()
		const mib = 1 << 20
		var errs []error
		var memory, goroutines, back series // of durations, but they are numbers all the same
		t := r.table("input", "received", "relayed meanwhile", "more MiB", "more goroutines", "back after", "left MiB", "left goroutines")
		all := plays.Hostilities()
		for i, h := range all {
			got, err := besiege(ctx, binary, h, time.Duration(opts.n)*time.Second)
			if err == nil && (got.Memory > plays.MostMemory || got.Goroutines > plays.MostGoroutines) {
				err = fmt.Errorf("%s: %d MiB and %d goroutines more, want at most %d and %d", h.Name, got.Memory/mib, got.Goroutines, plays.MostMemory/mib, plays.MostGoroutines)
			}
			verdict := "ok"
			if err != nil {
				verdict = "FAILED: " + err.Error()
				errs = append(errs, err)
			}
			if got == nil {
				opts.log.Printf("%d/%d %s: %s", i+1, len(all), h.Name, verdict)
				continue
			}
			opts.log.Printf("%d/%d %s: +%d MiB, +%d goroutines, back after %v, %d received, %d relayed: %s", i+1, len(all), h.Name,
				got.Memory/mib, got.Goroutines, got.Back.Round(time.Millisecond), got.Sent, got.Talked, verdict)
			t.row(h.Name, got.Sent, got.Talked, got.Memory/mib, got.Goroutines, got.Back.Round(10*time.Millisecond), got.After.Memory/mib, got.After.Goroutines)
			memory, goroutines, back = append(memory, time.Duration(got.Memory)), append(goroutines, time.Duration(got.Goroutines)), append(back, got.Back)
		}
		if len(memory) > 0 {
			middle := func(s series) time.Duration { return slices.Sorted(slices.Values(s))[len(s)/2] }
			t.row("median", "", "", int(middle(memory))/mib, int(middle(goroutines)), middle(back).Round(10*time.Millisecond), "", "")
			t.row("max", "", "", int(slices.Max(memory))/mib, int(slices.Max(goroutines)), slices.Max(back).Round(10*time.Millisecond), "", "")
		}
		if len(memory) < len(all) {
			errs = append(errs, fmt.Errorf("%d of %d inputs played", len(memory), len(all)))
		}
		return errors.Join(errs...)
	})
}

// besiege plays one input against a fresh node: what strangers may begin is bounded, and the
// next ones would find all places taken.
func besiege(ctx context.Context, binary string, h plays.Hostility, flood time.Duration) (got *plays.HostileReport, err error) {
	starting, cancel := context.WithTimeout(ctx, playTime)
	defer cancel()
	s, err := plays.NewSiege(starting, binary)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	playing, cancel := context.WithTimeout(ctx, flood+plays.BackTime)
	defer cancel()
	return h.Play(playing, s, flood)
}

// hostileTime bounds the whole run.
const hostileTime = 90 * time.Minute
