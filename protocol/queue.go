package protocol

import (
	"slices"
	"sync"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// An item is what a queue holds of a frame: the frame, or the bytes of a message of another peer without
// its length. They belong to the core, which uses them again when the other end has acknowledged the message and
// the link has flushed it.
type item struct {
	frame *wire.Frame
	bytes []byte
}

// size returns the size of the frame.
func (i item) size() int {
	if i.frame == nil {
		return len(i.bytes)
	}
	return i.frame.Size()
}

// appendFrames appends the frames of items. That of bytes is a new one.
func appendFrames(frames []*wire.Frame, items []item) []*wire.Frame {
	for _, i := range items {
		f := i.frame
		if f == nil {
			var err error
			if f, err = wire.ParseFrame(i.bytes); err != nil {
				continue // the core made the bytes of a frame, so it does not happen
			}
		}
		frames = append(frames, f)
	}
	return frames
}

// A queue holds the frames that wait for the writer of one link. It has no bounds: the core
// counts its frames and sends no more than the link's limits.
type queue struct {
	mu     sync.Mutex
	urgent []*wire.Frame // pings, pongs and NACKs, which overtake messages
	ack    *wire.Frame   // the last one, which follows the NACKs before it; nil means none
	items  []item
	late   []item // those that were put after close, which the writer does not get
	closed bool
	ready  chan struct{} // holds a token if there may be frames to take, or the queue was closed
}

func newQueue() *queue { return &queue{ready: make(chan struct{}, 1)} }

// put adds f, or its bytes if there are any. The caller calls signal after it.
func (q *queue) put(f *wire.Frame, bytes []byte) {
	i := item{frame: f}
	if bytes != nil {
		i = item{bytes: bytes}
	}
	q.mu.Lock()
	switch {
	case q.closed:
		q.late = append(q.late, i)
	case f.Type == wire.FrameAck:
		q.ack = f
	case f.Type == wire.FramePing || f.Type == wire.FramePong || f.Type == wire.FrameNack:
		q.urgent = append(q.urgent, f)
	default:
		q.items = append(q.items, i)
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

// take removes and returns the items for the writer, and reports whether the queue is closed.
// The queue reuses the slice emptied.
func (q *queue) take(emptied []item) (items []item, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.urgent) > 0 || q.ack != nil {
		items = emptied[:0]
		for _, f := range q.urgent {
			items = append(items, item{frame: f})
		}
		if q.ack != nil {
			items = append(items, item{frame: q.ack})
		}
		items = append(items, q.items...)
		clear(q.urgent)
		clear(q.items)
		q.urgent, q.ack, q.items = q.urgent[:0], nil, q.items[:0]
		return items, q.closed
	}
	items, q.items = q.items, emptied[:0]
	return items, q.closed
}

// rest removes and returns the items that no writer will take. The writer has ended.
func (q *queue) rest() []item {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := append(q.items, q.late...)
	q.items, q.late = nil, nil
	return items
}
