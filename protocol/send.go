package protocol

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
	"github.com/peer-relay/peer-relay/protocol/packet"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A Kind is what a message is for. An application gets two kinds.
type Kind = wire.Kind

const (
	KindUser  Kind = wire.KindUser  // an application's message
	KindOther Kind = wire.KindOther // legacy data of any other type: the payload is its whole JSON text
)

// A Form is the encoding of a payload.
type Form = wire.Form

const (
	FormNone      Form = wire.FormNone      // there is no value
	FormJSON      Form = wire.FormJSON      // the raw JSON text of one value
	FormRaw       Form = wire.FormRaw       // bytes; in legacy JSON a Buffer
	FormWholeJSON Form = wire.FormWholeJSON // the raw JSON text of the whole legacy data member
)

// A Message is a message for the application.
type Message struct {
	From    ID
	Kind    Kind // KindUser or KindOther
	Form    Form
	Payload []byte // JSON text or bytes, depending on Form
	Extra   []byte // the unknown members of a legacy message, as a JSON object
	Proved  bool   // the message is proved to be from From
	Path    []ID   // the peers that forwarded it, its origin first; not signed, so only a hint
}

// Send sends a message to a peer over any number of hops. It never blocks. An error means that
// the message is lost: it is too big, a queue has no room, or the router is closed. A nil error
// does not mean that the message will arrive. [Router.Close] counts those that no link took.
func (r *Router) Send(to ID, form Form, payload []byte) error {
	return r.send(core.Outgoing{To: to, Form: form, Payload: payload, Sign: r.opts.SignMessages}, core.OwnMessage)
}

// Signal sends a signal about a WebRTC connection to a peer. The payload is the JSON text of
// one value. Signal never blocks. An error means that the signal is lost.
func (r *Router) Signal(to ID, payload []byte) error {
	return r.send(core.Outgoing{To: to, Kind: wire.KindSignal, Form: FormJSON, Payload: payload, Sign: true}, core.OwnMessage)
}

func (r *Router) send(m core.Outgoing, kind core.OwnKind) error {
	r.mu.Lock()
	draw := r.core.Draw()
	r.mu.Unlock()
	f, err := r.core.NewFrame(m, draw)
	if err != nil {
		return fmt.Errorf("send to %v: %w", m.To, err)
	}
	r.enter(func(c *core.Core, now time.Duration) {
		switch {
		case m.Kind == wire.KindSignal && !r.closed:
			err = c.Signal(now, f)
		case r.closing:
			err = ErrClosed
		default:
			err = c.Send(now, f, kind)
		}
	})
	return err
}

// A found is the answer to a search.
type found struct {
	ids []ID
	err error
}

// Nearest asks the network for the peers that are nearest to an id. The id need not be that of
// a peer. Nearest returns at most 41 ids, the nearest first. The answer is the word of a
// stranger, so the peers may not exist. The error is that of the context if no answer arrives
// before its end, or within 10 s. It is ErrQueueFull if too many searches are in flight.
func (r *Router) Nearest(ctx context.Context, id ID) ([]ID, error) {
	ctx, cancel := context.WithTimeout(ctx, core.QueryExpiry)
	defer cancel()
	answer := make(chan found, 1)
	var index int
	var err error
	r.enter(func(c *core.Core, now time.Duration) {
		r.lastID++
		index = int(r.lastID)
		if r.closing {
			err = ErrClosed
			return
		}
		r.searches[index] = answer
		err = c.Search(now, index, id)
	})
	defer func() {
		r.mu.Lock()
		delete(r.searches, index)
		r.core.EndSearch(index)
		r.mu.Unlock()
	}()
	if err == nil {
		select {
		case a := <-answer:
			if a.err == nil {
				return a.ids, nil
			}
			err = a.err
		case <-ctx.Done():
			err = ctx.Err()
		case <-r.ctx.Done():
			err = ErrClosed
		}
	}
	return nil, fmt.Errorf("search for %v: %w", id, err)
}

// signalled passes a signal to the first dialer that is a Signaller.
func (r *Router) signalled(f *wire.Frame, proved bool) {
	for _, d := range r.opts.Dialers {
		if s, ok := d.(Signaller); ok {
			s.Signal(r, Signal{From: f.Body.From, Payload: f.Body.Payload, Proved: proved})
			return
		}
	}
	r.drop(DropUnsupported, f)
}

// maxAround is the most bytes of a frame that a Message keeps in memory beside its payload
// and its extra.
const maxAround = 1 << 10

// newMessage returns a frame as the application gets it. A mailbox, and the application, count
// the payload and the extra of a message that they keep. A hostile peer can put much around
// them, in fields of a later version: such a frame is not kept.
func newMessage(f *wire.Frame, proved bool) Message {
	b := &f.Body
	m := Message{From: b.From, Kind: b.Kind, Form: b.Form, Payload: b.Payload, Extra: b.Extra, Proved: proved, Path: f.Path()}
	if f.Size() > m.size()+maxAround {
		m.Payload, m.Extra = bytes.Clone(m.Payload), bytes.Clone(m.Extra)
	}
	return m
}

// ListenPacket opens a datagram socket on a port of this peer. Port 0 means a random free port
// of 49152 to 65535. The error is a *net.OpError. It wraps syscall.EADDRINUSE if a socket has
// that port or no port is free, and ErrClosed if the router is closed.
func (r *Router) ListenPacket(port uint16) (*packet.PacketConn, error) { return r.sockets.Listen(port) }

// DialPacket opens a datagram socket on a free port, which exchanges datagrams with only one
// address. It sends nothing and does not check whether the peer exists.
func (r *Router) DialPacket(id ID, port uint16) (*packet.PacketConn, error) {
	return r.sockets.Dial(packet.Addr{ID: id, Port: port})
}

// sendDatagram is the Sender of the router's sockets.
func (r *Router) sendDatagram(to ID, payload, extra []byte, resends bool) (full bool, err error) {
	kind := core.OwnDatagram
	if resends {
		kind = core.OwnRepeatable
	}
	err = r.send(core.Outgoing{To: to, Form: FormRaw, Payload: payload, Extra: extra, Sign: r.opts.SignMessages}, kind)
	if errors.Is(err, ErrQueueFull) {
		return true, nil
	}
	return false, err
}

// deliverDatagram passes a datagram to its socket. The caller holds r.mu.
func (r *Router) deliverDatagram(f *wire.Frame, proved bool) {
	taken, evicted := r.sockets.Deliver(f, proved)
	if !taken {
		r.core.Drop(DropNoPort, f)
	}
	for range evicted {
		r.core.Drop(DropSocketFull, nil)
	}
}
