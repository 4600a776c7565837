package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/sim"
)

// overlay runs networks of the production cores in virtual time, up to opts.n peers, and
// prints the figures that the design names. The same seed makes the same figures.
func overlay(ctx context.Context, opts options, r *report) error {
	t := r.table("peers", "when", "delivered", "hops (p95)", "links (most)", "control/s", "pings/s")
	var failed []error
	for _, n := range []int{100, 1000, 10_000} {
		if n > opts.n {
			break
		}
		opts.log.Printf("%d peers", n)
		w := sim.New(sim.Config{Seed: opts.seed, Bootstraps: 1 + n/1000})
		for range n {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			w.Add(protocol.RolePeer)
			w.Run(w.Now() + 10*time.Second/time.Duration(n))
		}
		show := func(when string, least float64, talk bool) {
			if ctx.Err() != nil {
				return
			}
			mean, most := w.Links()
			e := w.Exchange(5000)
			control, pings := "", ""
			if talk {
				c, p := w.Talk(30 * time.Second)
				control, pings = fmt.Sprintf("%.3f", c), fmt.Sprintf("%.2f", p)
			}
			t.row(n, when, fmt.Sprintf("%.2f %%", 100*e.Share()), fmt.Sprintf("%.2f (%d)", e.Hops, e.P95), fmt.Sprintf("%.1f (%d)", mean, most), control, pings)
			if e.Share() < least || e.Twice > 0 || e.Refused > 0 {
				failed = append(failed, fmt.Errorf("%d peers, %s: %+v", n, when, e))
			}
		}
		w.Run(w.Now() + 5*time.Second)
		show("5 s after all came within 10 s", 0.999, false)
		w.Run(w.Now() + 60*time.Second)
		show("a minute later", 0.9999, true)
		var took series
		for range 20 {
			took = append(took, w.Arrival(16))
		}
		r.note("%d peers: a newcomer has 16 links after %v, p95 %v", n, took.median(), took.quantile(0.95))
		w.KillShare(5)
		show("20 % killed silently, at once", 0, false)
		w.Run(w.Now() + 14*time.Second)
		show("30 s later", 0.999, false)
		r.note("%d peers: transcript %x", n, w.Hash())
	}
	return errors.Join(append(failed, ctx.Err())...)
}
