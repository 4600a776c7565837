package core

import (
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/journal"
	"github.com/peer-relay/peer-relay/protocol/internal/lookahead"
	"github.com/peer-relay/peer-relay/protocol/internal/rate"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// Peers tell their links which links they have. So the next hop of a message is chosen by the hop
// after it, and news of a peer that joins or dies travels fast.

// A view is what this peer tells its links of its own, and what it knows of theirs.
type view struct {
	list     lookahead.List         // of this peer
	ahead    lookahead.Table[*link] // of the linked peers
	tellAt   time.Duration          // when a link is told next; 0 means that nothing has changed
	relistAt time.Duration          // when the list is made again, since links have changed; 0 means that none has
	silence  bool                   // a link does not answer, or one had stopped to since the list was made
	size     int                    // bits in which the network's peers differ: the logarithm of its size
	pace     time.Duration          // mean time of a message over one of this peer's links

	lossFrom time.Duration // when the count of lost neighbours began
	losses   int           // neighbours that linked peers have lost since
}

// A listener is what a linked peer was told, and has told.
type listener struct {
	names   bool           // both peers know the feature
	listed  bool           // the link was named when the list was last looked at
	once    bool           // it has been named
	news    rate.Allowance // frames of the peer that are taken
	version uint64         // of the list, that the peer knows
	nextAt  time.Duration  // when it may be told again
}

// changedLinks has the list made again after a time, or sooner with other changes: what comes together is told
// together.
func (c *Core) changedLinks(after time.Duration) {
	if at := c.now + after; c.relistAt == 0 || at < c.relistAt {
		c.relistAt = at
	}
	c.tellBy(c.relistAt)
}

func (c *Core) tellBy(at time.Duration) {
	if c.tellAt == 0 || at < c.tellAt {
		c.tellAt = at
	}
	c.tickBy(c.tellAt)
}

// tickPeers tells the links what has changed.
func (c *Core) tickPeers() {
	due := c.tellAt != 0 && c.now >= c.tellAt
	if due {
		c.tellAt = 0
	}
	switch {
	case c.relistAt != 0 && c.now >= c.relistAt:
		c.relist()
	case c.silence && slices.ContainsFunc(c.order, (*link).changed):
		c.changedLinks(tellSoon)
	case c.relistAt != 0:
		c.tellBy(c.relistAt)
	case c.tellAt != 0:
		c.tickBy(c.tellAt)
	}
	if !due {
		return
	}
	var news []told // a few at most, since links mostly know one of a few versions
	for _, l := range c.table.All() {
		c.tellPeers(l, &news)
	}
}

// changed reports whether the peer of a link that has been named does not answer any longer, or answers again.
func (l *link) changed() bool { return l.once && !l.Ended && l.Answers() != l.listed }

// told is what a link was told: what has changed since a version of the list.
type told struct {
	since uint64
	frame *wire.Frame
}

// relist brings the list up to date.
func (c *Core) relist() {
	var trips, native time.Duration
	c.silence, c.relistAt = false, 0
	for _, l := range c.order {
		c.silence = c.silence || !l.Answers()
		was := l.listed
		l.listed = l.Usable && l.Answers()
		l.once = l.once || l.listed
		if was && !l.listed && !l.Ended {
			c.overlay.Silent(&l.Link)
		} else if l.listed && !was {
			c.overlay.Answering(&l.Link)
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
		named[i] = wire.Neighbour{ID: l.ID, Time: wire.CodeTime(l.Trip)}
	}
	c.list.Set(named, func(id wire.ID) bool {
		l := c.table.Get(id)
		return l != nil && !l.Ended && !l.Answers()
	})
	c.size = c.overlay.Bits()
}

// nameable returns the links that the others are told of, in the order of their ids. Of a peer with
// very many links these are the nearest and the oldest ones. Leaves are not among them, since only the
// peers that are linked with one lead to it. A link that is being replaced is.
func (c *Core) nameable() []*link {
	fit := func(l *link) bool { return l.Role != wire.RoleLeaf && (l.Answers() || l.Ended && l.Replaced) }
	links := slices.DeleteFunc(slices.Clone(c.table.All()), func(l *link) bool { return !fit(l) })
	if len(links) <= mostNamed {
		return links
	}
	near := c.table.Closest(c.self, mostNamed/4, fit)
	links = slices.DeleteFunc(links, func(l *link) bool { return slices.Contains(near, l) })
	slices.SortFunc(links, func(a, b *link) int { return int(min(max(a.Since-b.Since, -1), 1)) })
	links = append(links[:mostNamed-len(near)], near...)
	slices.SortFunc(links, func(a, b *link) int { return a.ID.Compare(b.ID) })
	return links
}

// tellPeers tells a linked peer what it does not know yet of this peer's links. Most links are told the
// same at once, so what other links were told is not made again. The traffic of one link is limited: a long
// frame is followed by a long pause.
func (c *Core) tellPeers(l *link, news *[]told) {
	if !l.names || l.Ended || l.version == c.list.Version() {
		return
	}
	if c.now < l.nextAt {
		c.tellBy(l.nextAt)
		return
	}
	f, err := c.newsFor(l, news)
	if err != nil {
		return
	}
	if f == nil { // the change is the peer itself
		l.version = c.list.Version()
		return
	}
	if c.full(l, f.Size()) {
		l.nextAt = c.now + tellEvery
		c.tellBy(l.nextAt)
		return
	}
	l.version = c.list.Version()
	l.nextAt = c.now + max(tellEvery, time.Duration(f.Size())*time.Minute/tellBytes)
	c.transmit(l, f)
}

// newsFor returns a frame with what a link is to be told, nil for nothing. If others may be told the same, it
// is added to the news.
func (c *Core) newsFor(l *link, news *[]told) (*wire.Frame, error) {
	about := c.list.Changed(l.ID, l.version)
	if !about {
		if i := slices.IndexFunc(*news, func(t told) bool { return t.since == l.version }); i >= 0 {
			return (*news)[i].frame.Copy(), nil
		}
	}
	n := c.list.Since(l.version, l.ID)
	if !n.Reset && len(n.Named)+len(n.Gone)+len(n.Lost) == 0 {
		return nil, nil
	}
	f, err := wire.NewNeighbours(n)
	if err == nil && !about {
		*news = append(*news, told{l.version, f})
	}
	return f, err
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
	if !l.news.Take(c.now, heardBurst, heardRate) {
		c.drop(journal.DropRate, nil)
		return
	}
	if n.Reset {
		c.ahead.Drop(l)
		l.Named = 0
	}
	odd := func(p wire.Neighbour) bool { return p.ID == c.self || p.ID == l.ID || p.ID == (wire.ID{}) }
	named := n.Named
	if slices.ContainsFunc(named, odd) { // rarely, so the list is mostly not copied
		named = slices.DeleteFunc(slices.Clone(named), odd)
	}
	named = named[:min(len(named), wire.MaxNamed-l.Named)]
	l.Named += c.ahead.Put(l, named)
	for _, id := range n.Gone {
		c.unnamed(l, id)
	}
	// That a peer is lost is a hint: it makes this peer ping it. A peer that was heard just now is
	// not pinged.
	for _, id := range n.Lost {
		if !c.unnamed(l, id) {
			continue
		}
		c.countLost()
		if x := c.table.Get(id); x != nil && x != l {
			c.askIfSilent(x)
		}
	}
	c.overlay.Named(named)
}

// countLost counts a neighbour that was lost. If many are lost at once, this peer's links may be lost too,
// even idle ones, of which no other peer tells it: all are asked.
func (c *Core) countLost() {
	if c.now-c.lossFrom > manyLostIn {
		c.lossFrom, c.losses = c.now, 0
	}
	if c.losses++; c.losses < leastLost || c.losses*manyLostShare < c.ahead.Len() {
		return
	}
	c.losses = 0
	for _, l := range c.order {
		c.askIfSilent(l)
	}
}

// askIfSilent pings a link that was not heard just now.
func (c *Core) askIfSilent(l *link) {
	if l.Usable && l.Answers() && !l.pinged && c.now-l.heard >= doubtAfter {
		c.ping(l)
	}
}

// unnamed removes a neighbour of a linked peer, and reports whether the peer had named it.
func (c *Core) unnamed(l *link, id wire.ID) bool {
	if !c.ahead.Remove(l, id) {
		return false
	}
	l.Named--
	if !c.ahead.Names(id) {
		c.overlay.Unnamed(id, l.ID)
	}
	return true
}

// trip returns the round trip time of a link, the usual one if it is not known.
func (l *link) trip() time.Duration {
	if l.Trip == 0 {
		return usualTrip
	}
	return l.Trip
}
