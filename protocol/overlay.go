package protocol

import (
	"bytes"
	"cmp"
	"slices"
	"time"
)

// The overlay decides which links to have: to the nearest peers, and a few in every
// farther bucket, so that each peer has a strictly nearer link for every address.
// It belongs to a Core and is driven by it. Everything that it iterates over is a
// slice in order of arrival, so that equal events give equal decisions.
type overlay struct {
	c       *Core
	contact Contact       // how others reach this peer
	started time.Duration // when the first link came

	cands   map[ID]*candidate
	buckets [IDBits][]*candidate
	pending []*handshake
	queries []query // questions that a foundPeers may answer
	boots   []bootstrap

	findAt    [IDBits]time.Duration // when each bucket was last asked for
	findTries [IDBits]int

	nextTick   time.Duration
	lastNear   time.Duration // when a near link was last asked for this peer's id
	lastRouted time.Duration // when a search for it was last sent through a far link
	lastReboot time.Duration
}

// A candidate is a peer that is known and not, or not yet, linked.
type candidate struct {
	id     ID
	source ID // who told of it
	next   time.Duration
	fails  int
	wanted bool // the application asked for it
}

// A handshake is an offer to a peer, or the dial that its answer led to.
type handshake struct {
	id      ID
	token   []byte
	until   time.Duration
	mine    bool // this peer made the offer
	dialing bool
}

type query struct {
	peer  ID     // who was asked directly, or the zero ID
	token []byte // what a routed search carries
	until time.Duration
}

type bootstrap struct {
	id      ID // who answered last
	next    time.Duration
	since   time.Duration // when the tries began
	tries   int
	dialing bool
	up      bool
}

func newOverlay(c *Core) overlay {
	return overlay{c: c, cands: make(map[ID]*candidate), boots: make([]bootstrap, c.cfg.Bootstraps)}
}

func (o *overlay) leaf() bool { return o.c.cfg.Role == RoleLeaf }

// --- events

// greet asks a new link for peers, as both sides do on every new link.
func (o *overlay) greet(l *link) { o.findPeers(l, o.c.self) }

func (o *overlay) linkUp(l *link) {
	if o.started == 0 {
		o.started = o.c.now
	}
	o.drop(l.ID)
	if cand := o.cands[l.ID]; cand != nil {
		o.forget(cand)
	}
	o.findTries[o.bucket(l.ID)] = 0
	o.soon()
}

func (o *overlay) linkDown(l *link, lost bool) {
	if l.boot >= 0 && l.boot < len(o.boots) {
		b := &o.boots[l.boot]
		b.up, b.tries, b.since = false, 0, o.c.now
		b.next = o.c.now + o.jitter(bootFirst)
		if !lost { // ended on purpose: only if there is nobody else
			b.next = o.c.now + rebootEvery
		}
	}
	if lost {
		cand := o.learn(l.ID, l.ID)
		if cand != nil {
			cand.next = o.c.now + o.jitter(bootFirst)
		}
	}
	o.soon()
}

// bye notes that a peer said goodbye: it is not to be asked back at once.
func (o *overlay) bye(l *link, reason ByeReason) {
	if reason == ByeDuplicate || reason == ByeShutdown {
		return
	}
	o.avoid(l.ID)
}

// mute notes a legacy peer that keeps an open link and never reads it.
func (o *overlay) mute(l *link) { o.avoid(l.ID) }

// avoid keeps a peer from being sought for a while.
func (o *overlay) avoid(id ID) {
	o.drop(id)
	if cand := o.learn(id, id); cand != nil {
		cand.wanted = false
		cand.next = o.c.now + refuseBackoff
	}
}

// want makes the overlay link to a peer whatever its distance.
func (o *overlay) want(id ID) {
	if id == o.c.self || o.linked(id) || o.handshake(id) != nil {
		return
	}
	if cand := o.learn(id, id); cand != nil {
		cand.wanted, cand.next, cand.fails = true, 0, 0
	}
	if o.c.table.len() > 0 { // else it is asked as soon as there is somebody to pass the offer on
		o.offer(id)
	}
}

