package sim

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
)

const (
	numLanes = 16 // more than processors, so that none waits long for another
	fewTurns = 16 // peers with a turn in a window below which no goroutine helps with the next one
)

// A lane has some of the peers. The world's time advances by windows, in which all lanes run. A window is
// no longer than the least latency, so a frame that a peer sends in it reaches another one after it at
// the earliest. So in a window each peer is on its own, and a lane touches only what its peers own.
// Events for the peers of other lanes wait in a box for the next window.
//
// Nothing depends on the number of lanes, or on how many of them run concurrently: the events of a peer
// have an order of their own.
type lane struct {
	w     *World
	index int

	// Of the goroutine that runs the lane, and between windows of the one that uses the world.
	now      time.Duration
	events   eventQueue
	boxes    [2][][]event  // for each lane, those of World.odd; the lanes empty the others
	first    time.Duration // the earliest event in the boxes that were filled last
	turns    []*Peer       // peers with something to do in the window
	end      time.Duration // of the last window
	received []arrival
	line     []byte
	later    []core.Action
	spare    [][]byte // buffers of messages that have arrived
}

// An arrival is a receipt with its time.
type arrival struct {
	at time.Duration
	Receipt
}

// push adds an event that a peer of this lane causes.
func (l *lane) push(from *Peer, e event) {
	from.caused++
	e.from, e.seq = uint32(from.Index), from.caused
	to := e.peer.lane
	if to == l {
		l.events.push(e)
		return
	}
	box := &l.boxes[l.w.odd][to.index]
	*box = append(*box, e)
	l.first = min(l.first, e.at)
}

// mark has a peer get a turn when its core's tick is due.
func (l *lane) mark(p *Peer) {
	if p.wake < p.queued {
		p.queued = p.wake
		l.push(p, event{at: p.wake, kind: wake, peer: p})
	}
}

// Run advances the virtual time and processes all events up to it.
func (w *World) Run(until time.Duration) {
	for next := w.next(); next <= until; next = w.next() {
		w.now = next
		if w.pause != nil && !w.pause() {
			break
		}
		w.window(min(next+minLatency, until+1))
	}
	w.now = until
	for i := range w.lanes {
		w.lanes[i].now = until
	}
}

// next returns the time of the first event.
func (w *World) next() time.Duration {
	first := never
	for i := range w.lanes {
		first = min(first, w.lanes[i].first, w.lanes[i].events.next())
	}
	return first
}

// window processes the events before a time. If there are many, other goroutines help, which end with it.
func (w *World) window(end time.Duration) {
	w.odd = 1 - w.odd
	turns := 0
	for i := range w.lanes {
		turns += len(w.lanes[i].turns)
		w.lanes[i].first = never
	}
	workers := 1
	if turns >= fewTurns {
		workers = w.workers
	}
	parallel(workers, len(w.lanes), func(i int) { w.lanes[i].run(end) })
}

// parallel calls f for each number below n, on several goroutines that end with it.
func parallel(workers, n int, f func(i int)) {
	var taken atomic.Int32
	work := func() {
		for i := int(taken.Add(1)); i <= n; i = int(taken.Add(1)) {
			f(i - 1)
		}
	}
	var helpers sync.WaitGroup
	for range workers - 1 {
		helpers.Go(work)
	}
	work()
	helpers.Wait()
}

// run processes the events of a lane before a time, peer by peer: what one has in memory is used again
// before that of others takes its place in the processor's cache.
func (l *lane) run(end time.Duration) {
	for i := range l.w.lanes {
		box := &l.w.lanes[i].boxes[1-l.w.odd][l.index]
		for _, e := range *box {
			l.events.push(e)
		}
		clear(*box)
		*box = (*box)[:0]
	}
	l.turns = l.turns[:0]
	for l.events.next() < end {
		e := l.events.pop()
		if e.at < l.end {
			panic("sim: an event in a window that is over") // there is a shorter way than the least latency
		}
		p := e.peer
		if e.kind == wake && p.queued != e.at { // an earlier one came instead
			continue
		}
		if !p.called {
			p.called = true
			l.turns = append(l.turns, p)
		}
		if e.kind == wake {
			p.queued = never
		} else {
			p.due = append(p.due, e)
		}
	}
	for _, p := range l.turns {
		if p.Alive {
			l.turn(p, end)
		}
		clear(p.due)
		p.due, p.called = p.due[:0], false
	}
	l.end = end
}

// turn processes the events of a peer before a time, and the ticks of its core.
func (l *lane) turn(p *Peer, end time.Duration) {
	due := p.due
	for {
		switch {
		case len(due) > 0 && due[0].at <= p.wake:
			l.now = due[0].at
			l.do(due[0])
			due = due[1:]
		case p.wake < end:
			l.now, p.wake = p.wake, never
			p.Core.Tick(l.now)
			l.settle(p)
		default:
			l.mark(p)
			return
		}
	}
}
