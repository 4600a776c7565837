package protocol

import (
	"context"
	"log/slog"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
)

// LevelTrace is the level of a log line for each step of each message.
const LevelTrace = slog.LevelDebug - 4

// An Event is one step of a message, or the beginning or end of a link. Its String method
// returns it as a line.
//
//	Type     EventType    what happened; the fields that it sets are below
//	Peer     ID           the linked peer that brought or gets the message, or the link's
//	Digest   wire.Digest  the message: the same 8 bytes at every peer on its way
//	From, To ID           the message's origin and receiver
//	Kind     Kind         what the message is for
//	Reason   DropReason   of MessageDropped
//	Err      error        of LinkDown; nil: in order
type Event = core.Event

// An EventType says what an [Event] tells of.
type EventType = core.EventType

const (
	MessageReceived  EventType = core.MessageReceived  // Peer brought the message
	MessageSent      EventType = core.MessageSent      // the message was queued for Peer
	MessageKept      EventType = core.MessageKept      // the message waits for a link
	MessageDelivered EventType = core.MessageDelivered // the message was for this peer
	MessageDropped   EventType = core.MessageDropped   // the message went no further, for Reason
	LinkUp           EventType = core.LinkUp           // Peer is linked
	LinkDown         EventType = core.LinkDown         // Peer is not linked any more, for Err
)

// traces reports whether events are wanted.
func (r *Router) traces() bool {
	return r.opts.Tracer != nil || r.log.Enabled(context.Background(), slog.LevelDebug)
}

// tell passes events on to the tracer and the log.
func (r *Router) tell(events []Event) {
	for _, e := range events {
		if r.opts.Tracer != nil {
			r.opts.Tracer(e)
		}
		level := LevelTrace
		if e.Type == MessageDropped && e.Reason != DropDuplicate && e.Reason != DropLoop {
			level = slog.LevelDebug
		}
		if e.Type == LinkUp || e.Type == LinkDown || !r.log.Enabled(r.ctx, level) { // serve logs links, with more of them
			continue
		}
		attrs := []slog.Attr{slog.String("message", e.Digest.String()), slog.String("kind", e.Kind.String()),
			slog.String("from", e.From.Short()), slog.String("to", e.To.Short())}
		if e.Peer != (ID{}) {
			attrs = append(attrs, slog.String("peer", e.Peer.Short()))
		}
		if e.Type == MessageDropped {
			attrs = append(attrs, slog.String("reason", e.Reason.String()))
		}
		r.log.LogAttrs(r.ctx, level, "message "+e.Type.String(), attrs...)
	}
}
