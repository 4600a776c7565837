package core

import (
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// message takes a message that came over a link: for us, or to be passed on.
func (c *Core) message(l *link, f *wire.Frame) {
	b := &f.Body
	if b.From == c.self || f.InPath(c.self) {
		c.drop(DropLoop)
		return
	}
	if !c.seen.add(c.now, c.hash(f)) {
		c.drop(DropDuplicate)
		return
	}
	c.learned.learn(c.now, b.From, l.ID)
	switch {
	case len(f.Targets) > 0:
		c.drop(DropUnsupported)
	case b.To == c.self, c.isLast(f):
		c.deliver(l, f)
	default:
		c.forward(f, l)
	}
}

// hash is over everything that makes a message itself: a peer that knows only its origin
// and nonce cannot pre-empt it.
func (c *Core) hash(f *wire.Frame) uint64 {
	return c.cfg.Hash(f.Body.From[:], f.Nonce, f.Body.Raw())
}

// deliver takes a message for this peer.
func (c *Core) deliver(l *link, f *wire.Frame) {
	b := &f.Body
	straight := l.native() && l.Proved && l.ID == b.From && f.PathLen() == 1 && f.PathAt(0) == b.From
	signed := f.Verify(c.cfg.Verify)
	proved := signed || straight
	if len(f.Sig) > 0 && !signed {
		c.stats.BadSignatures++
	}
	id, content := f.Nonce, b.Raw()
	if b.E2E != nil {
		id = b.E2E
		if proved {
			content = nil // a retry is the same message, whatever changed
		}
	}
	h := c.cfg.Hash(b.From[:], id, content)
	if c.delivered.has(c.now, h) {
		c.drop(DropDuplicate)
		return
	}
	c.noteDelivery(l, h)
	switch {
	case b.Form > wire.FormWholeJSON:
		c.drop(DropUnsupported)
	case b.Kind == wire.KindUser || b.Kind == wire.KindOther:
		c.stats.Delivered++
		c.do(Action{Type: Deliver, Frame: f, Proved: proved})
	case b.Kind > wire.KindOther, b.Kind == wire.KindReceipt, b.Kind == wire.KindNotice:
		c.drop(DropUnsupported)
	default:
		c.overlay.receive(l, f, proved)
	}
}

// noteDelivery writes h into the delivery table. One link may fill only a share
// of it; what it brings beyond that is delivered and not remembered, so that it
// cannot push out what others brought.
func (c *Core) noteDelivery(l *link, h uint64) {
	if c.now-l.deliveredFrom >= deliverAge {
		l.delivered, l.deliveredFrom = 0, c.now
	}
	if l.delivered < c.delivered.most/deliverShare {
		l.delivered++
		c.delivered.add(c.now, h)
	}
}

// isLast reports whether f is a search that ends here: it asks for the peer that
// has no strictly nearer link to go on by, and that is this one.
func (c *Core) isLast(f *wire.Frame) bool {
	return f.IsSearch() && c.nearer(f) == nil
}

// nearer returns the link by which a search goes on: the nearest one, strictly nearer
// than this peer, to a peer that knows what a search is.
func (c *Core) nearer(f *wire.Frame) (next *link) {
	c.table.nearest(f.Body.To, func(l *link) bool {
		if !f.Body.To.Closer(l.ID, c.self) {
			return false
		}
		if l.extended && l.Role != wire.RoleLeaf && !l.ended && l.ID != f.Body.From && !f.InPath(l.ID) {
			next = l
		}
		return next == nil
	})
	return next
}

// Receive takes a frame that came over a link.
func (c *Core) Receive(now time.Duration, h LinkHandle, f *wire.Frame) {
	c.now = now
	l := c.byHandle[h]
	if l == nil {
		return
	}
	l.heard, l.pinged = now, false
	c.refuseRivals(l)
	switch f.Type {
	case wire.FrameMessage:
		if !l.usable && !l.ended {
			c.makeUsable(l)
		}
		c.stats.Received++
		c.message(l, f)
	case wire.FramePing:
		if !l.ended && !l.full(0) {
			c.transmit(l, wire.NewPong(f.Num))
		}
	case wire.FrameHello: // a legacy peer shows that it knows the extensions
		switch {
		case l.native():
			c.offence(l, DropMalformed)
		case !l.extended:
			l.extended = true
			l.Features, l.Role = f.Hello.Features, f.Hello.Role
			if l.usable {
				c.overlay.learnedExtended(l)
			}
		}
	case wire.FrameBye:
		c.byeFrom(l, f.Bye)
	case wire.FrameAck, wire.FrameNack, wire.FrameUnknown:
		c.drop(DropUnknown)
	}
}

// byeFrom takes a peer's goodbye. What is queued for it is still written.
func (c *Core) byeFrom(l *link, reason wire.ByeReason) {
	if l.ended { // it answers ours
		return
	}
	switch reason {
	case wire.ByeDuplicate:
		c.end(l, wire.ByeDuplicate)
		return
	case wire.ByeUnwanted:
		c.endFor(l, wire.ByeNormal, ErrUnwanted)
	case wire.ByeShutdown, wire.ByeSilent:
		c.endFor(l, wire.ByeNormal, nil)
		l.gone = true
	default:
		c.endFor(l, wire.ByeNormal, nil)
		c.overlay.avoid(l.ID)
	}
}

// Offence tells that a link brought something malformed.
func (c *Core) Offence(now time.Duration, h LinkHandle, reason DropReason) {
	c.now = now
	if l := c.byHandle[h]; l != nil {
		c.offence(l, reason)
	}
}

// offence counts against a native link, until it is cut. A legacy peer passes on
// whatever it is sent, so its link is not made to pay for what others wrote.
func (c *Core) offence(l *link, reason DropReason) {
	c.drop(reason)
	if !l.native() {
		return
	}
	if l.offences++; l.offences >= maxOffences {
		c.end(l, wire.ByeProtocol)
	}
}
