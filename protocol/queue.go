package protocol

import (
	"slices"
	"sync"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A queue holds the frames that wait for the writer of one link. It has no bounds: the core
// counts its frames and sends no more than the link's limits.
type queue struct {
	mu     sync.Mutex
	urgent []*wire.Frame // pings, pongs and NACKs, which overtake messages
	ack    *wire.Frame   // the last one, which follows the NACKs before it; nil means none
	frames []*wire.Frame
	late   []*wire.Frame // frames that were put after close, which the writer does not get
	closed bool
	ready  chan struct{} // holds a token if there may be frames to take, or the queue was closed
}

func newQueue() *queue { return &queue{ready: make(chan struct{}, 1)} }

// put adds f. The caller calls signal after it.
func (q *queue) put(f *wire.Frame) {
	q.mu.Lock()
	switch {
	case q.closed:
		q.late = append(q.late, f)
	case f.Type == wire.FrameAck:
		q.ack = f
	case f.Type == wire.FramePing || f.Type == wire.FramePong || f.Type == wire.FrameNack:
		q.urgent = append(q.urgent, f)
	default:
		q.frames = append(q.frames, f)
	}
	q.mu.Unlock()
}

// filledQueues are queues that one event filled, most often one. The zero value is empty.
type filledQueues struct {
	queues [4]*queue
	n      int
}

// add adds a queue. If there is no room for it, add signals it.
func (f *filledQueues) add(q *queue) {
	switch {
	case slices.Contains(f.queues[:f.n], q):
	case f.n < len(f.queues):
		f.queues[f.n] = q
		f.n++
	default:
		q.signal()
	}
}

func (f *filledQueues) signal() {
	for _, q := range f.queues[:f.n] {
		q.signal()
	}
}

// close makes take report that no more frames will follow.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
}

// signal lets the writer take what was put.
func (q *queue) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take removes and returns the frames for the writer, and reports whether the queue is closed.
// The queue reuses the slice emptied.
func (q *queue) take(emptied []*wire.Frame) (frames []*wire.Frame, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.urgent) > 0 || q.ack != nil {
		frames = append(emptied[:0], q.urgent...)
		if q.ack != nil {
			frames = append(frames, q.ack)
		}
		frames = append(frames, q.frames...)
		clear(q.urgent)
		clear(q.frames)
		q.urgent, q.ack, q.frames = q.urgent[:0], nil, q.frames[:0]
		return frames, q.closed
	}
	frames, q.frames = q.frames, emptied[:0]
	return frames, q.closed
}

// rest removes and returns the frames that no writer will take. The writer has ended.
func (q *queue) rest() []*wire.Frame {
	q.mu.Lock()
	defer q.mu.Unlock()
	frames := append(q.frames, q.late...)
	q.frames, q.late = nil, nil
	return frames
}
