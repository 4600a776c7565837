package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/quic-go/quic-go"

	"github.com/peer-relay/peer-relay/protocol"
)

// A stream begins with a header. The other side answers it with one byte, the version:
//
//	0       version
//	1       purpose of the stream
//	2 to 3  service, big-endian
//	4 to 31 zero
//
// The header is longer than its content. A peer that has restarted answers with a stateless
// reset, but only to packets of more than 42 bytes.
const (
	version    = 1
	headerSize = 32

	forData = 0 // a stream for the listener of the service
	forIdle = 1 // the question whether the session may be closed
)

// A session is a QUIC connection with a peer.
type session struct {
	endpoint *Endpoint
	conn     *quic.Conn
	id       protocol.ID
	peerID   peer.ID

	accepted bool   // the peer opened it
	number   uint64 // number of sessions that others opened before; fixed by add

	// Guarded by endpoint.mu.
	streams int                // open streams, and those that are being opened
	conns   map[*Conn]struct{} // of these, the ones that a program has or is about to get
	unsure  int                // streams that were closed, and whose last bytes may not have been read
	idle    *time.Timer
}

// serve admits the streams that the peer opens, until the session ends.
func (s *session) serve() {
	e := s.endpoint
	for {
		stream, err := s.conn.AcceptStream(context.Background())
		if err != nil {
			break
		}
		if !s.acquire() {
			break // the session is being closed
		}
		e.tasks.Go(func() { s.admit(stream) }) // ends after handshakeTimeout, or with the session
	}
	<-s.conn.Context().Done()
	e.mu.Lock()
	s.remove()
	e.mu.Unlock()
}

// remove takes the session out of use; endpoint.mu is held.
func (s *session) remove() {
	e := s.endpoint
	s.idle.Stop()
	delete(e.sessions, s)
	if e.current[s.id] == s {
		delete(e.current, s.id)
	}
}

// acquire counts a stream, unless the session is out of use.
func (s *session) acquire() bool {
	e := s.endpoint
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.sessions[s]; !ok {
		return false
	}
	s.streams++
	s.idle.Stop()
	return true
}

// keep notes that a program gets a stream, unless the stream was closed.
func (s *session) keep(c *Conn) {
	s.endpoint.mu.Lock()
	defer s.endpoint.mu.Unlock()
	if !c.isClosed() {
		s.conns[c] = struct{}{}
	}
}

// release undoes acquire. c is the stream; nil means that there is none.
func (s *session) release(c *Conn) {
	e := s.endpoint
	e.mu.Lock()
	defer e.mu.Unlock()
	s.streams--
	delete(s.conns, c)
	if c != nil && c.wrote.Load() {
		s.unsure++
	}
	if _, ok := e.sessions[s]; ok && s.streams == 0 {
		s.idle.Reset(idleTime)
	}
}

// onIdle is called when this side has had no stream for idleTime.
func (s *session) onIdle() {
	e := s.endpoint
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.idles() {
		e.tasks.Go(s.endIfIdle) // ends after handshakeTimeout, or with the session
	}
}

// idles reports whether the session is in use and this side has no stream on it;
// endpoint.mu is held.
func (s *session) idles() bool {
	_, ok := s.endpoint.sessions[s]
	return ok && s.streams == 0 && !s.endpoint.closed
}

// endIfIdle closes the session if the other side has no stream on it either. Otherwise the
// other side would lose unread data of a stream that this side has closed. A stream that is
// opened at the same moment is opened again on the next session.
func (s *session) endIfIdle() {
	end := s.askIfIdle(s.endpoint.ctx)
	e := s.endpoint
	e.mu.Lock()
	switch {
	case !s.idles():
		end = false
	case end:
		s.remove()
	default:
		s.idle.Reset(idleTime)
	}
	e.mu.Unlock()
	if end {
		s.conn.CloseWithError(codeDone, "idle")
	}
}

// askIfIdle asks the other side whether it has no stream. The context ends the call.
func (s *session) askIfIdle(ctx context.Context) bool {
	stream, err := s.conn.OpenStream()
	if err != nil {
		return false // the other side has the most streams that it may have, or the session has ended
	}
	defer stream.CancelRead(codeDone)
	defer stream.Close()
	stream.SetDeadline(time.Now().Add(handshakeTimeout))
	defer context.AfterFunc(ctx, func() { stream.SetDeadline(past) })()
	return begin(stream, forIdle, 0) == nil
}

// begin sends the header of a stream and waits for the answer.
func begin(stream *quic.Stream, what byte, service uint16) error {
	header := [headerSize]byte{0: version, 1: what}
	binary.BigEndian.PutUint16(header[2:], service)
	if _, err := stream.Write(header[:]); err != nil {
		return err
	}
	var answer [1]byte
	if _, err := io.ReadFull(stream, answer[:]); err != nil {
		return err
	}
	if answer[0] != version {
		return fmt.Errorf("the peer speaks version %d of streams: %w", answer[0], syscall.EPROTO)
	}
	return nil
}

// admit handles a stream that the peer has opened.
func (s *session) admit(stream *quic.Stream) {
	e := s.endpoint
	c := &Conn{session: s, stream: stream, accepted: true}
	stream.SetDeadline(time.Now().Add(handshakeTimeout))
	var header [headerSize]byte
	if _, err := io.ReadFull(stream, header[:]); err != nil || header[0] != version {
		c.abort(codeInvalid)
		return
	}
	answer := []byte{version}
	switch header[1] {
	case forData:
		c.service = binary.BigEndian.Uint16(header[2:])
		l, why := e.reserve(c.service)
		if l == nil {
			c.abort(why)
			return
		}
		_, err := stream.Write(answer)
		if err == nil {
			stream.SetDeadline(time.Time{})
		}
		if !e.hand(l, c, err == nil) {
			c.abort(codeRefused)
		}
	case forIdle:
		if !s.alone() {
			c.abort(codeRefused)
			return
		}
		stream.Write(answer) // an error means that it is closed already
		c.Close()
	default:
		c.abort(codeInvalid)
	}
}

// alone reports whether there is only one stream on the session, beside those that are over.
func (s *session) alone() bool {
	s.endpoint.mu.Lock()
	defer s.endpoint.mu.Unlock()
	n := s.streams
	for c := range s.conns {
		if c.isOver() {
			n--
		}
	}
	return n == 1
}

// open opens a stream to a service and waits until the peer has it. ended reports whether it
// failed because the session has ended.
func (s *session) open(ctx context.Context, service uint16) (c *Conn, ended bool, err error) {
	if !s.acquire() {
		return nil, true, net.ErrClosed
	}
	stream, err := s.conn.OpenStreamSync(ctx)
	if err != nil {
		s.release(nil)
		if ctx.Err() != nil {
			return nil, false, ctx.Err()
		}
		return nil, true, connError(err)
	}
	c = &Conn{session: s, stream: stream, service: service}
	stream.SetDeadline(time.Now().Add(s.endpoint.config.HandshakeIdleTimeout))
	stop := context.AfterFunc(ctx, func() { stream.SetDeadline(past) })
	err = begin(stream, forData, service)
	var refused *quic.StreamError
	switch {
	case !stop():
		err = ctx.Err()
	case err == nil:
		stream.SetDeadline(time.Time{})
		s.keep(c)
		return c, false, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = errSilent
	case errors.Is(err, syscall.EPROTO):
	default:
		ended = err != io.EOF && !errors.As(err, &refused) // a refusal ends only the stream
		err = connError(err)
	}
	c.abort(codeDone)
	return nil, ended, err
}
