package legacy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

	"github.com/peer-relay/peer-relay/protocol"
)

const (
	// connectTimeout is the time limit of connecting, and upgradeTimeout that of connecting, TLS
	// and the upgrade together. A round trip over a long line takes up to 6 s.
	connectTimeout = 10 * time.Second
	upgradeTimeout = 30 * time.Second
	// closeTimeout is the time limit of writing a close frame to a stalled peer.
	closeTimeout = 100 * time.Millisecond
	// readBuffer is the size in bytes of a connection's buffer for reading.
	readBuffer = 4 << 10
)

// A plainConn is a Conn that has no other owner.
type plainConn struct {
	ws    *websocket.Conn
	knows bool          // it was dialled, and the acceptor is a Go peer
	rtt   time.Duration // from the connection to the answer to the upgrade; 0 means unknown

	once sync.Once
	err  error
}

func (c *plainConn) WebSocket() *websocket.Conn { return c.ws }

func (c *plainConn) CloseWith(code int, reason string) error {
	c.once.Do(func() {
		c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(closeTimeout))
		c.err = c.ws.Close()
	})
	return c.err
}

// connect opens a connection to the URL of a contact.
func (w *WebSocket) connect(ctx context.Context, c protocol.Contact) (*plainConn, error) {
	u, err := parseURL(c.URL)
	if err != nil {
		return nil, err
	}
	ours := c.ID == (protocol.ID{})
	proxy, err := proxyOf(u)
	if err != nil {
		return nil, err
	}
	tcp := net.Dialer{Timeout: connectTimeout}
	if proxy == nil {
		// Here the name has been resolved to the address that is dialled.
		tcp.Control = func(_, address string, _ syscall.RawConn) error { return w.mayDial(address, ours) }
	} else if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		if err := w.mayDial(netip.AddrPortFrom(addr, 0).String(), ours); err != nil {
			return nil, err
		}
	}
	var unhook func() bool
	var connected time.Time
	d := websocket.Dialer{
		// gorilla observes the context's deadline once it is connected, but not its end.
		NetDialContext: func(inner context.Context, network, address string) (net.Conn, error) {
			conn, err := tcp.DialContext(inner, network, address)
			if err == nil {
				connected = time.Now()
				unhook = context.AfterFunc(ctx, func() { conn.Close() })
			}
			return conn, err
		},
		Proxy:             http.ProxyURL(proxy),
		TLSClientConfig:   w.TLSClient,
		HandshakeTimeout:  upgradeTimeout,
		ReadBufferSize:    readBuffer,
		WriteBufferPool:   &w.packs,
		EnableCompression: w.Deflate,
	}
	ws, resp, err := d.DialContext(ctx, c.URL, nil)
	if unhook != nil && !unhook() && err == nil {
		ws.Close()
		err = ctx.Err()
	}
	if errors.Is(err, websocket.ErrBadHandshake) {
		return nil, fmt.Errorf("the answer to the upgrade is %s", resp.Status)
	} else if err != nil {
		return nil, err
	}
	return &plainConn{ws: ws, knows: resp.Header.Get(goHeader) == "1", rtt: time.Since(connected)}, nil
}

// proxyOf returns the HTTP proxy that the environment names for a URL, or nil.
func proxyOf(u *url.URL) (*url.URL, error) {
	h := *u
	h.Scheme = map[string]string{"ws": "http", "wss": "https"}[u.Scheme]
	return http.ProxyFromEnvironment(&http.Request{URL: &h})
}

// mayDial returns an error if a stranger has named the address and strangers may not.
func (w *WebSocket) mayDial(address string, ours bool) error {
	if ours || w.MayDial == nil {
		return nil
	}
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if !w.MayDial(a.Addr().Unmap()) {
		return fmt.Errorf("%v is not in a network of this peer", a.Addr())
	}
	return nil
}
