package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

const (
	firstAsk = 5 * time.Millisecond   // between the first two questions whether a session is idle; doubles
	lastAsk  = 250 * time.Millisecond // between two questions, at most
	quiet    = 5 * time.Second        // after which a peer that sends no packet is no longer waited for
)

// An UnreadError is the error of Shutdown when streams may not have arrived whole, although
// they were closed in order.
type UnreadError struct {
	// Streams is the number of streams that were closed after a Write, and whose other side
	// has not shown that it has read them to their end.
	Streams int
}

// Error implements error.
func (e *UnreadError) Error() string {
	if e.Streams == 1 {
		return "peer-relay: 1 stream may not have arrived whole"
	}
	return fmt.Sprintf("peer-relay: %d streams may not have arrived whole", e.Streams)
}

// Shutdown waits until the other sides have read the streams that were closed with Close or
// CloseWrite, and then calls Close. It accepts and opens no further ones. A stream that the
// program has not closed is reset. Shutdown does not wait for a peer from which nothing has come
// for 5 s, nor longer than the context. Then the error is an *UnreadError. The other side may
// still read what has arrived.
func (e *Endpoint) Shutdown(ctx context.Context) error {
	e.mu.Lock()
	if e.closed || e.ending {
		e.mu.Unlock()
		return e.Close()
	}
	e.ending = true
	listeners := slices.Collect(maps.Values(e.listeners))
	conns := make(map[*session][]*Conn)
	for s := range e.sessions {
		conns[s] = slices.Collect(maps.Keys(s.conns))
	}
	e.mu.Unlock()
	for _, l := range listeners {
		l.Close()
	}
	var tasks sync.WaitGroup
	for s, open := range conns {
		tasks.Go(func() { s.shutdown(ctx, open) })
	}
	tasks.Wait()

	unread := 0
	e.mu.Lock()
	for s := range conns {
		unread += s.unsure
	}
	e.mu.Unlock()
	if err := e.Close(); err != nil || unread == 0 {
		return err
	}
	return &UnreadError{unread}
}

// shutdown closes the open streams of a session, and waits until the other side has read those
// that were closed in order.
func (s *session) shutdown(ctx context.Context, open []*Conn) {
	for _, c := range open {
		if c.isFinished() {
			c.Close() // an error means that the program has closed it
		} else {
			c.abort(codeDone)
		}
	}
	received, since := s.conn.ConnectionStats().PacketsReceived, time.Now()
	for pause := firstAsk; s.isUnsure() && ctx.Err() == nil && s.conn.Context().Err() == nil; pause = min(2*pause, lastAsk) {
		asking, cancel := context.WithTimeout(ctx, quiet)
		if s.askIfIdle(asking) {
			s.sure()
		}
		cancel()
		if n := s.conn.ConnectionStats().PacketsReceived; n != received {
			received, since = n, time.Now()
		} else if time.Since(since) >= quiet {
			return
		}
		if !s.isUnsure() {
			return
		}
		select {
		case <-time.After(pause):
		case <-s.conn.Context().Done():
		case <-ctx.Done():
		}
	}
	var ended *quic.ApplicationError
	if errors.As(context.Cause(s.conn.Context()), &ended) && ended.Remote && ended.ErrorCode == codeDone {
		s.sure() // the other side wants no more: it is idle, or closes too
	}
}

func (s *session) isUnsure() bool {
	s.endpoint.mu.Lock()
	defer s.endpoint.mu.Unlock()
	return s.unsure > 0
}

// sure notes that the other side has read all streams that were closed.
func (s *session) sure() {
	s.endpoint.mu.Lock()
	defer s.endpoint.mu.Unlock()
	s.unsure = 0
}
