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

// improve seeks a link to a peer that is much nearer in time than the fastest link of its part of
// its bucket. How far a peer is follows from what linked peers tell of it: it is at most as far as the
// way by the one that names it.
func (o *Overlay) improve(deficit bool) {
	if deficit || o.leaf() || o.host.Now()-o.lastCloser < closerEvery {
		return
	}
	o.lastCloser = o.host.Now()
	near := o.host.Closest(o.self, nearLinks, o.neighbourly)
	if len(near) < nearLinks {
		return
	}
	var best wire.ID
	var by wire.ID
	gain := time.Duration(0)
	for b := range o.bucket(near[nearLinks-1].ID) {
		var fastest [bucketLinks]time.Duration
		for l := range o.host.Bucket(b) {
			if t := o.host.Time(l.ID); l.counts() && t != 0 {
				slot := subSlot(o.self, l.ID, bucketLinks)
				if fastest[slot] == 0 || t < fastest[slot] {
					fastest[slot] = t
				}
			}
		}
		o.host.Named(o.self.FlipBit(b), func(id, named wire.ID, t time.Duration) bool {
			if o.bucket(id) != b {
				return false
			}
			now := fastest[subSlot(o.self, id, bucketLinks)]
			if saved := now - t; t < now/closerShare*(closerShare-1) && saved > gain && !o.linked(id) && !o.isBootstrap(id) {
				if cand := o.cands.Get(id); cand == nil || o.available(cand) && cand.Fails == 0 {
					best, by, gain = id, named, saved
				}
			}
			return true
		})
	}
	if gain > 0 && o.cands.Learn(o.host.Now(), best, by) != nil {
		o.seeker()(best)
		o.wakeTick(o.host.Now() + closerEvery)
	}
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
