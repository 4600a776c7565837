package core

import (
	"slices"
	"time"
)

// NetworkChanged tells that the addresses of this machine changed. Every link is asked whether
// it lives. The tries that failed say nothing about the new network, so they are forgotten: what
// was waited for is tried soon. The caller ends the dials in progress and reports them.
func (c *Core) NetworkChanged(now time.Duration) {
	c.now = now
	for _, l := range c.order {
		c.ask(l, false)
	}
	c.overlay.networkChanged()
}

func (o *overlay) networkChanged() {
	now := o.host.clock()
	for i := range o.boots {
		b := &o.boots[i]
		b.tries, b.since = 0, now
		if !b.dialing && !(b.known && o.linked(b.id)) {
			b.next = min(b.next, now+o.jitter(tickSoon))
		}
	}
	for _, h := range slices.Clone(o.pending) {
		if h.mine {
			o.endHandshake(h.id)
			if cand := o.cands.Get(h.id); cand != nil {
				cand.Next = now
			}
		}
	}
	o.cands.Retry(now)
	o.soon()
}
