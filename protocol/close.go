package protocol

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
)

// DefaultLinger is the value of Options.Linger that 0 means.
const DefaultLinger = 10 * time.Second

// ackTime is the longest wait of Close for acknowledgements before the byes.
const ackTime = DefaultLinger / 2

// An UnsentError is the error of Close when messages of the application may be lost, although
// Send returned no error.
type UnsentError struct {
	// Messages and Datagrams are the numbers of those that no link took from the start to the
	// end of the router: there was no link or no route, or the links ended or were too slow.
	// Datagrams of a socket with SetResends are not counted.
	Messages  int
	Datagrams int

	// Unconfirmed is the number of messages and datagrams that a link took, if its other end did
	// not answer the bye in time. They may have arrived. On a native link, only those count that
	// the other end has not acknowledged and that went no other way; a message for the other end
	// itself counts in any case. On other links, those of the last ten seconds count. Those are not
	// counted of which the transport reports that they have arrived, nor those of a connection that
	// the other end closed. A message that came back from its other ways while the router closed is
	// counted, whether the bye was answered or not.
	Unconfirmed int
}

// Error implements error.
func (e *UnsentError) Error() string {
	text := ""
	switch {
	case e.Messages > 0 && e.Datagrams > 0:
		text = count(e.Messages, "message") + " and " + count(e.Datagrams, "datagram") + " were not sent"
	case e.Messages+e.Datagrams == 1:
		text = count(e.Messages, "message") + count(e.Datagrams, "datagram") + " was not sent"
	case e.Messages+e.Datagrams > 1:
		text = count(e.Messages, "message") + count(e.Datagrams, "datagram") + " were not sent"
	}
	if e.Unconfirmed > 0 {
		if text != "" {
			text += ", and "
		}
		text += count(e.Unconfirmed, "message") + " may not have arrived"
	}
	return "peer-relay: " + text
}

// count returns a number and what is counted, or "" for 0.
func count(n int, what string) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Close ends the router. It waits for what the application has sent and for the handlers, so a
// handler must not call it.
//
//  1. From the start on Send returns ErrClosed, and the sockets are closed. Close waits until a
//     link has taken each message that waits for a first link or in a queue, for at most
//     Options.Linger. It does not wait if no link can come: there is none, no bootstrap, and no
//     dial or handshake in progress. If another relay is linked, Close also waits until the other
//     ends of native links have acknowledged the messages: a round trip and 20 ms, most often. A
//     message that is not acknowledged in time takes another way, and is waited for again, for at
//     most 5 s and half of what is left of Linger.
//  2. It sends a bye on every link, after the messages that are queued, and waits for the
//     answers. A link whose queue does not move for 1 s is closed, and also one whose other end
//     does not answer the bye for 1 s. If it took messages of the application that may not have
//     arrived, as UnsentError says, it has the rest of Linger. The queued messages of others are
//     sent within the same times, and are not counted.
//  3. It closes the links, and ends all goroutines of the router.
//  4. It waits up to 10 s for the handlers of what has arrived. If one runs longer, no other
//     handler is called after it.
//
// The error wraps an *UnsentError if messages of the application may be lost, and ErrHandlerRuns
// if a handler still runs. A second call waits for the first one and returns its error.
func (r *Router) Close() error {
	linger := r.opts.Linger
	if linger == 0 {
		linger = DefaultLinger
	}
	ctx, cancel := context.WithTimeout(context.Background(), max(linger, 0))
	defer cancel()
	return r.Shutdown(ctx)
}

// Shutdown is Close with the end of ctx in place of Options.Linger.
func (r *Router) Shutdown(ctx context.Context) error {
	r.mu.Lock()
	if r.closing {
		r.mu.Unlock()
		<-r.ended
		return r.closeErr
	}
	r.closing, r.closingAt = true, r.now()
	givenUp := r.core.GivenUp()
	r.until, _ = ctx.Deadline()
	r.ending.Store(true)
	r.sockets.Close(ErrClosed)
	r.mu.Unlock()

	r.awaitSent(ctx)
	r.awaitAcks(ctx)
	r.endLinks(ctx)
	r.inbox.close()
	if r.links != nil {
		r.links.close()
	}
	r.tasks.Wait()
	r.closeErr = r.awaitHandlers()
	r.mu.Lock()
	unsent := r.core.Unsent()
	e := &UnsentError{Messages: unsent.Messages, Datagrams: unsent.Datagrams, Unconfirmed: r.unconfirmed + r.core.GivenUp() - givenUp}
	r.mu.Unlock()
	if *e != (UnsentError{}) {
		r.closeErr = errors.Join(e, r.closeErr)
	}
	close(r.ended)
	return r.closeErr
}

// awaitSent waits until links have taken what the application has sent, or until no link can
// come.
func (r *Router) awaitSent(ctx context.Context) {
	look := time.NewTicker(byeTime) // a handshake that brings no link ends without a sign
	defer look.Stop()
	r.awaitMoves(ctx, look.C, func() bool {
		return r.core.Waits() && (r.core.Hopes(r.now()) || r.sought > 0 || r.opts.Seeks)
	})
}

// awaitAcks lets custody do its work for the messages that links have just taken: the peer of a link
// acknowledges them, and otherwise they take another way. After the byes there would be none. A line
// that is only slow may need longer, and carries the bye behind the messages.
func (r *Router) awaitAcks(ctx context.Context) {
	most := ackTime
	if end, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(end)/2) // the byes need the rest
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	r.awaitMoves(ctx, nil, r.core.AwaitsAcks)
}

// awaitMoves waits as long as waits returns true, which it calls with r.mu held. It looks again after
// signalMoved, and when look ticks.
func (r *Router) awaitMoves(ctx context.Context, look <-chan time.Time, waits func() bool) {
	for {
		r.mu.Lock()
		on := waits()
		r.mu.Unlock()
		if !on {
			return
		}
		select {
		case <-r.moved:
		case <-look:
		case <-ctx.Done():
			return
		}
	}
}

// signalMoved lets awaitMoves look again.
func (r *Router) signalMoved() {
	select {
	case r.moved <- struct{}{}:
	default:
	}
}

// endLinks says bye on all links, and closes those that do not end in time.
func (r *Router) endLinks(ctx context.Context) {
	r.enter(func(c *core.Core, now time.Duration) {
		r.closed = true
		r.stopping = make(chan struct{})
		if len(r.served) == 0 {
			close(r.stopping)
		}
		c.Stop(now, ErrClosed) // ends the links under the same lock, so none ends without its bye
	})
	r.mu.Lock()
	for _, s := range r.served {
		if s.patience != nil {
			s.patience.Reset(byeTime)
			s.until, s.stall = r.until, byeTime
		}
	}
	r.mu.Unlock()

	least := time.NewTimer(byeTime)
	defer least.Stop()
	select {
	case <-r.stopping:
	case <-least.C:
		select {
		case <-r.stopping:
		case <-ctx.Done():
		}
	}
	r.stop()
	r.mu.Lock()
	for _, s := range r.served {
		r.tasks.Go(func() { r.cutLink(s) })
	}
	r.mu.Unlock()
	<-r.stopping
}
