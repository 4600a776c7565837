package compat

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
)

// The limits of the events of one kind that wait for their first listener. Later ones are
// dropped.
const (
	maxKept      = 1024    // events
	maxKeptBytes = 1 << 20 // bytes that listeners.size counts
)

// The time for which the end of a peer waits for a handler: after the router has waited, only
// stuckTime.
const (
	handlerTime = 10 * time.Second
	stuckTime   = time.Second
)

// A calls has one goroutine that calls all handlers of a peer. So only one runs at once, and no
// lock is held meanwhile.
type calls struct {
	// Fixed before run.
	now  chan func()   // received when the calls before have returned
	more chan struct{} // holds a token when later is not empty
	stop chan struct{}
	done chan struct{} // closed when run has returned
	left chan struct{} // closed when a handler that does not return is waited for no longer

	mu    sync.Mutex
	ended bool     // no function is called any more
	later []func() // calls that soon has queued
}

func newCalls() *calls {
	return &calls{now: make(chan func()), more: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}), left: make(chan struct{})}
}

// run makes the calls, until end.
func (c *calls) run() {
	defer close(c.done)
	for {
		select {
		case f := <-c.now:
			f()
		case <-c.more:
			c.runLater()
		case <-c.stop:
			for !c.isOver() {
				c.runLater()
			}
			return
		}
	}
}

func (c *calls) runLater() {
	c.mu.Lock()
	later := c.later
	c.later = nil
	c.mu.Unlock()
	for _, f := range later {
		if !c.isLeft() {
			f()
		}
	}
}

// isLeft reports whether no handler may be called any more, since one does not return.
func (c *calls) isLeft() bool {
	select {
	case <-c.left:
		return true
	default:
		return false
	}
}

// isOver ends all calls if none is due, and reports whether it has.
func (c *calls) isOver() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = len(c.later) == 0
	return c.ended
}

// do queues a call of f, and waits until it begins. A handler must not call do.
func (c *calls) do(f func()) {
	select {
	case c.now <- f:
	case <-c.done:
	case <-c.left:
	}
}

// soon queues a call of f, and does not wait. After the end it does nothing.
func (c *calls) soon(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.later = append(c.later, f)
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// end makes the calls that are due, then stops run and waits for it. If a handler has not returned
// after the time most, no other handler is called, and the error is protocol.ErrHandlerRuns.
func (c *calls) end(most time.Duration) error {
	close(c.stop)
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-c.done:
		return nil
	case <-timer.C:
	}
	c.mu.Lock()
	c.ended, c.later = true, nil
	c.mu.Unlock()
	close(c.left)
	return protocol.ErrHandlerRuns
}

// A listeners holds the functions that listen to one kind of event, in the order in which they
// were added, and the events that wait for them.
type listeners[E any] struct {
	// Fixed by init.
	calls *calls
	size  func(E) int // bytes of an event; nil means that they are not counted
	give  func()      // drain, as a value made once

	mu      sync.Mutex
	fs      []func(E)
	kept    []E
	bytes   int           // of the events in kept
	waiting int           // number of calls of take
	came    chan struct{} // holds a token when a call of take may find an event
}

func (l *listeners[E]) init(c *calls, size func(E) int) {
	l.calls, l.size, l.give, l.came = c, size, l.drain, make(chan struct{}, 1)
}

// add adds a listener, which first gets the events that were kept. A nil f is ignored.
func (l *listeners[E]) add(f func(E)) {
	if f == nil {
		return
	}
	l.mu.Lock()
	l.fs = append(l.fs, f)
	due := len(l.kept) > 0
	l.wake()
	l.mu.Unlock()
	if due {
		l.calls.soon(l.give)
	}
}

// heard reports whether there is a listener, or a call of take that waits for an event.
func (l *listeners[E]) heard() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.fs) > 0 || l.waiting > 0
}

// emit queues an event for the listeners, and waits until its call begins: the router bounds
// what comes faster. It reports whether there was room. A handler must not call emit.
func (l *listeners[E]) emit(e E) (kept bool) {
	heard, kept := l.keep(e)
	if heard {
		l.calls.do(l.give)
	}
	return kept
}

// emitSoon queues an event for the listeners, and does not wait.
func (l *listeners[E]) emitSoon(e E) {
	if heard, _ := l.keep(e); heard {
		l.calls.soon(l.give)
	}
}

// keep adds an event to those that wait. It reports whether there are listeners for it, and
// whether there was room.
func (l *listeners[E]) keep(e E) (heard, kept bool) {
	size := l.sizeOf(e)
	l.mu.Lock()
	defer l.mu.Unlock()
	heard = len(l.fs) > 0
	if kept = heard || len(l.kept) < maxKept && l.bytes+size <= maxKeptBytes; kept {
		l.kept = append(l.kept, e)
		l.bytes += size
		l.wake()
	}
	return heard, kept
}

// withdraw removes the last waiting event for which is returns true, and reports whether there
// was one. It does nothing if there are listeners.
func (l *listeners[E]) withdraw(is func(E) bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.fs) > 0 {
		return false
	}
	for i := len(l.kept) - 1; i >= 0; i-- {
		if is(l.kept[i]) {
			l.bytes -= l.sizeOf(l.kept[i])
			l.kept = slices.Delete(l.kept, i, i+1)
			return true
		}
	}
	return false
}

func (l *listeners[E]) sizeOf(e E) int {
	if l.size == nil {
		return 0
	}
	return l.size(e)
}

// drain calls the listeners for all events that wait.
func (l *listeners[E]) drain() {
	for {
		l.mu.Lock()
		if len(l.kept) == 0 {
			l.mu.Unlock()
			return
		}
		e, fs := l.shift(), l.fs
		l.mu.Unlock()
		for _, f := range fs {
			if l.calls.isLeft() {
				return
			}
			f(e)
		}
	}
}

// shift removes and returns the first waiting event. l.mu is held.
func (l *listeners[E]) shift() E {
	var none E
	e := l.kept[0]
	l.kept[0] = none // the array may live longer
	l.kept = l.kept[1:]
	l.bytes -= l.sizeOf(e)
	return e
}

// ErrListening means that a listener gets the messages, so that Receive gets none.
var ErrListening = errors.New("peer-relay: receive: a listener gets the messages")

// take waits for an event while there is no listener, and returns it. It ends with ctx, or when
// closed is closed.
func (l *listeners[E]) take(ctx context.Context, closed <-chan struct{}) (e E, err error) {
	l.wait(1)
	defer l.wait(-1)
	for {
		select {
		case <-closed:
			return e, protocol.ErrClosed
		default:
		}
		if e, ok, err := l.next(); ok || err != nil {
			return e, err
		}
		select {
		case <-l.came:
		case <-closed:
		case <-ctx.Done():
			return e, ctx.Err()
		}
	}
}

// wait changes the number of waiting calls of take by n.
func (l *listeners[E]) wait(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting += n
}

// wake lets one call of take look for an event. l.mu is held.
func (l *listeners[E]) wake() {
	if l.waiting > 0 {
		select {
		case l.came <- struct{}{}:
		default:
		}
	}
}

// next removes and returns the first waiting event. It returns an error if there is a listener.
func (l *listeners[E]) next() (e E, ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.fs) > 0 {
		l.wake()
		return e, false, ErrListening
	}
	if len(l.kept) == 0 {
		return e, false, nil
	}
	e = l.shift()
	if len(l.kept) > 0 {
		l.wake() // one token stands for several events
	}
	return e, true, nil
}
