package compat

import (
	"context"
	"errors"
	"sync"

	"github.com/peer-relay/peer-relay/protocol"
)

// Events of one kind that wait for their first listener. What comes then is dropped.
const (
	maxKept      = 1024
	maxKeptBytes = 1 << 20 // that listeners.size counts
)

// calls are the calls of a peer's handlers: one at a time, whatever they hear.
type calls struct {
	now   sync.Mutex     // held while handlers run
	tasks sync.WaitGroup // those that give out what was kept
}

// listeners are the functions that hear one kind of event, in the order in which
// they were added.
type listeners[E any] struct {
	calls *calls
	size  func(E) int // bytes that an event holds; nil: few

	mu      sync.Mutex
	fs      []func(E)
	kept    []E
	bytes   int           // that kept holds
	waiting int           // calls of take
	came    chan struct{} // holds a token when a call of take may find something
}

// ErrListening says that messages go to a listener, and none to Receive.
var ErrListening = errors.New("peer-relay: receive: a listener has the messages")

// take waits for an event that no listener hears. It ends with ctx, and when closed is
// closed.
func (l *listeners[E]) take(ctx context.Context, closed <-chan struct{}) (e E, err error) {
	came := l.wait(1)
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
		case <-came:
		case <-closed:
		case <-ctx.Done():
			return e, ctx.Err()
		}
	}
}

// wait counts the calls of take, and returns the channel that wakes them.
func (l *listeners[E]) wait(n int) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting += n
	if l.came == nil {
		l.came = make(chan struct{}, 1)
	}
	return l.came
}

// wake has one call of take look for an event. l.mu is held.
func (l *listeners[E]) wake() {
	if l.waiting > 0 {
		select {
		case l.came <- struct{}{}:
		default:
		}
	}
}

// next removes the first event that is kept, if there is no listener.
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
		l.wake() // one token stands for all that came
	}
	return e, true, nil
}

// shift removes the first event that is kept. l.mu is held.
func (l *listeners[E]) shift() E {
	var none E
	e := l.kept[0]
	l.kept[0] = none // the array may live on
	l.kept = l.kept[1:]
	l.bytes -= l.sizeOf(e)
	return e
}

func (l *listeners[E]) add(f func(E)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fs = append(l.fs, f)
	l.wake()
	if len(l.kept) > 0 {
		l.calls.tasks.Go(l.drain) // ends when the kept events are given out; Close waits
	}
}

// heard reports whether there is a listener, or a call that waits for an event.
func (l *listeners[E]) heard() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.fs) > 0 || l.waiting > 0
}

func (l *listeners[E]) emit(e E) {
	size := l.sizeOf(e)
	l.mu.Lock()
	heard := len(l.fs) > 0
	if heard || len(l.kept) < maxKept && l.bytes+size <= maxKeptBytes {
		l.kept = append(l.kept, e)
		l.bytes += size
		l.wake()
	}
	l.mu.Unlock()
	if heard {
		l.drain()
	}
}

func (l *listeners[E]) sizeOf(e E) int {
	if l.size == nil {
		return 0
	}
	return l.size(e)
}

func (l *listeners[E]) drain() {
	l.calls.now.Lock()
	defer l.calls.now.Unlock()
	for {
		l.mu.Lock()
		if len(l.kept) == 0 {
			l.mu.Unlock()
			return
		}
		e, fs := l.shift(), l.fs
		l.mu.Unlock()
		for _, f := range fs {
			f(e)
		}
	}
}
