package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A lane is the shell of its cores: what a Router is for one core.

func (l *lane) do(e event) {
	p := e.peer
	switch e.kind {
	case arrive:
		l.arrive(e.end, e.frame, e.raw)
	case accept:
		if opener := e.end.other.peer; !opener.Alive || l.w.apart(p, opener) {
			l.push(p, event{at: l.now + deadDial, kind: failed, peer: opener, cause: e.cause, id: p.ID})
			return
		}
		l.accept(e.end, e.cause)
	case linked:
		l.linked(e.end, e.cause)
	case failed:
		l.dialFailed(p, e.id, e.cause)
	case silence:
		e.end.byeSent, e.end.byeSeen = true, true
	case reset:
		l.lose(e.end, io.ErrUnexpectedEOF)
	case post:
		l.post(e.mail)
	}
	l.settle(p)
	if e.end != nil {
		l.finish(e.end)
	}
}

// arrive passes a frame to the peer of an end. A message is read from its bytes. Peers that get the same
// news share the frame, which none of them changes.
func (l *lane) arrive(e *end, f *wire.Frame, raw []byte) {
	p := e.peer
	if e.down || l.w.apart(p, e.other.peer) {
		return
	}
	if f == nil {
		var err error
		if f, err = wire.ParseFrame(raw); err != nil {
			panic(fmt.Sprintf("sim: a peer sent a message that no core reads: %v", err))
		}
		l.spare = append(l.spare, raw)
	}
	e.byeSeen = e.byeSeen || f.Type == wire.FrameBye
	switch {
	case p.legacy():
		p.js.receive(e, f)
		return
	case p.dropsMessage(f):
		l.swallow(e)
		return
	case f.Type == wire.FrameMessage:
		e.taken++
	}
	p.Core.Receive(l.now, e.handle, f)
}

// accept brings a link up at the dialled peer, and soon at the other one.
func (l *lane) accept(e *end, cause core.Cause) {
	opener := e.other.peer
	if opener.legacy() && !e.peer.legacy() {
		l.claim(e, core.Inbound())
		return
	}
	l.soonLinked(e.other, cause)
	switch {
	case opener.legacy():
		e.peer.js.connected(e)
	case !e.peer.legacy(): // a legacy peer waits for the hello of the other one
		l.up(e, core.Inbound())
	}
}

// soonLinked has an end come up when the hello of the other end arrives. The frames of the other
// end must not arrive before.
func (l *lane) soonLinked(e *end, cause core.Cause) {
	e.other.due = l.now + l.w.latency(e.peer, e.other.peer)
	l.push(e.other.peer, event{at: e.other.due, kind: linked, peer: e.peer, end: e, cause: cause})
}

// linked processes the hello of the other end, which is up.
func (l *lane) linked(e *end, cause core.Cause) {
	switch {
	case e.peer.legacy():
		e.peer.js.connected(e)
	case e.other.peer.legacy():
		l.claim(e, cause)
	default:
		l.up(e, cause)
	}
}

// dialFailed tells a peer that its dial failed. A legacy peer does not care.
func (l *lane) dialFailed(p *Peer, id wire.ID, cause core.Cause) {
	if p.legacy() {
		return
	}
	if index, ok := cause.OfBootstrap(); ok {
		p.Core.BootstrapFailed(l.now, index)
	} else {
		p.Core.DialFailed(l.now, id)
	}
}

// attach adds an end to those of its peer.
func (p *Peer) attach(e *end) {
	p.handles++
	e.handle = p.handles
	p.ends[e.handle] = e
}

// up passes a core its end of a new link.
func (l *lane) up(e *end, cause core.Cause) {
	e.peer.attach(e)
	if err := e.peer.Core.LinkUp(l.now, e.handle, l.w.info(e), cause); err != nil {
		e.byeSent = true
		l.send(e, wire.NewBye(wire.ByeNormal))
		e.down = true
		delete(e.peer.ends, e.handle)
	}
}

