package core

import (
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/journal"
	"github.com/peer-relay/peer-relay/protocol/internal/overlay"
	"github.com/peer-relay/peer-relay/protocol/internal/rate"
	"github.com/peer-relay/peer-relay/protocol/internal/receipts"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A LinkHandle identifies a link of a Core. The shell chooses the handles. They are unique,
// and not 0.
type LinkHandle = overlay.LinkHandle

// A link is the state of one link.
type link struct {
	overlay.Link       // what the overlay knows too
	why          error // why it ended; nil means an orderly end
	vouched      bool  // the peer signed the signals that made the link
	mailbox      bool  // the peer keeps messages
	passes       bool  // it has brought messages of others than its peer

	queuedFrames int // frames passed to the shell and not yet written
	queuedBytes  int // bytes of these

	pulse
	custodian
	listener

	offences int // malformed frames

	asks     rate.Allowance // questions of the peer that are answered
	confirms rate.Allowance // receipts for what the link brings
	traces   rate.Allowance // reports about the pings that the link brings
	did      receipts.Credit

	delivered     int // entries that this link added to the delivery table since deliveredFrom
	deliveredFrom time.Duration
}

// knows reports whether the peer has named a feature of native links.
func (l *link) knows(feature string) bool {
	return l.Native() && slices.Contains(l.Features, feature)
}

// ask reports whether the peer may ask one more question, and counts it.
func (l *link) ask(now time.Duration) bool { return l.asks.Take(now, askBurst, askRate) }

// full reports whether the link's queue has no room for a frame of size bytes. All links
// share queuesBytes. If these are used up, a link may still queue queueShare.
func (c *Core) full(l *link, size int) bool {
	return l.queuedFrames >= maxQueueFrames || l.queuedBytes+size > maxQueueBytes ||
		c.queued+size > queuesBytes && l.queuedBytes+size > queueShare || c.laden(l, size)
}

// A Cause is why a link was opened. The zero Cause is Inbound.
type Cause struct {
	kind  causeKind
	index int // index of the bootstrap
}

type causeKind uint8

const (
	causeInbound causeKind = iota
	causeSought
	causeBootstrap
)

// Inbound returns the cause of a link that no action of the core asked for.
func Inbound() Cause { return Cause{} }

// Sought returns the cause of a link that a Dial action asked for.
func Sought() Cause { return Cause{kind: causeSought} }

// Bootstrap returns the cause of a link that a DialBootstrap action with this index asked for.
func Bootstrap(index int) Cause { return Cause{kind: causeBootstrap, index: index} }

// OfBootstrap returns the index of the bootstrap, and whether one was dialled.
func (c Cause) OfBootstrap() (index int, ok bool) { return c.index, c.kind == causeBootstrap }

// LinkUp reports a new link to the core. An error means that the link was refused and must be
// closed. The core keeps one of two links to a peer, which may be the new one, and ends the
// other. It still accepts the frames that the peer wrote to the other link before it knew.
func (c *Core) LinkUp(now time.Duration, h LinkHandle, info wire.LinkInfo, cause Cause) error {
	c.now = now
	if c.wasInFlight(info, cause) {
		c.stats.LinksRefused++
		return ErrDisconnected
	}
	if index, ok := cause.OfBootstrap(); ok {
		c.overlay.BootstrapAnswered(index, info.ID)
	}
	if info.ID == c.self {
		c.stats.LinksRefused++
		return ErrSelf
	}
	holder := c.holder(info)
	if holder != nil {
		c.stats.LinksRefused++
		c.ask(holder, info.Proved) // it may be dead, and then the new link is the right one
		if info.Kind != wire.LinkNative {
			return ErrDuplicate
		}
	}
	l := &link{Link: c.overlay.NewLink(h, info), pulse: newPulse(now, info.RTT), asks: rate.Full(now, askBurst), confirms: rate.Full(now, receiptBurst), traces: rate.Full(now, traceBurst)}
	l.keeps = l.knows(wire.FeatureCustody)
	l.news = rate.Full(now, heardBurst)
	l.names = l.knows(wire.FeatureNeighbours)
	l.mailbox = l.knows(wire.FeatureMailbox)
	l.vouched = info.Kind == wire.LinkWebRTC && c.overlay.HandshakeProved(info.ID)
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
	case l.Native():
		c.makeUsable(l)
	default:
		c.wakeBy(now + l.muteLimit())
		c.expect(l.ID, false)
		c.overlay.Greet(&l.Link)
	}
	c.wakeBy(now + l.idleLimit())
	return nil
}

