package protocol

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A served link is a link that Serve runs.
type served struct {
	link     Link
	info     LinkInfo
	queue    *queue
	reason   error       // why the link ends
	closing  bool        // a bye was queued
	patience *time.Timer // closes the link if the other end does not
	recent   recent      // messages of the application that the link took lately
	byeAt    time.Time   // when the bye was queued
	measured bool        // progress was taken after that
	progress Progress

	// Owned by the writer, and by Serve after its end.
	unflushed []*wire.Frame // messages that were written since the last flush
	pending   int           // bytes of unflushed
	left      []*wire.Frame // frames that were taken from the queue, and that the link did not take
}

// sayBye queues a bye after the frames that are queued. If the other end does not read all of
// them in time, the link is closed; r.mu is held.
func (r *Router) sayBye(s *served, reason wire.ByeReason, why error) {
	if s.closing {
		return
	}
	s.closing, s.reason, s.byeAt = true, why, time.Now()
	s.queue.put(wire.NewBye(reason))
	s.queue.close()
	patience := drainTime
	if reason == wire.ByeSilent || reason == wire.ByeShutdown {
		patience = byeTime
	}
	s.patience = time.AfterFunc(patience, func() {
		if reason == wire.ByeSilent || !r.flows(s) {
			s.link.Close()
		}
	})
}

// flows allows a link that was asked to end more time if the transport still carries what was
// written on it, in either direction. It reports whether it has.
func (r *Router) flows(s *served) bool {
	reporter, ok := s.link.(ProgressReporter)
	if !ok {
		return false
	}
	p := reporter.Progress()
	r.mu.Lock()
	defer r.mu.Unlock()
	moves := !s.measured || p.Received > s.progress.Received || p.Pending > 0 && p.Moves > s.progress.Moves
	s.progress, s.measured = p, true
	if r.closed || !moves || time.Since(s.byeAt) > flowTime {
		return false
	}
	s.patience.Reset(flowStall)
	return true
}

// Claim asks whether a legacy connection may become a link. It must be called after the peer
// has sent its id, and before this peer sends its own. It waits up to 3 s for another link of
// that id to answer a ping. After a nil error the caller must serve the connection or release
// the claim. It may call release more than once.
func (r *Router) Claim(ctx context.Context, info LinkInfo) (release func(), err error) {
	answer := make(chan error, 1)
	var index int
	closed := false
	r.enter(func(c *core.Core, now time.Duration) {
		if closed = r.closed; closed {
			return
		}
		r.lastID++
		index = int(r.lastID)
		r.claims[index] = answer
		c.Claim(now, index, info)
	})
	if closed {
		return nil, ErrClosed
	}
	release = func() {
		r.enter(func(c *core.Core, _ time.Duration) {
			delete(r.claims, index)
			c.Unclaim(index)
		})
	}
	select {
	case err = <-answer:
	case <-ctx.Done():
		err = ctx.Err()
	case <-r.ctx.Done():
		err = ErrClosed
	}
	if err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// Expect reports to the router that a handshake with a peer has begun, and that the peer has
// proved its id on the connection over which a link is to run. Messages to the peer wait for
// the link, for at most a second. The handshake ends with Serve, or with the returned function,
// which may be called after that, too.
func (r *Router) Expect(id ID) (ended func()) {
	var number int
	r.enter(func(c *core.Core, now time.Duration) { number = c.Expect(now, id) })
	return func() {
		r.enter(func(c *core.Core, now time.Duration) { c.Unexpect(now, id, number) })
	}
}

// Serve adds a link to the router and reads it on the calling goroutine until it ends. Then it
// closes the link. The error is why the link was refused or ended, such as ErrDuplicate,
// ErrSelf or ErrClosed. Nil means that the peer sent a bye.
func (r *Router) Serve(ctx context.Context, link Link) error {
	_, err := r.serve(ctx, link, core.Inbound())
	return err
}

const (
	byeTime   = time.Second      // wait for the answer to a bye, and for a queue that does not move while the router closes
	drainTime = 10 * time.Second // wait for the other end to read the queue and the bye
	flowTime  = 2 * time.Minute  // longest wait while the transport carries what was written
	flowStall = 2 * time.Second  // time in which it must carry some of it
)

func (r *Router) serve(ctx context.Context, link Link, cause core.Cause) (up bool, err error) {
	counted := false
	defer func() { // runs last, since Close waits for it, for a refused link too
		if counted {
			r.tasks.Done()
		}
	}()
	defer link.Close()
	s := &served{link: link, info: link.Info(), queue: newQueue()}
	var h core.LinkHandle
	r.enter(func(c *core.Core, now time.Duration) {
		if r.closed {
			err = ErrClosed
			return
		}
		r.tasks.Add(1)
		counted = true
		if r.inbox.crowded() {
			err = fmt.Errorf("too many events wait for the application: %w", ErrQueueFull)
			return
		}
		r.lastID++
		h = core.LinkHandle(r.lastID)
		r.served[h] = s
		if err = c.LinkUp(now, h, s.info, cause); err != nil {
			delete(r.served, h)
		}
	})
	log := r.log.With("peer", s.info.ID.Short(), "kind", s.info.Kind, "addr", s.info.Addr)
	if err != nil {
		log.Debug("link refused", "err", err)
		r.refuse(link, err)
		return false, fmt.Errorf("link to %v: %w", s.info.ID, err)
	}
	log.Debug("link up")

	if p, ok := link.(PingReporter); ok {
		p.OnPing(func(f *wire.Frame) {
			r.enter(func(c *core.Core, now time.Duration) { c.Receive(now, h, f) })
		})
	}
	unhook := context.AfterFunc(ctx, func() { link.Close() })
	defer unhook()
	written := make(chan struct{})
	go func() { // ends when the queue is closed or the link fails; awaited below
		defer close(written)
		r.write(h, s)
	}()
	err = r.read(h, s)
	s.queue.close()
	if !s.isClosing(r) {
		link.Close()
	}
	<-written
	heard := err == nil // the other end has read all before our bye, or has ended the link itself
	r.enter(func(c *core.Core, now time.Duration) {
		if s.closing {
			err = s.reason
		} else {
			s.reason = err // for OnPeerDown
		}
		if s.patience != nil {
			s.patience.Stop()
		}
		if r.closed && !heard {
			r.unconfirmed += s.recent.sum(r.recently(now))
		}
		c.LinkDown(now, h, err)
		c.Returned(now, s.info.ID, append(s.left, s.queue.rest()...))
	})
	r.mu.Lock()
	delete(r.served, h)
	if r.closed && len(r.served) == 0 {
		close(r.stopping)
	}
	r.mu.Unlock()
	log.Debug("link down", "err", err)
	return true, err
}

func (s *served) isClosing(r *Router) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return s.closing
}

