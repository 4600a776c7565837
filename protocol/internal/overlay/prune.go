package overlay

import (
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// prune ends links that this peer opened and no longer needs. If the other end needs such a
// link, it opens the link again, and only that end can prune it then. So the two ends need
// no message to agree. A link to a bootstrap serves to find others. It ends as soon as there are
// enough of these, so that a bootstrap is not linked with all peers that have just joined. A peer with
// very many links also ends those that the other end has opened, if that end names enough others.
func (o *Overlay) prune(deficit bool) {
	pruned, most := 0, prunesPerTick
	crowded := o.host.LinkCount() > crowd
	if crowded {
		most = shedPerTick
		o.wakeTick(o.host.Now() + time.Second)
	}
	for _, l := range slices.Collect(o.host.Links()) {
		if pruned >= most {
			return
		}
		age := pruneAge
		if l.bootstrap && !deficit {
			age = bootLinger
		}
		if !l.Dialed && crowded && l.Named >= nearLinks+bucketLinks {
			age = crowdAge
		} else if !l.Dialed {
			continue
		}
		if !l.Native() || l.Ended || o.wanted(l) {
			continue
		}
		if until := l.Since + age; o.host.Now() < until {
			o.wakeTick(until)
			continue
		}
		pruned++
		o.host.End(l.ID, wire.ByeUnwanted)
	}
}

// wanted reports whether a link is near, or needed in its bucket. A link is needed while the
// bucket has at most twice bucketLinks, or if it is the fastest in its part of the bucket. A
// bootstrap serves all peers, so its link is needed only while the bucket has too few others.
func (o *Overlay) wanted(l *Link) bool {
	if o.isNear(l.ID) {
		return true
	}
	if l.Role == wire.RoleLeaf {
		return false
	}
	if o.leaf() {
		return o.host.LinkCount() <= leafCap || o.relaysNearer(l) < leafRelays
	}
	b, slot := o.bucket(l.ID), subSlot(o.self, l.ID, bucketLinks)
	have, faster := 0, 0
	for x := range o.host.Bucket(b) {
		if x == l || !x.counts() {
			continue
		}
		have++
		if subSlot(o.self, x.ID, bucketLinks) == slot && o.before(x, l) {
			faster++
		}
	}
	if l.bootstrap {
		return have < bucketLinks
	}
	return have < 2*bucketLinks || faster == 0
}

// before orders the links of one part of a bucket: a faster one goes first, and of two that are
// about equally fast the older one.
func (o *Overlay) before(a, b *Link) bool {
	x, y := wire.CodeTime(o.host.Time(a.ID)), wire.CodeTime(o.host.Time(b.ID))
	switch {
	case x != 0 && y != 0 && x+alike < y:
		return true
	case x != 0 && y != 0 && y+alike < x:
		return false
	}
	return a.Since < b.Since || a.Since == b.Since && a.Handle < b.Handle
}

// improve seeks a link to a peer that seems to be much nearer in time than the fastest link of its part
// of its bucket.
func (o *Overlay) improve(deficit bool) {
	if deficit || o.leaf() || o.host.Now()-o.lastCloser < closerEvery {
		return
	}
	o.lastCloser = o.host.Now()
	near := o.host.Closest(o.self, nearLinks, o.neighbourly)
	if len(near) < nearLinks {
		return
	}
	var best guess
	gain := time.Duration(0)
	for b := range o.bucket(near[nearLinks-1].ID) {
		fastest := o.fastest(b)
		o.guesses(b, func(g guess) {
			now := fastest[subSlot(o.self, g.id, bucketLinks)]
			if saved := now - g.time(); saved > now/closerShare && saved > gain && !o.linked(g.id) && !o.isBootstrap(g.id) {
				if cand := o.cands.Get(g.id); cand == nil || o.available(cand) && cand.Fails == 0 {
					best, gain = g, saved
				}
			}
		})
	}
	if gain > 0 && o.cands.Learn(o.host.Now(), best.id, best.by) != nil {
		o.seeker()(best.id)
		o.wakeTick(o.host.Now() + closerEvery)
	}
}

// fastest returns the least round trip time of each part of a bucket. 0 means that none is known.
func (o *Overlay) fastest(b int) (times [bucketLinks]time.Duration) {
	for l := range o.host.Bucket(b) {
		slot := subSlot(o.self, l.ID, bucketLinks)
		if t := o.host.Time(l.ID); l.counts() && t != 0 && (times[slot] == 0 || t < times[slot]) {
			times[slot] = t
		}
	}
	return times
}

// A guess is how far a peer may be in time. By the inequality of the triangle each linked peer that has
// named it gives two bounds.
type guess struct {
	id, by      wire.ID
	least, most time.Duration
}

func (g guess) time() time.Duration { return (g.least + g.most) / 2 }

// guesses visits the peers of a bucket that linked peers have named, once each.
func (o *Overlay) guesses(b int, visit func(guess)) {
	var g guess
	flush := func() {
		if g.most > 0 {
			visit(g)
		}
	}
	o.host.Named(o.self.FlipBit(b), func(n Neighbour) bool {
		if o.bucket(n.ID) != b {
			return false
		}
		if n.ID != g.id {
			flush()
			g = guess{id: n.ID, by: n.By}
		}
		if n.Here > 0 && n.There > 0 {
			g.least = max(g.least, (n.Here - n.There).Abs())
			if far := n.Here + n.There; g.most == 0 || far < g.most {
				g.most, g.by = far, n.By
			}
		}
		return true
	})
	flush()
}

// relaysNearer returns the number of linked relays that are nearer than l.
func (o *Overlay) relaysNearer(l *Link) (n int) {
	for x := range o.host.Links() {
		if x.Role != wire.RoleLeaf && o.self.Closer(x.ID, l.ID) {
			n++
		}
	}
	return n
}
