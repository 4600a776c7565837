package core

import (
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A Cause says why a link was opened. The zero Cause is Inbound.
type Cause struct {
	kind  causeKind
	index int // of the bootstrap
}

type causeKind uint8

const (
	causeInbound causeKind = iota
	causeSought
	causeBootstrap
)

// Inbound is the cause of a link that no action of the core asked for.
func Inbound() Cause { return Cause{} }

// Sought is the cause of a link that a Dial action asked for.
func Sought() Cause { return Cause{kind: causeSought} }

// Bootstrap is the cause of a link that a DialBootstrap action with this index asked for.
func Bootstrap(index int) Cause { return Cause{kind: causeBootstrap, index: index} }

// OfBootstrap returns the index of the bootstrap that was dialled, if one was.
func (c Cause) OfBootstrap() (index int, ok bool) { return c.index, c.kind == causeBootstrap }

// LinkUp tells of a new link. An error means that it must be closed and was not
// taken. Of two links to a peer one is kept, which may be the new one; the other is
// closed, and what its peer wrote before it knew is taken all the same.
func (c *Core) LinkUp(now time.Duration, h LinkHandle, info wire.LinkInfo, cause Cause) error {
	c.now = now
	if c.wasInFlight(info, cause) {
		c.stats.LinksRefused++
		return ErrDisconnected
	}
	if index, ok := cause.OfBootstrap(); ok {
		c.overlay.bootstrapAnswered(index, info.ID)
	}
	if info.ID == c.self {
		c.stats.LinksRefused++
		return ErrSelf
	}
	holder := c.holder(info)
	if holder != nil {
		c.stats.LinksRefused++
		c.ping(holder) // it may be dead without our knowing, and the peer's new link would be right
		if info.Kind != wire.LinkNative {
			return ErrDuplicate
		}
	}
	l := &link{LinkInfo: info, handle: h, since: now, heard: now, extended: info.Kind == wire.LinkNative, bootstrap: c.overlay.isBootstrap(info.ID), asks: askBurst, askedAt: now}
	if holder == nil {
		for _, x := range c.order {
			if x.ID == info.ID {
				c.end(x, wire.ByeDuplicate)
			}
		}
		c.stats.LinksOpened++
	}
	c.byHandle[h] = l
	c.order = append(c.order, l)
	c.settled(info)
	switch {
	case holder != nil:
		c.end(l, wire.ByeDuplicate)
		return nil
	case l.native():
		c.makeUsable(l)
	default:
		c.wakeBy(now + muteAfter)
		c.expect(l.ID, false)
		c.overlay.greet(l)
	}
	c.wakeBy(now + l.idleLimit())
	return nil
}

// wasInFlight reports whether a link was being made when the application disconnected its
// peer: a dial of the overlay's own, or one of the peer's, which is not told in time. A
// bootstrap, and what the application dials, is meant.
func (c *Core) wasInFlight(info wire.LinkInfo, cause Cause) bool {
	switch cause.kind {
	case causeSought:
		return c.overlay.shuns(info.ID)
	case causeInbound:
		return !info.Dialed && c.overlay.shunsSince(info.ID) < replaceTime
	default:
		return false
	}
}

// makeUsable puts l into the table and sends what waited for a first link.
func (c *Core) makeUsable(l *link) {
	l.usable = true
	known := c.table.get(l.ID) != nil
	c.table.put(l)
	if !known {
		c.do(Action{Type: PeerUp, Peer: l.ID, Link: l.handle})
		c.noteLink(LinkUp, l.ID, nil)
	}
	if l.native() {
		c.overlay.greet(l)
	}
	c.overlay.linkUp(l)
	if l.extended && !l.native() { // its hello comes before its first message
		c.overlay.learnedExtended(l)
	}
	c.endExpected(l.ID)
	c.sendWaiting()
}

// end asks for l's close. Frames that it still brings are taken; none goes to it.
func (c *Core) end(l *link, reason wire.ByeReason) { c.endFor(l, reason, byeError(reason)) }

func (c *Core) endFor(l *link, reason wire.ByeReason, why error) {
	if l.ended {
		return
	}
	l.ended, l.why = true, why
	l.gone = reason == wire.ByeSilent
	l.replaced = reason == wire.ByeDuplicate
	c.do(Action{Type: CloseLink, Link: l.handle, Reason: reason, Err: why})
	if reason != wire.ByeDuplicate { // otherwise the other link takes its place without a word
		c.leaveTable(l)
	}
}

// byeError says why a link ended, nil for an orderly end.
func byeError(reason wire.ByeReason) error {
	switch reason {
	case wire.ByeDuplicate:
		return ErrDuplicate
	case wire.ByeUnwanted:
		return ErrUnwanted
	case wire.ByeSilent:
		return ErrSilent
	case wire.ByeProtocol:
		return ErrOffences
	default:
		return ErrDisconnected
	}
}

func (c *Core) leaveTable(l *link) {
	if c.table.remove(l) {
		c.do(Action{Type: PeerDown, Peer: l.ID, Link: l.handle})
		c.noteLink(LinkDown, l.ID, l.why)
	}
}

// LinkDown tells that a link ended, and why; nil means in order. What was left in its queue
// is for the shell to drop.
func (c *Core) LinkDown(now time.Duration, h LinkHandle, why error) {
	c.now = now
	l := c.byHandle[h]
	if l == nil {
		return
	}
	delete(c.byHandle, h)
	c.queued -= l.queuedBytes
	c.order = slices.DeleteFunc(c.order, func(x *link) bool { return x == l })
	if !l.ended {
		l.why = why
	}
	l.gone = l.gone || !l.ended
	l.ended = true
	c.settleClaims(l.ID)
	if l.replaced && c.table.get(l.ID) == l { // the other link is up at the peer already, and here in a moment
		c.standIns = append(c.standIns, standIn{l, now + replaceTime})
		c.wakeBy(now + replaceTime)
		return
	}
	c.leaveTable(l)
	c.overlay.linkDown(l)
}

// A standIn is a link that ended as the lesser of two and holds the other one's place
// in the table, so that the peer is not reported gone and linked again.
type standIn struct {
	link  *link
	until time.Duration
}

// expireStandIns lets go of those whose place no link took.
func (c *Core) expireStandIns() {
	for len(c.standIns) > 0 && c.standIns[0].until <= c.now {
		l := c.standIns[0].link
		c.standIns = c.standIns[1:]
		if c.table.get(l.ID) == l {
			c.leaveTable(l)
			c.overlay.linkDown(l)
			c.sendWaiting()
		}
	}
	if len(c.standIns) > 0 {
		c.wakeBy(c.standIns[0].until)
	}
}

// Written tells that frames, with bytes in all, left the queue of a link.
func (c *Core) Written(now time.Duration, h LinkHandle, frames, bytes int) {
	c.now = now
	if l := c.byHandle[h]; l != nil {
		l.queuedFrames -= frames
		l.queuedBytes -= bytes
		c.queued -= bytes
		// A ping may lie behind a long transfer: as long as that moves, the peer reads. What is
		// not waited for says nothing, a transport takes it whether the peer is there or not.
		if l.pinged && l.queuedFrames > 0 {
			l.pingedAt = now
		}
	}
}

// ping asks a link for a sign of life.
func (c *Core) ping(l *link) {
	if l.pinged || l.ended {
		return
	}
	l.pinged, l.pingedAt = true, c.now
	c.wakeBy(c.now + pingAnswer)
	c.transmit(l, wire.NewPing(c.rng.Uint64()))
}

// transmit hands a frame to a link, whose queue has room.
func (c *Core) transmit(l *link, f *wire.Frame) {
	l.queuedFrames++
	l.queuedBytes += f.Size()
	c.queued += f.Size()
	c.do(Action{Type: Transmit, Link: l.handle, Frame: f})
}