// measure reports the figures of a link's transport to the core.
func (r *Router) measure(h core.LinkHandle) {
	r.mu.Lock()
	s := r.served[h]
	r.mu.Unlock()
	if s == nil {
		return
	}
	var p Progress
	if reporter, ok := s.link.(ProgressReporter); ok {
		p = reporter.Progress()
	}
	r.enter(func(c *core.Core, now time.Duration) { c.Measured(now, h, p) })
}

// refuse sends a bye on a refused link, and reads the link until the other end has closed it.
func (r *Router) refuse(link Link, why error) {
	reason := wire.ByeNormal
	switch {
	case errors.Is(why, ErrDuplicate):
		reason = wire.ByeDuplicate
	case errors.Is(why, ErrClosed):
		reason = wire.ByeShutdown
	}
	patience := time.AfterFunc(byeTime, func() { link.Close() })
	defer patience.Stop()
	unhook := context.AfterFunc(r.ctx, func() { link.Close() })
	defer unhook()
	if link.WriteFrame(wire.NewBye(reason)) != nil || link.Flush() != nil {
		return
	}
	for { // closing the link earlier could keep the other end from reading the bye
		if f, err := link.ReadFrame(); err != nil && !errors.Is(err, wire.ErrMalformed) || err == nil && f.Type == wire.FrameBye {
			return
		}
	}
}

// read passes the frames of a link to the core until the link ends.
func (r *Router) read(h core.LinkHandle, s *served) error {
	for {
		f, err := s.link.ReadFrame()
		switch {
		case err == nil:
		case errors.Is(err, wire.ErrPassedOn):
			r.log.Debug("malformed message", "peer", s.info.ID.Short(), "err", err)
			r.drop(DropMalformed, nil)
			continue
		case errors.Is(err, wire.ErrMalformed):
			r.log.Debug("malformed frame", "peer", s.info.ID.Short(), "err", err)
			r.enter(func(c *core.Core, now time.Duration) { c.Offence(now, h, DropMalformed) })
			continue
		case errors.Is(err, io.EOF):
			return nil
		default:
			return err
		}
		r.core.Prepare(f) // takes long, so it is not under the lock
		r.enter(func(c *core.Core, now time.Duration) { c.Receive(now, h, f) })
		if f.Type == wire.FrameBye {
			return nil
		}
	}
}