// learnedNewer notes that a legacy link leads to a peer that knows the extensions:
// the two will do better over a native link, which the lower of them seeks.
func (o *overlay) learnedNewer(l *link) {
	if len(o.contact.Record) > 0 && o.c.self.Compare(l.ID) < 0 && o.handshake(l.ID) == nil {
		o.offer(l.ID)
	}
}

func (o *overlay) dialFailed(id ID) {
	if h := o.handshake(id); h != nil {
		o.drop(id)
		o.failed(id, candBackoff)
		o.soon()
	}
}

func (o *overlay) bootstrapAnswered(index int, id ID) {
	if index >= len(o.boots) {
		return
	}
	b := &o.boots[index]
	b.id, b.up, b.dialing, b.tries = id, true, false, 0
	b.next = o.c.now + o.jitter(rebootEvery)
}

func (o *overlay) bootstrapFailed(index int) {
	if index >= len(o.boots) {
		return
	}
	b := &o.boots[index]
	b.up, b.dialing = false, false
	wait := bootFirst << min(b.tries, 10)
	if o.c.now-b.since < bootEager {
		wait = min(wait, bootMost)
	} else {
		wait = min(wait, bootMostLate)
	}
	b.tries++
	b.next = o.c.now + o.jitter(wait)
	o.wakeTick(b.next)
}

// --- control messages

// control takes a control message addressed to this peer.
func (o *overlay) control(l *link, f *Frame, proved bool) {
	b := &f.Body
	ok := true
	switch b.Kind {
	case KindFind:
		ok = o.onFind(f)
	case KindFound:
		ok = o.onFound(f, proved)
	case KindOffer:
		o.onOffer(f, proved)
	case KindAnswer:
		ok = o.onAnswer(f)
	case KindSignal: // for a link that is not WebRTC there is nothing to signal
		o.c.stats.Dropped[DropUnsupported]++
	}
	if !ok {
		o.c.stats.Dropped[DropBadControl]++
	}
}

// back gives the way that f came, for the answer.
func back(f *Frame) []ID {
	n := f.PathLen()
	if n <= 1 {
		return nil
	}
	route := make([]ID, n)
	for i := range route {
		route[i] = f.PathAt(n - 1 - i)
	}
	return route
}

func (o *overlay) findPeers(l *link, target ID) {
	o.expect(query{peer: l.ID})
	o.c.control(l, Outgoing{To: l.ID, Kind: KindFind, Form: FormRaw, Payload: target[:]})
}

// findRouted sends a search for this peer's own id through a link. It is answered
// by the peer that is nearest to it.
func (o *overlay) findRouted(l *link) {
	token := o.newToken()
	o.expect(query{token: token})
	o.c.control(l, Outgoing{To: o.c.self, Kind: KindFind, Form: FormRaw, Flags: FlagClosest, Token: token, Payload: o.c.self[:]})
}

func (o *overlay) expect(q query) {
	if len(o.queries) >= maxQueries {
		o.queries = slices.Delete(o.queries, 0, 1)
	}
	q.until = o.c.now + queryExpiry
	o.queries = append(o.queries, q)
}

// onFind answers with the nearest of this peer's live links.
func (o *overlay) onFind(f *Frame) bool {
	b := &f.Body
	if b.Form != FormRaw || len(b.Payload) != IDSize {
		return false
	}
	target := ID(b.Payload)
	links := o.c.table.closest(target, maxFound, func(l *link) bool { return l.ID != b.From && !l.ended })
	ids := make([]ID, len(links))
	for i, l := range links {
		ids[i] = l.ID
	}
	if b.Flags&FlagClosest != 0 && len(ids) < maxFound { // the asker does not know us
		ids = append(ids, o.c.self)
	}
	o.c.control(nil, Outgoing{To: b.From, Kind: KindFound, Form: FormRaw, Payload: AppendFound(nil, ids), Token: b.Token, Route: back(f)})
	return true
}

