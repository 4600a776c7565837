package sim

import (
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

type eventKind uint8

const (
	wake    eventKind = iota // the core's Tick may be due
	arrive                   // frame arrives at end
	accept                   // a link is up at the dialled peer
	linked                   // a link is up at the dialling peer
	failed                   // a dial failed
	silence                  // no bye arrived for byeTime
	reset                    // the other end's machine says that its process is gone
	post                     // a scenario sends a message
)

// An event is one thing that happens to a peer.
type event struct {
	at    time.Duration
	kind  eventKind
	peer  *Peer
	end   *end
	frame *wire.Frame // that arrives; nil if it is a message
	raw   []byte      // of the message that arrives
	cause core.Cause  // cause of the dialled link
	id    wire.ID     // the peer whose dial failed
	mail  *mail       // the message that a scenario sends

	from, seq uint32 // index of the peer that caused the event, and how many it had caused before
}

// An eventQueue is a heap, each of whose places has up to heapArity below it. Events at the same time are
// in the order of the peers that caused them, and those of one peer in the order in which it did. So
// their order does not depend on that in which they were pushed. The heap has only what orders the
// events, since it is moved often.
type eventQueue struct {
	heap   []place
	events []event
	free   []int32 // indices of events that are not used
}

// heapArity is the number of places below a place: with more than two, fewer cache lines are read.
const heapArity = 4

// A place is an event's place in the queue.
type place struct {
	at    time.Duration
	order uint64 // of events at the same time
	index int32  // of the event
}

func (a place) before(b place) bool { return a.at < b.at || a.at == b.at && a.order < b.order }

// next returns the time of the first event.
func (q *eventQueue) next() time.Duration {
	if len(q.heap) == 0 {
		return never
	}
	return q.heap[0].at
}

func (q *eventQueue) push(e event) {
	p := place{e.at, uint64(e.from)<<32 | uint64(e.seq), q.store(e)}
	q.heap = append(q.heap, p)
	i := len(q.heap) - 1
	for ; i > 0; i = (i - 1) / heapArity {
		up := q.heap[(i-1)/heapArity]
		if !p.before(up) {
			break
		}
		q.heap[i] = up
	}
	q.heap[i] = p
}

// store keeps an event, and returns its index.
func (q *eventQueue) store(e event) int32 {
	if last := len(q.free) - 1; last >= 0 {
		i := q.free[last]
		q.free, q.events[i] = q.free[:last], e
		return i
	}
	q.events = append(q.events, e)
	return int32(len(q.events) - 1)
}

func (q *eventQueue) pop() event {
	index := q.heap[0].index
	e := q.events[index]
	q.events[index] = event{}
	q.free = append(q.free, index)
	last := len(q.heap) - 1
	p := q.heap[last]
	q.heap = q.heap[:last]
	if last > 0 {
		q.sink(p)
	}
	return e
}

// sink puts a place at the top of the heap, and moves it down to where it belongs.
func (q *eventQueue) sink(p place) {
	i := 0
	for {
		first := i*heapArity + 1
		if first >= len(q.heap) {
			break
		}
		least := first
		for down := first + 1; down < min(first+heapArity, len(q.heap)); down++ {
			if q.heap[down].before(q.heap[least]) {
				least = down
			}
		}
		if !q.heap[least].before(p) {
			break
		}
		q.heap[i] = q.heap[least]
		i = least
	}
	q.heap[i] = p
}