// info describes an end to its core.
func (w *World) info(e *end) wire.LinkInfo {
	other := e.other.peer
	info := wire.LinkInfo{ID: other.ID, Dialed: e.opened, RTT: 2 * w.latency(e.peer, other)}
	if other.legacy() {
		info.Kind = wire.LinkWebSocket
		return info
	}
	opener := e.peer
	if !e.opened {
		opener = other
	}
	info.Kind, info.Proved, info.Opener, info.Value, info.Role = wire.LinkNative, true, opener.name, e.value, other.role
	info.Subnet = other.subnet
	if !w.cfg.NoCustody {
		info.Features = w.features
	}
	return info
}

// finish takes an end down that has sent a bye and received one.
func (l *lane) finish(e *end) {
	if e.byeSent && e.byeSeen {
		l.lose(e, nil)
	}
}

// lose takes an end down.
func (l *lane) lose(e *end, why error) {
	if e.down {
		return
	}
	e.down = true
	delete(e.peer.ends, e.handle)
	if e.peer.legacy() {
		return
	}
	e.peer.Core.LinkDown(l.now, e.handle, why)
	e.peer.Core.Returned(l.now, e.other.peer.ID, nil)
	l.settle(e.peer)
}

// settle performs the actions of a core and sets the time of its next tick.
func (l *lane) settle(p *Peer) {
	if p.legacy() {
		return
	}
	for l.perform(p) {
	}
	p.wake = min(p.wake, max(p.Core.NextWake(), l.now+time.Millisecond))
}

// perform performs the actions of a core. It reports whether it has called the core, which may have
// more actions then.
func (l *lane) perform(p *Peer) (more bool) {
	later := l.later[:0] // they call the core, which owns the actions until then
	for _, a := range p.Core.Actions() {
		raw := l.note(p, &a)
		switch a.Type {
		case core.Transmit:
			if e := p.ends[a.Link]; e != nil && !e.byeSent {
				l.transmit(e, a.Frame, raw)
			}
			if a.Frame.Type != wire.FrameAck {
				p.Core.Written(l.now, a.Link, 1, a.Frame.Size())
			}
		case core.CloseLink:
			if e := p.ends[a.Link]; e != nil && !e.byeSent {
				l.bye(e, a.Reason)
			}
		case core.Receipted:
			l.receipted(p, a)
		case core.Dial:
			l.dial(p, l.w.byID[a.Contact.ID], core.Sought())
		case core.DialBootstrap:
			l.dial(p, l.bootstrap(a.Index), core.Bootstrap(a.Index))
		case core.Deliver, core.Measure, core.Compose, core.Granted, core.Refused:
			later = append(later, a)
		}
	}
	for i := range later {
		l.answer(p, &later[i])
	}
	clear(later)
	l.later = later
	return len(later) > 0
}

// answer performs an action that ends with a call of the core.
func (l *lane) answer(p *Peer, a *core.Action) {
	switch a.Type {
	case core.Deliver:
		l.deliver(p, a.Frame)
		p.Core.Confirm(l.now, a.Frame, wire.ReceiptFor(a.Frame, false))
	case core.Measure:
		p.Core.Measured(l.now, a.Link, wire.Progress{})
	case core.Compose:
		p.Core.Compose(a.Draft)
		p.Core.Composed(l.now, a.Draft)
	case core.Granted:
		l.granted(p.claims[a.Index])
	case core.Refused:
		l.refused(p.claims[a.Index], a.Err)
	}
}

// bye ends a link, which is down a while later even if the other end does not answer.
func (l *lane) bye(e *end, reason wire.ByeReason) {
	e.byeSent = true
	l.send(e, wire.NewBye(reason))
	l.push(e.peer, event{at: l.now + byeTime, kind: silence, peer: e.peer, end: e})
}

// bootstrap returns the peer that is a bootstrap, nil if it has not joined yet.
func (l *lane) bootstrap(index int) *Peer {
	if index >= len(l.w.peers) || l.w.peers[index].born > l.now {
		return nil
	}
	return l.w.peers[index]
}

