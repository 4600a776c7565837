package core

import (
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/custody"
	"github.com/peer-relay/peer-relay/protocol/internal/journal"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// On a link with custody each message is acknowledged. Until then the peer that sent it is
// responsible for it: if the acknowledgement does not come in time, or the link ends, it sends the
// message to its next choice. A peer that has no choice left returns the message with a NACK to
// the peer that it came from, which then is responsible again.

// A custodian is the custody of one link. The zero value is that of a link without custody.
type custodian struct {
	keeps    bool // both peers know the feature
	stage    ackStage
	received uint64        // messages that came
	told     uint64        // of these, the ones that were acknowledged
	untold   int           // bytes of the others
	tellBy   time.Duration // when the others must be acknowledged

	ledger  custody.Ledger                   // the messages that the peer has not acknowledged
	flushed uint64                           // messages that the transport has taken
	ackedAt time.Duration                    // when an acknowledgement last came, or the first message was queued after all were acknowledged
	movedAt time.Duration                    // the same, or when the transport last carried something
	before  struct{ received, moves uint64 } // of the transport in askedBefore
}

// An ackStage is what is being done about a late acknowledgement. A line may only be slow, so
// the transport is asked twice.
type ackStage uint8

const (
	inTime      ackStage = iota
	askedBefore          // for the figures to compare with
	askedAfter           // for the figures that decide
)

// entrust notes a message that was queued. It returns its bytes, nil if the ledger holds its frame.
func (c *Core) entrust(l *link, f *wire.Frame) (b []byte) {
	if l.ledger.Len() == 0 {
		l.ackedAt, l.movedAt = c.now, c.now
	}
	before := l.ledger.Bytes()
	if f.Tracked || f.Body.From == c.self {
		l.ledger.Add(c.now, f)
	} else {
		b = f.AppendBytes(c.buffers.Get(f.Size()))
		l.ledger.AddBytes(c.now, b)
	}
	c.entrusted += l.ledger.Bytes() - before
	if !l.Late {
		c.wakeBy(l.ackBy())
	}
	return b
}

// Flushed reports to the core the number of messages of a link that its transport has taken.
func (c *Core) Flushed(h LinkHandle, messages uint64) {
	if l := c.byHandle[h]; l != nil {
		l.flushed = messages
	}
}

// laden is full for messages that are not acknowledged.
func (c *Core) laden(l *link, size int) bool {
	return l.ledger.Len() >= maxQueueFrames || l.ledger.Bytes()+size > maxQueueBytes ||
		c.entrusted+size > queuesBytes && l.ledger.Bytes()+size > queueShare
}

// recount changes the ledger of a link.
func (c *Core) recount(l *link, change func()) {
	before := l.ledger.Bytes()
	change()
	c.entrusted += l.ledger.Bytes() - before
}

// ackBy returns the time at which an acknowledgement is late.
func (l *link) ackBy() time.Duration { return l.movedAt + l.patience(ackLeast) }

// tickCustody looks after acknowledgements that are late.
func (c *Core) tickCustody(l *link) {
	if l.ledger.Len() == 0 || l.Late {
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
	c.do(Action{Type: Measure, Link: l.Handle})
}

// measuredCustody decides about late acknowledgements by the figures of the transport.
func (c *Core) measuredCustody(l *link, p wire.Progress) {
	switch {
	case l.stage == askedBefore && p.Known:
		l.before.received, l.before.moves = p.Received, p.Moves
		c.wakeBy(l.ackBy())
	case l.stage != inTime:
		l.stage = inTime
		if c.carries(l, p) {
			c.wakeBy(l.ackBy())
			return
		}
		l.Late, c.silence = true, true
		c.ping(l)
		c.handOver(l)
	}
}

// carries reports whether a line is only slow. A transport that does not tell what has arrived
// may only show that the other end answers, so a slow line has a limit there.
func (c *Core) carries(l *link, p wire.Progress) bool {
	switch {
	case !p.Known:
		return false
	case p.Acked > 0:
		return p.Pending > 0 && p.Moves > l.before.moves
	}
	most := ackMost + time.Duration(l.ledger.Bytes())*time.Second/slowLine
	return p.Received > l.before.received && c.now-l.ackedAt < most
}

// handOver sends the messages of a late link another way. Those for the peer of the link stay with
// it as well: the peer may be paused, and the other way may not reach it. Those without another way
// stay until the link ends.
func (c *Core) handOver(l *link) {
	var all []custody.Entry
	c.recount(l, func() { all = l.ledger.Empty(0) })
	for _, e := range all {
		if !e.Copied {
			e.Copied = c.again(e.Frame(), l.ID, attempt{late: true})
		}
		if !e.Copied || e.Frame().Body.To == l.ID {
			c.recount(l, func() { l.ledger.Keep(e) })
		}
	}
}

// inherit sends the messages of a link that has ended another way, without the last ones, which are left
// in its queue.
func (c *Core) inherit(l *link, left int) {
	var all []custody.Entry
	c.recount(l, func() { all = l.ledger.Empty(left) })
	for _, e := range all {
		f := e.Frame()
		if c.table.Get(l.ID) == nil && (e.Copied || c.tellsOf(l, f)) {
			c.drop(journal.DropLinkEnded, f) // it went another way, or its origin sends it again
			continue
		}
		c.resend(f.Copy(), l.ID)
	}
}

// An attempt is what is known of a message that a peer did not take.
type attempt struct {
	late   bool // the link is late, and keeps the message if nothing is done; the peer may have taken it
	unsure bool // the peer had no room: that is no word that there is no route, nor is late
}

// again sends a message another way that was sent to the peer tried, which did not take it.
// It returns false if nothing was done: there is no other way, or too many messages are in trouble.
func (c *Core) again(sent *wire.Frame, tried wire.ID, a attempt) bool {
	f := sent.Copy()
	if f.IsSearch() { // its origin asks again
		c.drop(journal.DropLinkEnded, f)
		return true
	}
	t := c.trouble(f)
	if t == nil {
		if a.late {
			return false
		}
		t = new(trouble)
	}
	t.stays, t.unsure = t.stays || a.late && f.Body.To == tried, t.unsure || a.late || a.unsure
	t.late = t.late || a.late
	if !slices.Contains(t.tried, tried) {
		t.tried = append(t.tried, tried)
	}
	if !t.unsure && f.IsKept() {
		switch id := c.mailboxFor(f); {
		case id == c.self:
			return c.store(f)
		case f.InPath(id) && c.giveBack(f, wire.NackNoRoute): // it keeps the message when that comes back
			t.back = true
			return true
		}
	}
	spent, busy := f.Hop.TxLeft() <= 0, false
	if !spent {
		next := c.choose(f.Body.To, hopQuery{frame: f, prev: c.before(f), tried: t.tried})
		if next.first != nil {
			c.copies(f, next)
			return true
		}
		busy = next.busy
	}
	switch {
	case a.late && f.Body.To == tried: // the link to the receiver keeps it
		return false
	case !spent && !busy && !t.unsure && c.lodge(f, nil, t.tried):
	case c.giveBack(f, nackOf(busy || t.unsure)):
		t.back = true
	case a.late:
		return false
	case t.stays: // the link to the receiver has it
	default:
		c.giveUp(f, t, spent, busy)
	}
	return true
}

// giveUp drops a message that has no way left, since its budget is spent, its ways are busy, or it has
// tried all.
func (c *Core) giveUp(f *wire.Frame, t *trouble, spent, busy bool) {
	if t.late && f.Tracked {
		c.givenUp++
	}
	switch {
	case spent:
		c.drop(journal.DropBudget, f)
	case busy:
		c.drop(journal.DropQueueFull, f)
	case t.unsure:
		c.drop(journal.DropNoRoute, f)
	default:
		c.lost(f)
	}
}

// nackReason returns the reason with which a message goes back.
func (c *Core) nackReason(f *wire.Frame, why wire.NackReason) wire.NackReason {
	if why == wire.NackNoRoute && c.mayLeadOn(f) {
		return wire.NackBusy
	}
	return why
}

// nackOf returns the reason of a message that goes back, for which there may be a route.
func nackOf(unsure bool) wire.NackReason {
	if unsure {
		return wire.NackBusy
	}
	return wire.NackNoRoute
}

// before returns the link to the peer from which a message came, nil if this peer is its origin or
// the link is gone.
func (c *Core) before(f *wire.Frame) *link {
	n := f.PathLen()
	if n > 0 && f.PathAt(n-1) == c.self {
		n--
	}
	if n == 0 {
		return nil
	}
	return c.table.Get(f.PathAt(n - 1))
}

// giveBack returns a message that this peer has taken over, and for which there is no other way,
// to the peer that it came from. It reports whether that one takes it.
func (c *Core) giveBack(f *wire.Frame, why wire.NackReason) bool {
	prev := c.before(f)
	if prev == nil || !prev.keeps || prev.Ended || f.IsSearch() || f.Hop.NacksLeft() <= 0 {
		return false
	}
	c.note(journal.MessageReturned, f, prev.ID, journal.DropNoRoute)
	c.nack(prev, wire.Nack{Reason: c.nackReason(f, why), Frame: f.Returned()})
	return true
}

// nack sends a NACK. It has room beyond that of messages. A peer that does not read even these
// loses its link, and with it nothing: what it sent is not acknowledged.
func (c *Core) nack(l *link, n wire.Nack) {
	f, err := wire.NewNack(n)
	switch {
	case err != nil: // messages leave room for it
		c.drop(journal.DropTooBig, nil)
	case l.queuedFrames >= maxQueueFrames+nackFrames || l.queuedBytes+f.Size() > maxQueueBytes+nackBytes:
		c.end(l, wire.ByeSilent)
	default:
		c.transmit(l, f)
	}
}

// nacked takes back a message that a peer could not bring further.
func (c *Core) nacked(l *link, n *wire.Nack) {
	if !l.keeps {
		c.drop(journal.DropUnknown, nil)
		return
	}
	var f *wire.Frame
	if n.Frame != nil {
		f = c.returned(n.Frame)
	} else {
		c.recount(l, func() { f = l.ledger.Take(n.Seq) })
	}
	if f == nil {
		if n.Frame != nil || n.Seq == 0 || n.Seq > l.ledger.Sent() { // otherwise it took another way before
			c.drop(journal.DropUnasked, nil)
		}
		return
	}
	f = f.Copy()
	f.Hop = f.Hop.WithNacks(f.Hop.NacksLeft() - 1)
	c.again(f, l.ID, attempt{unsure: n.Reason != wire.NackNoRoute})
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

// nackReasons are the reasons of messages that go back, NackNoRoute if there is none.
var nackReasons = map[journal.DropReason]wire.NackReason{journal.DropQueueFull: wire.NackBusy, journal.DropHops: wire.NackHops, journal.DropBudget: wire.NackHops}

// sendBack has a message go back to the peer that sent it, and not be dropped. It reports whether
// it does.
func (c *Core) sendBack(l *link, f *wire.Frame, reason journal.DropReason) bool {
	if !l.keeps || f.IsSearch() || f.Hop.NacksLeft() <= 0 {
		return false
	}
	c.refusal = c.nackReason(f, max(nackReasons[reason], wire.NackNoRoute))
	c.note(journal.MessageReturned, f, l.ID, reason)
	return true
}

// received counts a message of size bytes that was processed, and returns it if it is refused.
func (c *Core) received(l *link, size int) {
	if !l.keeps {
		return
	}
	l.received++
	l.untold += size
	if reason := c.refusal; reason != 0 {
		c.refusal = 0
		c.nack(l, wire.Nack{Seq: l.received, Reason: reason})
	}
	if l.received == l.told+1 {
		l.tellBy = c.now + ackDelay
		c.owing = append(c.owing, l)
		c.wakeBy(l.tellBy)
	}
}

// acknowledge sends the acknowledgements that are due. One serves many messages, since it costs
// about as much as a message.
func (c *Core) acknowledge() {
	owing := c.owing[:0]
	for _, l := range c.owing {
		switch {
		case l.Ended || l.told == l.received:
		case l.received-l.told < ackEvery && l.untold < ackBytes && c.now < l.tellBy:
			owing = append(owing, l)
			c.wakeBy(l.tellBy)
		default:
			c.tell(l)
		}
	}
	clear(c.owing[len(owing):])
	c.owing = owing
}

// tell acknowledges all messages of a link that were processed.
func (c *Core) tell(l *link) {
	if l.keeps && l.told != l.received {
		l.told, l.untold = l.received, 0
		c.do(Action{Type: Transmit, Link: l.Handle, Frame: wire.NewAck(l.told)})
	}
}

// acknowledged ends the custody of the first count messages of a link.
func (c *Core) acknowledged(l *link, count uint64) {
	switch {
	case !l.keeps:
		c.drop(journal.DropUnknown, nil)
	case count > l.ledger.Sent():
		c.offence(l, journal.DropMalformed)
	default:
		var at time.Duration
		var any bool
		c.recount(l, func() { at, any = l.ledger.Ack(count, l.flushed, c.buffers.Put) })
		if !any {
			return
		}
		l.ackedAt, l.movedAt, l.stage, l.Late = c.now, c.now, inTime, false
		l.pulse.sample(c.now - at)
		if l.ledger.Len() > 0 {
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
	tried  []wire.ID
	stays  bool // it is with the late link to its receiver as well
	late   bool // a late link had it: that peer may have taken it
	unsure bool // see attempt
	back   bool // it went back to the peer that it came from
	until  time.Duration
}

// trouble returns what is known of a message in trouble, nil if there is no room for it.
func (c *Core) trouble(f *wire.Frame) *trouble {
	h := c.hash(f)
	t := c.troubles[h]
	if t == nil && len(c.troubles) < maxTroubles {
		t = &trouble{until: c.now + seenAge}
		c.troubles[h] = t
	}
	return t
}
