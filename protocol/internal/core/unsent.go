package core

import (
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/custody"
	"github.com/peer-relay/peer-relay/protocol/internal/journal"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A core follows each message of its application until a copy of it is written to a link, so
// that the end of the peer can name those that were not. Messages of others and of the overlay
// are not followed.

// An OwnKind is how a message of the application is counted.
type OwnKind uint8

const (
	OwnMessage    OwnKind = iota
	OwnDatagram           // its sender is not told that it was dropped
	OwnRepeatable         // a datagram whose sender sends again what is lost: it is not followed
)

// Unsent counts messages of the application that no link took.
type Unsent struct {
	Messages  int
	Datagrams int
}

func (u *Unsent) add(kind OwnKind) {
	switch kind {
	case OwnMessage:
		u.Messages++
	case OwnDatagram:
		u.Datagrams++
	}
}

// An own message is one that waits here or in the queues of links.
type own struct {
	kind   OwnKind
	copies int // copies in the queues of links
}

// follow adds a message that is about to be sent.
func (c *Core) follow(f *wire.Frame, kind OwnKind) {
	if kind != OwnRepeatable {
		f.Tracked = true
		c.own[c.hash(f)] = own{kind: kind}
	}
}

// following returns the key and the state of a message, and whether it is followed.
func (c *Core) following(f *wire.Frame) (key uint64, o own, ok bool) {
	if len(c.own) == 0 || f == nil || f.Type != wire.FrameMessage || f.Body.From != c.self || f.Body.Kind.IsControl() {
		return 0, own{}, false
	}
	key = c.hash(f)
	o, ok = c.own[key]
	return key, o, ok
}

// queuedCopy counts a copy that was put into the queue of a link.
func (c *Core) queuedCopy(f *wire.Frame) {
	if key, o, ok := c.following(f); ok {
		o.copies++
		c.own[key] = o
	}
}

// returnedCopy counts a copy that left the queue of a link unwritten.
func (c *Core) returnedCopy(f *wire.Frame) {
	if key, o, ok := c.following(f); ok && o.copies > 0 {
		o.copies--
		c.own[key] = o
	}
}

// lose counts a message as unsent if the dropped copy was its last one.
func (c *Core) lose(f *wire.Frame) {
	if key, o, ok := c.following(f); ok && o.copies == 0 {
		delete(c.own, key)
		c.unsent.add(o.kind)
	}
}

// Sent reports to the core that a link has taken a message. It returns whether this is the first
// copy of a message of the application.
func (c *Core) Sent(f *wire.Frame) (first bool) {
	key, _, ok := c.following(f)
	delete(c.own, key)
	return ok
}

// Keeps reports whether a link has custody.
func (c *Core) Keeps(h LinkHandle) bool {
	l := c.byHandle[h]
	return l != nil && l.keeps
}

// Unacked returns the number of messages of the application for which a link with custody is the
// only hope: its peer has not acknowledged them, and they did not go another way. It counts those of
// the last bytes of the link, without those that Unsent counts.
func (c *Core) Unacked(h LinkHandle, bytes uint64) (n int) {
	l := c.byHandle[h]
	if l == nil {
		return 0
	}
	for e := range l.ledger.Backward() {
		if bytes == 0 {
			break
		}
		if c.isTaken(e) {
			n++
		}
		bytes -= min(bytes, uint64(e.Size()))
	}
	return n
}

// isTaken reports whether an entry of a ledger is a message of the application that a link has taken.
// One for the peer of its link counts also if it went another way, which is only a detour.
func (c *Core) isTaken(e *custody.Entry) bool {
	f := e.Own()
	if f == nil || !f.Tracked {
		return false
	}
	_, _, waits := c.following(f)
	return !waits
}

// GivenUp returns the number of messages of the application that a link took and did not acknowledge
// in time, and for which no other way was left. They may have arrived.
func (c *Core) GivenUp() int { return c.givenUp }

// AwaitsAcks reports whether messages of the application may still take another way: a link has
// taken them, its peer has not acknowledged them, and another relay is linked. When the link is late,
// they have gone that way if there is one.
func (c *Core) AwaitsAcks() bool {
	return slices.ContainsFunc(c.order, func(l *link) bool {
		return (l.Ended || !l.Late) && c.hasTaken(l) && c.relayBeside(l)
	})
}

// hasTaken reports whether a message of the application is in the ledger of a link.
func (c *Core) hasTaken(l *link) bool {
	for e := range l.ledger.All() {
		if c.isTaken(e) {
			return true
		}
	}
	return false
}

// relayBeside reports whether a relay is linked other than the peer of a link.
func (c *Core) relayBeside(l *link) bool {
	return slices.ContainsFunc(c.table.All(), func(x *link) bool { return !x.Ended && x.ID != l.ID && x.Role != wire.RoleLeaf })
}

// Waits reports whether a message of the application waits for a link, or in the queue of one.
func (c *Core) Waits() bool { return len(c.own) > 0 }

// Hopes reports whether there may be a link soon: there is one, a bootstrap, or a handshake in
// progress.
func (c *Core) Hopes(now time.Duration) bool {
	c.now = now
	return len(c.order) > 0 || c.cfg.Bootstraps > 0 || len(c.claims) > 0 || c.expects(wire.ID{})
}

// Unsent returns the numbers of messages that were dropped before a link took them, or that
// still wait.
func (c *Core) Unsent() Unsent {
	u := c.unsent
	for _, o := range c.own {
		u.add(o.kind)
	}
	return u
}

// Returned takes back the frames in the queue of a link to a peer, which ended before they were
// written. The messages among them go on over another link. It must follow LinkDown.
func (c *Core) Returned(now time.Duration, from wire.ID, frames []*wire.Frame) {
	c.now = now
	if l := c.lastDown; l != nil && l.keeps {
		left := 0
		for _, f := range frames {
			if f.Type == wire.FrameMessage {
				left++
			}
		}
		c.inherit(l, left)
	}
	c.lastDown = nil
	for _, f := range frames {
		if f.Type == wire.FrameMessage {
			c.returnedCopy(f)
			f.Hop = f.Hop.WithTx(f.Hop.TxLeft() + 1) // it was not transmitted
			if f.Body.From == c.self {
				f.Hop = f.Hop.WithDetours(wire.Detours)
			}
			c.resend(f, from)
		}
	}
}

// resend sends a message again that was in the queue of a link to the peer from. The message
// waits if a better link to that peer is not up yet, and that of the application also if there
// is no link. A message of others for the peer itself goes only over another link to it:
// otherwise the backlog of a peer that is slow or gone would spread over its neighbours.
func (c *Core) resend(f *wire.Frame, from wire.ID) {
	old := c.table.Get(from)
	replaced := old != nil && old.Ended && old.Replaced // by a link that is not up yet
	mine := f.Body.From == c.self && !f.Body.Kind.IsControl()
	switch {
	case replaced && (f.Body.To == from || f.IsSearch() || !c.connected()), mine && !c.connected():
		c.keep(waiting{frame: f, since: c.now, relayed: !mine, from: from})
		return
	case f.IsSearch(): // it must start on a link to that peer
		if old != nil && !old.Ended && !c.full(old, f.Size()) {
			c.copies(f, choice{first: old})
			return
		}
	case mine || f.Body.To != from || old != nil && !old.Ended:
		if next := c.choose(f.Body.To, hopQuery{frame: f, prev: c.before(f)}); next.first != nil && f.Hop.TxLeft() > 0 {
			c.copies(f, next)
			return
		}
	}
	if f.Body.To == from && c.lodge(f, nil, nil) {
		return
	}
	if !c.giveBack(f, wire.NackBusy) {
		c.drop(journal.DropLinkEnded, f)
	}
}
