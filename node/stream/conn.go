package stream

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/quic-go/quic-go"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/packet"
)

// past is a deadline that ends every waiting call.
var past = time.Unix(1, 0)

// A Conn is a stream between two peers. It is a net.Conn with a proved peer at the other end.
// Like a *net.TCPConn it can be closed only for writing.
//
// Errors are *net.OpError. They match net.ErrClosed once this side or its Endpoint was closed,
// os.ErrDeadlineExceeded, syscall.ECONNRESET if the other side no longer reads or is gone, and
// syscall.ETIMEDOUT if nothing has arrived from it for 30 seconds.
//
// After Close, data that was written before still arrives while the Endpoint is open.
// [Endpoint.Shutdown] waits for it.
//
// All methods may be called from any goroutine.
type Conn struct {
	session  *session
	stream   *quic.Stream
	service  uint16
	accepted bool // the other side opened it

	writing sync.Mutex // held by every Write, and to end writing

	wrote atomic.Bool // Write was called
	ended atomic.Bool // Read has returned that nothing more comes
	eof   atomic.Bool // and that all of it has arrived

	mu       sync.Mutex
	closed   bool
	finished bool // CloseWrite was called
}

var _ net.Conn = (*Conn)(nil)

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.stream.Read(p)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.ended.Store(true)
	}
	switch {
	case c.isClosed():
	case err == io.EOF:
		c.eof.Store(true)
		return n, err
	case err == nil:
		return n, nil
	case c.eof.Load(): // the session ended later
		return 0, io.EOF
	}
	return n, c.failed("read", err)
}

// isOver reports whether the end of the session would lose nothing of the stream: all that
// comes was read, and the other side reads no more.
func (c *Conn) isOver() bool { return c.ended.Load() && c.stream.Context().Err() != nil }

// Write implements net.Conn. It returns when all is in flight. Up to 4 MiB may be unread.
func (c *Conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.isFinished() {
		return 0, c.failed("write", syscall.EPIPE)
	}
	c.wrote.Store(true)
	n, err := c.stream.Write(p)
	if err != nil && c.isFinished() {
		err = syscall.EPIPE
	}
	if err != nil {
		return n, c.failed("write", err)
	}
	return n, nil
}

// CloseWrite ends the stream in this direction. The other side reads all that was written and
// then io.EOF. A waiting Write fails.
func (c *Conn) CloseWrite() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return c.failed("close", net.ErrClosed)
	}
	c.finished = true
	c.stream.SetWriteDeadline(past)
	c.mu.Unlock()
	c.finish()
	return nil
}

// finish ends the stream after what was written. No Write begins after it.
func (c *Conn) finish() {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.stream.Close() // fails only if the other side has already stopped reading
}

// Close implements net.Conn. It ends every waiting call. The other side reads all that was
// written and then io.EOF.
func (c *Conn) Close() error {
	if !c.shut() {
		return c.failed("close", net.ErrClosed)
	}
	c.stream.CancelRead(codeDone)
	c.finish()
	c.session.release(c)
	return nil
}

// abort closes the stream and discards what was written.
func (c *Conn) abort(code quic.StreamErrorCode) {
	if c.shut() {
		c.stream.CancelRead(code)
		c.stream.CancelWrite(code)
		c.wrote.Store(false)
		c.session.release(c)
	}
}

// shut marks the stream as closed and ends a waiting Write. It reports whether the stream was
// open.
func (c *Conn) shut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.closed, c.finished = true, true
	c.stream.SetWriteDeadline(past)
	return true
}

func (c *Conn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func (c *Conn) isFinished() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.finished
}

// LocalAddr implements net.Conn. It returns a packet.Addr. Its port is the service on the
// side that accepted the stream, and 0 on the other one.
func (c *Conn) LocalAddr() net.Addr {
	if c.accepted {
		return c.session.endpoint.addr(c.service)
	}
	return c.session.endpoint.addr(0)
}

// RemoteAddr implements net.Conn. It returns a packet.Addr, whose ID is proved. Its port is
// the service on the side that opened the stream, and 0 on the other one.
func (c *Conn) RemoteAddr() net.Addr {
	a := packet.Addr{ID: c.session.id}
	if !c.accepted {
		a.Port = c.service
	}
	return a
}

// Service returns the service to which the stream was opened.
func (c *Conn) Service() uint16 { return c.service }

// RemoteID returns the id of the peer at the other end, proved in the TLS handshake.
func (c *Conn) RemoteID() protocol.ID { return c.session.id }

// RemotePeer returns the libp2p peer id whose hash is RemoteID.
func (c *Conn) RemotePeer() peer.ID { return c.session.peerID }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadlines(t, true, true) }

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, true, false) }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, false, true) }

func (c *Conn) setDeadlines(t time.Time, read, write bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return &net.OpError{Op: "set", Net: network, Addr: c.LocalAddr(), Err: net.ErrClosed}
	}
	if read {
		c.stream.SetReadDeadline(t)
	}
	if write && !c.finished {
		c.stream.SetWriteDeadline(t)
	}
	return nil
}

// failed returns the error of a call that ended with err.
func (c *Conn) failed(op string, err error) error {
	switch {
	case c.isClosed():
		err = net.ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = os.ErrDeadlineExceeded
	case err != syscall.EPIPE:
		err = connError(err)
	}
	return &net.OpError{Op: op, Net: network, Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
