package core

import (
	"fmt"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/journal"
	"github.com/peer-relay/peer-relay/protocol/internal/receipts"
	"github.com/peer-relay/peer-relay/protocol/internal/seen"
	"github.com/peer-relay/peer-relay/protocol/kept"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A message that may be kept, and for which there is no route, goes to the mailbox that is nearest to
// its receiver. All attempts meet there, so it is kept once. The shell stores it, and the core tells
// the origin when that is done. SPEC.md has the rules.

// A mailbox is what a core does to keep messages, and to know those that others kept.
type mailbox struct {
	taking      int // messages that are being stored
	takingBytes int
	handovers   map[wire.ID]*handover // of linked peers
	had         seen.Table            // delivered messages that mailboxes may still keep
}

func newMailbox() mailbox {
	return mailbox{handovers: make(map[wire.ID]*handover), had: seen.New(keepAge, keepAgeBytes)}
}

// lodge brings a message that has come to its end here to a mailbox. It reports whether the message is
// taken care of. prev is the link that has just brought it, nil if none has.
func (c *Core) lodge(f *wire.Frame, prev *link, tried []wire.ID) bool {
	if !f.IsKept() {
		return false
	}
	id := c.mailboxFor(f)
	l := c.table.Get(id)
	switch {
	case id == c.self:
		return c.store(f)
	case l == nil:
		return false
	case f.InPath(id) && prev != nil: // it keeps the message when that comes back
		return c.sendBack(prev, f, journal.DropNoRoute)
	case f.InPath(id):
		return c.giveBack(f, wire.NackNoRoute)
	case f.Hop.TxLeft() <= 0 || slices.Contains(tried, id) || c.full(l, f.Size()):
		return false
	case c.transit.done.Has(c.now, c.hash(f)): // it went another way before
		c.copies(f, choice{first: l})
		return true
	}
	c.sendOn(f, choice{first: l}, f.Body.From != c.self)
	return true
}

// settles reports whether this peer is to keep a further attempt although a way is known: one by which
// messages of the receiver came, or that a neighbour names. The receiver has not been there lately, since
// the first attempt took such a way.
func (c *Core) settles(f *wire.Frame, next choice) bool {
	return f.Hop.Attempt() > 0 && f.IsKept() && next.first != nil && !f.Body.To.Closer(next.first.ID, c.self) && c.mailboxFor(f) == c.self
}

// mailboxFor returns the mailbox among this peer and its links that is to keep a message: the nearest
// to the receiver, if it is near enough to be linked with that one. The zero ID means that there is
// none.
func (c *Core) mailboxFor(f *wire.Frame) (keeper wire.ID) {
	to, nearer, self := f.Body.To, 0, false
	meet := func(id wire.ID, keeps bool) bool {
		if keeps && id != f.Body.From {
			keeper = id
			return false
		}
		nearer++
		return nearer < nearMailbox
	}
	meetSelf := func() bool {
		self = true
		return meet(c.self, c.cfg.Mailbox)
	}
	c.table.Nearest(to, func(l *link) bool {
		if !self && to.Closer(c.self, l.ID) && !meetSelf() {
			return false
		}
		return l.Ended || l.Role == wire.RoleLeaf || meet(l.ID, l.mailbox && l.Answers())
	})
	if !self && keeper == (wire.ID{}) && nearer < nearMailbox {
		meetSelf()
	}
	return keeper
}

// store has the shell store a message, and takes care of it in any case. One for which there is no room
// at the moment is dropped silently, and another attempt will come.
func (c *Core) store(f *wire.Frame) bool {
	c.transit.lose(c.hash(f))
	if !c.transit.has(c.now, c.hash(f)) {
		c.transit.finish(c.now, c.hash(f))
	}
	if c.mailbox.taking >= maxTaking || c.mailbox.takingBytes+f.Size() > takingBytes {
		c.drop(journal.DropQueueFull, f)
		return true
	}
	c.mailbox.taking++
	c.mailbox.takingBytes += f.Size()
	c.note(journal.MessageKept, f, wire.ID{}, 0)
	c.do(Action{Type: Keep, Frame: f})
	return true
}

// Kept reports to the core that a message is stored until r.Kept, or why it is not. r is the receipt
// for it.
func (c *Core) Kept(now time.Duration, f *wire.Frame, r wire.Receipt, why wire.Refusal) {
	c.now = now
	c.mailbox.taking--
	c.mailbox.takingBytes -= f.Size()
	if why != wire.RefusalNone {
		c.stats.KeepRefused++
		c.lostFor(f, why)
		return
	}
	c.stats.Kept++
	r.Hops-- // the path has this peer
	if l := c.before(f); l == nil || l.confirms.Take(now, receiptBurst, receiptRate) {
		c.confirm(f, r)
	}
	if c.Linked(f.Body.To) { // since the message came
		c.handOverTo(f.Body.To)
	}
}

// noRouteError returns the error of a message for which there is no route, and which a mailbox may
// have refused.
func noRouteError(s *receipts.Send) error {
	switch why := s.Refusal(); {
	case s.Silent():
		return errUnanswered
	case why == wire.RefusalNone:
		return ErrNoRoute
	case why == wire.RefusalQuota:
		return fmt.Errorf("%w, and %w", ErrNoRoute, kept.ErrQuota)
	case why == wire.RefusalFull:
		return fmt.Errorf("%w, and %w", ErrNoRoute, kept.ErrFull)
	}
	return fmt.Errorf("%w, and %w", ErrNoRoute, kept.ErrRefused)
}
