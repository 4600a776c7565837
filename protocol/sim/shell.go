package sim

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A World is the shell of its cores: what a Router is for one core.

func (w *World) do(e event) {
	p := e.peer
	if !p.Alive {
		return
	}
	switch e.kind {
	case tick:
		if p.wake == e.at { // otherwise an earlier tick replaced it
			p.wake = 0
			p.Core.Tick(w.now)
		}
	case arrive:
		w.arrive(e.end, e.frame)
	case accept:
		if opener := e.end.other.peer; !opener.Alive || w.apart(p, opener) {
			w.push(event{at: w.now + deadDial, kind: failed, peer: opener, cause: e.cause, id: p.ID})
			return
		}
		w.accept(e.end, e.cause)
	case linked:
		w.linked(e.end, e.cause)
	case failed:
		w.dialFailed(p, e.id, e.cause)
	case silence:
		e.end.byeSent, e.end.byeSeen = true, true
	case reset:
		w.lose(e.end, io.ErrUnexpectedEOF)
	}
	w.settle(p)
	if e.end != nil {
		w.finish(e.end)
	}
}

// arrive passes a frame to the peer of an end.
func (w *World) arrive(e *end, raw []byte) {
	p := e.peer
	if e.down || w.apart(p, e.other.peer) {
		return
	}
	f, err := wire.ParseFrame(raw)
	if err != nil {
		panic(fmt.Sprintf("sim: a peer sent a frame that no core reads: %v", err))
	}
	e.byeSeen = e.byeSeen || f.Type == wire.FrameBye
	switch {
	case p.legacy():
		p.js.receive(e, f)
		return
	case p.dropsMessage(f):
		w.swallow(e)
		return
	case f.Type == wire.FrameMessage:
		e.taken++
	}
	p.Core.Receive(w.now, e.handle, f)
}

// accept brings a link up at the dialled peer, and soon at the other one.
func (w *World) accept(e *end, cause core.Cause) {
	opener := e.other.peer
	if opener.legacy() && !e.peer.legacy() {
		w.claim(e, core.Inbound())
		return
	}
	w.soonLinked(e.other, cause)
	switch {
	case opener.legacy():
		e.peer.js.connected(e)
	case !e.peer.legacy(): // a legacy peer waits for the hello of the other one
		w.up(e, core.Inbound())
	}
}

// soonLinked has an end come up when the hello of the other end arrives. The frames of the other
// end must not arrive before.
func (w *World) soonLinked(e *end, cause core.Cause) {
	e.other.due = w.now + w.latency(e.peer, e.other.peer)
	w.push(event{at: e.other.due, kind: linked, peer: e.peer, end: e, cause: cause})
}

// linked processes the hello of the other end, which is up.
func (w *World) linked(e *end, cause core.Cause) {
	switch {
	case e.peer.legacy():
		e.peer.js.connected(e)
	case e.other.peer.legacy():
		w.claim(e, cause)
	default:
		w.up(e, cause)
	}
}

// dialFailed tells a peer that its dial failed. A legacy peer does not care.
func (w *World) dialFailed(p *Peer, id wire.ID, cause core.Cause) {
	if p.legacy() {
		return
	}
	if index, ok := cause.OfBootstrap(); ok {
		p.Core.BootstrapFailed(w.now, index)
	} else {
		p.Core.DialFailed(w.now, id)
	}
}

// attach adds an end to those of its peer.
func (w *World) attach(e *end) {
	e.peer.handles++
	e.handle = e.peer.handles
	e.peer.ends[e.handle] = e
}

