package core

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// An Outgoing is a message to be sent.
type Outgoing struct {
	To      wire.ID
	Kind    wire.Kind
	Form    wire.Form
	Flags   wire.Flags
	Payload []byte
	Extra   []byte
	Record  []byte
	Token   []byte
	Route   []wire.ID // the peers to go by, the nearest first
	Sign    bool
}

// NewFrame makes the frame with which a message starts. It reads only what is
// fixed, so it may be called beside other methods.
func (c *Core) NewFrame(m Outgoing, nonce uint64) (*wire.Frame, error) {
	if m.Kind == wire.KindUser || m.Kind == wire.KindOther {
		if err := m.fits(); err != nil {
			return nil, err
		}
	}
	body := wire.Body{To: m.To, From: c.self, Kind: m.Kind, Form: m.Form, Flags: m.Flags, Extra: m.Extra,
		Record: m.Record, Token: m.Token, Payload: m.Payload}
	if len(m.Route) > wire.MaxRoute {
		m.Route = m.Route[:wire.MaxRoute]
	}
	msg := wire.MessageFields{Hop: wire.NewHop(), Nonce: strconv.AppendUint(make([]byte, 0, wire.MaxNonce), nonce, 10), Path: []wire.ID{c.self}, Route: m.Route}
	if !m.Sign || c.cfg.Sign == nil {
		msg.Body = body
		return wire.EncodeMessageFrame(msg)
	}
	body.Key = c.cfg.Key
	err := body.Encode()
	if err != nil {
		return nil, err
	}
	if msg.Sig, err = c.cfg.Sign(body.SignedBytes()); err != nil {
		return nil, fmt.Errorf("peer-relay: sign a message: %w", err)
	}
	msg.Body = body
	return wire.NewMessageFrame(msg)
}

// fits reports whether every peer can take the message, whatever lies between: JSON
// text as it is, raw bytes as a Buffer of up to four characters a byte.
func (m *Outgoing) fits() error {
	if m.Form == wire.FormRaw && len(m.Payload) > wire.MaxPayload {
		return fmt.Errorf("%w: %d bytes, at most %d reach every peer", wire.ErrTooBig, len(m.Payload), wire.MaxPayload)
	}
	if text := len(m.Payload) + len(m.Extra); m.Form != wire.FormRaw && text > wire.MaxText {
		return fmt.Errorf("%w: %d bytes of JSON, at most %d reach every peer", wire.ErrTooBig, text, wire.MaxText)
	}
	if m.Form == wire.FormRaw && 4*len(m.Payload)+len(m.Extra) > wire.MaxText {
		return fmt.Errorf("%w: %d bytes and %d of JSON beside them, at most %d reach every peer", wire.ErrTooBig, len(m.Payload), len(m.Extra), wire.MaxText)
	}
	return nil
}

// nonces has 15 decimal digits at most, as JS writes them.
const nonces = 1e15

// Nonce returns a fresh nonce.
func (c *Core) Nonce() uint64 { return c.rng.Uint64N(nonces) }

// Send starts a message of the application. A message to oneself is delivered.
func (c *Core) Send(now time.Duration, f *wire.Frame) error {
	c.now = now
	c.stats.Sent++
	if f.Body.To == c.self {
		c.stats.Delivered++
		c.do(Action{Type: Deliver, Frame: f, Proved: true})
		return nil
	}
	if !c.connected() {
		return c.wait(f, false)
	}
	return c.forward(f, nil)
}

// connected reports whether there is a link to send by.
func (c *Core) connected() bool {
	return slices.ContainsFunc(c.table.sorted, func(l *link) bool { return !l.ended })
}

// wait keeps a message for a link: the first one, or the one that is about to take
// the place of another.
func (c *Core) wait(f *wire.Frame, relayed bool) error {
	if len(c.waiting) >= maxWaiting || c.waitSize+f.Size() > waitBytes {
		c.drop(DropWaitingFull)
		return fmt.Errorf("no link yet, and the messages that wait for one take all the room: %w", ErrQueueFull)
	}
	c.waiting = append(c.waiting, waiting{f, c.now, relayed})
	c.waitSize += f.Size()
	c.wakeBy(c.now + waitAge)
	return nil
}

// sendWaiting sends what waited, as far as there are links now.
func (c *Core) sendWaiting() {
	held := c.waiting
	c.waiting, c.waitSize = nil, 0
	for _, w := range held {
		if w.relayed || c.connected() {
			c.pass(w.frame, nil, w.relayed)
		} else {
			c.waiting = append(c.waiting, w)
			c.waitSize += w.frame.Size()
		}
	}
}

// send sends a control message: one of the overlay's own. It takes the link by, if that is
// not nil.
func (c *Core) send(by *link, m Outgoing) {
	m.Sign = true
	f, err := c.NewFrame(m, c.Nonce())
	if err != nil { // the key does not sign, or the contact that was set is too large
		c.drop(DropTooBig)
		return
	}
	c.stats.Control++
	if by == nil {
		c.forward(f, nil)
	} else if !by.ended && !by.full(f.Size()) {
		c.stats.Copies++
		f.SetHop(f.Hop().WithTx(f.Hop().TxLeft() - 1))
		c.transmit(by, f)
	} else {
		c.drop(DropQueueFull)
	}
}

// search sends a question for the peer that is nearest to an id. last says that this peer
// is that one, and nothing was sent.
func (c *Core) search(m Outgoing) (last bool, err error) {
	f, err := c.NewFrame(m, c.Nonce())
	if err != nil {
		return false, err
	}
	if c.isLast(f) {
		return true, nil
	}
	c.stats.Control++
	return false, c.forward(f, nil)
}

// Signal sends a signal about a WebRTC connection. Nothing waits for a first link:
// without one no peer has asked.
func (c *Core) Signal(now time.Duration, f *wire.Frame) error {
	c.now = now
	c.stats.Control++
	return c.forward(f, nil)
}
