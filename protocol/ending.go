package protocol

import (
	"math"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A link ends in order: both ends say bye after what they have queued, and read to the bye of
// the other end. One that does not move any more is cut.

const (
	byeTime   = time.Second      // wait for the answer to a bye while nothing moves, and for a queue to move while the router closes
	drainTime = 10 * time.Second // wait for the other end to read the queue and the bye
	flowTime  = 2 * time.Minute  // longest wait while the transport still carries what was written, in either direction
	flowStall = 20 * time.Second // time in which a link that was replaced must carry some of it
)

// endLink queues a bye after the frames that are queued; r.mu is held. If the other end does not
// read all of them in time, the link is closed.
func (r *Router) endLink(s *served, reason wire.ByeReason, why error) {
	if s.closing {
		return
	}
	s.closing, s.reason, s.byeAt, s.stall = true, why, time.Now(), byeTime
	s.queue.put(wire.NewBye(reason), nil)
	s.queue.close()
	patience, most := drainTime, flowTime
	switch reason {
	case wire.ByeSilent:
		patience, most = byeTime, byeTime
	case wire.ByeShutdown:
		patience = byeTime
	case wire.ByeDuplicate:
		s.stall = flowStall
	}
	s.until = s.byeAt.Add(most)
	s.patience = time.AfterFunc(patience, func() { r.cutLink(s) })
}

// awaitAnswer lets the other end answer a bye that was written.
func (r *Router) awaitAnswer(s *served) {
	p := s.progress()
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.patience != nil {
		s.last = p
		s.patience.Reset(s.stall)
	}
}

// cutLink closes a link that ends and has not moved for a while. It waits while bytes arrive at
// either end, and also a while for messages of the application that the other end may still have
// to read.
func (r *Router) cutLink(s *served) {
	p := s.progress()
	r.mu.Lock()
	left := time.Until(s.until)
	moved := p.Received > s.last.Received || p.Acked > s.last.Acked || p.Pending > 0 && p.Moves > s.last.Moves
	s.last = p
	unread := !(isTelling(p) && p.Pending == 0) && r.taken(s) > 0 && (r.closed || time.Since(s.byeAt) < drainTime)
	waits := left > 0 && (moved || unread)
	if waits {
		s.patience.Reset(min(s.stall, left))
	} else {
		s.cut, s.doubted = true, r.doubtful(s, p)
	}
	r.mu.Unlock()
	if !waits {
		s.link.Close()
	}
}

// taken returns the number of messages of the application that a link took and that its other end
// may not have read; r.mu is held. The other end of a link with custody says what it has read. Of
// other links all count that they took lately.
func (r *Router) taken(s *served) int {
	if s.keeps {
		return r.core.Unacked(s.handle, math.MaxUint64)
	}
	return s.recent.sum(r.recently(r.now()))
}

// progress returns the figures of the link's transport, the zero Progress if it has none.
func (s *served) progress() (p Progress) {
	if reporter, ok := s.link.(ProgressReporter); ok {
		p = reporter.Progress()
	}
	return p
}

// isTelling reports whether a transport knows what has arrived at the other end.
func isTelling(p Progress) bool { return p.Known && p.Acked > 0 }

// byeSize is the number of bytes that a bye takes on any link, with what the layers below add. A
// message takes more.
const byeSize = 64

// confirmEvery is the time between two looks at a transport that has not delivered all.
const confirmEvery = 10 * time.Millisecond

// awaitArrival returns the number of messages of the application that the other end of a link
// that ended with err may not have read. While the router closes, it waits for the transport to
// deliver them: the other end may have said its bye before it read them, and still reads. An
// answer to the bye is believed after byeTime, since others may use the same connection all the
// time. A link that the other end has broken is not doubted: a peer that has read everything may
// close its connection at once, and the last acknowledgement is lost then. If the router does not
// close, awaitArrival returns 0.
func (r *Router) awaitArrival(s *served, err error) int {
	begun := time.Now()
	for {
		p := s.progress()
		r.mu.Lock()
		waits := r.closing && r.taken(s) > 0
		cut, answered, left := s.cut, s.answered, time.Until(r.until)
		doubted, doubtful := s.doubted, r.doubtful(s, p)
		r.mu.Unlock()
		switch {
		case !waits:
			return 0
		case cut:
			return doubted
		case err != nil, !isTelling(p), answered && time.Since(begun) >= byeTime:
			return 0
		case doubtful == 0 || s.failed || left <= 0:
			return doubtful
		}
		time.Sleep(min(confirmEvery, left))
	}
}

// doubtful returns the number of messages of the application that may lie in the transport with
// these figures; r.mu is held.
func (r *Router) doubtful(s *served, p Progress) int {
	if !isTelling(p) {
		return r.taken(s)
	}
	bytes := p.Pending - min(p.Pending, byeSize)
	if s.keeps {
		return r.core.Unacked(s.handle, bytes)
	}
	return s.recent.within(r.recently(r.now()), bytes)
}

// recently returns the time for which the recent messages are counted. It stands still while the
// router closes.
func (r *Router) recently(now time.Duration) time.Duration {
	if r.closing {
		return r.closingAt
	}
	return now
}
