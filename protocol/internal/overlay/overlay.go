package overlay

import (
	"maps"
	"math/bits"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/candidates"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// An Overlay decides which links a peer has. Its methods are the events: links, control messages,
// outcomes of dials, and the tick. It belongs to one Host.
type Overlay struct {
	// Fixed after New.
	host   Host
	self   wire.ID
	role   wire.Role
	manual bool
	rng    *rand.Rand

	contact wire.Contact  // how others reach this peer
	begun   bool          // there was a link
	started time.Duration // when the first link was up, or many were lost at once

	cands   *candidates.Table
	wanting bool // the application has asked for a peer that may still be a candidate
	pending []*handshake
	queries []query            // searches in flight
	asked   map[wire.ID]direct // questions in flight, by the linked peer that was asked
	boots   []bootstrap

	depth   int               // bucket of the farthest near link, as of the last tick
	missing [wire.IDBits]bool // buckets before it that have too few links

	findAt    [wire.IDBits]time.Duration // when each bucket was last asked for
	findTries [wire.IDBits]int           // times that each bucket was asked for since its last link

	nextTick   time.Duration
	lastNear   time.Duration // when a near link was last asked for peers near this one
	lastRouted time.Duration // when refresh last sent a search for this peer's id

	shed       map[wire.ID]time.Duration // when links were ended that only the other ends needed
	nextCloser time.Duration             // when links are sought in place of slower ones again

	died      wire.ID       // the near peer that was lost last
	diedUntil time.Duration // until when others may be as near, and not linked yet

	lossFrom time.Duration // when the count of lost links began
	lost     int           // links lost since
	lostOf   int           // links at that time

	pruneFrom time.Duration // when links may be pruned again after many were lost at once
}

// A Config is the configuration of an Overlay.
type Config struct {
	Self       wire.ID
	Role       wire.Role
	Rand       *rand.Rand // must not be predictable for other peers
	Bootstraps int        // number of bootstraps, which have the indices from 0 on
	Manual     bool       // the application chooses the links: none is sought or pruned
}

// New returns the overlay of a peer without links.
func New(h Host, cfg Config) Overlay {
	return Overlay{
		host: h, self: cfg.Self, role: cfg.Role, manual: cfg.Manual, rng: cfg.Rand,
		cands: candidates.New(cfg.Self), asked: make(map[wire.ID]direct), shed: make(map[wire.ID]time.Duration),
		boots: make([]bootstrap, cfg.Bootstraps),
	}
}

// SetContact sets how other peers can reach this one.
func (o *Overlay) SetContact(contact wire.Contact) { o.contact = contact }

// Counts returns the numbers of handshakes in flight and of candidates.
func (o *Overlay) Counts() (handshakes, known int) { return len(o.pending), o.cands.Len() }

func (o *Overlay) leaf() bool { return o.role == wire.RoleLeaf }

func (o *Overlay) bucket(id wire.ID) int { return o.cands.BucketOf(id) }

func (o *Overlay) linked(id wire.ID) bool { return o.host.Link(id) != nil }

// connected reports whether there is a link to send by.
func (o *Overlay) connected() bool {
	for l := range o.host.Links() {
		if !l.Ended {
			return true
		}
	}
	return false
}

// --- events

// NewLink returns the state of a link that is up.
func (o *Overlay) NewLink(h LinkHandle, info wire.LinkInfo) Link {
	return Link{LinkInfo: info, Handle: h, Since: o.host.Now(), Trip: info.RTT, Extended: info.Kind == wire.LinkNative, bootstrap: o.isBootstrap(info.ID)}
}

// Greet asks a new link for peers near this one. Both sides of every link do so at once, but for one that this side
// has sought only in place of a slower one. It asks that when the link stays.
func (o *Overlay) Greet(l *Link) {
	if h := o.handshake(l.ID); h == nil || !h.trial {
		o.findPeers(l, o.self)
	}
}

// LinkUp processes a link that has become usable.
func (o *Overlay) LinkUp(l *Link) {
	if !o.begun {
		o.begun, o.started = true, o.host.Now()
		o.lastNear = o.host.Now()
		o.lastRouted = o.host.Now() - nearFindEvery + o.jitter(firstRouted)
	}
	if h := o.handshake(l.ID); h != nil {
		l.trial = h.trial
	}
	o.endHandshake(l.ID)
	o.cands.Forget(l.ID)
	if l.bootstrap && l.Extended {
		o.findRouted(l)
	}
	o.findTries[o.bucket(l.ID)] = 0
	o.soon()
}

// LinkDown processes a link that has ended.
func (o *Overlay) LinkDown(l *Link) {
	if !o.linked(l.ID) {
		if cand := o.cands.Learn(o.host.Now(), l.ID, l.ID); cand != nil {
			cand.Next, cand.Trip = max(cand.Next, o.host.Now()+o.jitter(bootFirst)), l.Trip
		}
		o.bootstrapDown(l)
		if l.Gone && l.Usable && !l.lost {
			o.countLoss(l)
		}
	}
	o.soon()
}

// Silent processes a link that does not answer.
func (o *Overlay) Silent(l *Link) {
	if !l.lost {
		l.lost = true
		o.countLoss(l)
		o.soon()
	}
}

// Answering processes a link that answers again.
func (o *Overlay) Answering(l *Link) { l.lost = false }

// countLoss counts a lost link, and notes that of a near peer. If many links are lost at once, the
// bootstraps are dialled soon, since the network may be partitioned.
func (o *Overlay) countLoss(l *Link) {
	if o.isNear(l.ID) {
		o.died, o.diedUntil = l.ID, o.host.Now()+nearRepair
	}
	if o.lostOf == 0 || o.host.Now()-o.lossFrom > lossTime { // 0 before the first loss
		o.lossFrom, o.lost, o.lostOf = o.host.Now(), 0, o.host.LinkCount()+1
	}
	if o.lost++; o.lost*lossShare > o.lostOf {
		o.started, o.pruneFrom = o.host.Now(), o.host.Now()+mendTime
		o.lossFrom, o.lost, o.lostOf = o.host.Now(), 0, o.host.LinkCount()+1
		for i := range o.boots {
			o.boots[i].next = min(o.boots[i].next, o.host.Now()+o.jitter(lossTime))
			o.wakeTick(o.boots[i].next)
		}
	}
}

// filling reports whether many links may be missing.
func (o *Overlay) filling() bool { return o.begun && o.host.Now()-o.started < fillingTime }

// joining reports whether most links may be missing.
func (o *Overlay) joining() bool { return o.begun && o.host.Now()-o.started < joiningTime }

// Avoid keeps the overlay from seeking a peer for refuseBackoff.
func (o *Overlay) Avoid(id wire.ID) {
	o.endHandshake(id)
	if cand := o.cands.Learn(o.host.Now(), id, id); cand != nil {
		cand.Wanted = false
		cand.Next = o.host.Now() + refuseBackoff
	}
}

// Disconnect keeps the overlay from seeking a peer, and from accepting its offers, for
// refuseBackoff.
func (o *Overlay) Disconnect(id wire.ID) {
	o.endHandshake(id)
	if cand := o.cands.Hold(o.host.Now(), id); cand != nil {
		cand.Wanted = false
		cand.Shunned = o.host.Now() + refuseBackoff
		cand.Next = cand.Shunned
	}
}

// Shuns reports whether the application disconnected a peer less than refuseBackoff ago, and
// has not asked for it since.
func (o *Overlay) Shuns(id wire.ID) bool {
	cand := o.cands.Get(id)
	return cand != nil && cand.Shunned > o.host.Now()
}

// ShunsSince returns the time since the application disconnected a peer. It is refuseBackoff if
// the peer is not shunned.
func (o *Overlay) ShunsSince(id wire.ID) time.Duration {
	if !o.Shuns(id) {
		return refuseBackoff
	}
	return o.host.Now() + refuseBackoff - o.cands.Get(id).Shunned
}

// Want makes the overlay seek a link to a peer at any distance.
func (o *Overlay) Want(id wire.ID) {
	if id == o.self || o.linked(id) {
		return
	}
	cand := o.cands.Hold(o.host.Now(), id)
	cand.Wanted, cand.Next, cand.Shunned, cand.Fails = true, 0, 0, 0
	o.wanting = true
	if o.handshake(id) != nil {
		return
	}
	if o.connected() && len(o.pending) < maxAnswered {
		o.offer(id)
	} else {
		o.soon()
	}
}

// Suggest adds candidates that the application knows. The application may add as many as
// any other source.
func (o *Overlay) Suggest(ids []wire.ID) {
	added := false
	for _, id := range ids {
		if !o.linked(id) && o.cands.Get(id) == nil && o.cands.Learn(o.host.Now(), id, o.self) != nil {
			added = added || o.Useful(id)
		}
	}
	if added {
		o.soon()
	}
}

// LearnedExtended seeks a native link to a peer with a legacy link, which has turned out to
// know the extensions. Only the peer with the lower id sends an offer. Either of the two may
// be the one that can be dialled.
func (o *Overlay) LearnedExtended(l *Link) {
	if o.self.Compare(l.ID) < 0 && o.handshake(l.ID) == nil {
		o.offer(l.ID)
	}
}

// NetworkChanged tells that the addresses of this machine changed. The tries that failed say nothing
// about the new network, so they are forgotten: what was waited for is tried soon.
func (o *Overlay) NetworkChanged() {
	now := o.host.Now()
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

// --- the tick

// jitter returns a random duration from d/2 to 3d/2.
func (o *Overlay) jitter(d time.Duration) time.Duration {
	return d/2 + time.Duration(o.rng.Int64N(int64(d)))
}

func (o *Overlay) wakeTick(at time.Duration) {
	if at < o.nextTick {
		o.nextTick = at
	}
	o.host.WakeBy(at)
}

// soon schedules the next tick shortly after a change.
func (o *Overlay) soon() {
	delay := tickSoon
	if o.joining() {
		delay = tickJoining
	}
	o.wakeTick(o.host.Now() + o.jitter(delay))
}

// Tick does the work that is due, and has the host call it again in time.
func (o *Overlay) Tick() {
	if o.host.Now() < o.nextTick {
		o.host.WakeBy(o.nextTick)
		return
	}
	o.nextTick = o.host.Now() + tickIdle // the calls below can only make it earlier
	o.expire()
	o.bootstrap()
	if !o.manual {
		deficit := o.fill()
		o.refresh(deficit)
		o.improve(deficit)
		o.prune(deficit)
		switch {
		case deficit && o.filling():
			o.wakeTick(o.host.Now() + o.jitter(tickFilling))
		case deficit:
			o.wakeTick(o.host.Now() + o.jitter(tickDeficit))
		}
	} else {
		o.fillWanted(o.seeker(o.isFresh))
	}
	o.host.WakeBy(o.nextTick)
}

func (o *Overlay) expire() {
	for _, h := range slices.Clone(o.pending) {
		switch {
		case h.until <= o.host.Now():
			o.endHandshake(h.id)
			if h.mine {
				o.failed(h.id, candBackoff)
			}
		case h.likely <= o.host.Now():
			o.wakeTick(h.until)
		default:
			o.wakeTick(h.likely)
		}
	}
	o.queries = slices.DeleteFunc(o.queries, func(q query) bool { return q.until <= o.host.Now() })
	// The order of the map does not change the result.
	maps.DeleteFunc(o.asked, func(_ wire.ID, d direct) bool { return d.until <= o.host.Now() })
}

// refresh asks for new near peers. It asks a near link often. Now and then it sends a search
// through a random link, which can find peers that the near links do not know.
func (o *Overlay) refresh(deficit bool) {
	if !o.begun {
		return
	}
	every := refreshEvery
	if deficit {
		every = refreshEager
	}
	if o.host.Now()-o.lastNear >= every {
		o.lastNear = o.host.Now()
		// The others tell what is new.
		fit := func(l *Link) bool { return l.Answers() && (deficit || l.Named == 0) }
		if near := o.host.Closest(o.self, 3, fit); len(near) > 0 {
			o.findPeers(near[o.rng.IntN(len(near))], o.self)
		}
	}
	if o.host.Now()-o.lastRouted >= nearFindEvery {
		var far []*Link
		for l := range o.host.Links() {
			if l.Extended && l.Answers() {
				far = append(far, l)
			}
		}
		if len(far) > 0 {
			o.lastRouted = o.host.Now()
			o.findRouted(far[o.rng.IntN(len(far))])
		}
	}
	if o.host.LinkCount() > 0 {
		o.wakeTick(max(o.lastNear+every, o.host.Now()+time.Second))
		o.wakeTick(max(o.lastRouted+nearFindEvery, o.host.Now()+time.Second))
	}
}

// Unnamed tells that by is no longer linked with a peer that it had named, and that no linked peer is. If
// it was by that had named the candidate, the candidate counts as one that does not answer.
func (o *Overlay) Unnamed(id, by wire.ID) {
	cand := o.cands.Get(id)
	if cand == nil || cand.Wanted || cand.Shunned > 0 || cand.Source != by && o.linked(cand.Source) {
		return
	}
	if h := o.handshake(id); h != nil {
		if !h.mine || h.dialing {
			return
		}
		o.endHandshake(id)
		o.soon()
	}
	if cand.Fails == 0 {
		o.failed(id, candBackoff)
	}
}

// Named tells that a linked peer has named neighbours. If one of them may be a link that is missing,
// the links are looked at soon.
func (o *Overlay) Named(peers []wire.Neighbour) {
	for _, p := range peers {
		if b := o.bucket(p.ID); (b >= o.depth || o.missing[b]) && !o.linked(p.ID) {
			o.soon()
			return
		}
	}
}

// learn takes peers as candidates that are near an id and that linked peers are linked with: up to
// most that are not linked, as long as fit returns true.
func (o *Overlay) learn(near wire.ID, most int, fit func(wire.ID) bool) {
	seen := 0
	var last wire.ID
	o.host.Named(near, func(n Neighbour) bool {
		if n.ID == last {
			return true
		}
		if !fit(n.ID) {
			return false
		}
		last = n.ID
		if !o.linked(n.ID) {
			seen++
			o.cands.Learn(o.host.Now(), n.ID, n.By.ID)
		}
		return seen < most
	})
}

// Bits returns the binary logarithm of the size of the network, about.
func (o *Overlay) Bits() int { return bits.Len(uint(o.estimate())) - 1 }

// estimate returns the approximate size of the network, from the nearness of the nearest
// peers.
func (o *Overlay) estimate() int {
	near := o.host.Closest(o.self, nearLinks, nil)
	if len(near) < nearLinks {
		return len(near) + 1
	}
	return nearLinks << min(o.bucket(near[nearLinks-1].ID), 24)
}
