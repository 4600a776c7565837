package protocol

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A served link is a link that Serve runs.
type served struct {
	link     Link
	info     LinkInfo
	handle   core.LinkHandle
	keeps    bool        // it has custody
	bytes    bytesWriter // the link, if it takes bytes
	queue    *queue
	reason   error         // why the link ends
	closing  bool          // a bye was queued
	byed     bool          // the bye is being written, or was
	answered bool          // the other end answered the bye
	cut      bool          // this side closed the link before the other end had answered the bye
	doubted  int           // messages of the application that had not arrived then, at most
	byeAt    time.Time     // when the bye was queued
	until    time.Time     // when a link that ends is closed, also if it still moves
	stall    time.Duration // time in which it must move; over a slow line TCP may repeat a packet after more than ten seconds
	patience *time.Timer   // closes a link that ends and does not move
	last     Progress      // of the transport when patience was last over
	recent   recent        // messages of the application that the link took lately, if it has no custody

	// Owned by the writer, and by Serve after its end.
	unflushed []item        // messages that were written since the last flush
	pending   int           // bytes of unflushed
	own       bool          // some of unflushed are of this peer
	handed    []*wire.Frame // those of unflushed that are for a legacy peer, and want a receipt
	left      []item        // those that were taken from the queue, and that the link did not take
	failed    bool          // the link took no more frames, and was closed
	written   uint64        // messages

	flushed atomic.Uint64 // messages that the link has flushed
}

