package core

import (
	"maps"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// The overlay decides which links to have: to the nearest peers, and a few in every
// farther bucket, so that each peer has a strictly nearer link for every address.
// It belongs to a Core and is driven by it. Everything that it iterates over is a
// slice in order of arrival, so that equal events give equal decisions.
type overlay struct {
	c       *Core
	contact wire.Contact  // how others reach this peer
	begun   bool          // there was a link
	started time.Duration // when the first one came

	cands   map[wire.ID]*candidate
	buckets [wire.IDBits][]*candidate
	sources map[wire.ID]int // how many candidates each source told of
	pending []*handshake
	queries []query            // questions that a foundPeers may answer
	asked   map[wire.ID]direct // likewise, by the peer that was asked
	boots   []bootstrap

	findAt    [wire.IDBits]time.Duration // when each bucket was last asked for
	findTries [wire.IDBits]int

	nextTick   time.Duration
	lastNear   time.Duration // when a near link was last asked for this peer's id
	lastRouted time.Duration // when a search for it was last sent through a far link

	lossFrom time.Duration // links that were lost since, and how many there were
	lost     int
	lostOf   int
}

func newOverlay(c *Core) overlay {
	return overlay{c: c, cands: make(map[wire.ID]*candidate), sources: make(map[wire.ID]int), asked: make(map[wire.ID]direct), boots: make([]bootstrap, c.cfg.Bootstraps)}
}

func (o *overlay) leaf() bool { return o.c.cfg.Role == wire.RoleLeaf }

func (o *overlay) bucket(id wire.ID) int { return min(o.c.self.CommonPrefixLen(id), wire.IDBits-1) }

func (o *overlay) linked(id wire.ID) bool { return o.c.table.get(id) != nil }

// --- events

// greet asks a new link for peers, as both sides do on every new link.
func (o *overlay) greet(l *link) { o.findPeers(l, o.c.self) }

// linkUp notes a link that is usable.
func (o *overlay) linkUp(l *link) {
	if !o.begun {
		o.begun, o.started = true, o.c.now
		o.lastNear = o.c.now
		o.lastRouted = o.c.now - nearFindEvery + o.jitter(firstRouted)
	}
	o.drop(l.ID)
	if cand := o.cands[l.ID]; cand != nil {
		o.forget(cand)
	}
	if l.boot >= 0 && l.newer {
		o.findRouted(l)
	}
	o.findTries[o.bucket(l.ID)] = 0
	o.soon()
}

func (o *overlay) linkDown(l *link) {
	if !o.linked(l.ID) {
		if cand := o.learn(l.ID, l.ID); cand != nil {
			cand.next = max(cand.next, o.c.now+o.jitter(bootFirst))
		}
		o.bootstrapDown(l)
		if l.gone && l.usable {
			o.countLoss()
		}
	}
	o.soon()
}

// countLoss goes back to the bootstraps soon if many links are lost at once: this
// peer may be in the smaller half of a network that broke apart.
func (o *overlay) countLoss() {
	if o.c.now-o.lossFrom > lossTime {
		o.lossFrom, o.lost, o.lostOf = o.c.now, 0, o.c.table.len()+1
	}
	if o.lost++; o.lost*lossShare > o.lostOf {
		o.lossFrom, o.lost, o.lostOf = o.c.now, 0, o.c.table.len()+1
		for i := range o.boots {
			o.boots[i].next = min(o.boots[i].next, o.c.now+o.jitter(lossTime))
			o.wakeTick(o.boots[i].next)
		}
	}
}

// avoid keeps a peer from being sought for a while.
func (o *overlay) avoid(id wire.ID) {
	o.drop(id)
	if cand := o.learn(id, id); cand != nil {
		cand.wanted = false
		cand.next = o.c.now + refuseBackoff
	}
}

// disconnect keeps a peer from being sought or let in for a while.
func (o *overlay) disconnect(id wire.ID) {
	o.drop(id)
	if cand := o.hold(id); cand != nil {
		cand.wanted = false
		cand.shunned = o.c.now + refuseBackoff
		cand.next = cand.shunned
	}
}

// shuns reports whether a peer was disconnected a while ago, and not asked for since.
func (o *overlay) shuns(id wire.ID) bool {
	cand := o.cands[id]
	return cand != nil && cand.shunned > o.c.now
}

// want makes the overlay link to a peer whatever its distance.
func (o *overlay) want(id wire.ID) {
	if id == o.c.self || o.linked(id) {
		return
	}
	cand := o.hold(id)
	cand.wanted, cand.next, cand.shunned, cand.fails = true, 0, 0, 0
	if o.handshake(id) != nil {
		return
	}
	if o.c.connected() && len(o.pending) < maxAnswered {
		o.offer(id)
	} else {
		o.soon()
	}
}

// suggest learns candidates that the application knows of. Its share of the places is
// that of any other source.
func (o *overlay) suggest(ids []wire.ID) {
	added := false
	for _, id := range ids {
		if !o.linked(id) && o.cands[id] == nil && o.learn(id, o.c.self) != nil {
			added = added || o.useful(id)
		}
	}
	if added {
		o.soon()
	}
}

// learnedNewer notes that a legacy link leads to a peer that knows the extensions:
// the two will do better over a native link, which the lower of them seeks. Either may
// be the one that can be dialled.
func (o *overlay) learnedNewer(l *link) {
	if o.c.self.Compare(l.ID) < 0 && o.handshake(l.ID) == nil {
		o.offer(l.ID)
	}
}

// --- the tick

// jitter gives between half and one and a half of d.
func (o *overlay) jitter(d time.Duration) time.Duration {
	return d/2 + time.Duration(o.c.rng.Int64N(int64(d)))
}

func (o *overlay) wakeTick(at time.Duration) {
	if at < o.nextTick {
		o.nextTick = at
	}
	o.c.wakeBy(at)
}

// soon makes the next tick come shortly, for what has just changed.
func (o *overlay) soon() { o.wakeTick(o.c.now + o.jitter(tickSoon)) }

func (o *overlay) tick() {
	if o.c.now < o.nextTick {
		o.c.wakeBy(o.nextTick)
		return
	}
	o.nextTick = o.c.now + tickIdle // whatever follows can only bring it nearer
	o.expire()
	o.bootstrap()
	if !o.c.cfg.NoOverlay {
		deficit := o.fill()
		o.refresh(deficit)
		o.prune()
		switch {
		case deficit && o.c.now-o.started < fillingTime:
			o.wakeTick(o.c.now + o.jitter(tickFilling))
		case deficit:
			o.wakeTick(o.c.now + o.jitter(tickDeficit))
		}
	} else {
		o.fillWanted(o.seeker())
	}
	o.c.wakeBy(o.nextTick)
}

func (o *overlay) expire() {
	for _, h := range slices.Clone(o.pending) {
		if h.until <= o.c.now {
			o.drop(h.id)
			if h.mine {
				o.failed(h.id, candBackoff)
			}
		} else {
			o.wakeTick(h.until)
		}
	}
	o.queries = slices.DeleteFunc(o.queries, func(q query) bool { return q.until <= o.c.now })
	// The one map that is walked through: what is deleted does not depend on the order.
	maps.DeleteFunc(o.asked, func(_ wire.ID, d direct) bool { return d.until <= o.c.now })
}

// refresh asks after new near peers: a near link often, and from time to time by a
// search that starts far away, which sees what the near links do not know.
func (o *overlay) refresh(deficit bool) {
	if !o.begun {
		return
	}
	every := refreshEvery
	if deficit {
		every = refreshEager
	}
	if o.c.now-o.lastNear >= every {
		if near := o.c.table.closest(o.c.self, 3, func(l *link) bool { return !l.ended }); len(near) > 0 {
			o.lastNear = o.c.now
			o.findPeers(near[o.c.rng.IntN(len(near))], o.c.self)
		}
	}
	if o.c.now-o.lastRouted >= nearFindEvery {
		far := slices.DeleteFunc(slices.Clone(o.c.table.sorted), func(l *link) bool { return !l.newer || l.ended })
		if len(far) > 0 {
			o.lastRouted = o.c.now
			o.findRouted(far[o.c.rng.IntN(len(far))])
		}
	}
	if o.c.table.len() > 0 {
		o.wakeTick(max(o.lastNear+every, o.c.now+time.Second))
		o.wakeTick(max(o.lastRouted+nearFindEvery, o.c.now+time.Second))
	}
}

// prune lets go of links that this peer opened and does not need any more. The
// other end, if it needs the link, opens it anew and is then the one to decide;
// so a link goes when neither wants it, without a word about it.
func (o *overlay) prune() {
	pruned := 0
	for _, l := range slices.Clone(o.c.table.sorted) {
		if pruned >= prunesPerTick {
			return
		}
		age := pruneAge
		if l.boot >= 0 {
			age = bootLinger
		}
		if !l.native() || !l.Dialed || l.ended || o.c.now-l.since < age || o.wanted(l) {
			continue
		}
		pruned++
		o.c.end(l, wire.ByeUnwanted)
	}
}

// wanted reports whether a link is near, or needed in its bucket: while the bucket
// has at most twice what is sought, or as the oldest in its part of it. A bootstrap
// serves everybody, so it is needed only where nobody else is.
func (o *overlay) wanted(l *link) bool {
	if o.isNear(l.ID) {
		return true
	}
	if l.Role == wire.RoleLeaf {
		return false
	}
	if o.leaf() {
		return o.c.table.len() <= leafCap || o.relaysNearer(l) < leafRelays
	}
	b, slot := o.bucket(l.ID), subSlot(o.c.self, l.ID, bucketLinks)
	have, older := 0, 0
	for _, x := range o.c.table.bucket(o.c.self, b) {
		if x == l || !x.counts() {
			continue
		}
		have++
		if subSlot(o.c.self, x.ID, bucketLinks) == slot && (x.since < l.since || x.since == l.since && x.handle < l.handle) {
			older++
		}
	}
	if l.boot >= 0 {
		return have < bucketLinks
	}
	return have < 2*bucketLinks || older == 0
}

// relaysNearer counts the relays that are nearer than l.
func (o *overlay) relaysNearer(l *link) (n int) {
	for _, x := range o.c.table.sorted {
		if x.Role != wire.RoleLeaf && o.c.self.Closer(x.ID, l.ID) {
			n++
		}
	}
	return n
}

// estimate gives about how many peers there are, by how near the nearest ones are.
func (o *overlay) estimate() int {
	near := o.c.table.closest(o.c.self, nearLinks, nil)
	if len(near) < nearLinks {
		return len(near) + 1
	}
	return nearLinks << min(o.bucket(near[nearLinks-1].ID), 24)
}
