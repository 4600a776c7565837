package protocol

import (
	"context"
	"fmt"
	"sync"
)

// Limits of a mailbox before the first call of Receive. They keep a peer whose application
// never reads messages from holding many.
const (
	unreadMessages = 256     // messages
	unreadBytes    = 1 << 20 // bytes of payloads and extras
)

// A mailbox holds messages for Receive, if the application has no OnMessage. After the first
// call of Receive it has the bounds of an inbox.
type mailbox struct {
	mu    sync.Mutex
	items []Message
	bytes int
	read  bool          // Receive was called
	ready chan struct{} // holds a token if there may be messages to take
}

func newMailbox() *mailbox { return &mailbox{ready: make(chan struct{}, 1)} }

// put adds a message and returns true, or returns false if there is no room.
func (b *mailbox) put(m Message) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	messages, bytes := unreadMessages, unreadBytes
	if b.read {
		messages, bytes = maxInbox, inboxBytes
	}
	if len(b.items) >= messages || b.bytes+m.size() > bytes {
		return false
	}
	b.items = append(b.items, m)
	b.bytes += m.size()
	b.signal()
	return true
}

func (b *mailbox) signal() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// take returns the next message, and reports whether there was one.
func (b *mailbox) take() (m Message, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.read = true
	if len(b.items) == 0 {
		return Message{}, false
	}
	m = b.items[0]
	b.items[0] = Message{}
	b.items = b.items[1:]
	b.bytes -= m.size()
	if len(b.items) > 0 { // wakes another goroutine that waits
		b.signal()
	}
	return m, true
}

func (m *Message) size() int { return len(m.Payload) + len(m.Extra) }

// Receive waits for the next message to the application and returns it, if Options have no
// OnMessage. Several goroutines may call it. Up to 8,192 messages or 16 MiB wait for a call,
// and 256 messages or 1 MiB for the first call. Further messages are dropped and counted. The
// error is that of the context, or ErrClosed after Close if no message waits.
func (r *Router) Receive(ctx context.Context) (Message, error) {
	for {
		if m, ok := r.mailbox.take(); ok {
			return m, nil
		}
		select {
		case <-r.mailbox.ready:
		case <-ctx.Done():
			return Message{}, fmt.Errorf("peer-relay: receive: %w", ctx.Err())
		case <-r.inbox.abandoned:
			return Message{}, ErrClosed
		case <-r.delivered:
			if m, ok := r.mailbox.take(); ok {
				return m, nil
			}
			return Message{}, ErrClosed
		}
	}
}