// A bytesWriter is a Link that takes messages as the bytes of their frames, see Link.
type bytesWriter interface {
	WriteBytes(frame []byte) error
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
		r.meet(info, err)
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

func (r *Router) serve(ctx context.Context, link Link, cause core.Cause) (up bool, err error) {
	counted := false
	defer func() { // runs last, since Close waits for it, for a refused link too
		if counted {
			r.tasks.Done()
		}
	}()
	defer link.Close()
	s := &served{link: link, info: link.Info(), queue: newQueue()}
	s.bytes, _ = link.(bytesWriter)
	var h core.LinkHandle
	r.enter(func(c *core.Core, now time.Duration) {
		if r.closed {
			err = ErrClosed
			return
		}
		r.tasks.Add(1)
		counted = true
		r.lastID++
		h = core.LinkHandle(r.lastID)
		r.served[h] = s
		if err = c.LinkUp(now, h, s.info, cause); err != nil {
			delete(r.served, h)
		}
		s.handle, s.keeps = h, c.Keeps(h)
	})
	log := r.log.With("peer", s.info.ID.Short(), "kind", s.info.Kind, "addr", s.info.Addr)
	if err != nil {
		log.Debug("link refused", "err", err)
		r.meet(s.info, err)
		r.refuse(link, err)
		return false, fmt.Errorf("link to %v: %w", s.info.ID, err)
	}
	log.Debug("link up")

	if p, ok := link.(interface{ OnPing(func(*wire.Frame)) }); ok {
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
	doubtful := r.awaitArrival(s, err)
	r.enter(func(c *core.Core, now time.Duration) {
		if s.closing {
			err = s.reason
		} else {
			s.reason = err // for OnPeerDown
		}
		if s.patience != nil {
			s.patience.Stop()
		}
		r.unconfirmed += doubtful
		c.LinkDown(now, h, err)
		c.Returned(now, s.info.ID, appendFrames(appendFrames(nil, s.left), s.queue.rest()))
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
	p := s.progress()
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

// readBatch is the number of frames that are passed to the core under one lock.
const readBatch = 64

// read passes the frames of a link to the core until the link ends.
func (r *Router) read(h core.LinkHandle, s *served) error {
	buffer, _ := s.link.(interface{ HasFrame() bool })
	var room [readBatch]*wire.Frame
	batch := room[:0]
	for {
		f, err := s.link.ReadFrame()
		if err == nil {
			r.core.Prepare(f) // takes long, so it is not under the lock
			batch = append(batch, f)
			if f.Type != wire.FrameBye && len(batch) < readBatch && buffer != nil && buffer.HasFrame() {
				continue
			}
		}
		if len(batch) > 0 {
			byed := batch[len(batch)-1].Type == wire.FrameBye
			for _, f := range r.receive(h, s, batch) {
				f.Free()
			}
			clear(batch)
			batch = batch[:0]
			if byed {
				return nil
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, wire.ErrPassedOn):
			r.log.Debug("malformed message", "peer", s.info.ID.Short(), "err", err)
			r.drop(DropMalformed, nil)
		case errors.Is(err, wire.ErrMalformed):
			r.log.Debug("malformed frame", "peer", s.info.ID.Short(), "err", err)
			r.enter(func(c *core.Core, now time.Duration) { c.Offence(now, h, DropMalformed) })
		case errors.Is(err, io.EOF):
			r.mu.Lock()
			s.answered = s.byed
			r.mu.Unlock()
			return nil
		default:
			return err
		}
	}
}

// receive passes frames of a link to the core. It returns those that nothing refers to any longer, in the
// memory of frames.
func (r *Router) receive(h core.LinkHandle, s *served, frames []*wire.Frame) (spent []*wire.Frame) {
	r.enter(func(c *core.Core, now time.Duration) {
		if s.byed && time.Now().Before(s.until) { // the other end still sends what it had queued
			s.patience.Reset(byeTime)
		}
		// A link can end as a duplicate at both ends at once, and each still reads then.
		last := frames[len(frames)-1]
		s.answered = last.Type == wire.FrameBye && s.byed && last.Bye != wire.ByeDuplicate
		if s.keeps {
			c.Flushed(h, s.flushed.Load())
		}
		c.ReceiveAll(now, h, frames)
		spent = slices.DeleteFunc(frames, func(f *wire.Frame) bool { return f.Message == nil || !f.Spent })
	})
	return spent
}

// write writes the frames in the queue of a link, and flushes whenever the queue is empty. If the
// link fails, it closes the link and leaves in s.left what the link did not take.
func (r *Router) write(h core.LinkHandle, s *served) {
	var items []item
	var closed bool
	for range s.queue.ready {
		items, closed = s.queue.take(items)
		for len(items) > 0 {
			if !r.writeAll(h, s, items) {
				s.fail()
				return
			}
			items, closed = s.queue.take(items)
		}
		if r.flush(h, s) != nil {
			s.fail()
			return
		}
		if closed {
			r.awaitAnswer(s)
			return
		}
	}
}

// fail closes a link that takes no more frames.
func (s *served) fail() {
	s.failed = true
	s.link.Close()
}

const progress = 64 << 10 // bytes that are written between two reports to the core, and between two flushes

// writeAll writes items, and reports to the core after progress bytes that the queue has room
// again. It reports whether the link took all of them.
func (r *Router) writeAll(h core.LinkHandle, s *served, items []item) bool {
	count, bytes := 0, 0
	for i, it := range items {
		items[i] = item{}
		size := it.size()
		err := r.writeItem(h, s, it, size)
		if err == nil && (s.pending >= progress || r.ending.Load()) {
			err = r.flush(h, s) // at the end after each frame: what counts is which of them were taken
		}
		if err != nil {
			s.left = append(s.unflushed, items[i+1:]...)
			return false
		}
		if f := it.frame; f == nil || f.Type != wire.FrameBye && f.Type != wire.FrameAck { // the core does not count these
			count++
			bytes += size
		}
		if bytes >= progress || i == len(items)-1 {
			r.mu.Lock()
			r.core.Written(r.now(), h, count, bytes)
			r.mu.Unlock()
			count, bytes = 0, 0
		}
	}
	return true
}

// writeItem writes an item. One that the link refuses is reported to the core, and is no error.
func (r *Router) writeItem(h core.LinkHandle, s *served, it item, size int) error {
	f, message, err := it.frame, true, error(nil)
	switch {
	case f == nil && s.bytes != nil:
		err = s.bytes.WriteBytes(it.bytes)
	case f == nil:
		for _, f := range appendFrames(nil, []item{it}) {
			err = s.link.WriteFrame(f)
		}
	default:
		message = f.Type == wire.FrameMessage
		if f.Type == wire.FrameBye {
			r.mu.Lock()
			s.byed = s.patience != nil
			r.mu.Unlock()
		}
		err = s.link.WriteFrame(f)
	}
	switch {
	case errors.Is(err, ErrTooBig) || errors.Is(err, wire.ErrUnencodable):
		for _, f := range appendFrames(nil, []item{it}) {
			r.enter(func(c *core.Core, now time.Duration) { c.Unwritten(now, h, f) })
		}
		return nil
	case message: // also after an error: the link did not take it
		s.unflushed = append(s.unflushed, it)
		s.pending += size
		s.written++
		if f != nil {
			s.own = s.own || f.Body.From == r.id
			if f.Body.To == s.info.ID && s.info.Kind != LinkNative && f.Body.Flags&wire.FlagReceipt != 0 {
				s.handed = append(s.handed, f)
			}
		}
	}
	return err
}

// flush flushes a link, and reports to the core the messages of the application that it took.
func (r *Router) flush(h core.LinkHandle, s *served) error {
	if err := s.link.Flush(); err != nil {
		s.left = s.unflushed
		return err
	}
	for _, f := range s.handed {
		receipt := wire.ReceiptFor(f, true)
		r.enter(func(c *core.Core, now time.Duration) { c.Handed(now, h, f, receipt) })
	}
	s.handed = nil
	s.flushed.Store(s.written)
	taken, own := s.unflushed, s.own
	defer clear(taken)
	s.unflushed, s.pending, s.own = s.unflushed[:0], 0, false
	if !own && !r.ending.Load() { // nothing to report: spares the lock for messages of others
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, it := range taken {
		if f := it.frame; f != nil && f.Body.From == r.id && r.core.Sent(f) && !s.keeps {
			s.recent.add(r.recently(r.now()), f.Size())
		}
	}
	if r.closed && s.patience != nil { // the other end reads
		s.patience.Reset(byeTime)
	}
	if r.closing {
		r.signalMoved()
	}
	return nil
}
