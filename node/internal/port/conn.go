package port

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// relayHeader is a header in the answer to a WebSocket upgrade, with the value "1". It means
// that the acceptor waits for the dialler's hello, so a Go dialler may send its hello first.
const relayHeader = "Peer-Relay"

const (
	switchingProtocols = "HTTP/1.1 101 Switching Protocols\r\n"
	relayHeaderLine    = relayHeader + ": 1\r\n"

	// recordTypeHandshake is the first byte of a TLS connection (RFC 8446, 5.1), and
	// multistreamLength that of a libp2p connection over plain TCP: the length of the name of
	// multistream-select. No HTTP request begins with either.
	recordTypeHandshake = 0x16
	multistreamLength   = 0x13
)

// A portListener returns TCP connections with three properties for which go-libp2p's WebSocket
// listener has no hook: TLS and plain text on one port, relayHeader in the answer to an
// upgrade, and libp2p connections over plain TCP.
type portListener struct {
	manet.Listener
	tls   *tls.Config                   // nil means plain text only
	split atomic.Pointer[splitListener] // gets the libp2p connections over plain TCP; nil until it listens
}

func (l *portListener) Accept() (manet.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newPortConn(c, l), nil
}

// A portConn is one accepted TCP connection for the HTTP server. It checks the first bytes when
// the server first reads, on the server's own goroutine. So a silent client costs nothing here,
// and the server's timeouts end it. If they are those of a libp2p connection, it passes the
// connection on to libp2p, and is closed for the server.
type portConn struct {
	manet.Conn // the TCP connection
	listener   *portListener
	scope      network.ConnManagementScope // set before the server has the connection

	sniffed  bool                     // owned by the reader
	ahead    ahead                    // owned by the reader
	secured  atomic.Pointer[tls.Conn] // set at most once, by the reader
	upgraded atomic.Bool              // the 101 was written
	held     holder

	state atomic.Int32 // which of these it is: open, given or closed
}

// The states of a portConn for the server. Only the first change counts.
const (
	connOpen = iota
	connGiven
	connClosed
)

func newPortConn(c manet.Conn, l *portListener) *portConn {
	p := &portConn{Conn: c, listener: l}
	p.held.to = p.write
	return p
}

func (c *portConn) Read(b []byte) (int, error) {
	if t := c.secured.Load(); t != nil {
		return t.Read(b)
	}
	if c.upgraded.Load() {
		return c.ahead.read(c.Conn, b)
	}
	if c.sniffed {
		return c.Conn.Read(b)
	}
	n, err := c.Conn.Read(b)
	if n == 0 {
		return n, err
	}
	c.sniffed = true
	switch {
	case b[0] == multistreamLength:
		c.give(b[:n])
		return 0, io.EOF
	case b[0] != recordTypeHandshake || c.listener.tls == nil:
		return n, err
	}
	t := tls.Server(&replayConn{Conn: c.Conn, head: slices.Clone(b[:n])}, c.listener.tls)
	c.secured.Store(t)
	return t.Read(b)
}

// give passes the connection to libp2p, with the bytes that were read of it. The server has none
// from then on.
func (c *portConn) give(head []byte) {
	if split := c.listener.split.Load(); split != nil && c.state.CompareAndSwap(connOpen, connGiven) {
		c.Conn.SetDeadline(time.Time{}) // libp2p sets its own
		split.take(&replayConn{Conn: c.Conn, head: slices.Clone(head)}, c.scope)
	}
}

func (c *portConn) isGiven() bool { return c.state.Load() == connGiven }

// SetDeadline, SetReadDeadline and SetWriteDeadline do nothing to a connection that was given away.
func (c *portConn) SetDeadline(t time.Time) error {
	if c.isGiven() {
		return net.ErrClosed
	}
	return c.Conn.SetDeadline(t)
}

func (c *portConn) SetReadDeadline(t time.Time) error {
	if c.isGiven() {
		return net.ErrClosed
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *portConn) SetWriteDeadline(t time.Time) error {
	if c.isGiven() {
		return net.ErrClosed
	}
	return c.Conn.SetWriteDeadline(t)
}

// A portScope is the scope of a portConn for the server. Its end is none of a connection that was given
// away.
type portScope struct {
	network.ConnManagementScope
	conn *portConn
}

func (s *portScope) Done() {
	if !s.conn.isGiven() {
		s.ConnManagementScope.Done()
	}
}

// Write adds relayHeader to the answer that switches the connection to WebSocket.
// gorilla/websocket writes that answer in one piece. If it did not, the header would be missing
// and nothing else would change.
func (c *portConn) Write(b []byte) (int, error) {
	if c.upgraded.Load() || !bytes.HasPrefix(b, []byte(switchingProtocols)) {
		return c.held.Write(b)
	}
	c.upgraded.Store(true)
	const at = len(switchingProtocols)
	n, err := c.held.Write(slices.Concat(b[:at], []byte(relayHeaderLine), b[at:]))
	c.held.frame()
	// The caller counts the bytes that it has passed, not the added ones.
	if n > at {
		n = max(at, n-len(relayHeaderLine))
	}
	return n, err
}

func (c *portConn) write(b []byte) (int, error) {
	if t := c.secured.Load(); t != nil {
		return t.Write(b)
	}
	return c.Conn.Write(b)
}

func (c *portConn) Close() error {
	if !c.state.CompareAndSwap(connOpen, connClosed) && c.isGiven() {
		return nil
	}
	c.Conn.SetWriteDeadline(time.Now().Add(closeFrameTimeout))
	c.held.last()
	if t := c.secured.Load(); t != nil {
		return t.Close()
	}
	return c.Conn.Close()
}

// LocalAddr returns an address that holds the connection itself. go-libp2p and net/http wrap
// the connection in types of their own, but both pass on the local address.
func (c *portConn) LocalAddr() net.Addr { return portAddr{c.Conn.LocalAddr(), c} }

type portAddr struct {
	net.Addr
	conn *portConn
}

// portConnAt returns the connection behind a local address, nil if it is none of a portListener.
func portConnAt(local net.Addr) *portConn {
	a, _ := local.(portAddr)
	return a.conn
}

// isSecured reports whether the connection uses TLS. It may be called on nil.
func (c *portConn) isSecured() bool { return c != nil && c.secured.Load() != nil }

// A replayConn returns the bytes again that were read to recognise what the connection is.
type replayConn struct {
	manet.Conn
	head []byte // owned by the reader
}

func (c *replayConn) Read(b []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(b, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// securedAddr returns a WebSocket multiaddr as it is over TLS: /ws becomes /tls/ws.
func securedAddr(a ma.Multiaddr) ma.Multiaddr {
	rest, last := ma.SplitLast(a)
	if last == nil || last.Protocol().Code != ma.P_WS {
		return a
	}
	if _, before := ma.SplitLast(rest); before != nil && before.Protocol().Code == ma.P_TLS {
		return a
	}
	return ma.Join(rest, tlsWS)
}

var tlsWS = ma.StringCast("/tls/ws")
