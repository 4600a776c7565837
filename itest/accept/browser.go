package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/itest/plays"
)

// noticeLimit is within what a page that is gone must be noticed.
const noticeLimit = 10 * time.Second

// inBrowser says which runs have pages in Chromium play. They run in a network of their
// own, where the machine allows it.
func inBrowser(name string) bool { return slices.Contains([]string{"browser", "pages"}, name) }

// playAlone runs this program again in a network of its own, and says that it did.
func playAlone(ctx context.Context, args []string, stdout, stderr io.Writer) (done bool, err error) {
	if _, err := peers.Install(ctx); err != nil { // from the network that there is not then
		return false, err
	}
	cmd, err := peers.Alone(ctx, args...)
	if err != nil || cmd == nil {
		return false, err
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return true, cmd.Run()
}

// withPages has a browser for the time of do.
func withPages(ctx context.Context, do func(*peers.Pages) error) (err error) {
	p, err := peers.StartPages(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	return do(p)
}

// A stepRow gathers how long a step of a play took, over all rounds.
type stepRow struct {
	play, step string
	times      series
	note       string // of the last round
}

// browser has npm peers in pages of Chromium and our peers play together, n times, each
// round in a browser of its own, which is killed at its end.
func browser(ctx context.Context, opts options, r *report) error {
	return withBinary(ctx, func(ctx context.Context, binary string) error {
		type play struct {
			name string
			do   func(context.Context, *peers.Pages) ([]plays.Step, error)
		}
		var all []play
		flavours := []peers.Flavour{peers.Rebundled, peers.Published2016}
		for _, a := range flavours {
			for _, b := range flavours {
				all = append(all, play{a.Name + " and " + b.Name, func(ctx context.Context, p *peers.Pages) ([]plays.Step, error) {
					return plays.MeetPages(ctx, p, binary, [2]peers.Flavour{a, b})
				}})
			}
		}
		all = append(all, play{"half-open", plays.HalfOpenPage}, play{"big messages", plays.BigMessages})
		for _, end := range plays.PageEnds() {
			all = append(all, play{end.Name, func(ctx context.Context, p *peers.Pages) ([]plays.Step, error) {
				noticed, sent, err := end.Play(ctx, p)
				if err == nil && noticed > noticeLimit {
					err = fmt.Errorf("%s: noticed after %v, want at most %v", end.Name, noticed, noticeLimit)
				}
				return []plays.Step{{Name: "noticed", Took: noticed, Note: fmt.Sprintf("%d messages went another way meanwhile, none was lost", sent)}}, err
			}})
		}

		var rows []*stepRow
		note := func(play string, s plays.Step) {
			i := slices.IndexFunc(rows, func(row *stepRow) bool { return row.play == play && row.step == s.Name })
			if i < 0 {
				i = len(rows)
				rows = append(rows, &stepRow{play: play, step: s.Name})
			}
			rows[i].times, rows[i].note = append(rows[i].times, s.Took), s.Note
		}
		passed := 0
		var failures []error
		for round := 1; round <= opts.n && ctx.Err() == nil; round++ {
			err := withPages(ctx, func(p *peers.Pages) error {
				for _, play := range all {
					playing, cancel := context.WithTimeout(ctx, playTime)
					steps, err := play.do(playing, p)
					cancel()
					verdict := "ok"
					if err != nil {
						failures = append(failures, err)
						verdict = "FAILED: " + err.Error()
					} else {
						passed++
						for _, s := range steps {
							note(play.name, s)
						}
					}
					opts.log.Printf("%d/%d %s: %s", round, opts.n, play.name, verdict)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		t := r.table("play", "step", "passed", "median", "max", "in the last round")
		for _, row := range rows {
			t.row(row.play, row.step, len(row.times), row.times.median().Round(time.Millisecond), row.times.max().Round(time.Millisecond), row.note)
		}
		for _, err := range failures {
			r.note("%v", err)
		}
		if want := opts.n * len(all); passed != want {
			return errors.Join(fmt.Errorf("%d of %d plays passed", passed, want), ctx.Err())
		}
		return nil
	})
}
