package overlay

import (
	"math/bits"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/candidates"
	"github.com/peer-relay/peer-relay/protocol/internal/idtable"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// failed counts a failure of a candidate and backs off.
func (o *Overlay) failed(id wire.ID, backoff time.Duration) {
	if cand, wait := o.cands.Failed(o.host.Now(), id, backoff); cand != nil {
		cand.Next = o.host.Now() + o.jitter(wait)
	}
}

func (o *Overlay) available(cand *candidates.Candidate) bool {
	return cand.Next <= o.host.Now() && !o.linked(cand.ID) && o.handshake(cand.ID) == nil
}

// Useful reports whether a link to id would be wanted if there were no other candidates: its
// bucket has too few links, or it is nearer than the farthest near link.
func (o *Overlay) Useful(id wire.ID) bool { return o.lacks(o.bucket(id)) || o.isNear(id) }

// lacks reports whether a bucket has too few links.
func (o *Overlay) lacks(b int) bool {
	n := 0
	for l := range o.host.Bucket(b) {
		if l.counts() {
			if n++; n == bucketLinks {
				return false
			}
		}
	}
	return true
}

// --- filling the table

// A neighbour is a near peer: a linked peer, one with a handshake in flight, or a candidate.
type neighbour struct {
	id   wire.ID
	have bool // linked, or with a handshake in flight
}

// seeker returns a function that sends an offer to a peer. The function returns false if
// maxPending of the handshakes that count are in flight.
func (o *Overlay) seeker(counts func(*handshake) bool) func(wire.ID) bool {
	budget := maxPending
	if o.filling() {
		budget = mostEager
	}
	for _, h := range o.pending {
		if h.mine && counts(h) {
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

// isFresh reports whether a handshake counts while links are missing. An offer that was not answered in the
// usual time does not: where many candidates have died, the others would wait for it.
func (o *Overlay) isFresh(h *handshake) bool { return h.dialing || h.likely > o.host.Now() }

// isAny is for links that are not missing.
func isAny(*handshake) bool { return true }

// fill seeks the missing links, and reports whether there are any.
func (o *Overlay) fill() (deficit bool) {
	if !o.connected() {
		return o.cands.Len() > 0
	}
	seek := o.seeker(o.isFresh)
	o.fillWanted(seek)
	o.learn(o.self, o.nearCount(), o.nearBound())
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
	var depth int // all peers in buckets from here on are near ones
	if len(near) >= nearLinks {
		depth = o.bucket(near[nearLinks-1].id)
	} else {
		depth = o.deepest()
	}
	finds := 0
	o.depth = depth
	for b := range depth {
		if o.fillBucket(b, seek, &finds) {
			deficit = true
		}
	}
	return deficit
}

// fillWanted seeks the peers that the application asked for.
func (o *Overlay) fillWanted(seek func(wire.ID) bool) {
	if !o.wanting || !o.connected() { // mostly nothing is wanted, and there are hundreds of candidates
		return
	}
	wanting := false
	for i := range o.cands.Depth() {
		for cand := range o.cands.Bucket(i) {
			wanting = wanting || cand.Wanted
			if cand.Wanted && o.available(cand) && !seek(cand.ID) {
				return
			}
		}
	}
	o.wanting = wanting
}

// deepest returns the index of the first bucket without a linked peer in it or after it.
func (o *Overlay) deepest() (depth int) {
	if near := o.host.Closest(o.self, 1, nil); len(near) > 0 {
		depth = o.bucket(near[0].ID) + 1
	}
	return depth
}

// fillBucket seeks links in bucket b while it has too few. It offers links to candidates: the first to the
// nearest in time, and then in parts of the bucket without a link first. For each offer that is not answered in
// the usual time it makes two more at once, since many of the candidates may have died. If candidates are missing,
// it asks the linked peer that is nearest to a random id of the bucket.
func (o *Overlay) fillBucket(b int, seek func(wire.ID) bool, finds *int) (deficit bool) {
	var have int
	var slots [bucketLinks]bool
	for l := range o.host.Bucket(b) {
		if l.counts() {
			have++
			slots[subSlot(o.self, l.ID, bucketLinks)] = true
		}
	}
	o.missing[b] = have < bucketLinks
	if !o.missing[b] {
		return false
	}
	want := bucketLinks
	for _, h := range o.pending {
		switch {
		case o.bucket(h.id) != b:
		case o.hopeful(h):
			have++
		case h.mine:
			want++
		}
	}
	o.learn(o.randomIn(b), 2*bucketLinks, func(id wire.ID) bool { return o.bucket(id) == b })
	for have < want {
		var cand *candidates.Candidate
		if have == 0 { // the others are chosen at random, so that no linked peer chooses all by the times that it names
			cand = o.quickest(b)
		}
		if cand == nil {
			cand = o.pick(b, &slots)
		}
		if cand == nil {
			break
		}
		deficit = true
		if !seek(cand.ID) {
			return true
		}
		slots[subSlot(o.self, cand.ID, bucketLinks)] = true
		have++
	}
	if have >= want || *finds >= findsPerTick {
		return deficit
	}
	due := o.findAt[b] + findBackoff<<min(o.findTries[b], 8)
	if o.findTries[b] > 0 && due > o.host.Now() {
		o.wakeTick(due)
		return deficit || o.findTries[b] <= 3
	}
	o.findAt[b] = o.host.Now()
	o.findTries[b]++
	*finds++
	target := o.randomIn(b)
	if l := o.host.Closest(target, 1, func(l *Link) bool { return !l.Ended }); len(l) > 0 {
		o.findPeers(l[0], target)
	}
	return deficit || o.findTries[b] <= 3
}

// pick returns an available candidate of bucket b, or nil. It prefers candidates in a part
// without a link, with fewer failures, and named recently. Among equals the choice is random.
func (o *Overlay) pick(b int, slots *[bucketLinks]bool) *candidates.Candidate {
	var best *candidates.Candidate
	var bestScore float64
	for cand := range o.cands.Bucket(b) {
		if !o.available(cand) {
			continue
		}
		age := min(float64(o.host.Now()-cand.Heard)/float64(candFresh), 2)
		score := o.rng.Float64() - float64(cand.Fails) - age
		if !slots[subSlot(o.self, cand.ID, bucketLinks)] {
			score += 2
		}
		if o.isBootstrap(cand.ID) {
			score -= candidates.MaxFails // the last choice, since it serves all peers
		}
		if best == nil || score > bestScore {
			best, bestScore = cand, score
		}
	}
	return best
}

// quickest returns the available candidate of bucket b that seems to be the nearest in time, of those that linked
// peers have named. It returns nil if no time is known.
func (o *Overlay) quickest(b int) *candidates.Candidate {
	var best guess
	o.guesses(b, func(g guess) {
		if (best.most == 0 || g.time() < best.time()) && o.seekable(g, o.cands.Get(g.id)) {
			best = g
		}
	})
	if best.most == 0 {
		return nil
	}
	return o.cands.Learn(o.host.Now(), best.id, best.by)
}

// randomIn returns a random id in bucket b of this peer.
func (o *Overlay) randomIn(b int) wire.ID {
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

func (o *Overlay) nearCount() int {
	if o.leaf() {
		return leafNear
	}
	return nearLinks
}

// near returns the nearest of the linked peers, the handshakes and the candidates, the
// nearest first. For each offer to a near peer that was not answered in the usual time it returns one more, since
// many of the candidates may have died, but none that is farther than enough links and handshakes.
func (o *Overlay) near() []neighbour {
	var all []neighbour
	n := o.nearCount()
	for _, l := range o.host.Closest(o.self, n, o.neighbourly) {
		all = append(all, neighbour{l.ID, true})
	}
	linked, unanswered := len(all), 0
	for _, h := range o.pending {
		switch {
		case o.linked(h.id):
		case o.hopeful(h):
			all = append(all, neighbour{h.id, true})
		case h.mine && h.likely <= o.host.Now() && (linked < n || o.self.Closer(h.id, all[n-1].id)):
			unanswered++
		}
	}
	var failed []neighbour // they do not keep others from being sought
	for i := o.cands.Depth() - 1; i >= 0; i-- {
		if linked == n && i < o.bucket(all[n-1].id) {
			break // all candidates from here on are farther than n links
		}
		for cand := range o.cands.Bucket(i) {
			switch {
			case !o.available(cand):
			case cand.Fails > 0:
				failed = append(failed, neighbour{cand.ID, false})
			default:
				all = append(all, neighbour{cand.ID, false})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b neighbour) int { return idtable.CompareDistance(o.self, a.id, b.id) })
	have := 0
	for i, x := range all {
		if have == n || i == n+unanswered {
			all = all[:i]
			break
		}
		if x.have {
			have++
		}
	}
	for _, f := range failed {
		if len(all) < n || o.self.Closer(f.id, all[n-1].id) {
			all = append(all, f)
		}
	}
	return all
}

// hopeful reports whether a handshake is likely to lead to a link: it is new, or was answered just now. Otherwise
// another peer is sought as well, since that one may have died.
func (o *Overlay) hopeful(h *handshake) bool {
	if h.likely <= o.host.Now() {
		return false
	}
	cand := o.cands.Get(h.id)
	return !h.mine || h.dialing || cand == nil || cand.Fails == 0
}

// neighbourly reports whether a link can be a near link. A link to a leaf can be one only for
// another leaf, since a leaf does not relay.
func (o *Overlay) neighbourly(l *Link) bool {
	return l.Answers() && (o.leaf() || l.Role != wire.RoleLeaf)
}

// nearBound returns isNear for many ids, as long as the links stay the same.
func (o *Overlay) nearBound() func(wire.ID) bool { return o.nearAmong(o.neighbourly) }

// nearAmong returns a function that reports whether fewer than nearCount of the links that fit are nearer than an id.
func (o *Overlay) nearAmong(fit func(*Link) bool) func(wire.ID) bool {
	left := o.nearCount()
	var farthest wire.ID
	o.host.Nearest(o.self, func(l *Link) bool {
		if fit(l) {
			left--
			farthest = l.ID
		}
		return left > 0
	})
	if left > 0 {
		return func(wire.ID) bool { return true }
	}
	return func(id wire.ID) bool { return !o.self.Closer(farthest, id) }
}

// isNear reports whether fewer than nearCount links are nearer than id.
func (o *Overlay) isNear(id wire.ID) bool { return o.nearBound()(id) }

// Encloses reports whether this peer has all its near links, and an id is nearer than the farthest of
// them.
func (o *Overlay) Encloses(id wire.ID) bool {
	near := o.host.Closest(o.self, nearLinks, o.neighbourly)
	return !o.leaf() && len(near) == nearLinks && o.self.Closer(id, near[nearLinks-1].ID)
}

// Surrounds reports whether this peer would be linked with a peer of that id. After a near peer died,
// it does not know for a while: the farthest near link may be a new one, and peers that are nearer may
// not be linked yet. Nor is it linked at once with a peer that joins.
func (o *Overlay) Surrounds(id wire.ID) bool {
	if o.host.Now() < o.diedUntil && id != o.died {
		return false
	}
	h, cand := o.handshake(id), o.cands.Get(id)
	if h != nil && !h.mine || cand != nil && cand.Fails == 0 && cand.Source != id && (h != nil || o.host.Now()-cand.Heard < nearRepair) {
		return false
	}
	return o.Encloses(id)
}

// attach seeks links from this leaf to the nearest relays.
func (o *Overlay) attach(near []neighbour, seek func(wire.ID) bool) (deficit bool) {
	relays := 0
	for l := range o.host.Links() {
		if l.Role != wire.RoleLeaf {
			relays++
		}
	}
	for _, h := range o.pending {
		if !slices.ContainsFunc(near, func(n neighbour) bool { return n.id == h.id }) {
			relays++ // the peer may be a relay
		}
	}
	for i := o.cands.Depth() - 1; i >= 0; i-- {
		for cand := range o.cands.Bucket(i) {
			if relays >= leafRelays || o.host.LinkCount()+len(o.pending) >= leafCap {
				return deficit
			}
			if o.available(cand) && seek(cand.ID) {
				deficit = true
				relays++
			}
		}
	}
	return deficit
}

// subSlot returns the part of its bucket that an id is in, so that links can be spread over
// the bucket. The number is made of the bits after the first bit in which id and self differ.
func subSlot(self, id wire.ID, slots int) int {
	b := self.CommonPrefixLen(id)
	k := bits.Len(uint(slots - 1))
	slot := 0
	for i := b + 1; i <= b+k && i < wire.IDBits; i++ {
		slot = slot<<1 | int(id.Bit(i))
	}
	return slot
}