// wasInFlight reports whether a dial of the link was in flight when the application
// disconnected the peer. That is a dial of the overlay, or one of the peer, which did not know
// of the disconnection. Links to bootstraps and links that the application dials are accepted.
func (c *Core) wasInFlight(info wire.LinkInfo, cause Cause) bool {
	switch cause.kind {
	case causeSought:
		return c.overlay.Shuns(info.ID)
	case causeInbound:
		return !info.Dialed && c.overlay.ShunsSince(info.ID) < replaceTime
	default:
		return false
	}
}

// makeUsable adds l to the table and sends the messages that waited for it.
func (c *Core) makeUsable(l *link) {
	l.Usable = true
	known := c.table.Get(l.ID) != nil
	c.table.Put(l.ID, l)
	if !known {
		c.do(Action{Type: PeerUp, Peer: l.ID, Link: l.Handle})
		c.noteLink(journal.LinkUp, l.ID, nil)
	}
	if l.Native() {
		c.overlay.Greet(&l.Link)
	}
	if c.ahead.Names(l.ID) { // others have links to the peer, and this one may only be tried
		c.changedLinks(tellUnneeded)
		c.tellBy(c.now + tellSoon) // the peer itself is told of the others
	} else {
		c.changedLinks(tellSoon)
	}
	c.overlay.LinkUp(&l.Link)
	if l.Extended && !l.Native() { // a legacy hello precedes the first message
		c.overlay.LearnedExtended(&l.Link)
	}
	c.endExpected(l.ID)
	c.sendWaiting()
	if !known {
		c.handOverTo(l.ID)
	}
}

// end asks the shell to close l. The core still accepts frames from l, and sends none to it.
func (c *Core) end(l *link, reason wire.ByeReason) { c.endFor(l, reason, byeError(reason)) }

func (c *Core) endFor(l *link, reason wire.ByeReason, why error) {
	if l.Ended {
		return
	}
	c.sayBye(l, reason, why)
	c.silence = true
	l.Gone = reason == wire.ByeSilent
	l.Replaced = reason == wire.ByeDuplicate
	if reason != wire.ByeDuplicate { // otherwise the other link replaces it, without a PeerDown
		c.leaveTable(l)
	}
	if l.Gone {
		c.overlay.AnswerLate(&l.Link)
	}
}

// sayBye has the shell end a link that has not ended.
func (c *Core) sayBye(l *link, reason wire.ByeReason, why error) {
	c.tell(l) // nothing follows the bye
	l.Ended, l.why = true, why
	c.do(Action{Type: CloseLink, Link: l.Handle, Reason: reason, Err: why})
}

// Stop ends all links, since this peer stops. Nothing is sent after it: a message that is not
// acknowledged stays with its link. The links stay in the table until each has ended.
func (c *Core) Stop(now time.Duration, why error) {
	c.now = now
	for _, l := range c.order {
		if !l.Ended {
			c.sayBye(l, wire.ByeShutdown, why)
		}
	}
}

// byeError returns the error of a link that this peer ends for a reason.
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
	l.Named = 0
	if c.table.Remove(l.ID, l) {
		delete(c.mailbox.handovers, l.ID)
		if l.why == ErrUnwanted { // both peers live, so this is no news that messages depend on
			c.changedLinks(tellUnneeded)
		} else {
			c.changedLinks(tellSoon)
		}
		c.do(Action{Type: PeerDown, Peer: l.ID, Link: l.Handle})
		c.noteLink(journal.LinkDown, l.ID, l.why)
	}
}

