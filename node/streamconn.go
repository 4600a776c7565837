package node

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/quic-go/quic-go"

	"github.com/peer-relay/peer-relay/protocol"
)

// streamNetwork is the network in the errors of streams.
const streamNetwork = "peer-relay-stream"

// past is a deadline that ends what waits.
var past = time.Unix(1, 0)

// A StreamConn is a stream between two nodes: a net.Conn, that like a *net.TCPConn can be
// closed for writing alone. Who is at the other end is proved.
//
// Errors are *net.OpError and match net.ErrClosed once this side, or its node, was
// closed, os.ErrDeadlineExceeded, syscall.ECONNRESET if the other side no longer reads,
// or is gone, and syscall.ETIMEDOUT if nothing has been heard of it for 30 seconds.
//
// Close lets what was written arrive, for as long as the node is open.
//
// All methods may be called from any goroutine.
type StreamConn struct {
	peer   *streamPeer
	stream *quic.Stream

	writing sync.Mutex // held by what writes, and to end writing

	mu       sync.Mutex
	closed   bool
	finished bool // CloseWrite
}

var _ net.Conn = (*StreamConn)(nil)

// Read implements net.Conn.
func (c *StreamConn) Read(p []byte) (int, error) {
	n, err := c.stream.Read(p)
	if err != nil && err != io.EOF || c.isClosed() {
		return n, c.failed("read", err)
	}
	return n, err
}

// Write implements net.Conn. It returns when all is on its way, of which up to 4 MiB may
// be unread.
func (c *StreamConn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.isFinished() {
		return 0, c.failed("write", syscall.EPIPE)
	}
	n, err := c.stream.Write(p)
	if err != nil && c.isFinished() {
		err = syscall.EPIPE
	}
	if err != nil {
		return n, c.failed("write", err)
	}
	return n, nil
}

// CloseWrite tells the other side that nothing more will come: it reads all that was
// written and then io.EOF. A Write that waits fails.
func (c *StreamConn) CloseWrite() error {
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

// finish ends the stream after what was written; no Write begins any more.
func (c *StreamConn) finish() {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.stream.Close() // fails if the other side does not want to read it, which is not new
}

// Close implements net.Conn: it ends every call that waits. The other side reads all that
// was written and then io.EOF.
func (c *StreamConn) Close() error {
	if !c.shut() {
		return c.failed("close", net.ErrClosed)
	}
	c.stream.CancelRead(streamDone)
	c.finish()
	c.peer.release()
	return nil
}

// reset closes the stream and forgets what was written.
func (c *StreamConn) reset(code quic.StreamErrorCode) {
	if c.shut() {
		c.stream.CancelRead(code)
		c.stream.CancelWrite(code)
		c.peer.release()
	}
}

// shut marks the stream as closed, unless it was, and ends the Write that waits.
func (c *StreamConn) shut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.closed, c.finished = true, true
	c.stream.SetWriteDeadline(past)
	return true
}

func (c *StreamConn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func (c *StreamConn) isFinished() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.finished
}

// LocalAddr implements net.Conn. It gives a packet.Addr.
func (c *StreamConn) LocalAddr() net.Addr { return c.peer.streams.local() }

// RemoteAddr implements net.Conn. It gives a packet.Addr, whose ID is proved.
func (c *StreamConn) RemoteAddr() net.Addr { return streamAddr(c.peer.id) }

// RemoteID gives the id of the node at the other end, proved in the TLS handshake.
func (c *StreamConn) RemoteID() protocol.ID { return c.peer.id }

// RemotePeer gives the libp2p peer id that RemoteID is the hash of.
func (c *StreamConn) RemotePeer() peer.ID { return c.peer.peerID }

// SetDeadline implements net.Conn.
func (c *StreamConn) SetDeadline(t time.Time) error { return c.setDeadlines(t, true, true) }

// SetReadDeadline implements net.Conn.
func (c *StreamConn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, true, false) }

// SetWriteDeadline implements net.Conn.
func (c *StreamConn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, false, true) }

func (c *StreamConn) setDeadlines(t time.Time, read, write bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return &net.OpError{Op: "set", Net: streamNetwork, Addr: c.LocalAddr(), Err: net.ErrClosed}
	}
	if read {
		c.stream.SetReadDeadline(t)
	}
	if write && !c.finished {
		c.stream.SetWriteDeadline(t)
	}
	return nil
}

// failed gives the error of a call that got err.
func (c *StreamConn) failed(op string, err error) error {
	switch {
	case c.isClosed():
		err = net.ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = os.ErrDeadlineExceeded
	case err != syscall.EPIPE:
		err = connError(err)
	}
	return &net.OpError{Op: op, Net: streamNetwork, Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
