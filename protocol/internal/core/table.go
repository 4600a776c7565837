package core

import (
	"slices"
	"sort"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A LinkHandle names a link to a Core. The shell chooses handles; none is used twice.
type LinkHandle uint64

// A link is what the core knows of one live link.
type link struct {
	wire.LinkInfo
	handle    LinkHandle
	since     time.Duration
	heard     time.Duration // when the last frame came
	usable    bool          // a legacy link is not before it brought a message
	why       error         // it ended; nil: in order
	ended     bool          // the close was asked for; its last frames may still come
	gone      bool          // it ended because the peer is gone, not because one of the two wanted it
	replaced  bool          // likewise, as the lesser of two links to the peer
	extended  bool          // the peer knows this version's extensions
	bootstrap bool          // it leads to a bootstrap

	queuedFrames int // handed to the shell and not yet written
	queuedBytes  int

	pinged   bool
	pingedAt time.Duration
	offences int

	asks    float64 // questions that the peer may ask now
	askedAt time.Duration

	delivered     int           // entries of the delivery table that came over this link
	deliveredFrom time.Duration // since when
}

func (l *link) native() bool { return l.Kind == wire.LinkNative }

// ask reports whether the peer may ask one more question, whose answer costs a signature.
func (l *link) ask(now time.Duration) bool {
	l.asks = min(askBurst, l.asks+(now-l.askedAt).Seconds()*askRate)
	l.askedAt = now
	if l.asks < 1 {
		return false
	}
	l.asks--
	return true
}

// full reports whether the link's queue takes no further frame of size bytes. All links
// share queuesBytes; of these each has queueShare whatever the others hold.
func (c *Core) full(l *link, size int) bool {
	return l.queuedFrames >= maxQueueFrames || l.queuedBytes+size > maxQueueBytes ||
		c.queued+size > queuesBytes && l.queuedBytes > 0 && l.queuedBytes+size > queueShare
}

func (l *link) idleLimit() time.Duration {
	if l.OverWebRTC || l.Kind == wire.LinkWebRTC {
		return pingIdleWebRTC
	}
	return pingIdle
}

// A table holds every usable link, one an id, ordered by id. Buckets decide whom
// to seek, never whom to hear, so nothing is ever refused for want of room here.
type table struct {
	byID   map[wire.ID]*link
	sorted []*link
}

func (t *table) get(id wire.ID) *link { return t.byID[id] }

func (t *table) len() int { return len(t.sorted) }

func (t *table) search(id wire.ID) int {
	return sort.Search(len(t.sorted), func(i int) bool { return t.sorted[i].ID.Compare(id) >= 0 })
}

// put adds l, in place of a link to the same peer.
func (t *table) put(l *link) {
	if t.byID == nil {
		t.byID = make(map[wire.ID]*link)
	}
	i := t.search(l.ID)
	if t.byID[l.ID] != nil {
		t.sorted[i] = l
	} else {
		t.sorted = slices.Insert(t.sorted, i, l)
	}
	t.byID[l.ID] = l
}

// remove takes l out if it is the link that is in the table.
func (t *table) remove(l *link) bool {
	if t.byID[l.ID] != l {
		return false
	}
	delete(t.byID, l.ID)
	i := t.search(l.ID)
	t.sorted = slices.Delete(t.sorted, i, i+1)
	return true
}

// bucket returns the links in bucket b of self. Their ids share b bits with self and
// differ in the next one, so they lie together.
func (t *table) bucket(self wire.ID, b int) []*link {
	first := self.FlipBit(b)
	last := first
	for i := b + 1; i < wire.IDBits && i%8 != 0; i++ {
		if first.Bit(i) == 1 {
			first = first.FlipBit(i)
		}
		if last.Bit(i) == 0 {
			last = last.FlipBit(i)
		}
	}
	for i := b/8 + 1; i < wire.IDSize; i++ {
		first[i], last[i] = 0, 0xff
	}
	from := t.search(first)
	return t.sorted[from : from+sort.Search(len(t.sorted)-from, func(i int) bool { return t.sorted[from+i].ID.Compare(last) > 0 })]
}

// nearest visits the links from the nearest to target on, until visit returns
// false. Ids that share their first i bits lie together in id order, so each step
// splits a run at its next bit and goes into target's half first.
func (t *table) nearest(target wire.ID, visit func(*link) bool) {
	walkNearest(t.sorted, target, 0, visit)
}

func walkNearest(run []*link, target wire.ID, bit int, visit func(*link) bool) bool {
	for {
		switch len(run) {
		case 0:
			return true
		case 1:
			return visit(run[0])
		}
		bit = max(bit, run[0].ID.CommonPrefixLen(run[len(run)-1].ID))
		split := sort.Search(len(run), func(i int) bool { return run[i].ID.Bit(bit) == 1 })
		first, second := run[:split], run[split:]
		if target.Bit(bit) == 1 {
			first, second = second, first
		}
		if !walkNearest(first, target, bit+1, visit) {
			return false
		}
		run, bit = second, bit+1
	}
}

// closest returns up to n links nearest to target for which keep holds.
func (t *table) closest(target wire.ID, n int, keep func(*link) bool) []*link {
	var out []*link
	t.nearest(target, func(l *link) bool {
		if keep == nil || keep(l) {
			out = append(out, l)
		}
		return len(out) < n
	})
	return out
}