// LinkDown reports to the core that a link ended, and why. A nil error means an orderly end.
// The shell then returns the frames that were left in the queue, with Returned.
func (c *Core) LinkDown(now time.Duration, h LinkHandle, why error) {
	c.now = now
	l := c.byHandle[h]
	if l == nil {
		return
	}
	delete(c.byHandle, h)
	c.queued -= l.queuedBytes
	c.order = slices.DeleteFunc(c.order, func(x *link) bool { return x == l })
	if !l.Ended {
		l.why = why
	}
	l.Gone = l.Gone || !l.Ended
	l.Ended = true
	c.ahead.Drop(l)
	l.Named = 0
	c.lastDown = l
	c.settleClaims(l.ID)
	if l.Replaced && c.table.Get(l.ID) == l { // the other link is up at the other end, and not here yet
		until := now + l.patience(replaceTime)
		c.standIns = append(c.standIns, standIn{l, until})
		c.wakeBy(until)
		return
	}
	c.leaveTable(l)
	c.overlay.LinkDown(&l.Link)
}

// A standIn is a link that ended because a better one exists. It stays in the table until the
// better one is up, so that the application is not told that the peer went away and came back.
type standIn struct {
	link  *link
	until time.Duration
}

// replacing reports whether the better one of two links to some peer is about to be up.
func (c *Core) replacing() bool {
	return slices.ContainsFunc(c.table.All(), func(l *link) bool { return l.Ended && l.Replaced })
}

// expireStandIns removes the stand-ins that no link has replaced in time.
func (c *Core) expireStandIns() {
	for len(c.standIns) > 0 && c.standIns[0].until <= c.now {
		l := c.standIns[0].link
		c.standIns = c.standIns[1:]
		if c.table.Get(l.ID) == l {
			c.leaveTable(l)
			c.overlay.LinkDown(&l.Link)
			c.sendWaiting()
		}
	}
	if len(c.standIns) > 0 {
		c.wakeBy(c.standIns[0].until)
	}
}

// Written reports to the core that frames, of bytes bytes in all, left the queue of a link.
func (c *Core) Written(now time.Duration, h LinkHandle, frames, bytes int) {
	c.now = now
	if l := c.byHandle[h]; l != nil {
		l.queuedFrames -= frames
		l.queuedBytes -= bytes
		c.queued -= bytes
		l.flow += bytes
		// A ping may be queued after a long transfer. While the queue moves, the peer reads. An
		// empty queue proves nothing: a transport buffers frames even if the peer is dead.
		if l.pinged && l.queuedFrames > 0 {
			l.progressed(now)
		}
	}
}

// transmit queues a frame for a link. The caller has checked that the queue has room.
func (c *Core) transmit(l *link, f *wire.Frame) {
	l.queuedFrames++
	l.queuedBytes += f.Size()
	c.queued += f.Size()
	c.queuedCopy(f)
	var b []byte
	if l.keeps && f.Type == wire.FrameMessage {
		b = c.entrust(l, f)
	}
	if f.Message != nil && b == nil {
		f.Spent = false // the queue refers to it, or the ledger
	}
	if l.unheard == 0 && f.Type == wire.FrameMessage && !f.Body.Kind.IsControl() {
		l.unheard = max(c.now, 1)
		c.wakeBy(l.askAt())
	}
	c.do(Action{Type: Transmit, Link: l.Handle, Frame: f, Bytes: b})
}

// NetworkChanged tells that the addresses of this machine changed. Every link is asked whether
// it lives, and the overlay tries again what failed. The caller ends the dials in progress and
// reports them.
func (c *Core) NetworkChanged(now time.Duration) {
	c.now = now
	for _, l := range c.order {
		c.ask(l, false)
	}
	c.overlay.NetworkChanged()
}
