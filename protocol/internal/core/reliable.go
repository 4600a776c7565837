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
		c.do(Action{Type: Receipted, Index: index, Receipt: &Receipt{Proved: true}})
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
	c.do(Action{Type: Receipted, Index: s.Index, Receipt: &r, Hops: c.Hops(s.Index), Err: err})
	c.book.End(s.Index)
}

// retry sends more copies of a message over first links that it has not taken. Each has a
// nonce of its own: legacy peers suppress a message by its nonce, and so do peers that have it.
func (c *Core) retry(s *receipts.Send) {
	links := c.firstLinks(s)
	if len(links) == 0 {
		s.Postpone(c.now)
		return
	}
	for i, l := range links {
		probe := s.Probes(i)
		if probe && !s.Probes(0) && s.Used(l.ID) {
			break // it could only find the peer that the attempts before it find
		}
		f, err := s.Frame.Again(s.Attempts, c.Draw().digits())
		if err != nil {
			c.drop(journal.DropTooBig, s.Frame)
			return
		}
		if probe {
			f.Hop = f.Hop.WithNacks(0).WithDetours(1)
		}
		c.stats.Retries++
		if l.keeps {
			c.transit.finish(c.now, c.hash(f)) // it may come back
		}
		c.copies(f, choice{first: l})
	}
	s.Attempted(c.now)
}

// firstLinks returns the links for another attempt: that to the receiver, those that no attempt has taken,
// nearest to the receiver first, and then any. All but the first are far from it, so that the copies meet
// late.
func (c *Core) firstLinks(s *receipts.Send) []*link {
	to := s.Frame.Body.To
	usable := func(l *link) bool {
		return l.open() && (l.Role != wire.RoleLeaf || l.ID == to) && !c.full(l, s.Frame.Size())
	}
	all := c.table.Closest(to, c.table.Len(), usable)
	slices.SortStableFunc(all, func(a, b *link) int { return rank(s, a) - rank(s, b) })
	n := s.Copies(c.now)
	if n == 1 || len(all) <= n {
		return all[:min(n, len(all))]
	}
	fresh := slices.DeleteFunc(slices.Clone(all[1:]), func(l *link) bool { return rank(s, l) > rank(s, all[1]) })
	links := all[:1:1]
	for len(links) < n && len(fresh) > 0 {
		i := c.rng.IntN(len(fresh))
		links, fresh = append(links, fresh[i]), slices.Delete(fresh, i, i+1)
	}
	return links
}

// rank orders the first links of an attempt.
func rank(s *receipts.Send, l *link) int {
	switch {
	case l.Answers() && l.ID == s.Frame.Body.To:
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
		c.confirmed.Add(now, c.receiptKey(f))
		c.handedOver(l, f.Body.E2E)
		if l := c.before(f); l == nil || l.confirms.Take(now, receiptBurst, receiptRate) {
			c.confirm(f, r)
		}
	}
}

// wasHanded reports whether the legacy receiver of a message has taken another attempt of it. It would
// deliver this one too, as a message of its own.
func (c *Core) wasHanded(f *wire.Frame) bool {
	if !f.Wants(wire.FlagReceipt) {
		return false
	}
	to := c.table.Get(f.Body.To)
	return to != nil && !to.Extended && c.confirmed.Has(c.now, c.receiptKey(f))
}

// handedAgain drops an attempt from l of a message that was handed to a legacy peer, and sends its
// receipt.
func (c *Core) handedAgain(l *link, f *wire.Frame) {
	c.transit.finish(c.now, c.hash(f))
	c.drop(journal.DropDuplicate, f)
	if l.confirms.Take(c.now, receiptBurst, receiptRate) {
		c.confirm(f, wire.ReceiptFor(f, true))
	}
}

// judge counts what the first links of a message did with it, but for one to the receiver.
func (c *Core) judge(s *receipts.Send, nonce []byte) {
	brought, lost, ok := s.Ways(c.now, nonce)
	if !ok {
		return
	}
	c.credit(s, brought, true)
	for _, first := range lost {
		c.credit(s, first, false)
	}
}

