package overlay

import (
	"cmp"
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/candidates"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// prune ends links that this peer opened and no longer needs, unless the other end seems to need them. If
// that end needs one all the same, it opens the link again, and only that end can prune it then. So the two
// ends need no message to agree. A link to a bootstrap serves to find others. It ends as soon as there are
// enough of these, so that a bootstrap is not linked with all peers that have just joined. A peer with
// very many links also ends those that the other end has opened, if that end names enough others. After the death
// of many peers all links stay for a while, and end one after the other then: many links that began together would
// end together, each for the sake of the others.
func (o *Overlay) prune(deficit bool) {
	pruned, most := 0, prunesPerTick
	crowded := o.crowded()
	if crowded {
		most = shedPerTick
		o.wakeTick(o.host.Now() + time.Second)
	} else if o.host.Now() < o.pruneFrom {
		o.wakeTick(o.pruneFrom)
		return
	}
	links := slices.AppendSeq(make([]*Link, 0, o.host.LinkCount()), o.host.Links())
	noteAlike(links)
	var have [wire.IDBits]int
	for _, l := range links {
		have[o.bucket(l.ID)]++
	}
	near := o.nearest()
	for _, l := range links {
		if pruned >= most {
			return
		}
		age := pruneAge
		if have[o.bucket(l.ID)] > fullBucket {
			age = fullAge
		}
		if l.trial && l.Trip != 0 {
			age = trialAge
		}
		if l.bootstrap && !deficit {
			age = bootLinger
		}
		if !l.Dialed && crowded && o.mayShed(l) {
			age = crowdAge
		} else if !l.Dialed {
			continue
		}
		if !l.Native() || l.Ended {
			continue
		}
		until := l.Since + age
		if !crowded {
			until = max(until, o.calmFor(l))
		}
		if o.host.Now() < until {
			o.wakeTick(until)
			continue
		}
		if near(l) || o.needed(l) || l.Dialed && !l.bootstrap && o.neededThere(l) {
			if l.trial && !l.asked {
				o.findPeers(l, o.self)
				l.asked = true
			}
			continue
		}
		pruned++
		if !l.Dialed {
			o.noteShed(l.ID)
		}
		o.host.End(l.ID, wire.ByeUnwanted) // it was not near, so those that are stay the same
	}
}

// calmFor returns when a link that began before the end of an emergency may be pruned. The two ids decide which part
// of calmTime it waits.
func (o *Overlay) calmFor(l *Link) time.Duration {
	if l.Since >= o.pruneFrom {
		return 0
	}
	const tail = wire.IDSize - 2 // the first bits are alike in links of one bucket
	part := binary.BigEndian.Uint16(o.self[tail:]) ^ binary.BigEndian.Uint16(l.ID[tail:])
	return o.pruneFrom + time.Duration(part)*calmTime/math.MaxUint16
}

// noteAlike notes which links are to a subnet with enough older ones.
func noteAlike(links []*Link) {
	var known []*Link // those whose subnet is; mostly none
	for _, l := range links {
		if l.Subnet.IsValid() {
			known = append(known, l)
		}
	}
	slices.SortStableFunc(known, func(a, b *Link) int { return cmp.Compare(a.Since, b.Since) })
	older := make(map[netip.Prefix]int)
	for _, l := range known {
		l.alike = older[l.Subnet] >= subnetLinks
		older[l.Subnet]++
	}
}

// ample reports whether this peer has many more links than it needs, so that faster ones can wait.
func (o *Overlay) ample() bool { return o.host.LinkCount() >= ample*(nearLinks+bucketLinks*o.depth) }

// crowded reports whether this peer has very many links to relays that have told that they have enough
// others. Leaves, legacy peers and relays with few links do not count: they may have no other way.
func (o *Overlay) crowded() bool {
	n := 0
	for l := range o.host.Links() {
		if l.Native() && l.Named >= nearLinks+bucketLinks {
			n++
		}
	}
	return n > crowd
}

// mayShed reports whether a link may be ended that the other end has opened. A peer that opened it again
// after that needs it.
func (o *Overlay) mayShed(l *Link) bool {
	at, was := o.shed[l.ID]
	return l.Named >= nearLinks+bucketLinks && !(was && o.host.Now()-at < shedAgain)
}

func (o *Overlay) noteShed(id wire.ID) {
	if len(o.shed) >= maxShed {
		clear(o.shed)
	}
	o.shed[id] = o.host.Now()
}

// nearest returns a function that reports whether a link is near. Many links to one subnet may be those of one
// party that has ground their ids. So a link to another subnet is near also if only the oldest of them count.
func (o *Overlay) nearest() func(*Link) bool {
	near, apart := o.nearBound(), o.nearAmong(func(x *Link) bool { return !x.alike && o.neighbourly(x) })
	return func(l *Link) bool { return near(l.ID) || !l.alike && apart(l.ID) }
}

// needed reports whether a link is needed in its bucket: while the bucket has too few others, if it is one of
// the fastest in the bucket, or if it is the fastest in its part of it. A bootstrap serves all peers, so its
// link is needed only while the bucket has too few others. For a link to a subnet with few links, those to one
// with many count only if they are among its oldest.
func (o *Overlay) needed(l *Link) bool {
	if l.Role == wire.RoleLeaf {
		return false
	}
	if o.leaf() {
		return o.host.LinkCount() <= leafCap || o.relaysNearer(l) < leafRelays
	}
	b := o.bucket(l.ID)
	part := o.part(b, l.ID)
	have, faster, first := 0, 0, true
	for x := range o.host.Bucket(b) {
		if x == l || !x.counts() || x.alike && !l.alike {
			continue
		}
		have++
		if o.before(x, l) {
			faster++
			first = first && o.part(b, x.ID) != part
		}
	}
	return have < bucketLinks || !l.bootstrap && (first || faster < o.kept(b))
}

// neededThere reports whether the peer of a link seems to need it, by the peers that it has named: fewer than it
// needs share more bits with this peer than it does itself, or are nearer to it than this peer.
func (o *Overlay) neededThere(l *Link) bool {
	if l.Named == 0 || l.Role == wire.RoleLeaf || o.leaf() { // a relay needs no leaf
		return false
	}
	b := o.bucket(l.ID)
	return !o.names(l, o.self, bucketLinks, func(id wire.ID) bool { return o.bucket(id) > b }) ||
		!o.names(l, l.ID, nearLinks, func(id wire.ID) bool { return l.ID.Closer(id, o.self) })
}

// names reports whether the peer of a link has named at least n others that fit. These are the ones that are
// nearest to an id.
func (o *Overlay) names(l *Link, near wire.ID, n int, fit func(wire.ID) bool) bool {
	o.host.Named(near, func(x Neighbour) bool {
		if !fit(x.ID) {
			return false
		}
		if x.By == l {
			n--
		}
		return n > 0
	})
	return n <= 0
}

// part returns the part of bucket b that an id is in. The fastest link of each part is kept. The farthest
// buckets of a large network have more parts: most peers are there, so that one of each part is fast, and
// most messages go there.
func (o *Overlay) part(b int, id wire.ID) int {
	far := o.depth/farShare - 1 - b
	return subSlot(o.self, id, bucketLinks<<max(min(far, mostSplits-b), 0))
}

// kept returns the number of the fastest links in a bucket that are kept, whichever part they lead to. Most
// receivers are in the farthest buckets, and half of them in the farthest one. In a small network fewer links
// reach all of them. A large network has more buckets, and its peers shall not have many more links.
func (o *Overlay) kept(b int) int {
	switch {
	case b == 0:
		return min(max(keptFar, o.depth), keptFarthest)
	case b <= o.depth/keptShare && (b == 1 || o.depth < largeDepth):
		return keptFar
	}
	return 1
}

// before reports whether a link goes before another one of its part of a bucket: a faster one does, and of
// two that are about equally fast the older one.
func (o *Overlay) before(a, b *Link) bool {
	if a.Trip != 0 && b.Trip != 0 {
		switch {
		case faster(a.Trip, b.Trip):
			return true
		case faster(b.Trip, a.Trip):
			return false
		}
	}
	return a.Since < b.Since || a.Since == b.Since && a.Handle < b.Handle
}

// faster reports whether the round trip a saves enough beside b to replace a link. Smaller gains are not worth
// the news of it.
func faster(a, b time.Duration) bool { return b-a > max(b/closerShare, leastSaving) }

// improve seeks links to peers that seem to be much nearer in time than the fastest link of their part
// of their bucket, those first that save most. They may be in one part, since a guess is often wrong.
func (o *Overlay) improve(deficit bool) {
	if deficit || o.leaf() || o.host.Now() < max(o.nextCloser, o.pruneFrom) || o.ample() {
		return
	}
	o.nextCloser = o.host.Now() + closerEvery
	near := o.host.Closest(o.self, nearLinks, o.neighbourly)
	if len(near) < nearLinks {
		return
	}
	var all []guess
	for b := range o.bucket(near[nearLinks-1].ID) {
		all = o.appendCloser(all, b)
	}
	slices.SortStableFunc(all, func(a, b guess) int { return cmp.Compare(b.saves, a.saves) })
	seek, sought := o.seeker(isAny), 0
	for _, g := range all {
		if sought == mostCloser {
			break
		}
		if o.cands.Learn(o.host.Now(), g.id, g.by) != nil && seek(g.id) {
			sought++
			o.handshake(g.id).trial = true
			o.wakeTick(o.nextCloser)
		}
	}
}

// appendCloser appends the peers of a bucket that seem to be much nearer in time than its links.
func (o *Overlay) appendCloser(all []guess, b int) []guess {
	fastest := o.fastest(b)
	slowest := slices.Max(fastest[:])
	if slowest == 0 {
		return all
	}
	o.guesses(b, func(g guess) {
		if !faster(g.least, slowest) { // so it is with most
			return
		}
		now := fastest[o.part(b, g.id)]
		if !faster(g.least, now) {
			return
		}
		cand, time := o.cands.Get(g.id), g.time()
		if cand != nil && cand.Trip != 0 { // it was linked, so no guess is needed
			time = cand.Trip
		}
		if g.saves = now - time; faster(time, now) && o.seekable(g, cand) {
			all = append(all, g)
		}
	})
	return all
}

// fastest returns the least round trip time of each part of a bucket. 0 means that none is known.
func (o *Overlay) fastest(b int) (times [mostParts]time.Duration) {
	for l := range o.host.Bucket(b) {
		part := o.part(b, l.ID)
		if l.counts() && l.Trip != 0 && (times[part] == 0 || l.Trip < times[part]) {
			times[part] = l.Trip
		}
	}
	return times
}

// A guess is how far a peer may be in time. By the inequality of the triangle there are two bounds
// for each linked peer that has named it.
type guess struct {
	id, by      wire.ID
	least, most time.Duration
	saves       time.Duration // beside the fastest link of its part of its bucket
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
	o.host.NamedIn(b, func(n Neighbour) {
		if n.ID != g.id {
			flush()
			g = guess{id: n.ID}
		}
		if n.There == 0 || n.By.Trip == 0 {
			return
		}
		g.least = max(g.least, (n.By.Trip - n.There).Abs())
		if far := n.By.Trip + n.There; g.most == 0 || far < g.most {
			g.most, g.by = far, n.By.ID
		}
	})
	flush()
}

// seekable reports whether an offer may be sent to a peer of which there is a guess. cand is its candidate, nil
// if it is none yet.
func (o *Overlay) seekable(g guess, cand *candidates.Candidate) bool {
	if o.linked(g.id) || o.isBootstrap(g.id) {
		return false
	}
	return cand == nil && o.cands.Room(g.by) || cand != nil && o.available(cand) && cand.Fails == 0
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