// up passes a core its end of a new link.
func (w *World) up(e *end, cause core.Cause) {
	w.attach(e)
	if err := e.peer.Core.LinkUp(w.now, e.handle, w.info(e), cause); err != nil {
		e.byeSent = true
		w.send(e, wire.NewBye(wire.ByeNormal))
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
	info.Kind, info.Proved, info.Opener, info.Value, info.Role = wire.LinkNative, true, string(opener.ID[:]), e.value, other.role
	if !w.cfg.NoCustody {
		info.Features = wire.Features()
	}
	return info
}

// finish takes an end down that has sent a bye and received one.
func (w *World) finish(e *end) {
	if e.byeSent && e.byeSeen {
		w.lose(e, nil)
	}
}

// lose takes an end down.
func (w *World) lose(e *end, why error) {
	if e.down {
		return
	}
	e.down = true
	delete(e.peer.ends, e.handle)
	if e.peer.legacy() {
		return
	}
	e.peer.Core.LinkDown(w.now, e.handle, why)
	e.peer.Core.Returned(w.now, e.other.peer.ID, nil)
	w.settle(e.peer)
}

// settle performs the actions of a core and schedules its next tick.
func (w *World) settle(p *Peer) {
	if p.legacy() {
		return
	}
	for w.perform(p) {
	}
	if next := max(p.Core.NextWake(), w.now+time.Millisecond); p.wake == 0 || next < p.wake {
		p.wake = next
		w.push(event{at: next, kind: tick, peer: p})
	}
}

// perform performs the actions of a core. It reports whether it has called the core, which may have
// more actions then.
func (w *World) perform(p *Peer) (more bool) {
	later := w.later[:0] // they call the core, which owns the actions until then
	for _, a := range p.Core.Actions() {
		raw := w.note(p, &a)
		switch a.Type {
		case core.Transmit:
			if e := p.ends[a.Link]; e != nil && !e.byeSent {
				w.transmit(e, a.Frame, raw)
			}
			if a.Frame.Type != wire.FrameAck {
				p.Core.Written(w.now, a.Link, 1, a.Frame.Size())
			}
		case core.CloseLink:
			if e := p.ends[a.Link]; e != nil && !e.byeSent {
				w.bye(e, a.Reason)
			}
		case core.Receipted:
			w.receipted(p, a)
		case core.Dial:
			w.dial(p, w.byID[a.Contact.ID], core.Sought())
		case core.DialBootstrap:
			w.dial(p, w.bootstrap(a.Index), core.Bootstrap(a.Index))
		case core.Deliver, core.Measure, core.Compose, core.Granted, core.Refused:
			later = append(later, a)
		}
	}
	for i := range later {
		w.answer(p, &later[i])
	}
	clear(later)
	w.later = later
	return len(later) > 0
}

// answer performs an action that ends with a call of the core.
func (w *World) answer(p *Peer, a *core.Action) {
	switch a.Type {
	case core.Deliver:
		w.deliver(p, a.Frame)
		p.Core.Confirm(w.now, a.Frame, wire.ReceiptFor(a.Frame, false))
	case core.Measure:
		p.Core.Measured(w.now, a.Link, wire.Progress{})
	case core.Compose:
		p.Core.Compose(a.Draft)
		p.Core.Composed(w.now, a.Draft)
	case core.Granted:
		w.granted(p.claims[a.Index])
	case core.Refused:
		w.refused(p.claims[a.Index], a.Err)
	}
}

// bye ends a link, which is down a while later even if the other end does not answer.
func (w *World) bye(e *end, reason wire.ByeReason) {
	e.byeSent = true
	w.send(e, wire.NewBye(reason))
	w.push(event{at: w.now + byeTime, kind: silence, peer: e.peer, end: e})
}

// bootstrap returns the peer that is a bootstrap, nil if it was not added yet.
func (w *World) bootstrap(index int) *Peer {
	if index >= len(w.peers) {
		return nil
	}
	return w.peers[index]
}

func (w *World) deliver(p *Peer, f *wire.Frame) {
	payload := string(f.Body.Payload)
	m := w.sent[payload]
	if m == nil {
		w.twice++
		return
	}
	delete(w.sent, payload)
	m.arrived, m.took, m.hops = true, w.now-m.at, f.PathLen()
	w.received = append(w.received, Receipt{From: w.byID[f.Body.From], To: p, Hops: m.hops, Took: m.took})
}

// send encodes a frame and sends it.
func (w *World) send(e *end, f *wire.Frame) { w.transmit(e, f, encode(nil, f)) }

// encode appends a frame as it is on a native link.
func encode(b []byte, f *wire.Frame) []byte {
	b, err := f.AppendTo(b)
	if err != nil {
		panic(fmt.Sprintf("sim: a peer sent a frame that cannot be written: %v", err))
	}
	return b
}

// transmit sends a frame, which arrives after the latency of the link. raw are its bytes, which the
// caller no longer uses.
func (w *World) transmit(e *end, f *wire.Frame, raw []byte) {
	if f.Type == wire.FrameAck && e.swallowed > 0 {
		raw = encode(nil, wire.NewAck(f.Num+e.swallowed))
	}
	if f.Type == wire.FramePing || f.Type == wire.FramePong {
		w.pings++
	}
	w.bytes += uint64(len(raw))
	if f.Type == wire.FrameMessage && !f.Body.Kind.IsControl() {
		w.carried++
	}
	if w.apart(e.peer, e.other.peer) {
		return
	}
	_, n := binary.Uvarint(raw)
	e.due = max(e.due, w.now+w.latency(e.peer, e.other.peer))
	w.push(event{at: e.due, kind: arrive, peer: e.other.peer, end: e.other, frame: raw[n:]})
}

// dial starts a dial. The link is up, or the dial fails, some time later.
func (w *World) dial(p, to *Peer, cause core.Cause) {
	if to == nil || !to.Alive || to == p {
		w.push(event{at: w.now + deadDial, kind: failed, peer: p, cause: cause, id: idOf(to)})
		return
	}
	w.value++
	value := mix(w.value, nil)
	a, b := &end{peer: p, opened: true, value: value}, &end{peer: to, value: value}
	a.other, b.other = b, a
	w.push(event{at: w.now + (dialTime-1)*w.latency(p, to), kind: accept, peer: to, end: b, cause: cause})
}

func idOf(p *Peer) (id wire.ID) {
	if p != nil {
		id = p.ID
	}
	return id
}
