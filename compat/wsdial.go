package compat

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
	// connectTimeout bounds connecting, TLS and the upgrade together.
	connectTimeout = 10 * time.Second
	// closeTimeout bounds the wait for a stalled peer to take a close frame.
	closeTimeout = 100 * time.Millisecond
	// readBuffer is the bytes of buffer that a dialled connection reads into.
	readBuffer = 4 << 10
)

// A dialedConn is a connection that nobody else counts.
type dialedConn struct {
	ws      *websocket.Conn
	knows   bool // the acceptor is one of ours
	deflate bool

	once sync.Once
	err  error
}

func (c *dialedConn) WebSocket() *websocket.Conn { return c.ws }

func (c *dialedConn) CloseWith(code int, reason string) error {
	c.once.Do(func() {
		c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(closeTimeout))
		c.err = c.ws.Close()
	})
	return c.err
}

// connect opens a connection to the URL of a contact.
func (w *WebSocket) connect(ctx context.Context, c protocol.Contact) (*dialedConn, error) {
	u, err := parseURL(c.URL)
	if err != nil {
		return nil, err
	}
	ours := c.ID == (protocol.ID{})
	proxy, err := proxyOf(u)
	if err != nil {
		return nil, err
	}
	tcp := net.Dialer{}
	if proxy == nil {
		// Here the name has become an address, the very one that is dialled.
		tcp.Control = func(_, address string, _ syscall.RawConn) error { return w.mayDial(address, ours) }
	} else if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		if err := w.mayDial(netip.AddrPortFrom(addr, 0).String(), ours); err != nil {
			return nil, err
		}
	}
	var unhook func() bool
	d := websocket.Dialer{
		// gorilla heeds the context's deadline, but not its end, once it is connected.
		NetDialContext: func(inner context.Context, network, address string) (net.Conn, error) {
			conn, err := tcp.DialContext(inner, network, address)
			if err == nil {
				unhook = context.AfterFunc(ctx, func() { conn.Close() })
			}
			return conn, err
		},
		Proxy:             http.ProxyURL(proxy),
		TLSClientConfig:   w.TLSClient,
		HandshakeTimeout:  connectTimeout,
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
	return &dialedConn{ws: ws, knows: resp.Header.Get(goHeader) == "1", deflate: resp.Header.Get("Sec-Websocket-Extensions") != ""}, nil
}

// proxyOf gives the HTTP proxy that the environment names for a URL, or nil.
func proxyOf(u *url.URL) (*url.URL, error) {
	h := *u
	h.Scheme = map[string]string{"ws": "http", "wss": "https"}[u.Scheme]
	return http.ProxyFromEnvironment(&http.Request{URL: &h})
}

// A scope is how far an address reaches.
type scope uint8

const (
	scopePublic   scope = iota
	scopePrivate        // of an organisation or a provider
	scopeLink           // of one network
	scopeLoopback       // of this machine
	scopes
)

// sharedSpace is what providers give their customers (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

func scopeOf(a netip.Addr) scope {
	switch a = a.Unmap(); {
	case a.IsLoopback(), a.IsUnspecified(): // dialling "any address" reaches this machine
		return scopeLoopback
	case a.IsPrivate(), sharedSpace.Contains(a):
		return scopePrivate
	case a.IsLinkLocalUnicast(), a.IsMulticast():
		return scopeLink
	}
	return scopePublic
}

// mayDial refuses an address that only insiders of a network should reach, unless our
// own user told us of it, or of another in such a network.
func (w *WebSocket) mayDial(address string, ours bool) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	addr := a.Addr().Unmap()
	s := scopeOf(addr)
	if ours {
		w.near[s].Store(true)
	}
	if s == scopePublic || w.near[s].Load() || w.MayDial != nil && w.MayDial(addr) {
		return nil
	}
	return fmt.Errorf("%v is in no network of ours", addr)
}
