package sim

import (
	"math"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

type eventKind uint8

const (
	tick    eventKind = iota // the core's Tick is due
	arrive                   // frame arrives at end
	accept                   // a link is up at the dialled peer
	linked                   // a link is up at the dialling peer
	failed                   // a dial failed
	silence                  // no bye arrived for byeTime
)

// An event is one thing that happens to a peer.
type event struct {
	at    time.Duration
	seq   uint64 // order of events at the same time
	kind  eventKind
	peer  *Peer
	end   *end
	frame []byte
	cause core.Cause // cause of the dialled link
	id    wire.ID    // the peer whose dial failed
}

// An eventQueue is a heap. Events at the same time keep the order in which they were pushed.
type eventQueue struct {
	heap []event
	seq  uint64
}

// next returns the time of the first event.
func (q *eventQueue) next() time.Duration {
	if len(q.heap) == 0 {
		return math.MaxInt64
	}
	return q.heap[0].at
}

func (q *eventQueue) before(i, j int) bool {
	a, b := &q.heap[i], &q.heap[j]
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}

func (w *World) push(e event) { w.events.push(e) }

func (q *eventQueue) push(e event) {
	q.seq++
	e.seq = q.seq
	q.heap = append(q.heap, e)
	for i := len(q.heap) - 1; i > 0; {
		up := (i - 1) / 2
		if !q.before(i, up) {
			return
		}
		q.heap[i], q.heap[up] = q.heap[up], q.heap[i]
		i = up
	}
}

func (q *eventQueue) pop() event {
	first := q.heap[0]
	last := len(q.heap) - 1
	q.heap[0], q.heap[last] = q.heap[last], event{}
	q.heap = q.heap[:last]
	for i := 0; ; {
		least := i
		for _, down := range []int{2*i + 1, 2*i + 2} {
			if down < last && q.before(down, least) {
				least = down
			}
		}
		if least == i {
			return first
		}
		q.heap[i], q.heap[least] = q.heap[least], q.heap[i]
		i = least
	}
}
