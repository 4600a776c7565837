package core

import (
	"maps"
	"math/bits"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/candidates"
	"github.com/peer-relay/peer-relay/protocol/internal/journal"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// The overlay decides which links a peer has: to the nearest peers, and a few in each farther
// bucket. So each peer has a strictly nearer link for every id. The overlay belongs to a Core,
// which calls it. It iterates only over slices in order of arrival, so that equal events lead
// to equal decisions.
type overlay struct {
	// Fixed after newOverlay.
	host   host
	self   wire.ID
	role   wire.Role
	manual bool       // the application chooses the links: none is sought or pruned
	rng    *rand.Rand // the host's

	contact wire.Contact  // how others reach this peer
	begun   bool          // there was a link
	started time.Duration // when the first link was up, or many were lost at once

	cands   *candidates.Table
	pending []*handshake
	queries []query            // searches in flight
	asked   map[wire.ID]direct // questions in flight, by the linked peer that was asked
	boots   []bootstrap

	findAt    [wire.IDBits]time.Duration // when each bucket was last asked for
	findTries [wire.IDBits]int           // times that each bucket was asked for since its last link

	nextTick   time.Duration
	lastNear   time.Duration // when a near link was last asked for peers near this one
	lastRouted time.Duration // when refresh last sent a search for this peer's id

	lossFrom time.Duration // when the count of lost links began
	lost     int           // links lost since
	lostOf   int           // links at that time
}

// A host is what the overlay needs of the data plane: a clock, the links, and operations on
// them. A Core is a host.
type host interface {
	clock() time.Duration
	wakeBy(at time.Duration) // have tick called by then

	link(id wire.ID) *link // the usable link to a peer; nil means none
	links() []*link        // every usable link, in the order of the ids
	bucket(b int) []*link  // the usable links in a bucket of this peer
	nearest(target wire.ID, visit func(*link) bool)
	closest(target wire.ID, n int, keep func(*link) bool) []*link
	named(near wire.ID, visit func(id, by wire.ID) bool) // the peers that linked peers are linked with
	connected() bool // whether there is a link to send by

	send(by *link, m Outgoing)                // send a control message; a nil link means the best one
	search(index int, m Outgoing) (last bool) // ask the peer nearest to m.To; last means that it is this one
	ask(l *link, proved bool)                 // ping a link that another connection puts into doubt
	end(l *link, reason wire.ByeReason)
	do(a Action)
	drop(reason journal.DropReason, f *wire.Frame) // count a dropped message
}

func newOverlay(h host, cfg CoreConfig, rng *rand.Rand) overlay {
	return overlay{
		host: h, self: cfg.Self, role: cfg.Role, manual: cfg.NoOverlay, rng: rng,
		cands: candidates.New(cfg.Self), asked: make(map[wire.ID]direct),
		boots: make([]bootstrap, cfg.Bootstraps),
	}
}

func (o *overlay) leaf() bool { return o.role == wire.RoleLeaf }

func (o *overlay) bucket(id wire.ID) int { return o.cands.BucketOf(id) }

func (o *overlay) linked(id wire.ID) bool { return o.host.link(id) != nil }

// --- events

// greet asks a new link for peers near this one. Both sides of every link do so.
func (o *overlay) greet(l *link) { o.findPeers(l, o.self) }

// linkUp processes a link that has become usable.
func (o *overlay) linkUp(l *link) {
	if !o.begun {
		o.begun, o.started = true, o.host.clock()
		o.lastNear = o.host.clock()
		o.lastRouted = o.host.clock() - nearFindEvery + o.jitter(firstRouted)
	}
	o.endHandshake(l.ID)
	o.cands.Forget(l.ID)
	if l.bootstrap && l.extended {
		o.findRouted(l)
	}
	o.findTries[o.bucket(l.ID)] = 0
	o.soon()
}

func (o *overlay) linkDown(l *link) {
	if !o.linked(l.ID) {
		if cand := o.cands.Learn(o.host.clock(), l.ID, l.ID); cand != nil {
			cand.Next = max(cand.Next, o.host.clock()+o.jitter(bootFirst))
		}
		o.bootstrapDown(l)
		if l.gone && l.listed {
			o.countLoss()
		}
	}
	o.soon()
}

// countLoss counts a lost link. If many links are lost at once, the bootstraps are dialled
// soon, since the network may be partitioned.
func (o *overlay) countLoss() {
	if o.host.clock()-o.lossFrom > lossTime {
		o.lossFrom, o.lost, o.lostOf = o.host.clock(), 0, len(o.host.links())+1
	}
	if o.lost++; o.lost*lossShare > o.lostOf {
		o.started = o.host.clock()
		o.lossFrom, o.lost, o.lostOf = o.host.clock(), 0, len(o.host.links())+1
		for i := range o.boots {
			o.boots[i].next = min(o.boots[i].next, o.host.clock()+o.jitter(lossTime))
			o.wakeTick(o.boots[i].next)
		}
	}
}

// filling reports whether many links may be missing.
func (o *overlay) filling() bool { return o.begun && o.host.clock()-o.started < fillingTime }

// avoid keeps the overlay from seeking a peer for refuseBackoff.
func (o *overlay) avoid(id wire.ID) {
	o.endHandshake(id)
	if cand := o.cands.Learn(o.host.clock(), id, id); cand != nil {
		cand.Wanted = false
		cand.Next = o.host.clock() + refuseBackoff
	}
}

// disconnect keeps the overlay from seeking a peer, and from accepting its offers, for
// refuseBackoff.
func (o *overlay) disconnect(id wire.ID) {
	o.endHandshake(id)
	if cand := o.cands.Hold(o.host.clock(), id); cand != nil {
		cand.Wanted = false
		cand.Shunned = o.host.clock() + refuseBackoff
		cand.Next = cand.Shunned
	}
}

// shuns reports whether the application disconnected a peer less than refuseBackoff ago, and
// has not asked for it since.
func (o *overlay) shuns(id wire.ID) bool {
	cand := o.cands.Get(id)
	return cand != nil && cand.Shunned > o.host.clock()
}

// shunsSince returns the time since the application disconnected a peer. It is refuseBackoff if
// the peer is not shunned.
func (o *overlay) shunsSince(id wire.ID) time.Duration {
	if !o.shuns(id) {
		return refuseBackoff
	}
	return o.host.clock() + refuseBackoff - o.cands.Get(id).Shunned
}

// want makes the overlay seek a link to a peer at any distance.
func (o *overlay) want(id wire.ID) {
	if id == o.self || o.linked(id) {
		return
	}
	cand := o.cands.Hold(o.host.clock(), id)
	cand.Wanted, cand.Next, cand.Shunned, cand.Fails = true, 0, 0, 0
	if o.handshake(id) != nil {
		return
	}
	if o.host.connected() && len(o.pending) < maxAnswered {
		o.offer(id)
	} else {
		o.soon()
	}
}

// suggest adds candidates that the application knows. The application may add as many as
// any other source.
func (o *overlay) suggest(ids []wire.ID) {
	added := false
	for _, id := range ids {
		if !o.linked(id) && o.cands.Get(id) == nil && o.cands.Learn(o.host.clock(), id, o.self) != nil {
			added = added || o.useful(id)
		}
	}
	if added {
		o.soon()
	}
}

// learnedExtended seeks a native link to a peer with a legacy link, which has turned out to
// know the extensions. Only the peer with the lower id sends an offer. Either of the two may
// be the one that can be dialled.
func (o *overlay) learnedExtended(l *link) {
	if o.self.Compare(l.ID) < 0 && o.handshake(l.ID) == nil {
		o.offer(l.ID)
	}
}

// --- the tick

// jitter returns a random duration from d/2 to 3d/2.
func (o *overlay) jitter(d time.Duration) time.Duration {
	return d/2 + time.Duration(o.rng.Int64N(int64(d)))
}

func (o *overlay) wakeTick(at time.Duration) {
	if at < o.nextTick {
		o.nextTick = at
	}
	o.host.wakeBy(at)
}

// soon schedules the next tick shortly after a change.
func (o *overlay) soon() { o.wakeTick(o.host.clock() + o.jitter(tickSoon)) }

func (o *overlay) tick() {
	if o.host.clock() < o.nextTick {
		o.host.wakeBy(o.nextTick)
		return
	}
	o.nextTick = o.host.clock() + tickIdle // the calls below can only make it earlier
	o.expire()
	o.bootstrap()
	if !o.manual {
		deficit := o.fill()
		o.refresh(deficit)
		o.prune(deficit)
		switch {
		case deficit && o.filling():
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
	// The order of the map does not change the result.
	maps.DeleteFunc(o.asked, func(_ wire.ID, d direct) bool { return d.until <= o.host.clock() })
}

// refresh asks for new near peers. It asks a near link often. Now and then it sends a search
// through a random link, which can find peers that the near links do not know.
func (o *overlay) refresh(deficit bool) {
	if !o.begun {
		return
	}
	every := refreshEvery
	if deficit {
		every = refreshEager
	}
	if o.host.clock()-o.lastNear >= every {
		if near := o.host.closest(o.self, 3, (*link).answers); len(near) > 0 {
			o.lastNear = o.host.clock()
			o.findPeers(near[o.rng.IntN(len(near))], o.self)
		}
	}
	if o.host.clock()-o.lastRouted >= nearFindEvery {
		far := slices.DeleteFunc(slices.Clone(o.host.links()), func(l *link) bool { return !l.extended || !l.answers() })
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

// prune ends links that this peer opened and no longer needs. If the other end needs such a
// link, it opens the link again, and only that end can prune it then. So the two ends need
// no message to agree. A link to a bootstrap serves to find others. It ends as soon as there are
// enough of these, so that a bootstrap is not linked with everybody who has just joined.
func (o *overlay) prune(deficit bool) {
	pruned := 0
	for _, l := range slices.Clone(o.host.links()) {
		if pruned >= prunesPerTick {
			return
		}
		age := pruneAge
		if l.bootstrap && !deficit {
			age = bootLinger
		}
		if !l.native() || !l.Dialed || l.ended || o.wanted(l) {
			continue
		}
		if until := l.since + age; o.host.clock() < until {
			o.wakeTick(until)
			continue
		}
		pruned++
		o.host.end(l, wire.ByeUnwanted)
	}
}

// wanted reports whether a link is near, or needed in its bucket. A link is needed while the
// bucket has at most twice bucketLinks, or if it is the oldest in its part of the bucket. A
// bootstrap serves all peers, so its link is needed only while the bucket has too few others.
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

// relaysNearer returns the number of linked relays that are nearer than l.
func (o *overlay) relaysNearer(l *link) (n int) {
	for _, x := range o.host.links() {
		if x.Role != wire.RoleLeaf && o.self.Closer(x.ID, l.ID) {
			n++
		}
	}
	return n
}

// forget drops a candidate that no linked peer is linked with any longer.
func (o *overlay) forget(id wire.ID) {
	if cand := o.cands.Get(id); cand == nil || cand.Wanted || cand.Shunned > 0 {
		return
	}
	o.cands.Forget(id)
	if h := o.handshake(id); h != nil && h.mine && !h.dialing {
		o.endHandshake(id)
		o.soon()
	}
}

// learn takes peers as candidates that are near an id and that linked peers are linked with: up to
// most that are not linked, of those for which fit returns true.
func (o *overlay) learn(near wire.ID, most int, fit func(wire.ID) bool) {
	seen := 0
	var last wire.ID
	o.host.named(near, func(id, by wire.ID) bool {
		if id == last {
			return true
		}
		if !fit(id) {
			return false
		}
		last = id
		if !o.linked(id) {
			seen++
			o.cands.Learn(o.host.clock(), id, by)
		}
		return seen < most
	})
}

// heardOf reports whether a peer with an id has lately been named, or has sent an offer.
func (o *overlay) heardOf(id wire.ID) bool {
	cand := o.cands.Get(id)
	return cand != nil && cand.Fails == 0 && o.host.clock()-cand.Heard < candFresh || o.handshake(id) != nil
}

// bits returns the binary logarithm of the size of the network, about.
func (o *overlay) bits() int { return bits.Len(uint(o.estimate())) - 1 }

// estimate returns the approximate size of the network, from the nearness of the nearest
// peers.
func (o *overlay) estimate() int {
	near := o.host.closest(o.self, nearLinks, nil)
	if len(near) < nearLinks {
		return len(near) + 1
	}
	return nearLinks << min(o.bucket(near[nearLinks-1].ID), 24)
}
