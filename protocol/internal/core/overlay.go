package core

import (
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// The overlay decides which links to have: to the nearest peers, and a few in every
// farther bucket, so that each peer has a strictly nearer link for every address.
// It belongs to a Core and is driven by it. Everything that it iterates over is a
// slice in order of arrival, so that equal events lead to equal decisions.
type overlay struct {
	// Fixed after newOverlay.
	host   host
	self   wire.ID
	role   wire.Role
	manual bool       // the application chooses the links: none is sought or pruned
	rng    *rand.Rand // the host's

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

// A host is the data plane as the overlay sees it: a clock, the links that there are, and
// what can be done about them. A Core is one. The overlay needs nothing more of it.
type host interface {
	clock() time.Duration
	wakeBy(at time.Duration) // has tick called by then

	link(id wire.ID) *link // the usable link to a peer, nil: none
	links() []*link        // every usable link, in the order of the ids
	bucket(b int) []*link  // of these, those in a bucket of this peer
	nearest(target wire.ID, visit func(*link) bool)
	closest(target wire.ID, n int, keep func(*link) bool) []*link
	connected() bool // there is a link to send by

	send(by *link, m Outgoing)                // a control message, by a link or, if that is nil, by the best one
	search(index int, m Outgoing) (last bool) // a question for the peer nearest to m.To; last: it is this one
	ping(l *link)
	end(l *link, reason wire.ByeReason)
	do(a Action)
	drop(reason DropReason, f *wire.Frame) // counts a message that goes no further
}

func newOverlay(h host, cfg CoreConfig, rng *rand.Rand) overlay {
	return overlay{
		host: h, self: cfg.Self, role: cfg.Role, manual: cfg.NoOverlay, rng: rng,
		cands: make(map[wire.ID]*candidate), sources: make(map[wire.ID]int), asked: make(map[wire.ID]direct),
		boots: make([]bootstrap, cfg.Bootstraps),
	}
}

func (o *overlay) leaf() bool { return o.role == wire.RoleLeaf }

func (o *overlay) bucket(id wire.ID) int { return min(o.self.CommonPrefixLen(id), wire.IDBits-1) }

func (o *overlay) linked(id wire.ID) bool { return o.host.link(id) != nil }

// --- events

// greet asks a new link for peers, as both sides do on every new link.
func (o *overlay) greet(l *link) { o.findPeers(l, o.self) }

// linkUp notes a link that is usable.
func (o *overlay) linkUp(l *link) {
	if !o.begun {
		o.begun, o.started = true, o.host.clock()
		o.lastNear = o.host.clock()
		o.lastRouted = o.host.clock() - nearFindEvery + o.jitter(firstRouted)
	}
	o.endHandshake(l.ID)
	if cand := o.cands[l.ID]; cand != nil {
		o.forget(cand)
	}
	if l.bootstrap && l.extended {
		o.findRouted(l)
	}
	o.findTries[o.bucket(l.ID)] = 0
	o.soon()
}

func (o *overlay) linkDown(l *link) {
	if !o.linked(l.ID) {
		if cand := o.learn(l.ID, l.ID); cand != nil {
			cand.next = max(cand.next, o.host.clock()+o.jitter(bootFirst))
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
	if o.host.clock()-o.lossFrom > lossTime {
		o.lossFrom, o.lost, o.lostOf = o.host.clock(), 0, len(o.host.links())+1
	}
	if o.lost++; o.lost*lossShare > o.lostOf {
		o.lossFrom, o.lost, o.lostOf = o.host.clock(), 0, len(o.host.links())+1
		for i := range o.boots {
			o.boots[i].next = min(o.boots[i].next, o.host.clock()+o.jitter(lossTime))
			o.wakeTick(o.boots[i].next)
		}
	}
}

// avoid keeps a peer from being sought for a while.
func (o *overlay) avoid(id wire.ID) {
	o.endHandshake(id)
	if cand := o.learn(id, id); cand != nil {
		cand.wanted = false
		cand.next = o.host.clock() + refuseBackoff
	}
}

// disconnect keeps a peer from being sought or let in for a while.
func (o *overlay) disconnect(id wire.ID) {
	o.endHandshake(id)
	if cand := o.hold(id); cand != nil {
		cand.wanted = false
		cand.shunned = o.host.clock() + refuseBackoff
		cand.next = cand.shunned
	}
}

// shuns reports whether a peer was disconnected a while ago, and not asked for since.
func (o *overlay) shuns(id wire.ID) bool {
	cand := o.cands[id]
	return cand != nil && cand.shunned > o.host.clock()
}

// shunsSince returns how long ago the application disconnected a peer.
func (o *overlay) shunsSince(id wire.ID) time.Duration {
	if !o.shuns(id) {
		return refuseBackoff
	}
	return o.host.clock() + refuseBackoff - o.cands[id].shunned
}

// want makes the overlay link to a peer whatever its distance.
func (o *overlay) want(id wire.ID) {
	if id == o.self || o.linked(id) {
		return
	}
	cand := o.hold(id)
	cand.wanted, cand.next, cand.shunned, cand.fails = true, 0, 0, 0
	if o.handshake(id) != nil {
		return
	}
	if o.host.connected() && len(o.pending) < maxAnswered {
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
		if !o.linked(id) && o.cands[id] == nil && o.learn(id, o.self) != nil {
			added = added || o.useful(id)
		}
	}
	if added {
		o.soon()
	}
}

// learnedExtended notes that a legacy link leads to a peer that knows the extensions:
// the two will do better over a native link, which the lower of them seeks. Either may
// be the one that can be dialled.
func (o *overlay) learnedExtended(l *link) {
	if o.self.Compare(l.ID) < 0 && o.handshake(l.ID) == nil {
		o.offer(l.ID)
	}
}

// --- the tick

// jitter returns between half and one and a half of d.
func (o *overlay) jitter(d time.Duration) time.Duration {
	return d/2 + time.Duration(o.rng.Int64N(int64(d)))
}

func (o *overlay) wakeTick(at time.Duration) {
	if at < o.nextTick {
		o.nextTick = at
	}
	o.host.wakeBy(at)
}

// soon makes the next tick come shortly, for what has just changed.
func (o *overlay) soon() { o.wakeTick(o.host.clock() + o.jitter(tickSoon)) }

func (o *overlay) tick() {
	if o.host.clock() < o.nextTick {
		o.host.wakeBy(o.nextTick)
		return
	}
	o.nextTick = o.host.clock() + tickIdle // whatever follows can only bring it nearer
	o.expire()
	o.bootstrap()
	if !o.manual {
		deficit := o.fill()
		o.refresh(deficit)
		o.prune()
		switch {
		case deficit && o.host.clock()-o.started < fillingTime:
			o.wakeTick(o.host.clock() + o.jitter(tickFilling))
		case deficit:
			o.wakeTick(o.host.clock() + o.jitter(tickDeficit))
		}
	} else {
		o.fillWanted(o.seeker())
	}
	o.host.wakeBy(o.nextTick)
}

func (o *overlay) expire() {
	for _, h := range slices.Clone(o.pending) {
		if h.until <= o.host.clock() {
			o.endHandshake(h.id)
			if h.mine {
				o.failed(h.id, candBackoff)
			}
		} else {
			o.wakeTick(h.until)
		}
	}
	o.queries = slices.DeleteFunc(o.queries, func(q query) bool { return q.until <= o.host.clock() })
	// The one map that is walked through: what is deleted does not depend on the order.
	maps.DeleteFunc(o.asked, func(_ wire.ID, d direct) bool { return d.until <= o.host.clock() })
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
	if o.host.clock()-o.lastNear >= every {
		if near := o.host.closest(o.self, 3, func(l *link) bool { return !l.ended }); len(near) > 0 {
			o.lastNear = o.host.clock()
			o.findPeers(near[o.rng.IntN(len(near))], o.self)
		}
	}
	if o.host.clock()-o.lastRouted >= nearFindEvery {
		far := slices.DeleteFunc(slices.Clone(o.host.links()), func(l *link) bool { return !l.extended || l.ended })
		if len(far) > 0 {
			o.lastRouted = o.host.clock()
			o.findRouted(far[o.rng.IntN(len(far))])
		}
	}
	if len(o.host.links()) > 0 {
		o.wakeTick(max(o.lastNear+every, o.host.clock()+time.Second))
		o.wakeTick(max(o.lastRouted+nearFindEvery, o.host.clock()+time.Second))
	}
}

// prune lets go of links that this peer opened and does not need any more. The
// other end, if it needs the link, opens it again and is then the one to decide;
// so a link goes when neither wants it, without a word about it.
func (o *overlay) prune() {
	pruned := 0
	for _, l := range slices.Clone(o.host.links()) {
		if pruned >= prunesPerTick {
			return
		}
		age := pruneAge
		if l.bootstrap {
			age = bootLinger
		}
		if !l.native() || !l.Dialed || l.ended || o.host.clock()-l.since < age || o.wanted(l) {
			continue
		}
		pruned++
		o.host.end(l, wire.ByeUnwanted)
	}
}

// wanted reports whether a link is near, or needed in its bucket: while the bucket
// has at most twice what is sought, or as the oldest in its part of it. A bootstrap
// serves all peers, so it is needed only where no other peer is.
func (o *overlay) wanted(l *link) bool {
	if o.isNear(l.ID) {
		return true
	}
	if l.Role == wire.RoleLeaf {
		return false
	}
	if o.leaf() {
		return len(o.host.links()) <= leafCap || o.relaysNearer(l) < leafRelays
	}
	b, slot := o.bucket(l.ID), subSlot(o.self, l.ID, bucketLinks)
	have, older := 0, 0
	for _, x := range o.host.bucket(b) {
		if x == l || !x.counts() {
			continue
		}
		have++
		if subSlot(o.self, x.ID, bucketLinks) == slot && (x.since < l.since || x.since == l.since && x.handle < l.handle) {
			older++
		}
	}
	if l.bootstrap {
		return have < bucketLinks
	}
	return have < 2*bucketLinks || older == 0
}

// relaysNearer counts the relays that are nearer than l.
func (o *overlay) relaysNearer(l *link) (n int) {
	for _, x := range o.host.links() {
		if x.Role != wire.RoleLeaf && o.self.Closer(x.ID, l.ID) {
			n++
		}
	}
	return n
}

// estimate returns about how many peers there are, by how near the nearest ones are.
func (o *overlay) estimate() int {
	near := o.host.closest(o.self, nearLinks, nil)
	if len(near) < nearLinks {
		return len(near) + 1
	}
	return nearLinks << min(o.bucket(near[nearLinks-1].ID), 24)
}
