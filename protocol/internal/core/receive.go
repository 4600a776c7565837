package core

import (
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// Prepare does what is costly about a message that was read, and needs nothing of the core
// but what is fixed: its hash, and its signature if it may end here. A caller with a lock
// calls it before it takes the lock; Receive does what is left.
func (c *Core) Prepare(f *wire.Frame) {
	if f.Type != wire.FrameMessage {
		return
	}
	c.hash(f)
	if f.Body.To == c.self || f.IsSearch() {
		f.Verify(c.cfg.Verify)
	}
}

func (c *Core) hash(f *wire.Frame) uint64 { return f.Hash(c.cfg.Hash) }

// message takes a message that came over a link: for this peer, or to be passed on.
func (c *Core) message(l *link, f *wire.Frame) {
	b := &f.Body
	if b.From == c.self || f.InPath(c.self) {
		c.drop(DropLoop, f)
		return
	}
	h := c.hash(f)
	if c.transit.has(c.now, h) {
		c.drop(DropDuplicate, f)
		return
	}
	c.learned.learn(c.now, b.From, l.ID)
	switch {
	case len(f.Targets) > 0:
		c.drop(DropUnsupported, f)
	case b.To == c.self, c.isLast(f):
		c.transit.finish(c.now, h)
		c.deliver(l, f)
	default:
		c.forward(f, l)
	}
}

// deliver takes a message for this peer.
func (c *Core) deliver(l *link, f *wire.Frame) {
	b := &f.Body
	signed := f.Verify(c.cfg.Verify)
	if len(f.Sig) > 0 && !signed {
		c.stats.BadSignatures++
	}
	straight := l.native() && l.Proved && l.ID == b.From && f.PathLen() == 1 && f.PathAt(0) == b.From
	proved, again := c.delivery(l, f, signed, straight)
	if proved && !again && l.ID != b.From {
		c.proved.learn(c.now, b.From, l.ID)
	}
	switch {
	case again:
		c.drop(DropDuplicate, f)
	case b.Form > wire.FormWholeJSON:
		c.drop(DropUnsupported, f)
	case b.Kind == wire.KindUser || b.Kind == wire.KindOther:
		c.stats.Delivered++
		c.note(MessageDelivered, f, l.ID, 0)
		c.do(Action{Type: Deliver, Frame: f, Proved: proved})
	case b.Kind > wire.KindOther, b.Kind == wire.KindReceipt, b.Kind == wire.KindNotice:
		c.drop(DropUnsupported, f)
	default:
		c.overlay.receive(l, f, proved)
	}
}

// What a hash in the delivery table is of, beside the origin and the end-to-end id or nonce.
var (
	ofProved = []byte("proved")
	ofSigned = []byte("signed")
)

// delivery notes a message for this peer. It reports whether its origin is proved, and
// whether the message was delivered before. A proved message is one by its end-to-end id,
// whatever else a relay changed; it is delivered even if a copy without its proof was
// faster, since anybody on the way can strip a signature. One that is not proved is one by
// its bytes as well.
//
// A signed body has an end-to-end id. A body of an older peer may have none: then the
// nonce, which is not signed, is all that tells two equal messages apart, and only the
// first counts as proved.
func (c *Core) delivery(l *link, f *wire.Frame, signed, straight bool) (proved, again bool) {
	b := &f.Body
	id := b.E2E
	if id == nil {
		id = f.Nonce
	}
	content := c.cfg.Hash(b.From[:], id, b.Raw(), nil)
	if signed && !straight && b.E2E == nil {
		body := c.cfg.Hash(b.From[:], nil, b.Raw(), ofSigned)
		if c.delivered.has(c.now, body) {
			signed = false
		} else {
			c.noteDelivery(l, body)
		}
	}
	if !signed && !straight {
		again = c.delivered.has(c.now, content)
	} else {
		what := b.Raw()
		if b.E2E != nil {
			what = nil
		}
		h := c.cfg.Hash(b.From[:], id, what, ofProved)
		if again = c.delivered.has(c.now, h); !again {
			c.noteDelivery(l, h)
		}
	}
	if !again {
		c.noteDelivery(l, content)
	}
	return signed || straight, again
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
	return f.IsSearch() && c.nearer(f.Body.To, f.Body.From, f.InPath) == nil
}

// nearer returns the link by which a search of from for the peer nearest to an id goes on:
// the nearest one, strictly nearer than this peer, to a peer that knows what a search is.
func (c *Core) nearer(to, from wire.ID, inPath func(wire.ID) bool) (next *link) {
	c.table.nearest(to, func(l *link) bool {
		if !to.Closer(l.ID, c.self) {
			return false
		}
		if l.extended && l.Role != wire.RoleLeaf && !l.ended && l.ID != from && !inPath(l.ID) {
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
		c.note(MessageReceived, f, l.ID, 0)
		c.message(l, f)
	case wire.FramePing:
		if !l.ended && !c.full(l, 0) {
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
		c.drop(DropUnknown, nil)
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
	c.drop(reason, nil)
	if !l.native() {
		return
	}
	if l.offences++; l.offences >= maxOffences {
		c.end(l, wire.ByeProtocol)
	}
}
