package core

import (
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/journal"
	"github.com/peer-relay/peer-relay/protocol/internal/overlay"
	"github.com/peer-relay/peer-relay/protocol/internal/receipts"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A reliable message is sent again, with the same Body and over other first links, until its
// receiver's receipt comes. A peer that has no route for it tells the origin by a notice.

// A Receipt says that a message arrived. Package protocol documents it.
type Receipt = receipts.Receipt

// receiptKey identifies a message for its receipt.
func (c *Core) receiptKey(f *wire.Frame) uint64 {
	return c.cfg.Hash(f.Body.From[:], f.Body.E2E, f.Body.Raw(), []byte("receipt"))
}

// SendReliable sends a message of the application until there is a receipt, or until EndReliable.
// Receipted reports the receipt, or that no peer has the receiver's id. hash is the SHA-256 of its
// Body, which the caller computes without a lock.
func (c *Core) SendReliable(now time.Duration, index int, f *wire.Frame, hash [wire.HashSize]byte) error {
	c.now = now
	if f.Body.To == c.self {
		c.do(Action{Type: Receipted, Index: index, Receipt: Receipt{Proved: true}})
		if f.Body.Kind == wire.KindPing {
			return nil
		}
		return c.Send(now, f, OwnMessage)
	}
	s := c.book.Begin(now, index, f.Copy(), hash)
	if s == nil {
		return ErrQueueFull
	}
	c.wakeBook()
	// The book sends again what is lost, and its sender is told, so the end of the peer need not name it.
	if err := c.Send(now, f, OwnRepeatable); err != nil {
		c.book.End(index)
		return err
	}
	return nil
}

// EndReliable ends the attempts of a message.
func (c *Core) EndReliable(index int) { c.book.End(index) }

func (c *Core) wakeBook() {
	if at, ok := c.book.Next(); ok {
		c.wakeBy(max(at, c.now+1))
	}
}

// tickBook makes the attempts that are due.
func (c *Core) tickBook() {
	again, done := c.book.Due(c.now)
	for _, s := range again {
		c.retry(s)
	}
	for _, s := range done {
		c.receipted(s, s.Weak(), nil)
	}
	c.wakeBook()
}

func (c *Core) receipted(s *receipts.Send, r Receipt, err error) {
	c.do(Action{Type: Receipted, Index: s.Index, Receipt: r, Hops: c.Hops(s.Index), Err: err})
	c.book.End(s.Index)
}

// retry sends two more copies of a message over first links that it has not taken. Each has a
// nonce of its own: legacy peers suppress a message by its nonce, and so do peers that have it.
func (c *Core) retry(s *receipts.Send) {
	links := c.firstLinks(s)
	if len(links) == 0 {
		s.Postpone(c.now)
		return
	}
	for _, l := range links {
		f, err := s.Frame.Again(s.Attempts, c.Draw().digits())
		if err != nil {
			c.drop(journal.DropTooBig, s.Frame)
			return
		}
		if s.Copies() == 1 {
			f.Hop = f.Hop.WithNacks(0) // a peer that looks further need not look everywhere
		}
		c.stats.Retries++
		if l.keeps {
			c.transit.finish(c.now, c.hash(f)) // it may come back
		}
		c.copies(f, choice{first: l})
	}
	s.Attempted(c.now)
}

// firstLinks returns up to two links for another attempt: that to the receiver, those that no
// attempt has taken, nearest to the receiver first, and then any. The second one is far from the
// first, so that the two copies meet late.
func (c *Core) firstLinks(s *receipts.Send) []*link {
	to := s.Frame.Body.To
	usable := func(l *link) bool {
		return l.open() && (l.Role != wire.RoleLeaf || l.ID == to) && !c.full(l, s.Frame.Size())
	}
	all := c.table.Closest(to, c.table.Len(), usable)
	slices.SortStableFunc(all, func(a, b *link) int { return rank(s, a) - rank(s, b) })
	if n := s.Copies(); n == 1 || len(all) <= n {
		return all[:min(n, len(all))]
	}
	fresh := slices.DeleteFunc(slices.Clone(all[1:]), func(l *link) bool { return rank(s, l) > rank(s, all[1]) })
	return []*link{all[0], fresh[c.rng.IntN(len(fresh))]}
}

// rank orders the first links of an attempt.
func rank(s *receipts.Send, l *link) int {
	switch {
	case l.ID == s.Frame.Body.To:
		return 0
	case l.Answers() && !l.did.Loses() && !s.Used(l.ID):
		return 1
	case l.Answers() && !s.Used(l.ID):
		return 2
	case l.Answers():
		return 3
	}
	return 4
}

// went notes the way of a copy of this peer's message that is queued for a link.
func (c *Core) went(l *link, f *wire.Frame) {
	if f.Body.From != c.self || !f.Wants(wire.FlagReceipt) {
		return
	}
	c.book.Went(c.now, f, l.ID)
	if l.ID != f.Body.To {
		c.credit(l.ID, 1, 0)
	}
}

// Handed reports to the core that a link has taken a message. A legacy peer makes no receipts, so
// the peer in front of it does: r.
func (c *Core) Handed(now time.Duration, h LinkHandle, f *wire.Frame, r wire.Receipt) {
	c.now = now
	l := c.byHandle[h]
	switch {
	case l == nil || l.Extended || l.ID != f.Body.To || !f.Wants(wire.FlagReceipt):
	case f.Body.From == c.self:
		c.receipt(r, receipts.Source{From: c.self})
	default:
		c.wasHanded(l, f.Body.E2E)
		if l := c.before(f); l == nil || l.confirms.Take(now, receiptBurst, receiptRate) {
			c.confirm(f, r)
		}
	}
}

// credit changes the credit of the link to a peer.
func (c *Core) credit(id wire.ID, sent, back int) {
	if l := c.table.Get(id); l != nil {
		l.did.Add(sent, back)
	}
}

// Confirm reports to the core that the application has a message, for which r is the receipt.
func (c *Core) Confirm(now time.Duration, f *wire.Frame, r wire.Receipt) {
	c.now = now
	if f.Body.From != c.self && f.Wants(wire.FlagReceipt) {
		c.confirmed.Add(now, c.receiptKey(f))
		if f.IsKept() {
			c.mailbox.had.Add(now, c.receiptKey(f))
		}
		c.confirm(f, r)
	}
}

// confirm sends the receipt of a message. A mailbox that may have kept the message is to see it.
func (c *Core) confirm(f *wire.Frame, r wire.Receipt) {
	var by *overlay.Link
	if l := c.before(f); l != nil && l.mailbox && f.IsKept() && r.Kept == 0 {
		by = &l.Link
	}
	c.send(by, Outgoing{To: f.Body.From, Kind: wire.KindReceipt, Form: wire.FormRaw, Payload: wire.AppendReceipt(nil, r), Route: f.ReversePath()})
}

// confirmAgain sends the receipt of a message of which another attempt has arrived, or of a ping.
func (c *Core) confirmAgain(l *link, f *wire.Frame) {
	if f.Wants(wire.FlagReceipt) && c.wasConfirmed(f) && l.confirms.Take(c.now, receiptBurst, receiptRate) {
		c.report(l, f)
		c.confirm(f, wire.ReceiptFor(f, false))
	}
}

// wasConfirmed reports whether the application has a message.
func (c *Core) wasConfirmed(f *wire.Frame) bool {
	return c.confirmed.Has(c.now, c.receiptKey(f)) || f.IsKept() && c.mailbox.had.Has(c.now, c.receiptKey(f))
}

// onReceipt processes a message of KindReceipt.
func (c *Core) onReceipt(l *link, f *wire.Frame, proved bool) {
	r, err := wire.ParseReceipt(f.Body.Payload)
	if err != nil || f.Body.Form != wire.FormRaw {
		c.drop(journal.DropBadControl, f)
		return
	}
	straight := l.ID == f.Body.From && f.PathLen() == 1
	if !c.receipt(r, receipts.Source{From: f.Body.From, Proved: proved, Straight: straight}) {
		c.drop(journal.DropUnasked, f)
	}
}

// receipt processes a receipt, and reports whether a message waits for it.
func (c *Core) receipt(r wire.Receipt, from receipts.Source) bool {
	s, ends, good := c.book.Receipt(c.now, r, from)
	if good {
		if first, ok := s.First(r.Nonce); ok && first != s.Frame.Body.To {
			c.credit(first, 0, 1)
		}
	}
	if s != nil && r.Kept != 0 { // the receiver is gone, and not the link that brings no receipts
		if first, ok := s.First(r.Nonce); ok {
			c.credit(first, -1, 0)
		}
	}
	if ends != nil {
		c.receipted(s, *ends, nil)
	}
	c.wakeBook()
	return s != nil
}

// lost drops a message for which there is no route, and tells its origin.
func (c *Core) lost(f *wire.Frame) { c.lostFor(f, wire.RefusalNone) }

// lostFor is lost for a message that this peer was to keep, and why it does not.
func (c *Core) lostFor(f *wire.Frame, why wire.Refusal) {
	c.drop(journal.DropNoRoute, f)
	b := &f.Body
	if !f.Wants(wire.FlagNotice) {
		return
	}
	n := wire.Notice{E2E: b.E2E, Nonce: f.Nonce, Refusal: why}
	if b.From == c.self {
		c.noRoute(n)
	} else if l := c.before(f); l != nil && l.ask(c.now) {
		c.send(nil, Outgoing{To: b.From, Kind: wire.KindNotice, Form: wire.FormRaw, Payload: wire.AppendNotice(nil, n), Route: f.ReversePath()})
	}
}

// answersFor reports whether this peer is among the nearest to the receiver of a first attempt and
// would be linked with it, so that the origin is told at once that no peer has the id. Another peer
// would only send the message back here. But a receiver that is just joining may be linked with
// another peer only, which further attempts may find.
func (c *Core) answersFor(f *wire.Frame) bool {
	return f.Hop.Attempt() == 0 && f.Wants(wire.FlagNotice) && c.overlay.Surrounds(f.Body.To)
}

// onNotice processes a message of KindNotice.
func (c *Core) onNotice(f *wire.Frame) {
	n, err := wire.ParseNotice(f.Body.Payload)
	switch {
	case err != nil || f.Body.Form != wire.FormRaw:
		c.drop(journal.DropBadControl, f)
	case !c.noRoute(n):
		c.drop(journal.DropUnasked, f)
	}
}

// noRoute processes the word of a peer that it had no route, and reports whether a message waits.
func (c *Core) noRoute(n wire.Notice) bool {
	s, over := c.book.NoRoute(c.now, n, c.table.Len())
	if s != nil {
		if first, ok := s.First(n.Nonce); ok {
			c.credit(first, -1, 0)
		}
	}
	if over {
		c.receipted(s, Receipt{}, noRouteError(s.Refusal()))
	}
	c.wakeBook()
	return s != nil
}
