package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/peer-relay/peer-relay/itest/plays"
)

const (
	loadClients   = 500
	bucketClients = 60
	loadWindow    = 64
	loadProcesses = 2

	// leastReceivers is the least share of clients that received a message: there are
	// enough messages that chance leaves out very few.
	leastReceivers = 0.9
)

// load lets crowds of npm clients send each other messages over one node.
func load(ctx context.Context, opts options, r *report) error {
	crowds := []struct {
		name    string
		clients int
		bucket  int
	}{
		{"500 clients", loadClients, plays.AnyBucket},
		{"60 in bucket 0", bucketClients, 0},
		{"60 in bucket 5", bucketClients, 5},
		{"60 in bucket 100", bucketClients, 100},
	}
	return withBinary(ctx, func(ctx context.Context, binary string) error {
		ctx, cancel := context.WithTimeout(ctx, runTime)
		defer cancel()
		t := r.table("crowd", "sent", "delivered", "duplicates", "receivers", "forwarded", "drops", "joined in", "messages/s", "latency median", "max")
		var errs []error
		for i, crowd := range crowds {
			got, err := plays.Load(ctx, binary, plays.LoadSpec{Clients: crowd.clients, Messages: opts.n, Window: loadWindow,
				Processes: loadProcesses, Seed: opts.seed + uint64(i), Bucket: crowd.bucket})
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", crowd.name, err))
				continue
			}
			times := series(got.Latencies)
			t.row(crowd.name, opts.n, got.Delivered, got.Duplicates, got.Receivers, got.Counters["forwarded"], got.Drops, got.Joined.Round(time.Millisecond),
				int(float64(got.Delivered)/got.Took.Seconds()), times.median().Round(time.Microsecond), times.max().Round(time.Microsecond))
			r.note("%s: counters %v", crowd.name, got.Counters)
			opts.log.Printf("%s: done", crowd.name)
			switch {
			case got.Duplicates > 0 || len(got.Drops) > 0 || got.Counters["forwarded"] != uint64(opts.n):
				errs = append(errs, fmt.Errorf("%s: want every message delivered and counted once, and no drops", crowd.name))
			case got.Receivers < min(int(leastReceivers*float64(crowd.clients)), opts.n/2):
				errs = append(errs, fmt.Errorf("%s: %d of %d received anything", crowd.name, got.Receivers, crowd.clients))
			}
		}
		return errors.Join(errs...)
	})
}
