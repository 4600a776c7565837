package core

import (
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/journal"
	"github.com/peer-relay/peer-relay/protocol/internal/lookahead"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// Peers tell their links which links they have. So the next hop of a message is chosen by the hop
// after it, and news of a peer that joins or dies travels fast.

// A view is what this peer tells its links of its own, and what it knows of theirs.
type view struct {
	list   lookahead.List         // of this peer
	ahead  lookahead.Table[*link] // of the linked peers
	tellAt time.Duration          // when the list is looked at next; 0 means that nothing has changed
	size   int                    // bits in which the network's peers differ: the logarithm of its size
	pace   time.Duration          // mean time of a message over one of this peer's links
}

// A listener is what a linked peer was told, and has told.
type listener struct {
	names   bool          // both peers know the feature
	version uint64        // of the list, that the peer knows
	nextAt  time.Duration // when it may be told again
	listed  bool          // the link was named when the list was last looked at
}

// changedLinks has the list looked at soon: changes that come together are told together.
func (c *Core) changedLinks() {
	if c.tellAt == 0 {
		c.tellAt = c.now + tellSoon
	}
	c.wakeBy(c.tellAt)
}

// tickPeers tells the links what has changed.
func (c *Core) tickPeers() {
	if c.tellAt == 0 && slices.ContainsFunc(c.order, func(l *link) bool { return l.Usable && l.Answers() != l.listed }) {
		c.tellAt = c.now + tellSoon
	}
	switch {
	case c.tellAt == 0:
		return
	case c.now < c.tellAt:
		c.wakeBy(c.tellAt)
		return
	}
	c.tellAt = 0
	c.relist()
	for _, l := range c.table.All() {
		c.tellPeers(l)
	}
}

// relist brings the list up to date.
func (c *Core) relist() {
	var trips, native time.Duration
	for _, l := range c.order {
		was := l.listed
		if l.listed = l.Usable && l.Answers(); was && !l.listed && !l.Ended {
			c.overlay.Silent(&l.Link)
		}
		if l.listed && l.Native() {
			trips, native = trips+l.trip(), native+1
		}
	}
	if native > 0 {
		c.pace = trips / native / 2
	}
	links := c.nameable()
	named := make([]wire.Neighbour, len(links))
	for i, l := range links {
		named[i] = wire.Neighbour{ID: l.ID, Time: wire.CodeTime(l.rtt)}
	}
	c.list.Set(named, func(id wire.ID) bool {
		l := c.table.Get(id)
		return l != nil && !l.Ended && !l.Answers()
	})
	c.size = c.overlay.Bits()
}

// nameable returns the links that the others are told of, in the order of their ids. Of a peer with
// very many links these are the nearest and the oldest ones.
func (c *Core) nameable() []*link {
	links := slices.DeleteFunc(slices.Clone(c.table.All()), func(l *link) bool { return !l.Answers() })
	if len(links) <= mostNamed {
		return links
	}
	near := c.table.Closest(c.self, mostNamed/4, (*link).Answers)
	links = slices.DeleteFunc(links, func(l *link) bool { return slices.Contains(near, l) })
	slices.SortFunc(links, func(a, b *link) int { return int(min(max(a.Since-b.Since, -1), 1)) })
	links = append(links[:mostNamed-len(near)], near...)
	slices.SortFunc(links, func(a, b *link) int { return a.ID.Compare(b.ID) })
	return links
}

// tellPeers tells a linked peer what it does not know yet of this peer's links. The traffic of one
// link is limited: a long frame is followed by a long pause.
func (c *Core) tellPeers(l *link) {
	if !l.names || l.Ended || l.version == c.list.Version() {
		return
	}
	if c.now < l.nextAt {
		if c.tellAt == 0 || l.nextAt < c.tellAt {
			c.tellAt = l.nextAt
		}
		c.wakeBy(c.tellAt)
		return
	}
	n := c.list.Since(l.version, l.ID)
	if !n.Reset && len(n.Named)+len(n.Gone)+len(n.Lost) == 0 { // the change is the peer itself
		l.version = c.list.Version()
		return
	}
	f, err := wire.NewNeighbours(n)
	if err != nil || c.full(l, f.Size()) {
		return // it is told with the next change
	}
	l.version = c.list.Version()
	l.nextAt = c.now + max(tellEvery, time.Duration(f.Size())*time.Minute/tellBytes)
	c.transmit(l, f)
}

// heardPeers processes the neighbours that a linked peer names.
func (c *Core) heardPeers(l *link, n *wire.Neighbours) {
	if !l.names {
		c.drop(journal.DropUnknown, nil)
		return
	}
	if l.Ended {
		return
	}
	if n.Reset {
		c.ahead.Drop(l)
		l.Named = 0
	}
	named := slices.DeleteFunc(slices.Clone(n.Named), func(p wire.Neighbour) bool { return p.ID == c.self })
	named = named[:min(len(named), wire.MaxNamed-l.Named)]
	l.Named += c.ahead.Put(l, named)
	for _, id := range slices.Concat(n.Gone, n.Lost) {
		if c.ahead.Remove(l, id) {
			l.Named--
		}
		if !c.ahead.Names(id) {
			c.overlay.Forget(id)
		}
	}
	// That a peer is lost is a hint: it makes this peer ping it. A peer that was heard just now is
	// not pinged, so liars cause little traffic.
	for _, id := range n.Lost {
		if x := c.table.Get(id); x != nil && x != l && x.Answers() && !x.pinged && c.now-x.heard >= doubtAfter {
			c.ping(x)
		}
	}
	c.overlay.Named(named)
}

// trip returns the round trip time of a link, the usual one if it is not known.
func (l *link) trip() time.Duration {
	if l.rtt == 0 {
		return usualTrip
	}
	return l.rtt
}

// A way is a link by which a message may go on.
type way struct {
	link *link
	time time.Duration // the expected time until the message arrives
}

// quickest returns the two links by which a message is expected to arrive first, by the times of
// the next two hops and what lies beyond them. It takes the links that are near the receiver, and
// those whose peers name a neighbour that is nearer to it than this peer.
func (c *Core) quickest(f *wire.Frame, near []*link, takes func(*link) bool) (ways [2]way) {
	to := f.Body.To
	add := func(l *link, time time.Duration) {
		switch {
		case ways[0].link == l:
			ways[0].time = min(ways[0].time, time)
		case ways[0].link == nil || time < ways[0].time:
			ways[0], ways[1] = way{l, time}, ways[0]
		case ways[1].link == nil || time < ways[1].time:
			ways[1] = way{l, time}
		}
	}
	for _, l := range near {
		if l != nil {
			add(l, l.trip()/2+c.rest(to.CommonPrefixLen(l.ID)))
		}
	}
	seen := 0
	c.ahead.Nearest(to, func(e lookahead.Entry[*link]) bool {
		if seen++; seen > mostAhead || !to.Closer(e.ID, c.self) {
			return false
		}
		l := e.Via
		if l.Role == wire.RoleLeaf || l.Ended || f.InPath(e.ID) || !takes(l) {
			return true
		}
		time := l.trip()/2 + e.Time.Duration()/2
		if e.ID != to {
			time += c.rest(to.CommonPrefixLen(e.ID))
		}
		add(l, time)
		return true
	})
	return ways
}

// rest returns the expected time from a peer that shares common bits with the receiver. Among the
// receiver's near peers it is one hop. A hop that is not known yet costs half as much again as the mean,
// since what is known is better than what is expected.
func (c *Core) rest(common int) time.Duration {
	const nearBits = 3 // the binary logarithm of nearLinks
	hop := c.pace + c.pace/2
	return hop + hop*time.Duration(max(0, c.size-nearBits-common))/bitsAHop
}

// knowsAround reports whether the peers near an id have named their neighbours, and none of these
// has the id, nor has this peer lately heard of it.
func (c *Core) knowsAround(id wire.ID) bool {
	for _, l := range c.table.Closest(id, knownAround, (*link).Answers) {
		if l.Named == 0 {
			return false
		}
	}
	unknown := true
	c.ahead.Nearest(id, func(e lookahead.Entry[*link]) bool {
		unknown = e.ID != id
		return false
	})
	return unknown && !c.overlay.HeardOf(id)
}