func (c *Core) credit(s *receipts.Send, first wire.ID, back bool) {
	if l := c.table.Get(first); l != nil && first != s.Frame.Body.To {
		l.did.Add(c.now, back)
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
		c.judge(s, r.Nonce)
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
	n := wire.Notice{E2E: f.Body.E2E, Nonce: f.Nonce, Refusal: why}
	switch {
	case !f.Wants(wire.FlagNotice):
	case why == wire.RefusalNone && c.mayLeadOn(f):
	case f.Body.From == c.self:
		c.noRoute(n)
	default:
		c.notify(f, n)
	}
}

// notify sends the origin of a message a notice.
func (c *Core) notify(f *wire.Frame, n wire.Notice) {
	if l := c.before(f); l != nil && c.knows(l) && l.ask(c.now) {
		c.send(nil, Outgoing{To: f.Body.From, Kind: wire.KindNotice, Form: wire.FormRaw, Payload: wire.AppendNotice(nil, n), Route: f.ReversePath()})
	}
}

// tellsOf reports whether the origin of a message is told that the peer of a link, its receiver, does not
// answer.
func (c *Core) tellsOf(l *link, f *wire.Frame) bool {
	return wantsSilence(f) && f.Body.To == l.ID && l.Doubted
}

// wantsSilence reports whether the origin of a message is told if its receiver does not answer. A message
// that may be kept goes to a mailbox if the link turns out to be dead.
func wantsSilence(f *wire.Frame) bool { return f.Wants(wire.FlagNotice) && !f.IsKept() }

// unanswered tells the origin of a message that its receiver does not answer. The receiver may only be
// paused, so the message stays with its link.
func (c *Core) unanswered(f *wire.Frame) {
	if wantsSilence(f) && f.Body.From != c.self {
		c.notify(f, wire.Notice{E2E: f.Body.E2E, Nonce: f.Nonce, Silent: true})
	}
}

// knows reports whether this peer may say that there is no route for a message that came over a link.
// A peer without custody passes a message to two of its peers, near the receiver or not. So it means nothing
// that one of them has no route: the other one may have the message. A peer that knows the extensions and is
// only linked as a legacy peer is asking for itself, unless it is the relay that this peer depends on.
func (c *Core) knows(l *link) bool {
	return l.keeps || l.Extended && !l.Native() && (c.table.Len() > 1 || !l.Dialed)
}

// mayLeadOn reports whether the receiver of a message may be behind a legacy peer that relays and has not had
// the message, as far as its path tells. Such a peer may be linked with others that know none of this peer's
// neighbours. It never tells that it has no route. A message that may be kept goes to a mailbox all the same.
func (c *Core) mayLeadOn(f *wire.Frame) bool {
	return !f.IsKept() && slices.ContainsFunc(c.table.All(), func(l *link) bool {
		return !l.Extended && (l.passes || l.Dialed) && l.open() && !f.InPath(l.ID)
	})
}

// isProbe reports whether a message is an attempt that is to find a second peer without a route. It does
// not look everywhere: it goes to the nearest peer by few hops, and from there to one more.
func isProbe(f *wire.Frame) bool { return f.Hop.Attempt() > 0 && f.Hop.NacksLeft() == 0 }

// answersFor reports whether this peer is among the nearest to the receiver of a message and would be linked
// with it, so that the origin is told at once that no peer has the id. end means that no link is nearer.
// That is the end of a first attempt: another peer would only send it back here. But a receiver that is
// just joining may be linked with another peer only, which further attempts may find. A probe ends at the
// first such peer that has heard nothing of the receiver: the nearest one is likely to have answered already.
func (c *Core) answersFor(f *wire.Frame, end bool) bool {
	if first := f.Hop.Attempt() == 0; first != end || !first && (!isProbe(f) || f.Hop.DetoursLeft() == 0 || c.hasHeard(f.Body.To)) {
		return false
	}
	return f.Wants(wire.FlagNotice) && c.overlay.Surrounds(f.Body.To) && !c.mayLeadOn(f)
}

// hasHeard reports whether a peer has sent a message by this one lately, or is named by a link.
func (c *Core) hasHeard(id wire.ID) bool {
	_, ok := c.learned.Via(c.now, id)
	return ok || c.ahead.Names(id)
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
	if over {
		c.receipted(s, Receipt{}, noRouteError(s))
	}
	c.wakeBook()
	return s != nil
}
