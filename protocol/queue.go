package protocol

import (
	"sync"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A queue holds the frames that wait for the writer of one link. The core counts
// what is in it and hands over nothing beyond its bounds.
type queue struct {
	mu     sync.Mutex
	urgent []*wire.Frame // pings and pongs: they must not wait behind messages
	frames []*wire.Frame
	closed bool
	ready  chan struct{} // holds one token while there may be something to take
}

func newQueue() *queue { return &queue{ready: make(chan struct{}, 1)} }

// put reports whether the queue took f: a closed one takes nothing.
func (q *queue) put(f *wire.Frame) bool {
	q.mu.Lock()
	open := !q.closed
	switch {
	case !open:
	case f.Type == wire.FramePing || f.Type == wire.FramePong:
		q.urgent = append(q.urgent, f)
	default:
		q.frames = append(q.frames, f)
	}
	q.mu.Unlock()
	q.signal()
	return open
}

// close lets take report the end once what is queued was taken.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
}

func (q *queue) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take returns all that is queued and takes an emptied slice for what comes next.
func (q *queue) take(emptied []*wire.Frame) (frames []*wire.Frame, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.urgent) > 0 {
		frames = append(append(emptied[:0], q.urgent...), q.frames...)
		clear(q.urgent)
		clear(q.frames)
		q.urgent, q.frames = q.urgent[:0], q.frames[:0]
		return frames, q.closed
	}
	frames, q.frames = q.frames, emptied[:0]
	return frames, q.closed
}
