package protocol

import (
	"context"
	"log/slog"

	"github.com/peer-relay/peer-relay/protocol/internal/journal"
)

// LevelTrace is the level of the log lines about single steps of messages.
const LevelTrace = slog.LevelDebug - 4

// An Event is one step of a message, or the start or end of a link. Its String method
// returns it as a line.
//
//	Type                  the step, one of the constants below
//	Peer     ID           the peer of the link that brought the message, gets it, or is up or down
//	Digest   wire.Digest  the name of the message: the same 8 bytes at every peer that it visits
//	From, To ID           the message's origin and receiver
//	Kind     Kind         what the message is for
//	Reason   DropReason   set for MessageDropped and MessageReturned
//	Err      error        set for LinkDown; nil means an orderly end
type Event = journal.Event

// The types of an [Event].
const (
	MessageReceived  = journal.MessageReceived  // a message from Peer
	MessageSent      = journal.MessageSent      // a message was queued for Peer
	MessageKept      = journal.MessageKept      // a message waits for a link
	MessageDelivered = journal.MessageDelivered // a message was for this peer
	MessageDropped   = journal.MessageDropped   // a message was dropped because of Reason
	MessageReturned  = journal.MessageReturned  // a message went back to Peer because of Reason
	LinkUp           = journal.LinkUp           // Peer is linked
	LinkDown         = journal.LinkDown         // Peer is no longer linked, because of Err
)

// traces reports whether the core must collect events.
func (r *Router) traces() bool {
	return r.opts.Tracer != nil || r.log.Enabled(context.Background(), slog.LevelDebug)
}

// tell passes events to the tracer and the log.
func (r *Router) tell(events []Event) {
	for _, e := range events {
		if r.opts.Tracer != nil {
			r.opts.Tracer(e)
		}
		level := LevelTrace
		why := e.Type == MessageDropped || e.Type == MessageReturned
		if why && e.Reason != DropDuplicate && e.Reason != DropLoop {
			level = slog.LevelDebug
		}
		if e.Type == LinkUp || e.Type == LinkDown || !r.log.Enabled(r.ctx, level) { // serve logs links in more detail
			continue
		}
		attrs := []slog.Attr{slog.String("message", e.Digest.String()), slog.String("kind", e.Kind.String()),
			slog.String("from", e.From.Short()), slog.String("to", e.To.Short())}
		if e.Peer != (ID{}) {
			attrs = append(attrs, slog.String("peer", e.Peer.Short()))
		}
		if why {
			attrs = append(attrs, slog.String("reason", e.Reason.String()))
		}
		r.log.LogAttrs(r.ctx, level, "message "+e.Type.String(), attrs...)
	}
}
