package core

import (
	"fmt"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// An EventType is the kind of an Event.
type EventType uint8

const (
	MessageReceived  EventType = iota // from Peer
	MessageSent                       // queued for Peer
	MessageKept                       // waits for a link
	MessageDelivered                  // was for this peer
	MessageDropped                    // because of Reason
	MessageReturned                   // to Peer, because of Reason
	LinkUp                            // Peer is linked
	LinkDown                          // Peer is no longer linked, because of Err
)

func (t EventType) String() string {
	names := [...]string{"received", "sent", "kept", "delivered", "dropped", "returned", "link up", "link down"}
	if int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("event(%d)", uint8(t))
}

// An Event is one step of a message, or the start or end of a link. Package protocol
// documents each field.
type Event struct {
	Type     EventType
	Peer     wire.ID
	Digest   wire.Digest
	From, To wire.ID
	Kind     wire.Kind
	Reason   DropReason
	Err      error
}

// String returns the event as a line of a log or transcript.
func (e Event) String() string {
	s := e.Type.String()
	switch e.Type {
	case MessageDropped, MessageReturned:
		s += " " + e.Reason.String()
	case LinkUp, LinkDown:
		s += " " + e.Peer.String()
		if e.Err != nil {
			s += ": " + e.Err.Error()
		}
		return s
	}
	if e.Digest != (wire.Digest{}) {
		s += fmt.Sprintf(" %v %v of %v for %v", e.Digest, e.Kind, e.From, e.To)
	}
	if e.Peer != (wire.ID{}) {
		s += " at " + e.Peer.String()
	}
	return s
}

// Trace sets whether events are collected. They cost a hash of each message.
func (c *Core) Trace(on bool) { c.tracing = on }

// Events returns the events since the last call, in order. The caller owns the slice until
// the next call of any method.
func (c *Core) Events() []Event {
	e := c.events
	c.events = c.events[:0]
	return e
}

// note adds an event about a message. A nil f means that its fields are not known.
func (c *Core) note(t EventType, f *wire.Frame, peer wire.ID, reason DropReason) {
	if !c.tracing {
		return
	}
	e := Event{Type: t, Peer: peer, Reason: reason}
	if f != nil && f.Type == wire.FrameMessage {
		e.Digest, e.From, e.To, e.Kind = f.Digest(), f.Body.From, f.Body.To, f.Body.Kind
	}
	c.events = append(c.events, e)
}

func (c *Core) noteLink(t EventType, id wire.ID, err error) {
	if c.tracing {
		c.events = append(c.events, Event{Type: t, Peer: id, Err: err})
	}
}

// drop counts a dropped message. A nil f means that its fields are not known.
func (c *Core) drop(reason DropReason, f *wire.Frame) {
	c.stats.Dropped[reason]++
	if reason != DropLoop && reason != DropDuplicate { // the message itself may still wait here
		c.lose(f)
	}
	c.note(MessageDropped, f, wire.ID{}, reason)
}
