package core

import (
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// On a link with custody each message is acknowledged. Until then the peer that sent it is
// responsible for it: if the acknowledgement does not come in time, or the link ends, it sends the
// message to its next choice. A peer that has no choice left returns the message with a NACK to
// the peer that it came from, which then is responsible again.

// A custodian is the custody of one link. The zero value is that of a link without custody.
type custodian struct {
	keeps bool // both peers know the feature

	received uint64 // messages that came
	told     uint64 // of these, the ones that were acknowledged

	sent    uint64        // messages that were queued
	unacked []entrusted   // of these, the ones that are not acknowledged, in order
	first   int           // index of the first of them in unacked
	bytes   int           // of these
	all     *int          // bytes of these on all links
	ackedAt time.Duration // when an acknowledgement last came, or the first message was queued after all were acknowledged
	movedAt time.Duration // the same, or when the transport last carried something
	stage   ackStage
	before  wire.Progress // of the transport in askedBefore
	late    bool          // no acknowledgement came in time: other links are preferred
}

// An entrusted message was sent and is not acknowledged.
type entrusted struct {
	seq    uint64
	at     time.Duration // when it was queued
	frame  *wire.Frame
	copied bool // the message also went another way
}

// An ackStage is what is being done about a late acknowledgement. A line may only be slow, so
// the transport is asked twice.
type ackStage uint8

const (
	inTime      ackStage = iota
	askedBefore          // for the figures to compare with
	askedAfter           // for the figures that decide
)

func (k *custodian) pending() []entrusted { return k.unacked[k.first:] }

// entrust notes a message that was queued.
func (k *custodian) entrust(now time.Duration, f *wire.Frame) {
	k.sent++
	if k.first == len(k.unacked) {
		k.unacked, k.first = k.unacked[:0], 0
		k.ackedAt, k.movedAt = now, now
	} else if k.first > len(k.unacked)/2 && len(k.unacked) == cap(k.unacked) {
		n := copy(k.unacked, k.unacked[k.first:])
		clear(k.unacked[n:])
		k.unacked, k.first = k.unacked[:n], 0
	}
	k.unacked = append(k.unacked, entrusted{seq: k.sent, at: now, frame: f})
	k.grow(f.Size())
}

// grow changes the bytes that are not acknowledged.
func (k *custodian) grow(n int) {
	k.bytes += n
	*k.all += n
}

// acked removes the messages up to number count. It returns when the last of them was queued, and
// whether there were any.
func (k *custodian) acked(now time.Duration, count uint64) (at time.Duration, any bool) {
	for k.first < len(k.unacked) && k.unacked[k.first].seq <= count {
		e := &k.unacked[k.first]
		k.grow(-e.frame.Size())
		at, any = e.at, true
		*e = entrusted{}
		k.first++
	}
	if any {
		k.ackedAt, k.movedAt, k.stage, k.late = now, now, inTime, false
	}
	if k.first == len(k.unacked) && cap(k.unacked) > keepEntrusted {
		k.unacked, k.first = nil, 0
	}
	return at, any
}

// unwritten removes a message that the link could not write. It has no number then.
func (k *custodian) unwritten(f *wire.Frame) {
	i := slices.IndexFunc(k.pending(), func(e entrusted) bool { return e.frame == f })
	if i < 0 {
		return
	}
	i += k.first
	k.unacked = slices.Delete(k.unacked, i, i+1)
	for j := range k.unacked[i:] {
		k.unacked[i+j].seq--
	}
	k.sent--
	k.grow(-f.Size())
}

// take removes message number seq, and returns it.
func (k *custodian) take(seq uint64) (e entrusted, ok bool) {
	i, ok := slices.BinarySearchFunc(k.pending(), seq, func(e entrusted, seq uint64) int {
		switch {
		case e.seq < seq:
			return -1
		case e.seq > seq:
			return 1
		}
		return 0
	})
	if !ok {
		return entrusted{}, false
	}
	i += k.first
	e = k.unacked[i]
	k.unacked = slices.Delete(k.unacked, i, i+1)
	k.grow(-e.frame.Size())
	return e, true
}

// ackBy returns the time at which an acknowledgement is late.
func (l *link) ackBy() time.Duration { return l.movedAt + l.patience(ackLeast) }

// tickCustody looks after acknowledgements that are late.
func (c *Core) tickCustody(l *link) {
	if len(l.pending()) == 0 || l.late {
		return
	}
	if c.now < l.ackBy() {
		c.wakeBy(l.ackBy())
		return
	}
	if l.stage == inTime {
		l.stage = askedBefore
	} else {
		l.stage = askedAfter
	}
	l.movedAt = c.now
	c.do(Action{Type: Measure, Link: l.handle})
}

// measuredCustody decides about late acknowledgements by the figures of the transport.
func (c *Core) measuredCustody(l *link, p wire.Progress) {
	switch {
	case l.stage == askedBefore && p.Known:
		l.before = p
		c.wakeBy(l.ackBy())
	case l.stage != inTime:
		l.stage = inTime
		if c.carries(l, p) {
			c.wakeBy(l.ackBy())
			return
		}
		l.late = true
		c.ping(l)
		c.handOver(l, false)
	}
}

// carries reports whether a line is only slow. A transport that does not tell what has arrived
// may only show that the other end answers, so a slow line has a limit there.
func (c *Core) carries(l *link, p wire.Progress) bool {
	switch {
	case !p.Known:
		return false
	case p.Acked > 0:
		return p.Pending > 0 && p.Moves > l.before.Moves
	}
	most := ackMost + time.Duration(l.bytes)*time.Second/slowLine
	return p.Received > l.before.Received && c.now-l.ackedAt < most
}

// handOver sends the messages of a link that are not acknowledged another way. Those for the
// peer of the link stay with it as well, unless the link has ended: the peer may be paused, and
// the other way may not reach it.
func (c *Core) handOver(l *link, ended bool) {
	all := slices.Clone(l.pending())
	clear(l.unacked)
	l.unacked, l.first = l.unacked[:0], 0
	l.grow(-l.bytes)
	for _, e := range all {
		stays := !ended && e.frame.Body.To == l.ID
		if stays {
			l.unacked = append(l.unacked, entrusted{e.seq, e.at, e.frame, true})
			l.grow(e.frame.Size())
		}
		switch {
		case ended:
			c.resend(e.frame.Copy(), l.ID)
		case !e.copied:
			c.again(e.frame, l.ID, stays)
		}
	}
}

// again sends a message another way that was sent to the peer tried, which did not take it.
// kept reports that it stays with that peer as well.
func (c *Core) again(sent *wire.Frame, tried wire.ID, kept bool) {
	f := sent.Copy()
	if f.IsSearch() { // its origin asks again
		if !kept {
			c.drop(DropLinkEnded, f)
		}
		return
	}
	t := c.trouble(f)
	if !slices.Contains(t.tried, tried) {
		t.tried = append(t.tried, tried)
	}
	if f.Hop.TxLeft() <= 0 {
		c.drop(DropBudget, f)
		return
	}
	next := c.choose(f.Body.To, hopQuery{frame: f, prev: c.before(f), tried: t.tried})
	if next.first != nil {
		c.copies(f, next)
		return
	}
	if !kept {
		c.giveBack(f, DropNoRoute)
	}
}

// before returns the link to the peer from which a message came, nil if this peer is its origin or
// the link is gone.
func (c *Core) before(f *wire.Frame) *link {
	if n := f.PathLen(); n > 1 {
		return c.table.get(f.PathAt(n - 2))
	}
	return nil
}

// giveBack returns a message that this peer has taken over, and for which there is no other way,
// to the peer that it came from. If that one has no custody, the message is dropped.
func (c *Core) giveBack(f *wire.Frame, reason DropReason) {
	prev := c.before(f)
	if prev == nil || !prev.keeps || prev.ended || f.IsSearch() || f.Hop.NacksLeft() <= 0 {
		c.drop(reason, f)
		return
	}
	c.nack(prev, wire.Nack{Reason: wire.NackNoRoute, Frame: f.Returned()})
}

// nack sends a NACK. It has room beyond that of messages. A peer that does not read even these
// loses its link, and with it nothing: what it sent is not acknowledged.
func (c *Core) nack(l *link, n wire.Nack) {
	f, err := wire.NewNack(n)
	switch {
	case err != nil: // messages leave room for it
		c.drop(DropTooBig, nil)
	case l.queuedFrames >= maxQueueFrames+nackFrames || l.queuedBytes+f.Size() > maxQueueBytes+nackBytes:
		c.end(l, wire.ByeSilent)
	default:
		c.transmit(l, f)
	}
}

// nacked takes back a message that a peer could not bring further.
func (c *Core) nacked(l *link, n *wire.Nack) {
	if !l.keeps {
		c.drop(DropUnknown, nil)
		return
	}
	var f *wire.Frame
	if e, ok := l.take(n.Seq); ok && n.Frame == nil {
		f = e.frame
	} else if n.Frame != nil {
		f = c.returned(n.Frame)
	}
	if f == nil {
		c.drop(DropUnasked, nil)
		return
	}
	f = f.Copy()
	f.Hop = f.Hop.WithNacks(f.Hop.NacksLeft() - 1)
	c.again(f, l.ID, false)
}

// returned returns the frame in a NACK as this peer sent it, nil if this peer did not send it.
func (c *Core) returned(b []byte) *wire.Frame {
	f, err := wire.ParseFrame(b)
	if err != nil || f.Type != wire.FrameMessage {
		return nil
	}
	// A stranger's message must not leave with this peer as its origin, which proves it.
	if f.PathAt(f.PathLen()-1) != c.self || !c.transit.has(c.now, c.hash(f)) {
		return nil
	}
	return f
}

// forget removes messages that were not written.
func (k *custodian) forget(unwritten []*wire.Frame) {
	if len(unwritten) == 0 {
		return
	}
	kept := k.unacked[:k.first]
	for _, e := range k.pending() {
		if slices.Contains(unwritten, e.frame) {
			k.grow(-e.frame.Size())
		} else {
			kept = append(kept, e)
		}
	}
	clear(k.unacked[len(kept):])
	k.unacked = kept
}

// sendBack has a message go back to the peer that sent it, and not be dropped. It reports whether
// it does.
func (c *Core) sendBack(l *link, f *wire.Frame, reason wire.NackReason) bool {
	if !l.keeps || f.IsSearch() || f.Hop.NacksLeft() <= 0 {
		return false
	}
	c.refusal = reason
	return true
}

// received counts a message of a link that was processed, and returns it if it is refused.
func (c *Core) received(l *link) {
	if !l.keeps {
		return
	}
	l.received++
	if reason := c.refusal; reason != 0 {
		c.refusal = 0
		c.nack(l, wire.Nack{Seq: l.received, Reason: reason})
	}
	if l.received == l.told+1 {
		c.owing = append(c.owing, l)
	}
}

// acknowledge sends the acknowledgements that are due.
func (c *Core) acknowledge() {
	for i, l := range c.owing {
		c.owing[i] = nil
		l.told = l.received
		if !l.ended {
			c.do(Action{Type: Transmit, Link: l.handle, Frame: wire.NewAck(l.told)})
		}
	}
	c.owing = c.owing[:0]
}

// acknowledged ends the custody of the first count messages of a link.
func (c *Core) acknowledged(l *link, count uint64) {
	switch {
	case !l.keeps:
		c.drop(DropUnknown, nil)
	case count > l.sent:
		c.offence(l, DropMalformed)
	default:
		if at, any := l.acked(c.now, count); any {
			l.sample(c.now - at)
			c.wakeBy(l.ackBy())
		}
	}
}

// expireTroubles forgets the tries of old messages.
func (c *Core) expireTroubles() {
	for h, t := range c.troubles { // the order does not change the result
		if c.now >= t.until {
			delete(c.troubles, h)
		}
	}
}

// A trouble is a message that did not take its first way.
type trouble struct {
	tried []wire.ID
	until time.Duration
}

// trouble returns what is known of a message in trouble.
func (c *Core) trouble(f *wire.Frame) *trouble {
	h := c.hash(f)
	t := c.troubles[h]
	if t == nil {
		t = &trouble{until: c.now + seenAge}
		if len(c.troubles) < maxTroubles {
			c.troubles[h] = t
		}
	}
	return t
}
