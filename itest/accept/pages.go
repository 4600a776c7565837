package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/itest"
)

// farWays is how many of the pairs must be more than one link apart.
const farWays = 30

// pages lets Go peers, pages on js-libp2p and pages of the npm package write to each other,
// everybody to everybody, in -n networks.
func pages(ctx context.Context, opts options, r *report) error {
	return withPages(ctx, func(p *itest.Pages) error {
		relayed := make(map[string]int) // by kind
		for round := 1; round <= opts.n; round++ {
			playing, stop := context.WithTimeout(ctx, playTime)
			ways, err := mixed(playing, p)
			stop()
			t := r.table("from", "to", "links", "took", "sent", "path")
			far, atOnce := 0, 0
			for _, w := range ways {
				t.row(w.From, w.To, w.Hops(), w.Took.Round(time.Millisecond), w.Sends, strings.Join(append(w.Path, w.To), " > "))
				if w.Hops() > 1 {
					far++
				}
				if w.Sends == 1 {
					atOnce++
				}
				for _, relay := range w.Path[1:] {
					relayed[itest.KindOf(relay)]++
				}
			}
			said := fmt.Sprintf("network %d: %d pairs delivered, %d at the first send, %d over two links or more", round, len(ways), atOnce, far)
			r.note("%s", said)
			opts.log.Print(said)
			if err == nil && far < farWays {
				err = fmt.Errorf("%d pairs went over two links or more, want %d", far, farWays)
			}
			if err != nil {
				return fmt.Errorf("network %d: %w", round, err)
			}
		}
		r.note("relayed by kind: %v", relayed)
		for _, kind := range []string{"go", "js", "legacy"} {
			if relayed[kind] == 0 {
				return fmt.Errorf("no %s peer has relayed", kind)
			}
		}
		return nil
	})
}

// mixed has everybody in one network write to everybody.
func mixed(ctx context.Context, p *itest.Pages) (ways []itest.Way, err error) {
	n, err := itest.OpenMixed(ctx, p)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	return n.Talk(ctx)
}