// onFound takes the candidates that this peer asked for.
func (o *overlay) onFound(f *Frame, proved bool) bool {
	b := &f.Body
	ids, err := ParseFound(b.Payload)
	if err != nil || b.Form != FormRaw {
		return false
	}
	asked := slices.ContainsFunc(o.queries, func(q query) bool {
		return q.until > o.c.now && (q.peer == b.From || len(q.token) > 0 && bytes.Equal(q.token, b.Token))
	})
	if !asked {
		o.c.stats.Dropped[DropUnasked]++
		return true
	}
	added := false
	for _, id := range ids {
		if id != o.c.self && !o.linked(id) && o.cands[id] == nil && o.useful(id) && o.learn(id, b.From) != nil {
			added = true
			o.findTries[o.bucket(id)] = min(o.findTries[o.bucket(id)], 1)
		}
	}
	if added {
		o.soon()
	}
	return true
}

// useful reports whether a link to id would be wanted if there were no other
// candidates: it fills a bucket or is nearer than the farthest near link.
func (o *overlay) useful(id ID) bool {
	return o.inBucket(id) < bucketLinks || o.isNear(id)
}

func (o *overlay) inBucket(id ID) (n int) {
	b := o.bucket(id)
	for _, l := range o.c.table.sorted {
		if o.bucket(l.ID) == b && l.Role != RoleLeaf {
			n++
		}
	}
	return n
}

// onOffer answers a peer that wants a link.
func (o *overlay) onOffer(f *Frame, proved bool) {
	b := &f.Body
	l := o.c.table.get(b.From)
	upgrade := l != nil && !l.native() && l.newer && len(b.Record) > 0
	if l != nil && !upgrade {
		return // it is linked and may not know yet
	}
	if h := o.handshake(b.From); h != nil && h.mine && b.From.Compare(o.c.self) >= 0 {
		return // both offer: the lower one's stands
	}
	if cand := o.cands[b.From]; cand != nil && !cand.wanted && cand.next-o.c.now > candBackoff && l == nil {
		o.answer(f, false) // it was disconnected on purpose a moment ago
		return
	}
	o.drop(b.From)
	answered, dialing := 0, 0
	for _, h := range o.pending {
		if !h.mine {
			answered++
		}
		if h.dialing {
			dialing++
		}
	}
	if answered >= maxAnswered {
		o.c.stats.Dropped[DropQueueFull]++
		return
	}
	h := &handshake{id: b.From, until: o.c.now + dialExpiry}
	o.pending = append(o.pending, h)
	o.answer(f, true)
	if o.contact.URL == "" && len(b.Record) > 0 && proved && dialing < maxPending {
		// It cannot reach this peer, this peer may reach it.
		h.dialing = true
		o.c.do(Action{Type: Dial, Contact: Contact{ID: b.From, Record: b.Record}})
	}
	o.wakeTick(h.until)
}

func (o *overlay) answer(f *Frame, yes bool) {
	b := &f.Body
	out := Outgoing{To: b.From, Kind: KindAnswer, Token: b.Token, Route: back(f)}
	switch {
	case yes:
		out.Form = FormRaw
		out.Payload = AppendAnswer(nil, Answer{WS: o.contact.URL, NoWS: o.contact.URL == "", WRTC: o.contact.WebRTC})
		out.Record = o.contact.Record
	case len(b.Key) == 0:
		return // a legacy peer never forgets a refusal
	}
	o.c.control(nil, out)
}

// onAnswer dials the peer that answered this peer's own offer.
func (o *overlay) onAnswer(f *Frame) bool {
	b := &f.Body
	h := o.handshake(b.From)
	if h == nil || !h.mine || h.dialing || len(b.Key) > 0 && !bytes.Equal(b.Token, h.token) {
		o.c.stats.Dropped[DropUnasked]++
		return true
	}
	if l := o.c.table.get(b.From); l != nil && l.native() {
		o.drop(b.From)
		return true
	}
	if b.Form == FormNone {
		o.drop(b.From)
		o.failed(b.From, refuseBackoff)
		return true
	}
	a, err := ParseAnswer(b.Payload)
	if err != nil || b.Form != FormRaw {
		return false
	}
	contact := Contact{ID: b.From, URL: a.WS, WebRTC: a.WRTC && o.contact.WebRTC, Record: b.Record}
	if contact.URL == "" && !contact.WebRTC && len(contact.Record) == 0 {
		if len(o.contact.Record) > 0 && len(b.Key) > 0 {
			h.dialing, h.until = true, o.c.now+dialExpiry // it will dial back
			return true
		}
		o.drop(b.From)
		o.failed(b.From, refuseBackoff)
		return true
	}
	h.dialing, h.until = true, o.c.now+dialExpiry
	o.c.do(Action{Type: Dial, Contact: contact})
	return true
}

