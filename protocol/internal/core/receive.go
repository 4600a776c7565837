package core

import (
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/journal"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// Prepare hashes a message that was read, and verifies its signature if the message may be
// for this peer. Both are costly and read only fixed fields, so a caller calls Prepare before
// it takes its lock. Receive does the rest.
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

// message delivers, forwards or drops a message from a link.
func (c *Core) message(l *link, f *wire.Frame) {
	b := &f.Body
	if b.From == c.self || f.InPath(c.self) {
		if !c.sendBack(l, f, journal.DropLoop) {
			c.drop(journal.DropLoop, f)
		}
		return
	}
	h := c.hash(f)
	if c.transit.has(c.now, h) {
		switch t := c.troubles[h]; {
		case t == nil || !t.back:
			c.drop(journal.DropDuplicate, f)
		case !c.sendBack(l, f, journal.DropNoRoute): // as the copy that came first
			c.lost(f)
		}
		return
	}
	c.learned.Learn(c.now, b.From, l.ID)
	l.passes = l.passes || b.From != l.ID
	c.seeReceipt(l, f)
	switch {
	case len(f.Targets) > 0:
		c.drop(journal.DropUnsupported, f)
	case b.To == c.self, c.isLast(f):
		c.transit.finish(c.now, h)
		c.deliver(l, f)
	default:
		c.forward(f, l)
	}
}

// deliver processes a message for this peer.
func (c *Core) deliver(l *link, f *wire.Frame) {
	b := &f.Body
	signed := f.Verify(c.cfg.Verify)
	if len(f.Sig) > 0 && !signed {
		c.stats.BadSignatures++
	}
	straight := l.Native() && l.Proved && l.ID == b.From && f.PathLen() == 1 && f.PathAt(0) == b.From
	proved, again := c.delivery(l, f, signed, straight)
	if again && f.Wants(wire.FlagReceipt) {
		again = !c.undelivered.Take(c.now, c.receiptKey(f))
	}
	if proved && !again && l.ID != b.From {
		c.proved.Learn(c.now, b.From, l.ID)
	}
	switch {
	case again:
		c.drop(journal.DropDuplicate, f)
		c.confirmAgain(l, f)
	case b.Form > wire.FormWholeJSON:
		c.drop(journal.DropUnsupported, f)
	case b.Kind == wire.KindUser || b.Kind == wire.KindOther:
		c.stats.Delivered++
		c.note(journal.MessageDelivered, f, l.ID, 0)
		c.do(Action{Type: Deliver, Frame: f, Proved: proved})
	case b.Kind > wire.KindReport:
		c.drop(journal.DropUnsupported, f)
	case b.Kind == wire.KindReceipt:
		c.onReceipt(l, f, proved)
	case b.Kind == wire.KindNotice:
		c.onNotice(f)
	case b.Kind == wire.KindPing:
		c.onPing(l, f)
	case b.Kind == wire.KindReport:
		c.onReport(f, proved)
	case (b.Kind == wire.KindFind || b.Kind == wire.KindOffer) && !l.ask(c.now):
		c.drop(journal.DropRate, f) // the answer would cost a signature
	default:
		c.overlay.Receive(&l.Link, f, proved)
	}
}

// The last argument of a hash in the delivery table. It separates the kinds of entries.
var (
	ofProved = []byte("proved")
	ofSigned = []byte("signed")
	ofKept   = []byte("kept")
)

// delivery adds a message for this peer to the delivery table. It reports whether the origin
// is proved, and whether the message was delivered before. A proved message is identified by
// its end-to-end id, since a relay may change the rest of the frame. It is delivered even if a
// copy without a proof arrived earlier, since any relay can strip a signature. One that came
// straight and is not signed is not: that copy may be another attempt, which took another way. A
// message that is not proved is identified by its end-to-end id or nonce, and its bytes. One that
// mailboxes may keep is remembered for longer.
//
// A signed body has an end-to-end id. A body of an older peer may have none. Then only the
// nonce distinguishes two equal messages, and the nonce is not signed, so only the first of
// them counts as proved.
func (c *Core) delivery(l *link, f *wire.Frame, signed, straight bool) (proved, again bool) {
	b := &f.Body
	id := b.E2E
	if id == nil {
		id = f.Nonce
	}
	content := c.cfg.Hash(b.From[:], id, b.Raw(), nil)
	if signed && !straight && b.E2E == nil {
		body := c.cfg.Hash(b.From[:], nil, b.Raw(), ofSigned)
		if c.delivered.Has(c.now, body) {
			signed = false
		} else {
			c.noteDelivery(l, body)
		}
	}
	if !signed && !straight {
		again = c.delivered.Has(c.now, content)
	} else {
		what := b.Raw()
		if b.E2E != nil {
			what = nil
		}
		h := c.cfg.Hash(b.From[:], id, what, ofProved)
		again = c.delivered.Has(c.now, h) || !signed && c.delivered.Has(c.now, content)
		if !again {
			c.noteDelivery(l, h)
		}
	}
	if signed && f.IsKept() { // it may come again when a mailbox hands it over
		again = !c.mailbox.had.Add(c.now, c.cfg.Hash(b.From[:], id, nil, ofKept)) || again
	}
	if !again {
		c.noteDelivery(l, content)
	}
	return signed || straight, again
}

// noteDelivery adds h to the delivery table. One link may fill only a share of the table, so
// that it cannot evict the entries of others. Its messages beyond that are delivered without
// an entry.
func (c *Core) noteDelivery(l *link, h uint64) {
	if c.now-l.deliveredFrom >= deliverAge {
		l.delivered, l.deliveredFrom = 0, c.now
	}
	if l.delivered < c.delivered.Most()/deliverShare {
		l.delivered++
		c.delivered.Add(c.now, h)
	}
}

// isLast reports whether f is a search that ends at this peer, because this peer has no
// strictly nearer link.
func (c *Core) isLast(f *wire.Frame) bool {
	return f.IsSearch() && c.nearer(f.Body.To, f.Body.From, f.InPath) == nil
}

// nearer returns the next link for a search, which from sent for the peer nearest to an id.
// It is the nearest link to a peer that is strictly nearer than this one and understands
// searches. It returns nil if there is none. A peer whose link is young may be joining, and know few
// others: it is the next one only if there is no older one, and if this peer does not know the
// neighbours of that id itself.
func (c *Core) nearer(to, from wire.ID, inPath func(wire.ID) bool) (next *link) {
	var young *link
	c.table.Nearest(to, func(l *link) bool {
		if !to.Closer(l.ID, c.self) {
			return false
		}
		switch {
		case !l.Extended || l.Role == wire.RoleLeaf || !l.Answers() || l.ID == from || inPath(l.ID):
		case c.now-l.Since >= joiningTime:
			next = l
		case young == nil:
			young = l
		}
		return next == nil
	})
	if next == nil && young != nil && !c.overlay.Encloses(to) {
		next = young
	}
	return next
}

// ReceiveAll processes frames from a link that came together, which costs less for each than Receive. Messages were
// passed to Prepare.
func (c *Core) ReceiveAll(now time.Duration, h LinkHandle, frames []*wire.Frame) {
	c.hashes = c.hashes[:0]
	for _, f := range frames {
		if f.Type == wire.FrameMessage {
			c.hashes = append(c.hashes, c.hash(f))
		}
	}
	c.fetched += c.transit.done.Fetch(c.hashes)
	for _, f := range frames {
		c.Receive(now, h, f)
	}
}

// Receive processes a frame from a link.
func (c *Core) Receive(now time.Duration, h LinkHandle, f *wire.Frame) {
	c.now = now
	l := c.byHandle[h]
	if l == nil {
		return
	}
	answer := f.Type == wire.FramePong && f.Num == l.token
	if answer {
		l.Late = false // it reads what this peer writes
	}
	if answer && l.pinged && l.moved == l.pingedAt && l.Kind != wire.LinkWebRTC { // a data channel's answer waits for a sign of the peer
		l.sample(now - l.pingedAt)
	}
	l.hear(now)
	c.refuseRivals(l)
	switch f.Type {
	case wire.FrameMessage:
		if !l.Usable && !l.Ended {
			c.makeUsable(l)
		}
		c.stats.Received++
		c.note(journal.MessageReceived, f, l.ID, 0)
		size := f.Size() // forwarding changes it
		c.message(l, f)
		c.received(l, size)
	case wire.FramePing:
		if !l.Ended && !c.full(l, 0) {
			c.transmit(l, wire.NewPong(f.Num))
		}
	case wire.FrameHello: // a legacy peer shows that it knows the extensions
		switch {
		case l.Native():
			c.offence(l, journal.DropMalformed)
		case !l.Extended:
			l.Extended = true
			l.Features, l.Role = f.Hello.Features, f.Hello.Role
			if l.Usable {
				c.overlay.LearnedExtended(&l.Link)
			}
		}
	case wire.FrameBye:
		c.byeFrom(l, f.Bye)
	case wire.FrameAck:
		c.acknowledged(l, f.Num)
	case wire.FrameNack:
		c.nacked(l, f.Nack)
	case wire.FrameNeighbours:
		c.heardPeers(l, f.Peers)
	case wire.FrameUnknown:
		c.drop(journal.DropUnknown, nil)
	}
}

// byeFrom processes a peer's bye. The shell still writes the frames that are queued for it.
func (c *Core) byeFrom(l *link, reason wire.ByeReason) {
	if l.Ended { // the answer to our bye
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
		l.Gone = true
	default:
		c.endFor(l, wire.ByeNormal, nil)
		c.overlay.Avoid(l.ID)
	}
}

// Offence reports to the core that a link brought malformed bytes.
func (c *Core) Offence(now time.Duration, h LinkHandle, reason journal.DropReason) {
	c.now = now
	if l := c.byHandle[h]; l != nil {
		c.offence(l, reason)
	}
}

// offence drops a malformed frame, and ends a native link at maxOffences. A legacy peer
// forwards malformed messages of others, so its link is not ended.
func (c *Core) offence(l *link, reason journal.DropReason) {
	c.drop(reason, nil)
	if !l.Native() {
		return
	}
	if l.offences++; l.offences >= maxOffences {
		c.end(l, wire.ByeProtocol)
	}
}
