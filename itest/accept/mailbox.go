package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/itest/plays"
)

// Of each round of the run mailbox.
const (
	boxOff      = time.Minute // how long the receiver is off
	boxMessages = 1000
)

// mailbox sends messages to receivers that are off, and kills the mailbox meanwhile. Then it has one on a
// full disk.
func mailbox(ctx context.Context, opts options, r *report) error {
	return withBinary(ctx, func(ctx context.Context, binary string) (err error) {
		t := r.table("receiver", "round", "messages", "promised after", "all arrived after", "twice or lost")
		var failures []error
		for round := 1; round <= opts.n && ctx.Err() == nil; round++ {
			for _, npm := range []bool{false, true} {
				got, err := offline(ctx, binary, npm)
				name := map[bool]string{false: "ours", true: "npm"}[npm]
				lost := "0"
				if err != nil {
					lost = err.Error()
					failures = append(failures, fmt.Errorf("%s, round %d: %w", name, round, err))
				}
				t.row(name, round, boxMessages, got.Promised.Round(time.Millisecond), got.Arrived.Round(time.Millisecond), lost)
				opts.log.Printf("%d/%d %s: %+v, %v", round, opts.n, name, got, err)
			}
			playing, cancel := context.WithTimeout(ctx, playTime)
			disk, err := plays.FullDisk(playing, binary)
			cancel()
			if err != nil {
				failures = append(failures, fmt.Errorf("a full disk, round %d: %w", round, err))
			}
			r.note("round %d, a full disk: %d messages kept and all delivered once, %d refused with the reason; failed: %v", round, disk.Kept, disk.Refused, err)
			opts.log.Printf("%d/%d full disk: %+v, %v", round, opts.n, disk, err)
		}
		return errors.Join(append(failures, ctx.Err())...)
	})
}

// offline plays one receiver that is off.
func offline(ctx context.Context, binary string, npm bool) (got plays.OfflineReport, err error) {
	ctx, cancel := context.WithTimeout(ctx, boxOff+playTime)
	defer cancel()
	o := plays.Offline{Binary: binary, Messages: boxMessages, Off: boxOff}
	if npm {
		if o.Driver, err = peers.StartDriver(ctx); err != nil {
			return got, err
		}
		defer func() { err = errors.Join(err, o.Driver.Close()) }()
	}
	return o.Play(ctx)
}
