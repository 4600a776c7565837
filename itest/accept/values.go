package main

import (
	"context"
	"time"

	"github.com/peer-relay/peer-relay/itest/plays"
)

// values sends generated documents from JS peers through two of our relays.
func values(ctx context.Context, opts options, r *report) error {
	return withBinary(ctx, func(ctx context.Context, binary string) error {
		ctx, cancel := context.WithTimeout(ctx, runTime)
		defer cancel()
		started := time.Now()
		got, err := plays.Values(ctx, binary, opts.seed, opts.n)
		if err != nil {
			return err
		}
		batches := series(got.Batches)
		t := r.table("documents", "fixed points", "bytes", "messages", "wrong", "documents/s", "batch median", "max")
		t.row(got.Documents, got.FixedPoints, got.Bytes, 4*got.Documents, 0, int(float64(got.Documents)/time.Since(started).Seconds()),
			batches.median().Round(time.Millisecond), batches.max().Round(time.Millisecond))
		return nil
	})
}
