package core

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/journal"
	"github.com/peer-relay/peer-relay/protocol/internal/overlay"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// An Outgoing is a message to be sent.
type Outgoing struct {
	To      wire.ID
	Kind    wire.Kind
	Form    wire.Form
	Flags   wire.Flags
	Expiry  uint64 // with FlagKeep, in Unix milliseconds
	Payload []byte
	Extra   []byte
	Record  []byte
	Token   []byte
	Route   []wire.ID // peers to go through, the one nearest to this peer first
	Sign    bool
}

// NewFrame returns the frame of a new message. It reads only fixed fields, so it may be called
// concurrently with other methods and without a lock. A signature takes long.
func (c *Core) NewFrame(m Outgoing, d Draw) (*wire.Frame, error) {
	if m.Kind == wire.KindUser || m.Kind == wire.KindOther {
		if err := m.fits(); err != nil {
			return nil, err
		}
	}
	body := wire.Body{To: m.To, From: c.self, Kind: m.Kind, Form: m.Form, Flags: m.Flags, Expiry: m.Expiry, Extra: m.Extra,
		Record: m.Record, Token: m.Token, Payload: m.Payload}
	if m.Flags&wire.FlagReceipt != 0 {
		body.E2E = d.e2e[:]
	}
	if len(m.Route) > wire.MaxRoute {
		m.Route = m.Route[:wire.MaxRoute]
	}
	msg := wire.MessageFields{Hop: wire.NewHop(), Nonce: d.digits(), Path: []wire.ID{c.self}, Route: m.Route}
	if !m.Sign || c.cfg.Sign == nil {
		msg.Body = body
		return wire.EncodeMessageFrame(msg)
	}
	body.Key, body.E2E = c.cfg.Key, d.e2e[:]
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

// fits returns an error if some peer could not take the message over some path. On legacy
// links, JSON text is unchanged, and each raw byte takes up to four characters of a Buffer.
func (m *Outgoing) fits() error {
	if m.Form == wire.FormRaw && len(m.Payload) > wire.MaxPayload {
		return fmt.Errorf("%w: %d bytes, at most %d reach every peer", wire.ErrTooBig, len(m.Payload), wire.MaxPayload)
	}
	if text := len(m.Payload) + len(m.Extra); m.Form != wire.FormRaw && text > wire.MaxText {
		return fmt.Errorf("%w: %d bytes of JSON, at most %d reach every peer", wire.ErrTooBig, text, wire.MaxText)
	}
	if m.Form == wire.FormRaw && 4*len(m.Payload)+len(m.Extra) > wire.MaxText {
		return fmt.Errorf("%w: %d raw bytes and %d bytes of JSON, at most %d reach every peer", wire.ErrTooBig, len(m.Payload), len(m.Extra), wire.MaxText)
	}
	return nil
}

const nonces = 1e15 // number of nonces; they have at most 15 decimal digits, as in JS

// A Draw holds the random parts of a message.
type Draw struct {
	nonce uint64
	e2e   [wire.TokenSize]byte // end-to-end id of a body that is signed or wants a receipt
}

// digits returns the nonce of a message.
func (d Draw) digits() []byte { return strconv.AppendUint(make([]byte, 0, wire.MaxNonce), d.nonce, 10) }

// Draw returns a new Draw.
func (c *Core) Draw() Draw {
	d := Draw{nonce: c.rng.Uint64N(nonces)}
	binary.LittleEndian.PutUint64(d.e2e[:], c.rng.Uint64())
	binary.LittleEndian.PutUint64(d.e2e[8:], c.rng.Uint64())
	return d
}

// Send sends a message of the application. A message to this peer itself is delivered.
func (c *Core) Send(now time.Duration, f *wire.Frame, kind OwnKind) error {
	c.now = now
	if f.Body.Kind.IsControl() {
		c.stats.Control++
	} else {
		c.stats.Sent++
	}
	if f.Body.To == c.self {
		c.stats.Delivered++
		c.do(Action{Type: Deliver, Frame: f, Proved: true})
		return nil
	}
	c.follow(f, kind)
	var err error
	if c.connected() {
		err = c.forward(f, nil)
	} else {
		err = c.wait(f, false)
	}
	if err != nil && kind == OwnMessage {
		c.unsent.Messages-- // its sender is told
	}
	return err
}

// connected reports whether there is a link to send by.
func (c *Core) connected() bool {
	return slices.ContainsFunc(c.table.All(), func(l *link) bool { return !l.Ended })
}

// wait keeps a message until there is a first link, or until the better of two links to the
// receiver is up.
func (c *Core) wait(f *wire.Frame, relayed bool) error {
	err := c.keep(waiting{frame: f, since: c.now, relayed: relayed})
	if err == nil && relayed {
		c.transit.keep(c.hash(f))
	}
	return err
}

// keep adds a message to those that wait, if there is room.
func (c *Core) keep(w waiting) error {
	f := w.frame
	if len(c.waiting) >= maxWaiting || c.waitSize+f.Size() > waitBytes {
		c.drop(journal.DropWaitingFull, f)
		return fmt.Errorf("no link yet, and no room for more messages that wait for one: %w", ErrQueueFull)
	}
	c.waiting = append(c.waiting, w)
	c.waitSize += f.Size()
	c.note(journal.MessageKept, f, wire.ID{}, 0)
	c.wakeBy(c.now + waitAge)
	return nil
}

// sendWaiting sends the waiting messages for which there is a link now.
func (c *Core) sendWaiting() {
	held := c.waiting
	c.waiting, c.waitSize = nil, 0
	for _, w := range held {
		switch {
		case w.from != (wire.ID{}) && (w.relayed || c.connected()):
			c.resend(w.frame, w.from)
		case w.relayed || c.connected():
			c.pass(w.frame, nil, w.relayed)
		default:
			c.waiting = append(c.waiting, w)
			c.waitSize += w.frame.Size()
		}
	}
}

// A Draft is a control message before it is signed. The shell calls Compose without its lock,
// and then Composed.
type Draft struct {
	out    Outgoing
	draw   Draw
	by     LinkHandle    // the link to use; 0 means the best one
	peer   wire.ID       // the peer of that link
	search int           // the search that ends if the message is dropped; 0 means none
	about  *wire.Message // the message whose origin must be proved; nil means none

	frame *wire.Frame
	err   error
}

// Compose makes the frame of a draft. Like NewFrame, it reads only fixed fields.
func (c *Core) Compose(d *Draft) {
	if d.about == nil || d.about.Check(c.cfg.Verify) {
		d.frame, d.err = c.NewFrame(d.out, d.draw)
	}
}

// send signs and sends a control message over a link. A nil link means the best one.
func (c *Core) send(by *overlay.Link, m Outgoing) {
	d := &Draft{out: m}
	if by != nil {
		d.by, d.peer = by.Handle, by.ID
	}
	c.compose(d)
}

func (c *Core) compose(d *Draft) {
	d.draw, d.out.Sign = c.Draw(), true
	c.do(Action{Type: Compose, Draft: d})
}

// search sends a question to the peer nearest to an id. If that is this peer, search sends
// nothing and returns true.
func (c *Core) search(index int, m Outgoing) (last bool) {
	if c.nearer(m.To, c.self, func(wire.ID) bool { return false }) == nil {
		return true
	}
	c.compose(&Draft{out: m, search: index})
	return false
}

// Composed sends a composed draft.
func (c *Core) Composed(now time.Duration, d *Draft) {
	c.now = now
	if d.err != nil { // the key failed to sign, or the contact is too large
		c.drop(journal.DropTooBig, nil)
	} else if d.frame != nil {
		c.stats.Control++
		d.err = c.originate(d)
	}
	c.endDraft(d)
}

// NotComposed drops a draft that the shell had no room for.
func (c *Core) NotComposed(now time.Duration, d *Draft) {
	c.now = now
	c.drop(journal.DropRate, nil)
	d.err = fmt.Errorf("too many messages wait for a signature: %w", ErrQueueFull)
	c.endDraft(d)
}

// endDraft ends the search of a draft that failed.
func (c *Core) endDraft(d *Draft) {
	if d.err != nil && d.search != 0 {
		c.overlay.EndSearch(d.search)
		c.do(Action{Type: Found, Index: d.search, Err: d.err})
	}
}

func (c *Core) originate(d *Draft) error {
	f, by := d.frame, c.byHandle[d.by]
	switch {
	case by != nil && !by.Ended && c.full(by, f.Size()):
		c.drop(journal.DropQueueFull, f)
		return ErrQueueFull
	case by != nil && !by.Ended:
		f.Hop = f.Hop.WithTx(f.Hop.TxLeft() - 1)
		c.copyTo(by, f)
		return nil
	case d.by != 0 && f.IsSearch(): // it must start on a link to that peer
		c.resend(f, d.peer)
		return nil
	default: // the link may have ended, and another one may have replaced it
		return c.forward(f, nil)
	}
}

// Signal sends a signal about a WebRTC connection. It does not wait for a first link, since
// without a link no peer has asked for the connection.
func (c *Core) Signal(now time.Duration, f *wire.Frame) error {
	c.now = now
	c.stats.Control++
	return c.forward(f, nil)
}
