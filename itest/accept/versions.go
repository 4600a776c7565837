package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/peer-relay/peer-relay/itest/plays"
)

// versionsTime is the most time for one network of two builds. A few rounds take less, even if all
// messages are lost.
const versionsTime = 10 * time.Minute

// versions has the binary of another build, that of this tree and npm peers write to each other
// over relays of all three.
func versions(ctx context.Context, opts options, r *report) error {
	return withBinary(ctx, func(ctx context.Context, binary string) error {
		type row struct {
			chain  plays.Chain
			sign   bool
			counts plays.Counts
			times  series
			err    error
		}
		var rows []*row
		for _, chain := range plays.Chains() {
			rows = append(rows, &row{chain: chain}, &row{chain: chain, sign: true})
		}
		guests := plays.Guests()
		pairs := make([][]plays.Counts, len(guests))
		for from := range pairs {
			pairs[from] = make([]plays.Counts, len(guests))
		}
		var mu sync.Mutex // guards the rows and pairs
		p := newPool(opts.workers)
		for _, row := range rows {
			p.do(func() {
				playing, cancel := context.WithTimeout(ctx, versionsTime)
				defer cancel()
				got, err := row.chain.Play(playing, plays.Builds{Old: opts.old, New: binary}, row.sign, opts.n)
				mu.Lock()
				defer mu.Unlock()
				row.err = err
				if got != nil {
					row.times = got.Took
					for from := range got.Pairs {
						for to, c := range got.Pairs[from] {
							pairs[from][to].Add(c)
							row.counts.Add(c)
						}
					}
				}
				opts.log.Printf("relays %s, signed %t: %+v, error %v", row.chain.Name, row.sign, row.counts, err)
			})
		}
		p.wait()

		t := r.table("relays", "signed", "sent", "delivered", "twice", "proved", "of", "proved wrongly", "equal proved", "of", "pair in median", "max")
		var errs []error
		for _, row := range rows {
			c := row.counts
			t.row(row.chain.Name, row.sign, c.Sent, c.Delivered, c.Again, c.Proved, c.Signed, c.Forged, c.EqualOK, c.Equal,
				row.times.median().Round(time.Millisecond), row.times.max().Round(time.Millisecond))
			if row.err != nil {
				errs = append(errs, row.err)
			} else if !c.OK() {
				errs = append(errs, fmt.Errorf("relays %s: %+v", row.chain.Name, c))
			}
		}
		t = r.table(append([]string{"from \\ to"}, guests...)...)
		for from, name := range guests {
			cells := []any{name}
			for _, c := range pairs[from] {
				cells = append(cells, fmt.Sprintf("%d of %d", c.Delivered, c.Sent))
			}
			t.row(cells...)
		}
		r.note("old: %s", opts.old)
		return errors.Join(append(errs, ctx.Err())...)
	})
}
