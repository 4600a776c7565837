package core

import (
	"github.com/peer-relay/peer-relay/protocol/internal/journal"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// Trace sets whether events are collected. They cost a hash of each message.
func (c *Core) Trace(on bool) { c.tracing = on }

// Events returns the events since the last call, in order. The caller owns the slice until
// the next call of any method.
func (c *Core) Events() []journal.Event {
	e := c.events
	c.events = c.events[:0]
	return e
}

// note adds an event about a message. A nil f means that its fields are not known.
func (c *Core) note(t journal.EventType, f *wire.Frame, peer wire.ID, reason journal.DropReason) {
	if !c.tracing {
		return
	}
	e := journal.Event{Type: t, Peer: peer, Reason: reason}
	if f != nil && f.Type == wire.FrameMessage {
		e.Digest, e.From, e.To, e.Kind = f.Digest(), f.Body.From, f.Body.To, f.Body.Kind
	}
	c.events = append(c.events, e)
}

func (c *Core) noteLink(t journal.EventType, id wire.ID, err error) {
	if c.tracing {
		c.events = append(c.events, journal.Event{Type: t, Peer: id, Err: err})
	}
}

// drop counts a dropped message. A nil f means that its fields are not known.
func (c *Core) drop(reason journal.DropReason, f *wire.Frame) {
	c.stats.Dropped[reason]++
	if reason != journal.DropLoop && reason != journal.DropDuplicate { // the message itself may still wait here
		c.lose(f)
	}
	c.note(journal.MessageDropped, f, wire.ID{}, reason)
}