// --- candidates and handshakes

func (o *overlay) bucket(id ID) int { return min(o.c.self.CommonPrefixLen(id), IDBits-1) }

func (o *overlay) linked(id ID) bool { return o.c.table.get(id) != nil }

func (o *overlay) handshake(id ID) *handshake {
	for _, h := range o.pending {
		if h.id == id {
			return h
		}
	}
	return nil
}

func (o *overlay) drop(id ID) {
	o.pending = slices.DeleteFunc(o.pending, func(h *handshake) bool { return h.id == id })
}

// learn notes a candidate that source told of. It gives nil if there is no room:
// a bucket holds bucketCands, and one source fills at most sourceCands places.
func (o *overlay) learn(id, source ID) *candidate {
	if id == o.c.self {
		return nil
	}
	if cand := o.cands[id]; cand != nil {
		return cand
	}
	if source != id && o.fromSource(source) >= sourceCands {
		return nil
	}
	bucket := &o.buckets[o.bucket(id)]
	if len(*bucket) >= bucketCands {
		worst := slices.MaxFunc(*bucket, func(a, b *candidate) int { return cmp.Compare(a.fails, b.fails) })
		if worst.fails == 0 || worst.wanted {
			return nil
		}
		o.forget(worst)
	}
	cand := &candidate{id: id, source: source}
	o.cands[id] = cand
	*bucket = append(*bucket, cand)
	return cand
}

func (o *overlay) fromSource(source ID) (n int) {
	for i := range o.buckets {
		for _, cand := range o.buckets[i] {
			if cand.source == source {
				n++
			}
		}
	}
	return n
}

func (o *overlay) forget(cand *candidate) {
	delete(o.cands, cand.id)
	b := &o.buckets[o.bucket(cand.id)]
	*b = slices.DeleteFunc(*b, func(x *candidate) bool { return x == cand })
}

// failed backs a candidate off, twice as long each time, and forgets it in the end.
func (o *overlay) failed(id ID, backoff time.Duration) {
	cand := o.cands[id]
	if cand == nil {
		return
	}
	if cand.fails++; cand.fails >= maxCandFails {
		o.forget(cand)
		return
	}
	cand.next = o.c.now + o.jitter(backoff<<(cand.fails-1))
}

// offer asks a peer for a link, through whoever is nearest to it.
func (o *overlay) offer(id ID) {
	h := &handshake{id: id, token: o.newToken(), until: o.c.now + offerExpiry, mine: true}
	o.pending = append(o.pending, h)
	o.wakeTick(h.until)
	o.c.control(nil, Outgoing{To: id, Kind: KindOffer, Record: o.contact.Record, Token: h.token})
}

func (o *overlay) newToken() []byte {
	token := make([]byte, 0, tokenSize)
	for range tokenSize / 8 {
		x := o.c.rng.Uint64()
		for range 8 {
			token = append(token, byte(x))
			x >>= 8
		}
	}
	return token
}

// jitter gives between half and one and a half of d.
func (o *overlay) jitter(d time.Duration) time.Duration {
	return d/2 + time.Duration(o.c.rng.Int64N(int64(d)))
}

// --- the tick

func (o *overlay) wakeTick(at time.Duration) {
	if at < o.nextTick {
		o.nextTick = at
	}
	o.c.wakeBy(at)
}

// soon makes the next tick come shortly, for what has just changed.
func (o *overlay) soon() { o.wakeTick(o.c.now + o.jitter(100*time.Millisecond)) }

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
}

