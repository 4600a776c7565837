package protocol

import (
	"sync"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// Limits of an inbox.
const (
	maxInbox   = 8192     // messages
	inboxBytes = 16 << 20 // bytes of the messages' frames
	maxEvents  = 4096     // events from which on new links are refused
)

// An inbox holds the messages and events that wait for the application. Messages are bounded
// in number and in bytes. Events are a few for each link, so they are bounded by refusing
// links while maxEvents wait.
type inbox struct {
	mu     sync.Mutex
	items  []delivery
	count  int // messages
	bytes  int // bytes of the messages' frames
	events int
	closed bool
	ready  *sync.Cond // signalled when there are items, or the inbox was closed
}

// A delivery is a message or an event.
type delivery struct {
	frame  *wire.Frame
	proved bool
	event  func()
}

func newInbox() *inbox {
	b := &inbox{}
	b.ready = sync.NewCond(&b.mu)
	return b
}

func (b *inbox) putMessage(f *wire.Frame, proved bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.count >= maxInbox || b.bytes+f.Size() > inboxBytes {
		return false
	}
	b.count++
	b.bytes += f.Size()
	b.items = append(b.items, delivery{frame: f, proved: proved})
	b.ready.Signal()
	return true
}

func (b *inbox) put(event func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.events++
		b.items = append(b.items, delivery{event: event})
		b.ready.Signal()
	}
}

// crowded reports whether maxEvents wait, so that a new link must be refused.
func (b *inbox) crowded() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.events >= maxEvents
}

func (b *inbox) close() {
	b.mu.Lock()
	b.closed = true
	b.ready.Broadcast()
	b.mu.Unlock()
}

// take waits for deliveries, then removes and returns all. It returns none once the inbox is
// closed and empty. The inbox reuses the slice emptied.
func (b *inbox) take(emptied []delivery) []delivery {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.items) == 0 && !b.closed {
		b.ready.Wait()
	}
	items := b.items
	b.items = emptied[:0]
	return items
}

// done frees the room of a message that the application has taken. A nil f means an event.
func (b *inbox) done(f *wire.Frame) {
	b.mu.Lock()
	if f == nil {
		b.events--
	} else {
		b.count--
		b.bytes -= f.Size()
	}
	b.mu.Unlock()
}

// deliver calls the application's handlers until the inbox is closed and empty.
func (r *Router) deliver() {
	defer close(r.delivered)
	var items []delivery
	for {
		if items = r.inbox.take(items); len(items) == 0 {
			return
		}
		for i, d := range items {
			items[i] = delivery{}
			if d.event != nil {
				d.event()
				r.inbox.done(nil)
				continue
			}
			if m := newMessage(d.frame, d.proved); r.opts.OnMessage != nil {
				r.opts.OnMessage(m)
			} else if !r.mailbox.put(m) {
				r.drop(DropInboxFull, d.frame)
			}
			r.inbox.done(d.frame)
		}
	}
}
