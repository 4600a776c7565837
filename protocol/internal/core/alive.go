package core

import (
	"math"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A pulse is what a peer has shown of being alive over one link. Silence by itself proves nothing,
// so a silent peer is sent a ping. A ping that is not answered in time has two consequences.
// First the link is doubted: messages take another link if there is one. Later the link ends.
// Both waits begin again while the transport makes progress, since a ping may lie behind
// seconds of data in the buffers of a slow line.
type pulse struct {
	heard   time.Duration // when bytes last arrived
	unheard time.Duration // when the first message since then was queued; 0 means none
	flow    int           // bytes written since then

	pinged   bool          // a ping is unanswered
	strict   bool          // another connection claims the peer, so the link ends without more patience
	claimed  bool          // a connection that proves the peer's id claims it: the peer is there, and only this link may be dead
	measured bool          // progress was taken after the ping was queued
	sampled  bool          // rtt and rttError come from answers, and not from the handshake
	token    uint64        // of the ping
	pingedAt time.Duration // when it was queued
	moved    time.Duration // when it was queued, or when it last came nearer to the peer
	checkAt  time.Duration // when the figures of the transport are needed next

	progress wire.Progress // the last figures of the transport
	target   uint64        // value of progress.Acked from which on the ping has arrived

	rtt      time.Duration // smoothed round trip time; 0 means unknown
	rttError time.Duration // smoothed deviation of it
}

// newPulse returns the pulse of a link that has just come up. rtt is the duration of a round
// trip in its handshake; 0 means unknown.
func newPulse(now, rtt time.Duration) pulse {
	return pulse{heard: now, rtt: rtt, rttError: rtt / 2}
}

// hear notes that bytes arrived.
func (l *link) hear(now time.Duration) {
	l.heard, l.unheard, l.flow = now, 0, 0
	l.progress = wire.Progress{} // the next ping has new figures
	l.pinged, l.strict, l.claimed, l.Doubted = false, false, false, false
}

// sample takes a round trip into account. The estimate falls fast after a time with full
// buffers, and otherwise follows RFC 6298. It grows in steps, since a process that was stopped
// answers late only once.
func (p *pulse) sample(rtt time.Duration) {
	if p.rtt != 0 {
		rtt = min(rtt, 2*p.rtt+doubtAfter)
	}
	if !p.sampled {
		p.rtt, p.rttError, p.sampled = rtt, rtt/2, true
		return
	}
	p.rttError += ((rtt - p.rtt).Abs() - p.rttError) / 4
	if rtt < p.rtt {
		p.rtt += (rtt - p.rtt) / 2
	} else {
		p.rtt += (rtt - p.rtt) / 8
	}
}

// sample takes the answer to a ping into account. Only these make the link's Trip, which is compared with
// those of other links: an acknowledgement may be delayed. It falls fast and rises slowly. So it is near the
// least of the last ones, and links that jitter do not come and go as now one and now the other is faster.
func (l *link) sample(rtt time.Duration) {
	l.pulse.sample(rtt)
	switch {
	case l.Trip == 0:
		l.Trip = rtt
	case rtt < l.Trip:
		l.Trip += (rtt - l.Trip) / 2
	default:
		l.Trip += (min(rtt, 2*l.Trip+doubtAfter) - l.Trip) / 16
	}
}

// patience returns the time in which an answer is to come: least, or more over a long line.
func (p *pulse) patience(least time.Duration) time.Duration {
	return min(max(least, p.rtt+max(p.rtt, 4*p.rttError), 2*p.progress.RTT), answerMost)
}

// askAt returns the time at which an unanswered message has the peer pinged. It is rounded up,
// so that one tick serves many links.
func (p *pulse) askAt() time.Duration {
	return (p.unheard + p.patience(doubtAfter) + askGrid).Truncate(askGrid)
}

// answerBy returns the time at which an unanswered ping ends the link. Without figures of the
// transport, the ping may lie behind all that was written since the peer was last heard.
func (l *link) answerBy() time.Duration {
	patience := l.patience(pingAnswer)
	switch {
	case l.claimed:
		patience = l.patience(claimAnswer)
	case l.Kind == wire.LinkWebRTC && !l.strict: // one answer to its transport may be lost
		patience = l.patience(pingAnswer + askedEvery)
	}
	if behind := l.flow - slowFree; behind > 0 && !l.progress.Known {
		patience += min(time.Duration(behind)*time.Second/slowLine, slowMost)
	}
	by := l.moved + patience
	if !l.strict { // a process that was stopped for a while keeps its links
		by = max(by, l.heard+l.idleLimit()+l.patience(pingAnswer))
	}
	return by
}

// trusted reports whether a link answers, and receipts come for what goes over it.
func (l *link) trusted() bool { return l.Answers() && !l.did.Loses() }

// open reports whether a link may be sent messages.
func (l *link) open() bool { return !l.Ended }

// idleLimit returns the silence after which a peer is pinged.
func (l *link) idleLimit() time.Duration {
	if l.OverWebRTC || l.Kind == wire.LinkWebRTC {
		return pingIdleWebRTC
	}
	return pingIdle
}

// doubtLimit returns the age of an unanswered ping at which the link is doubted.
func (l *link) doubtLimit() time.Duration {
	if l.Kind == wire.LinkWebRTC {
		return l.patience(doubtAfter + askedEvery)
	}
	return l.patience(doubtAfter)
}

// muteLimit returns the time in which a legacy link must bring its first message.
func (l *link) muteLimit() time.Duration { return l.patience(muteAfter) }

// ask sends a ping, unless one is unanswered, since another connection claims the peer or the
// network has changed. The link ends if the peer does not answer within its patience, which is short
// if the peer is proved to be there.
func (c *Core) ask(l *link, proved bool) {
	l.claimed = l.claimed || proved
	if l.Ended || l.strict {
		return
	}
	c.ping(l)
	l.strict, l.moved = true, c.now
	c.wakeBy(l.answerBy())
}

// ping sends a ping, unless one is unanswered.
func (c *Core) ping(l *link) {
	if l.pinged || l.Ended {
		return
	}
	l.pinged, l.pingedAt, l.moved = true, c.now, c.now
	l.measured, l.target = false, math.MaxUint64
	l.token = c.rng.Uint64()
	c.transmit(l, wire.NewPing(l.token))
	c.check(l, c.now+l.doubtLimit())
}

// check asks the shell for the figures of the transport, and sets the time of the next check.
func (c *Core) check(l *link, next time.Duration) {
	l.checkAt = next
	c.wakeBy(next)
	c.do(Action{Type: Measure, Link: l.Handle})
}

// Measured reports the figures of a link's transport to the core, as the answer to Measure.
func (c *Core) Measured(now time.Duration, h LinkHandle, p wire.Progress) {
	c.now = now
	l := c.byHandle[h]
	if l == nil || l.Ended {
		return
	}
	c.measuredCustody(l, p)
	if !l.pinged {
		return
	}
	old := l.progress
	l.progress = p
	if l.measured && p.Received > old.Received { // a part of a long frame
		l.hear(now)
		c.refuseRivals(l)
		c.wakeBy(now + l.idleLimit())
		return
	}
	if l.measured && p.Known && p.Moves > old.Moves && old.Acked < l.target {
		l.progressed(now)
	}
	l.measured = true
	if p.Known && l.queuedFrames == 0 { // the ping is in the transport
		l.target = min(l.target, p.Acked+p.Pending)
	}
	switch waited := now - l.moved; {
	case now >= l.answerBy():
		c.end(l, wire.ByeSilent)
		c.settleClaims(l.ID)
		return
	case waited >= l.doubtLimit():
		c.doubt(l)
	}
	l.checkAt = min(l.checkAt, l.answerBy())
	c.wakeBy(l.checkAt)
}

// doubt has messages take other links than one whose peer does not answer. The origins of those that
// are for this peer are told.
func (c *Core) doubt(l *link) {
	if l.Doubted {
		return
	}
	l.Doubted, c.silence = true, true
	for e := range l.ledger.All() {
		if f := e.Frame(); f.Body.To == l.ID {
			c.unanswered(f)
		}
	}
}

// progressed notes that the data in front of a ping moves.
func (l *link) progressed(now time.Duration) { l.moved, l.Doubted = now, false }

// tickLinks does the work of the links that is due.
func (c *Core) tickLinks(late bool) {
	if c.now < c.linksAt && !late {
		c.tickBy(c.linksAt)
		return
	}
	c.linksAt = math.MaxInt64
	for _, l := range c.order {
		c.tickLink(l, late)
	}
}

// tickLink does the work of a link that is due. late means that this process has not run for a
// while, so the peers had no chance to be heard.
func (c *Core) tickLink(l *link, late bool) {
	if l.Ended {
		return
	}
	if late {
		l.moved, l.movedAt, l.checkAt = c.now, c.now, max(l.checkAt, c.now+doubtAfter)
		c.wakeBy(c.now + doubtAfter)
		return
	}
	if !l.Usable {
		if c.now-l.Since >= l.muteLimit() {
			c.stats.LinksRefused++
			c.overlay.Avoid(l.ID)
			c.endFor(l, wire.ByeSilent, ErrMute)
			return
		}
		c.wakeBy(l.Since + l.muteLimit())
	}
	l.did.Expire(c.now)
	c.tickCustody(l)
	switch {
	case l.pinged && c.now >= l.checkAt:
		c.check(l, c.now+l.doubtLimit())
	case l.pinged:
		c.wakeBy(l.checkAt)
	case c.now-l.heard >= l.idleLimit(), l.unheard != 0 && c.now >= l.askAt():
		c.ping(l)
	default:
		c.wakeBy(l.heard + l.idleLimit())
		if l.unheard != 0 {
			c.wakeBy(l.askAt())
		}
	}
}