// post sends a user message of a scenario.
func (l *lane) post(m *mail) {
	from, flags := m.from, wire.Flags(0)
	if from.legacy() {
		from.js.send(wire.Body{To: m.id, Kind: wire.KindUser, Form: wire.FormJSON, Payload: m.payload})
		return
	}
	if m.outcome != nil {
		flags = wire.FlagReceipt | wire.FlagNotice
	}
	f, err := from.Core.NewFrame(core.Outgoing{To: m.id, Form: wire.FormJSON, Flags: flags, Payload: m.payload}, from.Core.Draw())
	switch {
	case err != nil:
	case m.outcome == nil:
		err = from.Core.Send(l.now, f, core.OwnMessage)
	default:
		from.sends[m.index] = m.outcome
		err = from.Core.SendReliable(l.now, m.index, f, sha256.Sum256(f.Body.Raw()))
	}
	m.err = err
}

func (l *lane) deliver(p *Peer, f *wire.Frame) {
	payload := string(f.Body.Payload)
	m := p.mails[payload]
	if m == nil {
		p.twice++
		return
	}
	delete(p.mails, payload)
	m.arrived, m.took, m.hops = true, l.now-m.at, f.PathLen()
	l.received = append(l.received, arrival{l.now, Receipt{From: l.w.byID[f.Body.From], To: p, Hops: m.hops, Took: m.took}})
}

// send encodes a frame and sends it.
func (l *lane) send(e *end, f *wire.Frame) { l.transmit(e, f, encode(nil, f)) }

// encode appends a frame as it is on a native link.
func encode(b []byte, f *wire.Frame) []byte {
	b, err := f.AppendTo(b)
	if err != nil {
		panic(fmt.Sprintf("sim: a peer sent a frame that cannot be written: %v", err))
	}
	return b
}

// transmit sends a frame, which arrives after the latency of the link. raw are its bytes.
func (l *lane) transmit(e *end, f *wire.Frame, raw []byte) {
	if f.Type == wire.FrameAck && e.swallowed > 0 {
		f = wire.NewAck(f.Num + e.swallowed)
		raw = encode(nil, f)
	}
	if f.Type == wire.FramePing || f.Type == wire.FramePong {
		e.peer.pings++
	}
	e.peer.bytes += uint64(len(raw))
	if f.Type == wire.FrameMessage && !f.Body.Kind.IsControl() {
		e.peer.carried++
	}
	if l.w.apart(e.peer, e.other.peer) {
		return
	}
	e.due = max(e.due, l.now+l.w.latency(e.peer, e.other.peer))
	arrival := event{at: e.due, kind: arrive, peer: e.other.peer, end: e.other}
	if f.Type == wire.FrameMessage {
		_, n := binary.Uvarint(raw)
		arrival.raw = append(l.buffer(), raw[n:]...)
	} else {
		arrival.frame = f
	}
	l.push(e.peer, arrival)
}

// buffer returns room for the bytes of a message, which a message that has arrived may have had before.
func (l *lane) buffer() (b []byte) {
	if last := len(l.spare) - 1; last >= 0 {
		b, l.spare = l.spare[last][:0], l.spare[:last]
	}
	return b
}

// dial starts a dial. The link is up, or the dial fails, some time later.
func (l *lane) dial(p, to *Peer, cause core.Cause) {
	if to == nil || !to.Alive || to == p {
		l.push(p, event{at: l.now + deadDial, kind: failed, peer: p, cause: cause, id: idOf(to)})
		return
	}
	value := mix(uint64(p.Index)<<32|uint64(p.caused), nil)
	a, b := &end{peer: p, opened: true, value: value}, &end{peer: to, value: value}
	a.other, b.other = b, a
	l.push(p, event{at: l.now + (dialTime-1)*l.w.latency(p, to), kind: accept, peer: to, end: b, cause: cause})
}

func idOf(p *Peer) (id wire.ID) {
	if p != nil {
		id = p.ID
	}
	return id
}
