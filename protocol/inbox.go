package protocol

import (
	"slices"
	"sync"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// Limits of an inbox.
const (
	maxInbox    = 8192             // messages
	inboxBytes  = 16 << 20         // bytes of the messages' frames
	maxEvents   = 4096             // events that wait before they are thinned out
	handlerTime = 10 * time.Second // wait of Close for the handlers
)

// An inbox holds the messages and events that wait for a handler, however long that takes.
// Messages are bounded in number and in bytes. Events are thinned out when many wait. Then at
// most two are left for each linked peer, and one for each bootstrap, from which a handler learns
// the same as from all.
type inbox struct {
	// Fixed before the first put.
	abandoned chan struct{} // closed when no handler is called any more
	removed   func(*event)  // called for an event that is thinned out; nil means none

	mu     sync.Mutex
	items  []delivery
	count  int    // messages
	bytes  int    // bytes of the messages' frames
	events int    // events in items
	thinAt int    // number of events at which they are thinned out
	missed uint64 // events that were thinned out
	closed bool
	ready  *sync.Cond // signalled when there are items, or the inbox was closed
}

// A delivery is a message or an event.
type delivery struct {
	frame  *wire.Frame
	proved bool
	event  *event
}

// An event is a call of a handler that is not about a message.
type event struct {
	kind    eventKind
	info    LinkInfo      // of a link that is up
	peer    ID            // the peer that is linked or gone
	contact Contact       // the bootstrap that was dialled
	err     error         // why a peer is gone, or a dial failed
	noted   chan struct{} // closed when OnLinkUp or OnLinkDown has returned; nil means none
}

type eventKind uint8

const (
	peerUp eventKind = iota
	peerDown
	dialFailed
)

func newInbox() *inbox {
	b := &inbox{abandoned: make(chan struct{}), thinAt: maxEvents}
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

func (b *inbox) put(e *event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.events++
	b.items = append(b.items, delivery{event: e})
	if b.events >= b.thinAt {
		b.thin()
		b.thinAt = max(maxEvents, 2*b.events)
	}
	b.ready.Signal()
}

// thin removes the waiting events that a late handler need not know: those of a peer that came
// and went meanwhile, and all but the last error of a bootstrap. b.mu is held.
func (b *inbox) thin() {
	came := make(map[ID]int)       // index of the event that the peer came
	failed := make(map[string]int) // index of the last error of the bootstrap
	remove := func(i int) {
		e := b.items[i].event
		b.items[i] = delivery{}
		b.events--
		b.missed++
		if b.removed != nil {
			b.removed(e)
		}
	}
	for i, d := range b.items {
		switch e := d.event; {
		case e == nil:
		case e.kind == peerUp:
			came[e.peer] = i
		case e.kind == peerDown:
			if up, ok := came[e.peer]; ok {
				delete(came, e.peer)
				remove(up)
				remove(i)
			}
		case e.kind == dialFailed:
			if before, ok := failed[e.contact.URL]; ok {
				remove(before)
			}
			failed[e.contact.URL] = i
		}
	}
	b.items = slices.DeleteFunc(b.items, func(d delivery) bool { return d == delivery{} })
}

func (b *inbox) close() {
	b.mu.Lock()
	b.closed = true
	b.ready.Broadcast()
	b.mu.Unlock()
}

// abandon lets no further handler be called.
func (b *inbox) abandon() { close(b.abandoned) }

func (b *inbox) isAbandoned() bool {
	select {
	case <-b.abandoned:
		return true
	default:
		return false
	}
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
	b.events, b.thinAt = 0, maxEvents
	return items
}

// done frees the room of a message that the application has taken.
func (b *inbox) done(f *wire.Frame) {
	b.mu.Lock()
	b.count--
	b.bytes -= f.Size()
	b.mu.Unlock()
}

// eventsMissed returns the number of events that were thinned out.
func (b *inbox) eventsMissed() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.missed
}

// emit queues an event for the handlers.
func (r *Router) emit(e *event) {
	if r.links != nil && e.kind != dialFailed {
		e.noted = make(chan struct{})
		r.links.put(e)
	}
	r.inbox.put(e)
}

// note calls OnLinkUp and OnLinkDown until their inbox is closed and empty.
func (r *Router) note() {
	var items []delivery
	for {
		if items = r.links.take(items); len(items) == 0 {
			return
		}
		for i, d := range items {
			items[i] = delivery{}
			switch e := d.event; {
			case e.kind == peerUp && r.opts.OnLinkUp != nil:
				r.opts.OnLinkUp(e.info)
			case e.kind == peerDown && r.opts.OnLinkDown != nil:
				r.opts.OnLinkDown(e.peer, e.err)
			}
			close(d.event.noted)
		}
	}
}

// deliver calls the application's handlers until the inbox is closed and empty, or abandoned.
func (r *Router) deliver() {
	defer close(r.delivered)
	var items []delivery
	for {
		if items = r.inbox.take(items); len(items) == 0 {
			return
		}
		for i, d := range items {
			items[i] = delivery{}
			switch over := r.inbox.isAbandoned(); {
			case d.event != nil && !over:
				r.handle(d.event)
			case d.event == nil:
				if over || !r.handleMessage(d) {
					r.drop(DropInboxFull, d.frame)
				}
				r.inbox.done(d.frame)
			}
		}
	}
}

// handleMessage passes a message to the application, and reports whether there was room.
func (r *Router) handleMessage(d delivery) bool {
	m := newMessage(d.frame, d.proved)
	if r.opts.OnMessage == nil {
		taken := r.mailbox.put(m)
		if taken {
			r.confirm(d.frame)
		}
		return taken
	}
	r.confirm(d.frame) // before the handler, which may be slow
	r.opts.OnMessage(m)
	return true
}

// handle calls the application's handler of an event.
func (r *Router) handle(e *event) {
	if e.noted != nil {
		<-e.noted
	}
	switch {
	case e.kind == peerUp && r.opts.OnPeer != nil:
		r.opts.OnPeer(e.info)
	case e.kind == peerDown && r.opts.OnPeerDown != nil:
		r.opts.OnPeerDown(e.peer, e.err)
	case e.kind == dialFailed && r.opts.OnDialError != nil:
		r.opts.OnDialError(e.contact, e.err)
	}
}

// awaitHandlers waits for the handlers of what the closed inbox holds. After handlerTime it lets
// no further handler be called, and returns ErrHandlerRuns.
func (r *Router) awaitHandlers() error {
	timer := time.NewTimer(handlerTime)
	defer timer.Stop()
	select {
	case <-r.delivered:
		return nil
	case <-timer.C:
		r.inbox.abandon()
		return ErrHandlerRuns
	}
}
