package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
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
		told := make(map[string]int)
		var mu sync.Mutex // guards the rows, pairs and told
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
					for what, n := range got.Told {
						told[what] += n
					}
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
		for _, what := range slices.Sorted(maps.Keys(told)) {
			r.note("%d reliable messages of the new build to %s", told[what], what)
		}
		r.note("old: %s", opts.old)
		errs = append(errs, versionsRings(ctx, opts, r, binary))
		return errors.Join(append(errs, ctx.Err())...)
	})
}

const (
	versionsEach     = 10 // peers of each build in a ring
	versionsMessages = 1000
)

// versionsRings has many peers of both builds write to each other, in one network with a bootstrap of
// the old build and one with a bootstrap of the new one.
func versionsRings(ctx context.Context, opts options, r *report, binary string) error {
	builds := []plays.CrowdKind{plays.GoKind("old", opts.old), plays.GoKind("new", binary)}
	t := newTargets(opts, r)
	for range builds {
		if err := versionsRing(ctx, opts, r, t, builds); err != nil {
			return err
		}
		slices.Reverse(builds)
	}
	return t.err()
}

// versionsRing is one of the two. The old build may deliver a reliable message twice: it takes an
// unsigned attempt that came straight, and so is proved, for none of those that came over relays. The
// report says how often that was.
func versionsRing(ctx context.Context, opts options, r *report, t *targets, builds []plays.CrowdKind) (err error) {
	phase := fmt.Sprintf("%d+%d, bootstrap %s", versionsEach, versionsEach, builds[0].Name)
	ctx, cancel := context.WithTimeout(ctx, versionsTime)
	defer cancel()
	c, err := plays.OpenCrowd(ctx, versionsEach, builds...)
	if err != nil {
		return fmt.Errorf("%s: %w", phase, err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := rest(ctx, opts, crowdRest); err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(opts.seed, 0))
	over := versionsMessages * time.Second / crowdRate
	got, err := c.Exchange(ctx, rng, versionsMessages, over, crowdLate, func(from, _ string) bool { return from == "new" })
	if err != nil {
		return fmt.Errorf("%s: %w", phase, err)
	}
	for from, row := range got {
		for to, tally := range row {
			way := builds[from].Name + " to " + builds[to].Name
			t.share(phase, way, tally, 100)
			if len(tally.Outcomes) > 0 {
				honest := []string{plays.Proved, plays.Handed, plays.Unknown}
				lies := slices.ContainsFunc(slices.Collect(maps.Keys(tally.Outcomes)), func(o string) bool { return !slices.Contains(honest, o) })
				t.judge(phase, way+", reliable, told", fmt.Sprint(tally.Outcomes), "no falsehood", !lies)
			}
		}
	}
	for _, b := range builds {
		plain, reliable := c.Twice(b.Name)
		t.none(phase, "plain, delivered twice to "+b.Name, plain)
		if b.Name == "new" {
			t.none(phase, "reliable, delivered twice to "+b.Name, reliable)
		} else {
			r.note("%s: %d reliable messages were delivered again by peers of build %s", phase, reliable, b.Name)
		}
	}
	wrong := append(c.Errors(), c.Ended()...)
	t.none(phase, "errors", len(wrong))
	return errors.Join(wrong...)
}
