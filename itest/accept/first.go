package main

import (
	"context"
	"os"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/itest/plays"
)

// runTime is the most time for a run that is no series of plays. Only a failure takes it.
const runTime = 30 * time.Minute

// withBinary builds our binary for the time of do.
func withBinary(ctx context.Context, do func(ctx context.Context, binary string) error) error {
	if _, err := peers.Install(ctx); err != nil {
		return err
	}
	return withGo(ctx, do)
}

// withGo builds our binary for the time of do, with flags of go build, and needs no npm dependencies.
func withGo(ctx context.Context, do func(ctx context.Context, binary string) error, flags ...string) error {
	dir, err := os.MkdirTemp("", "peer-relay-accept-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary, err := peers.BuildGo(ctx, dir, flags...)
	if err != nil {
		return err
	}
	return do(ctx, binary)
}

// first replaces server.js by our binary, and connects every kind of client to it.
func first(ctx context.Context, opts options, r *report) error {
	return withBinary(ctx, func(ctx context.Context, binary string) error {
		ctx, cancel := context.WithTimeout(ctx, runTime)
		defer cancel()
		steps, err := plays.First(ctx, binary, opts.n)
		t := r.table("step", "took", "")
		for _, s := range steps {
			t.row(s.Name, s.Took.Round(time.Millisecond), s.Note)
		}
		return err
	})
}
