package sim

import (
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// An Outcome is what the sender of a reliable message was told.
type Outcome struct {
	Ended   bool
	Receipt core.Receipt
	Err     error
	At      time.Duration // when it was told
}

// SendReliable sends a user message to an id, which need not be that of a peer, until its receipt
// arrives.
func (w *World) SendReliable(from *Peer, to wire.ID) (*Outcome, error) {
	m := w.postReliable(w.now, from, to)
	return m.outcome, m.err
}

// postReliable sends a reliable user message when it is time, which is now or later.
func (w *World) postReliable(at time.Duration, from *Peer, to wire.ID) *mail {
	m := w.write(at, from, to)
	w.lastSend++
	m.outcome, m.index = new(Outcome), w.lastSend
	w.mail(m)
	return m
}

// receipted ends a reliable message.
func (l *lane) receipted(p *Peer, a core.Action) {
	if o := p.sends[a.Index]; o != nil {
		*o = Outcome{Ended: true, Receipt: *a.Receipt, Err: a.Err, At: l.now}
		delete(p.sends, a.Index)
	}
}

// A Reliability is the result of reliable messages.
type Reliability struct {
	Sent, Delivered, Twice int
	Confirmed              int             // the sender got the receiver's receipt
	NoRoute                int             // the sender was told that no peer has the id
	Copies                 int             // transmissions of all messages, those of the overlay too
	Times                  []time.Duration // until the senders were told, in order
}

// Reliably sends n reliable messages from random living peers to the peers that to returns, one
// every 2 ms, and waits for a time.
func (w *World) Reliably(n int, wait time.Duration, to func(from *Peer) wire.ID) Reliability {
	alive := w.Living()
	w.Receipts()
	copies := w.copies()
	r := Reliability{Sent: n}
	type send struct {
		at  time.Duration
		out *Outcome
	}
	var sends []send
	for range n {
		from := alive[w.rng.IntN(len(alive))]
		if o, err := w.SendReliable(from, to(from)); err == nil {
			sends = append(sends, send{w.now, o})
		}
		w.Run(w.Now() + 2*time.Millisecond)
	}
	w.Run(w.Now() + wait)
	for _, s := range sends {
		switch {
		case !s.out.Ended:
			continue
		case s.out.Err != nil:
			r.NoRoute++
		default:
			r.Confirmed++
		}
		r.Times = append(r.Times, s.out.At-s.at)
	}
	w.endReliable()
	slices.Sort(r.Times)
	got, twice := w.Receipts()
	r.Delivered, r.Twice, r.Copies = len(got), twice, w.copies()-copies
	return r
}

// endReliable ends all reliable messages that have no receipt yet.
func (w *World) endReliable() {
	for _, p := range w.peers {
		if p.Core != nil {
			for i := range p.sends {
				p.Core.EndReliable(i)
			}
		}
		clear(p.sends)
	}
}

// Within returns the share of the messages whose senders were told in that time.
func (r Reliability) Within(d time.Duration) float64 {
	n, _ := slices.BinarySearch(r.Times, d+1)
	return float64(n) / float64(max(r.Sent, 1))
}

// Quantile returns the time in which that share of those senders that were told was told.
func (r Reliability) Quantile(q float64) time.Duration {
	if len(r.Times) == 0 {
		return 0
	}
	return r.Times[min(int(q*float64(len(r.Times))), len(r.Times)-1)]
}

func (w *World) copies() (n int) {
	for _, p := range w.peers {
		n += int(p.copied)
		if p.Core != nil {
			n += int(p.Core.Stats().Copies)
		}
	}
	return n
}

// Any returns the id of a random living peer other than from.
func (w *World) Any(from *Peer) wire.ID {
	alive := w.Living()
	for {
		if p := alive[w.rng.IntN(len(alive))]; p != from {
			return p.ID
		}
	}
}

// Unused returns a random id that no peer has.
func (w *World) Unused(*Peer) wire.ID { return w.randomID() }

// Corrupt makes a share of the living peers, except the bootstraps, drop all user messages that are
// not for them. They acknowledge what they drop.
func (w *World) Corrupt(share float64) {
	for _, p := range w.Living() {
		p.drops = p.Index >= w.cfg.Bootstraps && w.rng.Float64() < share
	}
}

// swallow drops a message that arrived at an end, and acknowledges it.
func (l *lane) swallow(e *end) {
	e.swallowed++
	l.send(e, wire.NewAck(e.taken))
}

// dropsMessage reports whether a peer drops a message.
func (p *Peer) dropsMessage(f *wire.Frame) bool {
	return p.drops && f.Type == wire.FrameMessage && f.Body.To != p.ID && !f.Body.Kind.IsControl()
}
