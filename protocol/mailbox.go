package protocol

import (
	"context"
	"fmt"
	"sync"
)

// Limits of a mailbox before the first call of Receive: a peer whose application reads no
// messages holds little.
const (
	unreadMessages = 256
	unreadBytes    = 1 << 20
)

// A mailbox holds the messages of an application that has no OnMessage, for Receive. It has
// the bounds of an inbox.
type mailbox struct {
	mu    sync.Mutex
	items []Message
	bytes int
	read  bool          // Receive was called
	ready chan struct{} // holds one token while there may be something to take
}

func newMailbox() *mailbox { return &mailbox{ready: make(chan struct{}, 1)} }

// put reports whether there was room.
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
	if len(b.items) > 0 { // for another goroutine that waits
		b.signal()
	}
	return m, true
}

func (m *Message) size() int { return len(m.Payload) + len(m.Extra) }

// Receive waits for the next message to the application and returns it, in a router whose
// Options have no OnMessage. Several goroutines may call it. While none does, up to 8,192
// messages or 16 MiB wait, 256 or 1 MiB before the first call; what comes then is dropped
// and counted. The error is the context's, or ErrClosed after Close once nothing waits.
func (r *Router) Receive(ctx context.Context) (Message, error) {
	for {
		if m, ok := r.mailbox.take(); ok {
			return m, nil
		}
		select {
		case <-r.mailbox.ready:
		case <-ctx.Done():
			return Message{}, fmt.Errorf("peer-relay: receive: %w", ctx.Err())
		case <-r.delivered:
			if m, ok := r.mailbox.take(); ok {
				return m, nil
			}
			return Message{}, ErrClosed
		}
	}
}
