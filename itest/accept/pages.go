package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/itest/plays"
)

// farWays is the least number of pairs that are more than one link apart.
const farWays = 30

// pages has Go peers, pages on js-libp2p and pages of the npm package write to each other,
// each to each, in -n networks.
func pages(ctx context.Context, opts options, r *report) error {
	return withPages(ctx, func(p *peers.Pages) error {
		for round := 1; round <= opts.n; round++ {
			playing, stop := context.WithTimeout(ctx, playTime)
			ways, beyond, err := mixed(playing, p)
			stop()
			t := r.table("from", "to", "links", "took", "sent", "path")
			all := slices.Concat(ways, beyond)
			for _, w := range all {
				t.row(w.From, w.To, w.Hops(), w.Took.Round(time.Millisecond), w.Sends, strings.Join(append(w.Path, w.To), " > "))
			}
			far, relayed, atOnce := plays.FarWays(ways), plays.Relayed(all), 0
			for _, w := range ways {
				if w.Sends == 1 {
					atOnce++
				}
			}
			said := fmt.Sprintf("network %d: %d pairs delivered, %d at the first send, %d over two links or more; then %d from behind pages; relayed by kind %v", round, len(ways), atOnce, far, len(beyond), relayed)
			r.note("%s", said)
			opts.log.Print(said)
			if err == nil && far < farWays {
				err = fmt.Errorf("%d pairs went over two links or more, want %d", far, farWays)
			}
			for _, kind := range []string{"go", "js", "legacy"} {
				if err == nil && relayed[kind] == 0 {
					err = fmt.Errorf("no %s peer has relayed", kind)
				}
			}
			if err != nil {
				return fmt.Errorf("network %d: %w", round, err)
			}
		}
		return nil
	})
}

// mixed has each peer of one network write to each, and then a Go peer whose only links
// are to legacy pages.
func mixed(ctx context.Context, p *peers.Pages) (ways, beyond []plays.Way, err error) {
	n, err := plays.OpenMixed(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if ways, err = n.Talk(ctx); err != nil {
		return ways, nil, err
	}
	beyond, err = n.TalkOverPages(ctx)
	return ways, beyond, err
}
