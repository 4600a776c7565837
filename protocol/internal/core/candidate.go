package core

import (
	"cmp"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A candidate is a peer that is known and not, or not yet, linked.
type candidate struct {
	id      wire.ID
	source  wire.ID       // the peer that told of it, itself if it was linked or asked for
	heard   time.Duration // when it was last told of
	next    time.Duration // when it may be sought
	shunned time.Duration // until when its offers are refused
	fails   int
	wanted  bool // the application asked for it
}

// learn notes a candidate that source told of. It returns nil if there is no room:
// a bucket holds bucketCands, and one source fills at most sourceCands places.
func (o *overlay) learn(id, source wire.ID) *candidate {
	if cand := o.cands[id]; cand != nil {
		cand.heard = o.host.clock()
		return cand
	}
	if id == o.self || source != id && o.sources[source] >= sourceCands {
		return nil
	}
	bucket := o.buckets[o.bucket(id)]
	if len(bucket) >= bucketCands {
		worst := worstOf(bucket)
		if worst.wanted || worst.shunned > o.host.clock() || worst.fails == 0 && o.host.clock()-worst.heard < candStale {
			return nil
		}
		o.forget(worst)
	}
	return o.add(id, source)
}

// hold notes a candidate that the application named; there is always room for it.
func (o *overlay) hold(id wire.ID) *candidate {
	if cand := o.cands[id]; cand != nil {
		return cand
	}
	if id == o.self {
		return nil
	}
	if bucket := o.buckets[o.bucket(id)]; len(bucket) >= bucketCands {
		o.forget(worstOf(bucket))
	}
	return o.add(id, id)
}

func (o *overlay) add(id, source wire.ID) *candidate {
	cand := &candidate{id: id, source: source, heard: o.host.clock()}
	o.cands[id] = cand
	if source != id {
		o.sources[source]++
	}
	b := o.bucket(id)
	o.buckets[b] = append(o.buckets[b], cand)
	return cand
}

// worstOf returns the candidate to evict first: none that the application named if
// there is another, then the one that failed most, then the longest unheard of.
func worstOf(bucket []*candidate) *candidate {
	return slices.MaxFunc(bucket, func(a, b *candidate) int {
		if x, y := a.wanted || a.shunned > 0, b.wanted || b.shunned > 0; x != y {
			if x {
				return -1
			}
			return 1
		}
		if a.fails != b.fails {
			return a.fails - b.fails
		}
		return cmp.Compare(b.heard, a.heard)
	})
}

func (o *overlay) forget(cand *candidate) {
	delete(o.cands, cand.id)
	if cand.source != cand.id {
		if o.sources[cand.source]--; o.sources[cand.source] == 0 {
			delete(o.sources, cand.source)
		}
	}
	b := &o.buckets[o.bucket(cand.id)]
	*b = slices.DeleteFunc(*b, func(x *candidate) bool { return x == cand })
}

// failed backs a candidate off, twice as long each time. After maxCandFails it is forgotten
// once no peer tells of it any more: forgotten sooner it would be learned again and tried
// as if it never had failed.
func (o *overlay) failed(id wire.ID, backoff time.Duration) {
	cand := o.cands[id]
	if cand == nil {
		return
	}
	if cand.fails++; cand.fails >= maxCandFails {
		cand.wanted = false
		if o.host.clock()-cand.heard > candLast {
			o.forget(cand)
			return
		}
	}
	cand.next = o.host.clock() + o.jitter(min(backoff<<(min(cand.fails, maxCandFails)-1), candLast))
}

func (o *overlay) available(cand *candidate) bool {
	return cand.next <= o.host.clock() && !o.linked(cand.id) && o.handshake(cand.id) == nil
}

// useful reports whether a link to id would be wanted if there were no other
// candidates: it fills a bucket or is nearer than the farthest near link.
func (o *overlay) useful(id wire.ID) bool {
	return o.inBucket(o.bucket(id)) < bucketLinks || o.isNear(id)
}

func (o *overlay) inBucket(b int) (n int) {
	for _, l := range o.host.bucket(b) {
		if l.counts() {
			n++
		}
	}
	return n
}

// counts reports whether a link fills a place in its bucket. Leaves do not relay, and
// a bootstrap that all peers counted on would carry the messages of all.
func (l *link) counts() bool { return l.Role != wire.RoleLeaf && !l.bootstrap && !l.ended }

// --- filling the table

// A neighbour is a peer that is linked, or is asked for a link, or may be asked.
type neighbour struct {
	id   wire.ID
	have bool // linked or asked
}

// seeker returns a function that offers a link, as long as few offers are pending.
func (o *overlay) seeker() func(wire.ID) bool {
	budget := maxPending
	for _, h := range o.pending {
		if h.mine {
			budget--
		}
	}
	return func(id wire.ID) bool {
		if budget <= 0 {
			return false
		}
		budget--
		o.offer(id)
		return true
	}
}

// fill seeks the links that are missing and reports whether any are.
func (o *overlay) fill() (deficit bool) {
	if !o.host.connected() {
		return len(o.cands) > 0
	}
	seek := o.seeker()
	o.fillWanted(seek)
	near := o.near()
	for _, n := range near {
		if !o.linked(n.id) {
			deficit = true
		}
		if !n.have {
			seek(n.id)
		}
	}
	if o.leaf() {
		return o.attach(near, seek) || deficit
	}
	var depth int // buckets from here on hold near peers only
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

// fillWanted seeks the peers that the application asked for.
func (o *overlay) fillWanted(seek func(wire.ID) bool) {
	if !o.host.connected() {
		return
	}
	for i := range o.buckets {
		for _, cand := range o.buckets[i] {
			if cand.wanted && o.available(cand) && !seek(cand.id) {
				return
			}
		}
	}
}

// deepest returns the bucket above which all linked peers lie.
func (o *overlay) deepest() (depth int) {
	if near := o.host.closest(o.self, 1, nil); len(near) > 0 {
		depth = o.bucket(near[0].ID) + 1
	}
	return depth
}

// fillBucket seeks links in bucket b while it has too few: a candidate, in a part of
// the bucket that has none if there is one, otherwise a question to a peer that may know.
func (o *overlay) fillBucket(b int, seek func(wire.ID) bool, finds *int) (deficit bool) {
	var have int
	var slots [bucketLinks]bool
	for _, l := range o.host.bucket(b) {
		if l.counts() {
			have++
			slots[subSlot(o.self, l.ID, bucketLinks)] = true
		}
	}
	if have >= bucketLinks {
		return false
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
		slots[subSlot(o.self, cand.id, bucketLinks)] = true
		have++
	}
	if have >= bucketLinks || *finds >= findsPerTick {
		return deficit
	}
	due := o.findAt[b] + findBackoff<<min(o.findTries[b], 8)
	if o.findTries[b] > 0 && due > o.host.clock() {
		o.wakeTick(due)
		return deficit || o.findTries[b] <= 3
	}
	o.findAt[b] = o.host.clock()
	o.findTries[b]++
	*finds++
	target := o.randomIn(b)
	if l := o.host.closest(target, 1, func(l *link) bool { return !l.ended }); len(l) > 0 {
		o.findPeers(l[0], target)
	}
	return deficit || o.findTries[b] <= 3
}

// pick chooses a candidate of bucket b, in a part without a link before others, with
// fewer failures before others, lately heard of before others, at random among equals.
func (o *overlay) pick(b int, slots *[bucketLinks]bool) *candidate {
	var best *candidate
	var bestScore float64
	for _, cand := range o.buckets[b] {
		if !o.available(cand) {
			continue
		}
		age := min(float64(o.host.clock()-cand.heard)/float64(candStale), 2)
		score := o.rng.Float64() - float64(cand.fails) - age
		if !slots[subSlot(o.self, cand.id, bucketLinks)] {
			score += 2
		}
		if o.isBootstrap(cand.id) {
			score -= maxCandFails // the last choice: it serves all peers
		}
		if best == nil || score > bestScore {
			best, bestScore = cand, score
		}
	}
	return best
}

// randomIn returns a random id in bucket b of this peer.
func (o *overlay) randomIn(b int) wire.ID {
	var id wire.ID
	for i := range id {
		id[i] = byte(o.rng.Uint32())
	}
	for i := range b {
		if id.Bit(i) != o.self.Bit(i) {
			id = id.FlipBit(i)
		}
	}
	if id.Bit(b) == o.self.Bit(b) {
		id = id.FlipBit(b)
	}
	return id
}

func (o *overlay) nearCount() int {
	if o.leaf() {
		return leafNear
	}
	return nearLinks
}

// near returns the nearest peers that are linked or may be, the nearest first.
func (o *overlay) near() []neighbour {
	var all []neighbour
	n := o.nearCount()
	for _, l := range o.host.closest(o.self, n, o.neighbourly) {
		all = append(all, neighbour{l.ID, true})
	}
	linked := len(all)
	for _, h := range o.pending {
		if !o.linked(h.id) {
			all = append(all, neighbour{h.id, true})
		}
	}
	for i := len(o.buckets) - 1; i >= 0; i-- {
		if linked == n && i < o.bucket(all[n-1].id) {
			break // what follows is farther than n links are
		}
		for _, cand := range o.buckets[i] {
			if o.available(cand) {
				all = append(all, neighbour{cand.id, false})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b neighbour) int {
		switch {
		case o.self.Closer(a.id, b.id):
			return -1
		case o.self.Closer(b.id, a.id):
			return 1
		}
		return 0
	})
	return all[:min(n, len(all))]
}

// neighbourly reports whether a link can be one of the near ones. A leaf does not
// relay, so only another leaf counts it.
func (o *overlay) neighbourly(l *link) bool {
	return !l.ended && (o.leaf() || l.Role != wire.RoleLeaf)
}

// isNear reports whether fewer than nearCount links are nearer than id.
func (o *overlay) isNear(id wire.ID) bool {
	nearer := 0
	o.host.nearest(o.self, func(l *link) bool {
		if !o.self.Closer(l.ID, id) {
			return false
		}
		if o.neighbourly(l) {
			nearer++
		}
		return nearer < o.nearCount()
	})
	return nearer < o.nearCount()
}

// attach seeks the relays nearest to a leaf.
func (o *overlay) attach(near []neighbour, seek func(wire.ID) bool) (deficit bool) {
	relays := 0
	for _, l := range o.host.links() {
		if l.Role != wire.RoleLeaf {
			relays++
		}
	}
	for _, h := range o.pending {
		if !slices.ContainsFunc(near, func(n neighbour) bool { return n.id == h.id }) {
			relays++ // it may be one
		}
	}
	for i := len(o.buckets) - 1; i >= 0; i-- {
		for _, cand := range o.buckets[i] {
			if relays >= leafRelays || len(o.host.links())+len(o.pending) >= leafCap {
				return deficit
			}
			if o.available(cand) && seek(cand.id) {
				deficit = true
				relays++
			}
		}
	}
	return deficit
}