// bootstrap dials each bootstrap until it answers, again when it is lost, and from
// time to time for a while longer, so that islands find each other.
func (o *overlay) bootstrap() {
	alone := o.c.table.len() == 0
	for i := range o.boots {
		b := &o.boots[i]
		if b.dialing || b.up && o.linked(b.id) {
			continue
		}
		if alone && b.next > o.c.now+bootMostLate {
			b.next = o.c.now + o.jitter(bootFirst)
		}
		if b.next > o.c.now {
			o.wakeTick(b.next)
			continue
		}
		if b.tries == 0 {
			b.since = o.c.now
		}
		b.dialing = true
		o.c.do(Action{Type: DialBootstrap, Index: i})
	}
}

// A neighbour is a link or a candidate, by its distance.
type neighbour struct {
	id   ID
	link *link
}

// fill seeks the links that are missing and reports whether any are.
func (o *overlay) fill() (deficit bool) {
	if o.c.table.len() == 0 {
		return len(o.cands) > 0 || len(o.boots) > 0
	}
	budget := maxPending
	for _, h := range o.pending {
		if h.mine {
			budget--
		}
	}
	seek := func(id ID) bool {
		if budget <= 0 {
			return false
		}
		budget--
		o.offer(id)
		return true
	}
	for i := range o.buckets {
		for _, cand := range slices.Clone(o.buckets[i]) {
			if cand.wanted && o.available(cand) {
				seek(cand.id)
			}
		}
	}
	near := o.near()
	for _, n := range near {
		if n.link == nil {
			deficit = true
			seek(n.id)
		}
	}
	if o.leaf() {
		return o.attach(seek) || deficit
	}
	depth := IDBits // buckets from here on hold near peers alone
	if len(near) >= nearLinks {
		depth = o.bucket(near[len(near)-1].id)
	} else {
		depth = o.deepest()
	}
	finds := 0
	for b := range depth {
		if o.fillBucket(b, seek, &finds) {
			deficit = true
		}
	}
	return deficit
}

// deepest gives the bucket above which all known peers lie.
func (o *overlay) deepest() (depth int) {
	for _, l := range o.c.table.sorted {
		depth = max(depth, o.bucket(l.ID)+1)
	}
	return depth
}

// fillBucket seeks links in bucket b while it has too few: a candidate, in a part of
// the bucket that has none if there is one, else a question to who may know.
func (o *overlay) fillBucket(b int, seek func(ID) bool, finds *int) (deficit bool) {
	var have int
	var slots [bucketLinks]bool
	for _, l := range o.c.table.sorted {
		if o.bucket(l.ID) == b && l.Role != RoleLeaf {
			have++
			slots[subSlot(o.c.self, l.ID, bucketLinks)] = true
		}
	}
	for _, h := range o.pending {
		if o.bucket(h.id) == b {
			have++
		}
	}
	for have < bucketLinks {
		cand := o.pick(b, &slots)
		if cand == nil {
			break
		}
		deficit = true
		if !seek(cand.id) {
			return true
		}
		slots[subSlot(o.c.self, cand.id, bucketLinks)] = true
		have++
	}
	if have >= bucketLinks || *finds >= findsPerTick {
		return deficit
	}
	due := o.findAt[b] + findBackoff<<min(o.findTries[b], 8)
	if o.findTries[b] > 0 && due > o.c.now {
		return deficit || o.findTries[b] <= 3
	}
	o.findAt[b] = o.c.now
	o.findTries[b]++
	*finds++
	target := o.randomIn(b)
	if l := o.c.table.closest(target, 1, func(l *link) bool { return !l.ended }); len(l) > 0 {
		o.findPeers(l[0], target)
	}
	return deficit || o.findTries[b] <= 3
}

// pick chooses a candidate of bucket b, in a part without a link before others and
// with fewer failures before others, at random among equals.
func (o *overlay) pick(b int, slots *[bucketLinks]bool) *candidate {
	var best *candidate
	var bestScore float64
	for _, cand := range o.buckets[b] {
		if !o.available(cand) {
			continue
		}
		score := o.c.rng.Float64() - float64(cand.fails)
		if !slots[subSlot(o.c.self, cand.id, bucketLinks)] {
			score += 2
		}
		if best == nil || score > bestScore {
			best, bestScore = cand, score
		}
	}
	return best
}

