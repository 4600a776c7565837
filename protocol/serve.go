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

// A served link is one that Serve runs.
type served struct {
	link     Link
	info     LinkInfo
	queue    *queue
	reason   error       // why it ends
	closing  bool        // a bye is in flight
	patience *time.Timer // ends the link if the other end does not
}

// sayBye queues a bye behind what is queued, and ends the link if the other end does not
// take it all within a while: a link whose peer does not read must end too.
func (s *served) sayBye(reason wire.ByeReason, why error) {
	if s.closing {
		return
	}
	s.closing, s.reason = true, why
	s.queue.put(wire.NewBye(reason))
	s.queue.close()
	patience := drainTime
	if reason == wire.ByeSilent {
		patience = byeTime
	}
	s.patience = time.AfterFunc(patience, func() { s.link.Close() })
}

// Claim asks whether a legacy connection with a peer that has told its id may
// become a link. It must be called before this side's own id is told. After a nil
// error the connection is to be served or the claim to be released; release may be
// called more than once. It waits up to 3 s for another link of that id to prove
// that it lives.
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

// Expect tells that a handshake with a peer has begun, and that the peer has proved its id:
// on an authenticated connection over which a link is to run. Messages to the peer wait for
// the link, for at most a second. The handshake ends with Serve, or with the function that
// is returned, which may be called after that, too.
func (r *Router) Expect(id ID) (ended func()) {
	var number int
	r.enter(func(c *core.Core, now time.Duration) { number = c.Expect(now, id) })
	return func() {
		r.enter(func(c *core.Core, now time.Duration) { c.Unexpect(now, id, number) })
	}
}

// Serve makes a link part of the router and reads it on the calling goroutine
// until it ends. It closes the link. The error says why the link ended, nil when
// the peer said goodbye; ErrDuplicate, ErrSelf and ErrClosed are among the reasons.
func (r *Router) Serve(ctx context.Context, link Link) error {
	_, err := r.serve(ctx, link, core.Inbound())
	return err
}

const (
	byeTime   = time.Second      // how long the other end has to answer a bye
	drainTime = 10 * time.Second // and to take what is queued before it
)

func (r *Router) serve(ctx context.Context, link Link, cause core.Cause) (up bool, err error) {
	counted := false
	defer func() { // the last that is done: Close waits for it, also for a link that is refused
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
		switch {
		case r.inbox.crowded():
			err = fmt.Errorf("the application has not taken what it was told before: %w", ErrQueueFull)
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
		r.sayBye(link, err)
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
	go func() { // ends when the queue is closed or the link breaks; awaited below
		defer close(written)
		r.write(h, s)
	}()
	err = r.read(h, s)
	s.queue.close()
	if !s.isClosing(r) {
		link.Close()
	}
	<-written
	left, _ := s.queue.take(nil)
	r.dropAll(left)
	r.enter(func(c *core.Core, now time.Duration) {
		if s.closing {
			err = s.reason
		} else {
			s.reason = err // for OnPeerDown
		}
		c.LinkDown(now, h, err)
	})
	r.mu.Lock()
	delete(r.served, h)
	if s.patience != nil {
		s.patience.Stop()
	}
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

// sayBye ends a link that was not taken.
func (r *Router) sayBye(link Link, why error) {
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
	for { // until the other end has closed, so that it reads the bye
		if f, err := link.ReadFrame(); err != nil && !errors.Is(err, wire.ErrMalformed) || err == nil && f.Type == wire.FrameBye {
			return
		}
	}
}

// read takes the frames of a link until it ends.
func (r *Router) read(h core.LinkHandle, s *served) error {
	for {
		f, err := s.link.ReadFrame()
		switch {
		case err == nil:
		case errors.Is(err, wire.ErrPassedOn):
			r.log.Debug("bad message", "peer", s.info.ID.Short(), "err", err)
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
		r.core.Prepare(f) // takes long: not under the lock
		r.enter(func(c *core.Core, now time.Duration) { c.Receive(now, h, f) })
		if f.Type == wire.FrameBye {
			return nil
		}
	}
}

// write drains the queue of a link and flushes whenever it is empty.
func (r *Router) write(h core.LinkHandle, s *served) {
	var frames []*wire.Frame
	var closed bool
	for range s.queue.ready {
		frames, closed = s.queue.take(frames)
		for len(frames) > 0 {
			if err := r.writeAll(h, s, frames); err != nil {
				s.link.Close()
				return
			}
			frames, closed = s.queue.take(frames)
		}
		if err := s.link.Flush(); err != nil {
			s.link.Close()
			return
		}
		if closed {
			r.mu.Lock()
			if s.patience != nil { // the other end has this long to say its own bye
				s.patience.Reset(byeTime)
			}
			r.mu.Unlock()
			return
		}
	}
}

// progress is how many bytes are written between two reports to the core.
const progress = 64 << 10

// writeAll writes frames and tells the core in good time what room there is again. After an
// error the link is at its end, and what was not written is dropped.
func (r *Router) writeAll(h core.LinkHandle, s *served, frames []*wire.Frame) (err error) {
	count, bytes := 0, 0
	for i, f := range frames {
		frames[i] = nil
		err = s.link.WriteFrame(f)
		if errors.Is(err, ErrTooBig) || errors.Is(err, wire.ErrUnencodable) {
			r.drop(DropUnencodable, f)
			err = nil
		}
		if err != nil {
			r.dropAll(append(frames[i+1:], f))
			return err
		}
		if f.Type != wire.FrameBye { // which is none that the core queued
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
	return nil
}

// dropAll drops the messages among the frames of a link that ended.
func (r *Router) dropAll(frames []*wire.Frame) {
	for _, f := range frames {
		if f.Type == wire.FrameMessage {
			r.drop(DropLinkEnded, f)
		}
	}
}
