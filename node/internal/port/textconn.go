package port

import (
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/libp2p/go-libp2p/core/network"
	libp2pws "github.com/libp2p/go-libp2p/p2p/transport/websocket"
	ma "github.com/multiformats/go-multiaddr"
)

// closeFrameTimeout is the time limit of writing a close frame to a stalled peer.
const closeFrameTimeout = 100 * time.Millisecond

// A TextConn is an inbound WebSocket whose first message was text. So its client is a legacy
// peer. It lives until Close, until AcceptText returns, or until the host is closed.
type TextConn struct {
	// Fixed before AcceptText is called.
	conn    *libp2pws.Conn
	scope   network.ConnManagementScope
	under   *portConn // nil means that it is not known
	secured bool
	first   []byte
	rtt     time.Duration

	closeOnce sync.Once
	closeErr  error
}

// First returns the first message, at most 4 KiB of valid JSON. The next read returns the
// second one.
func (c *TextConn) First() []byte { return c.first }

// WebSocket returns the connection to read from and write to. It has no deadlines and a read
// limit of 1 MiB. To close it, call the methods of the TextConn: only they release what the
// resource manager counts.
func (c *TextConn) WebSocket() *websocket.Conn { return c.conn.Conn }

// RTT returns the time from the answer to the upgrade to the first message. A client sends it at
// once, so this is a round trip.
func (c *TextConn) RTT() time.Duration { return c.rtt }

// HoldWrites makes what is written wait until FlushWrites, or until there are 68 KiB.
func (c *TextConn) HoldWrites() {
	if c.under != nil {
		c.under.held.hold()
	}
}

// FlushWrites writes what HoldWrites made wait. The error is of this or an earlier such write.
func (c *TextConn) FlushWrites() error {
	if c.under == nil {
		return nil
	}
	return c.under.held.flush()
}

// RemoteAddr returns the TCP address of the peer, or of a proxy in between.
func (c *TextConn) RemoteAddr() net.Addr { return c.conn.Conn.RemoteAddr() }

// RemoteMultiaddr returns the same as a multiaddr that ends in /ws or /tls/ws.
func (c *TextConn) RemoteMultiaddr() ma.Multiaddr {
	return addrOver(c.conn.RemoteMultiaddr(), c.secured)
}

// Close sends a normal close frame (1000) and closes the connection. A blocked read or write
// returns at once. It may be called any number of times, from any goroutine.
func (c *TextConn) Close() error { return c.CloseWith(websocket.CloseNormalClosure, "") }

// CloseWith is Close with another close code and a reason of at most 123 bytes. Only the first
// call of Close or CloseWith has an effect. All calls wait for it and return its error.
func (c *TextConn) CloseWith(code int, reason string) error {
	c.closeOnce.Do(func() {
		c.writeClose(code, reason)
		c.closeErr = c.conn.Conn.Close()
		c.scope.Done()
	})
	return c.closeErr
}

// writeClose sends a close frame, if the peer is there and none was sent before.
func (c *TextConn) writeClose(code int, reason string) {
	c.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(closeFrameTimeout))
}
