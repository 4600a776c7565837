package core

import (
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A peer that is linked again gets what is kept for it, one batch after the other. A message is removed when
// the peer's receipt for it passes, and is otherwise sent again.

// A Letter is a message that was kept.
type Letter struct {
	Number uint64 // its place among those for its receiver
	Body   wire.Body
	Sig    []byte
	Nonce  []byte              // of the attempt that was kept
	Hash   [wire.HashSize]byte // SHA-256 of the Body
}

// A handover brings what is kept for a linked peer over its link.
type handover struct {
	after   uint64   // number of the last message that was read
	reading bool     // the shell reads
	more    bool     // there may be messages after that one
	out     []posted // on the way, oldest first
}

// A posted message is on the way to its receiver.
type posted struct {
	Letter
	tries int
	due   time.Duration // when it is sent again
}

// handOverTo begins to hand over what is kept for a linked peer, or has more read if that has begun.
func (c *Core) handOverTo(id wire.ID) {
	if !c.cfg.Mailbox {
		return
	}
	h := c.mailbox.handovers[id]
	if h == nil {
		h = new(handover)
		c.mailbox.handovers[id] = h
	}
	h.more = true
	c.advance(id, h)
}

// advance has the next messages read when those before are done with.
func (c *Core) advance(id wire.ID, h *handover) {
	switch {
	case h.reading || len(h.out) > 0:
	case h.more:
		h.reading, h.more = true, false
		c.do(Action{Type: Fetch, Peer: id, Number: h.after})
	default:
		delete(c.mailbox.handovers, id)
	}
}

// Fetched reports to the core the next messages that are kept for a peer after a number, and whether
// there are more.
func (c *Core) Fetched(now time.Duration, id wire.ID, after uint64, letters []Letter, more bool) {
	c.now = now
	h := c.mailbox.handovers[id]
	if h == nil || !h.reading || h.after != after { // the link ended meanwhile
		return
	}
	h.reading, h.more = false, h.more || more
	for _, m := range letters {
		h.after = m.Number
		h.out = append(h.out, posted{Letter: m})
	}
	for i := range h.out {
		c.post(id, &h.out[i])
	}
	c.advance(id, h)
}

// post sends a message over the link to its receiver. Only that link is to carry it, so it has no
// budget for others. Legacy peers find a duplicate by its nonce, and others need a fresh one for each
// try.
func (c *Core) post(id wire.ID, p *posted) {
	p.due = c.now + handFirst<<p.tries
	c.wakeBy(p.due)
	l := c.table.Get(id)
	if l == nil || l.Ended {
		return
	}
	nonce := p.Nonce
	if l.Extended {
		nonce = c.Draw().digits()
	}
	f, err := wire.NewMessageFrame(wire.MessageFields{Nonce: nonce, Body: p.Body, Sig: p.Sig, Path: []wire.ID{p.Body.From, c.self}})
	if err != nil || c.full(l, f.Size()) {
		return
	}
	p.tries++
	c.copyTo(l, f)
}

// tickHandovers sends again what has no receipt.
func (c *Core) tickHandovers() {
	if len(c.mailbox.handovers) == 0 {
		return
	}
	for _, l := range slices.Clone(c.table.All()) {
		h := c.mailbox.handovers[l.ID]
		if h == nil {
			continue
		}
		silent := l.Native() && !l.keeps // it is too old to send receipts
		h.out = slices.DeleteFunc(h.out, func(p posted) bool {
			over := c.now >= p.due && p.tries > 0 && silent
			if over {
				c.handed(l.ID, p.Number)
			}
			return over || c.now >= p.due && p.tries >= handTries
		})
		for i := range h.out {
			if p := &h.out[i]; c.now >= p.due {
				c.post(l.ID, p)
			} else {
				c.wakeBy(p.due)
			}
		}
		c.advance(l.ID, h)
	}
}

// handed has a message removed that its receiver has.
func (c *Core) handed(id wire.ID, number uint64) {
	c.stats.HandedOver++
	c.do(Action{Type: Discard, Peer: id, Number: number})
}

// done removes the first message on the way for which the function returns true.
func (c *Core) done(id wire.ID, which func(*posted) bool) {
	h := c.mailbox.handovers[id]
	if h == nil {
		return
	}
	for i := range h.out {
		if p := &h.out[i]; which(p) {
			c.handed(id, p.Number)
			h.out = slices.Delete(h.out, i, i+1)
			c.advance(id, h)
			return
		}
	}
}

// handedOver notes that the link to a legacy peer, which sends no receipts, has taken a message.
func (c *Core) handedOver(l *link, e2e []byte) {
	c.done(l.ID, func(p *posted) bool { return string(p.Body.E2E) == string(e2e) })
}

// seeReceipt looks into a receipt that a linked peer sends. A peer that only claims its id must have
// signed it, or it could make those of another peer vanish.
func (c *Core) seeReceipt(l *link, f *wire.Frame) {
	if f.Body.Kind != wire.KindReceipt || f.Body.From != l.ID || c.mailbox.handovers[l.ID] == nil {
		return
	}
	r, err := wire.ParseReceipt(f.Body.Payload)
	if err != nil || r.Handed || r.Kept != 0 || !l.Proved && !f.Verify(c.cfg.Verify) {
		return
	}
	c.done(l.ID, func(p *posted) bool { return string(p.Body.E2E) == string(r.E2E) && p.Hash == r.Hash })
}