func (o *overlay) available(cand *candidate) bool {
	return cand.next <= o.c.now && !o.linked(cand.id) && o.handshake(cand.id) == nil
}

// randomIn gives a random id in bucket b of this peer.
func (o *overlay) randomIn(b int) ID {
	var id ID
	for i := range id {
		id[i] = byte(o.c.rng.Uint32())
	}
	for i := range b {
		if id.bit(i) != o.c.self.bit(i) {
			id = id.flipBit(i)
		}
	}
	if id.bit(b) == o.c.self.bit(b) {
		id = id.flipBit(b)
	}
	return id
}

func (o *overlay) nearCount() int {
	if o.leaf() {
		return leafNear
	}
	return nearLinks
}

// near gives the nearest peers that are linked or may be, the nearest first.
func (o *overlay) near() []neighbour {
	var all []neighbour
	n := o.nearCount()
	for _, l := range o.c.table.closest(o.c.self, n, func(l *link) bool { return o.leaf() || l.Role != RoleLeaf }) {
		all = append(all, neighbour{l.ID, l})
	}
	for i := len(o.buckets) - 1; i >= 0 && len(all) < 2*n+bucketCands; i-- {
		for _, cand := range o.buckets[i] {
			if o.available(cand) {
				all = append(all, neighbour{cand.id, nil})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b neighbour) int {
		switch {
		case o.c.self.Closer(a.id, b.id):
			return -1
		case o.c.self.Closer(b.id, a.id):
			return 1
		}
		return 0
	})
	return all[:min(n, len(all))]
}

// isNear reports whether fewer than nearCount links are nearer than id.
func (o *overlay) isNear(id ID) bool {
	nearer := 0
	o.c.table.nearest(o.c.self, func(l *link) bool {
		if !o.c.self.Closer(l.ID, id) {
			return false
		}
		if o.leaf() || l.Role != RoleLeaf {
			nearer++
		}
		return nearer < o.nearCount()
	})
	return nearer < o.nearCount()
}

// attach seeks the relays nearest to a leaf.
func (o *overlay) attach(seek func(ID) bool) (deficit bool) {
	relays := 0
	for _, l := range o.c.table.sorted {
		if l.Role != RoleLeaf {
			relays++
		}
	}
	for i := len(o.buckets) - 1; i >= 0 && relays < leafRelays && o.c.table.len() < leafCap; i-- {
		for _, cand := range slices.Clone(o.buckets[i]) {
			if relays < leafRelays && o.available(cand) {
				deficit = true
				relays++
				seek(cand.id)
			}
		}
	}
	return deficit
}

// refresh asks after new near peers: a near link often, and from time to time by a
// search that starts far away, which sees what the near links do not know.
func (o *overlay) refresh(deficit bool) {
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
		far := slices.DeleteFunc(slices.Clone(o.c.table.sorted), func(l *link) bool { return !l.native() || l.ended })
		if len(far) > 0 {
			o.lastRouted = o.c.now
			o.findRouted(far[o.c.rng.IntN(len(far))])
		}
	}
	o.wakeTick(o.lastNear + every)
	o.wakeTick(o.lastRouted + nearFindEvery)
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
		if !l.native() || !l.Dialed || l.ended || o.c.now-l.since < pruneAge || o.wanted(l) {
			continue
		}
		pruned++
		o.c.end(l, ByeUnwanted)
	}
}

// wanted reports whether a link is near, or needed in its bucket: while the bucket
// has at most twice what is sought, or as the oldest in its part of it.
func (o *overlay) wanted(l *link) bool {
	if o.isNear(l.ID) {
		return true
	}
	if l.Role == RoleLeaf {
		return false
	}
	b, slot := o.bucket(l.ID), subSlot(o.c.self, l.ID, bucketLinks)
	have, older := 0, 0
	for _, x := range o.c.table.sorted {
		if o.bucket(x.ID) != b || x.Role == RoleLeaf {
			continue
		}
		have++
		if x != l && subSlot(o.c.self, x.ID, bucketLinks) == slot && (x.since < l.since || x.since == l.since && x.handle < l.handle) {
			older++
		}
	}
	return have <= 2*bucketLinks || older == 0
}