// write writes the frames in the queue of a link, and flushes whenever the queue is empty. If the
// link fails, it closes the link and leaves in s.left what the link did not take.
func (r *Router) write(h core.LinkHandle, s *served) {
	var frames []*wire.Frame
	var closed bool
	for range s.queue.ready {
		frames, closed = s.queue.take(frames)
		for len(frames) > 0 {
			if !r.writeAll(h, s, frames) {
				s.link.Close()
				return
			}
			frames, closed = s.queue.take(frames)
		}
		if r.flush(s) != nil {
			s.link.Close()
			return
		}
		if closed {
			r.byed(s)
			return
		}
	}
}

const progress = 64 << 10 // bytes that are written between two reports to the core, and between two flushes

// writeAll writes frames, and reports to the core after progress bytes that the queue has room
// again. It reports whether the link took all of them.
func (r *Router) writeAll(h core.LinkHandle, s *served, frames []*wire.Frame) bool {
	count, bytes := 0, 0
	for i, f := range frames {
		frames[i] = nil
		err := s.link.WriteFrame(f)
		switch {
		case errors.Is(err, ErrTooBig) || errors.Is(err, wire.ErrUnencodable):
			r.drop(DropUnencodable, f)
			err = nil
		case f.Type == wire.FrameMessage:
			s.unflushed = append(s.unflushed, f)
			s.pending += f.Size()
		}
		if err == nil && (s.pending >= progress || r.ending.Load()) {
			err = r.flush(s) // at the end after each frame: what counts is which of them were taken
		}
		if err != nil {
			s.left = append(s.unflushed, frames[i+1:]...)
			return false
		}
		if f.Type != wire.FrameBye { // the core does not count a bye
			count++
			bytes += f.Size()
		}
		if bytes >= progress || i == len(frames)-1 {
			r.mu.Lock()
			r.core.Written(r.now(), h, count, bytes)
			r.mu.Unlock()
			count, bytes = 0, 0
		}
	}
	return true
}

// flush flushes a link, and reports to the core the messages of the application that it took.
func (r *Router) flush(s *served) error {
	if err := s.link.Flush(); err != nil {
		s.left = s.unflushed
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, f := range s.unflushed {
		s.unflushed[i] = nil
		if f.Body.From == r.id && r.core.Sent(f) {
			s.recent.add(r.recently(r.now()))
		}
	}
	s.unflushed, s.pending = s.unflushed[:0], 0
	if r.closed && s.patience != nil { // the other end reads
		s.patience.Reset(r.patience(s))
	}
	if r.closing {
		r.signalMoved()
	}
	return nil
}

// byed lets the other end answer a bye that was written.
func (r *Router) byed(s *served) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.patience != nil {
		s.patience.Reset(r.patience(s))
	}
}

// patience returns the time for which a link may stand still that was asked to end; r.mu is
// held. While the router closes, that is all that is left of its time if the other end may still
// have to read messages of the application.
func (r *Router) patience(s *served) time.Duration {
	if r.closed && s.recent.sum(r.recently(r.now())) > 0 {
		return max(byeTime, time.Until(r.until))
	}
	return byeTime
}

// recently returns the time for which the recent messages are counted. It stands still while the
// router closes.
func (r *Router) recently(now time.Duration) time.Duration {
	if r.closing {
		return r.closingAt
	}
	return now
}

// recentTime is the time for which a message that a link took may lie in the buffers of the
// systems in between.
const recentTime = 10 // seconds

// A recent counts the messages that a link took in the last recentTime, by the second.
type recent struct {
	counts [recentTime]int
	last   int // the second of the latest message
}

func (c *recent) add(now time.Duration) {
	c.forget(now)
	c.counts[c.last%recentTime]++
}

// sum returns the number of messages.
func (c *recent) sum(now time.Duration) (n int) {
	c.forget(now)
	for _, count := range c.counts {
		n += count
	}
	return n
}

// forget removes the seconds that are over.
func (c *recent) forget(now time.Duration) {
	second := int(now / time.Second)
	for i := max(c.last+1, second-recentTime+1); i <= second; i++ {
		c.counts[i%recentTime] = 0
	}
	c.last = second
}
