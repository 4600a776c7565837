package journal

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
