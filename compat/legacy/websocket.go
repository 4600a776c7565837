package legacy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

const (
	// helloTimeout is the time limit of waiting for the other peer's hello.
	helloTimeout = 10 * time.Second
	// helloFirst is the time for which a dialler waits for the other hello before it sends its
	// own, since the acceptor may be a JS peer. A JS server sends its hello as soon as the
	// connection is open.
	helloFirst = 300 * time.Millisecond
	// maxHello is the largest size of a hello in bytes. A real one has at most 103.
	maxHello = 4 << 10
)

// goHeader is a header in a Go acceptor's answer to the upgrade, with the value "1". It means
// that the acceptor waits for the dialler's hello, so the dialler may send first.
const goHeader = "Peer-Relay"

// A WebSocket makes legacy WebSocket links. It is the protocol.Dialer for ws:// and wss://
// URLs, and accepts connections whose first message a listener has read. The zero value works.
// Its fields must not be changed once it is in use.
//
// Two connections under the same id end each other at a JS peer, which counts a connection from
// our hello on. So both sides here learn the other's id first and ask the Router for a claim
// before they send their own:
//
//	acceptor   reads the hello, claims, sends its own
//	dialler    of a JS peer: waits 300 ms for its hello, claims, sends its own
//	           of a Go peer: sends its own, waits 10 s for the hello, claims
//
// A JS hello is a Buffer. Ours is a string of hex digits, which JS accepts as well. By it a Go
// peer recognises another one, which keeps the rule that orders two links.
type WebSocket struct {
	// TLSClient is for dialling wss://. nil means the system's certificates.
	TLSClient *tls.Config

	// Deflate offers permessage-deflate when dialling. It saves bytes on a slow line and costs
	// 7 to 10 times the CPU for each message.
	Deflate bool

	// MayDial reports whether an address that another peer has named may be dialled. Otherwise
	// a stranger could make this peer connect to hosts in its own network. nil means all
	// addresses. A Contact without an ID is always dialled, since the user has named it.
	MayDial func(netip.Addr) bool

	// TCPProgress returns what the other end of a TCP connection has acknowledged. So a peer at
	// the end of a slow line is not taken for one that is gone. node.TCPProgress is one. nil means
	// that it is not known.
	TCPProgress func(local, remote net.Addr) protocol.Progress

	features []string // shown to peers that know the extensions
	texts    textPool
	packs    sync.Pool // gorilla's
}

// A Conn is a WebSocket connection whose owner counts it, and so must know when it is closed.
// node.TextConn is one.
type Conn interface {
	// WebSocket returns the connection to read from and write to.
	WebSocket() *websocket.Conn

	// CloseWith sends a close frame and closes the connection. It ends a blocked read or write.
	// Only the first call has an effect.
	CloseWith(code int, reason string) error
}

// A holder is a Conn that can collect what is written, so that many messages cost one call of the
// system. node.TextConn is one.
type holder interface {
	// HoldWrites makes what is written wait until FlushWrites.
	HoldWrites()
	FlushWrites() error
}

// CanDial reports whether c has a valid ws:// or wss:// URL.
func (w *WebSocket) CanDial(c protocol.Contact) bool {
	_, err := parseURL(c.URL)
	return err == nil
}

// Dial implements protocol.Dialer.
func (w *WebSocket) Dial(ctx context.Context, r *protocol.Router, c protocol.Contact) (protocol.Link, error) {
	l, err := w.dial(ctx, r, c)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", c.URL, err)
	}
	return l, nil
}

func (w *WebSocket) dial(ctx context.Context, r *protocol.Router, c protocol.Contact) (*wsLink, error) {
	d, err := w.connect(ctx, c)
	if err != nil {
		return nil, err
	}
	l := w.newLink(d, r.ID(), protocol.LinkInfo{Kind: protocol.LinkWebSocket, Dialed: true, Addr: c.URL, RTT: d.rtt})
	unhook := context.AfterFunc(ctx, func() { l.Close() })
	err = l.meet(ctx, r, c.ID, d.knows)
	if !unhook() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		l.closeFor(err)
		return nil, err
	}
	return l, nil
}

// AcceptText makes a link of a connection whose first message was hello, and serves it until it
// ends. It closes c. It returns the error of Router.Serve, or the reason why there was no link.
func (w *WebSocket) AcceptText(ctx context.Context, r *protocol.Router, c Conn, hello []byte) error {
	addr := c.WebSocket().RemoteAddr().String()
	info := protocol.LinkInfo{Kind: protocol.LinkWebSocket, Addr: addr}
	if c, ok := c.(interface{ RTT() time.Duration }); ok { // node.TextConn knows it
		info.RTT = c.RTT()
	}
	l := w.newLink(c, r.ID(), info)
	unhook := context.AfterFunc(ctx, func() { l.Close() })
	h, err := parseHello(hello)
	if err == nil {
		err = l.claim(ctx, r, h.id, h.knows, h.id)
	}
	if err == nil {
		err = l.speak()
	}
	if !unhook() && err == nil {
		err = ctx.Err()
	}
	if errors.Is(err, protocol.ErrSelf) {
		l.speak() // so that this peer, as the dialler, sees that it has dialled itself
	}
	if err != nil {
		l.closeFor(err)
		return fmt.Errorf("accept %s: %w", addr, err)
	}
	return r.Serve(ctx, l)
}

// meet exchanges the hellos for the dialler. knows reports whether the acceptor waits for our
// hello.
func (l *wsLink) meet(ctx context.Context, r *protocol.Router, want protocol.ID, knows bool) error {
	type heard struct {
		hello hello
		err   error
	}
	ear := make(chan heard, 1)
	l.ws.SetReadDeadline(time.Now().Add(helloTimeout))
	go func() { // ends with the hello, the deadline or the connection; awaited below
		h, err := readHello(l.ws)
		ear <- heard{h, err}
	}()
	var h heard
	spoken := knows
	if !knows {
		timer := time.NewTimer(helloFirst)
		select {
		case h = <-ear:
		case <-timer.C:
			spoken = true // a JS peer would not be silent
		}
		timer.Stop()
	}
	if spoken {
		err := l.speak()
		if err != nil {
			l.ws.SetReadDeadline(past)
		}
		h = <-ear
		if err != nil {
			return err
		}
	}
	if h.err != nil {
		return h.err
	}
	l.ws.SetReadDeadline(time.Time{})
	if want != (protocol.ID{}) && h.hello.id != want {
		return fmt.Errorf("peer %v answered, want %v", h.hello.id, want)
	}
	if err := l.claim(ctx, r, h.hello.id, knows || h.hello.knows, r.ID()); err != nil || spoken {
		return err
	}
	return l.speak()
}

// claim asks the router whether the link may be made. knows reports whether the other end knows
// the rule by which the opener's id orders two links.
func (l *wsLink) claim(ctx context.Context, r *protocol.Router, id protocol.ID, knows bool, opener protocol.ID) error {
	l.info.ID = id
	if knows {
		l.info.Opener = string(opener[:])
	}
	release, err := r.Claim(ctx, l.info)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.release = release
	closed := l.closed
	l.mu.Unlock()
	if closed {
		release()
		return net.ErrClosed
	}
	return nil
}

// A hello is the first message of each side.
type hello struct {
	id    protocol.ID
	knows bool // the peer is a Go peer
}

var errHello = fmt.Errorf("%w: the first message is not an id", wire.ErrMalformed)

// parseHello returns the hello in a text: a Buffer or an array of bytes from JS, or a string of
// hex digits from a Go peer.
func parseHello(text []byte) (h hello, err error) {
	var ok bool
	if h.id, ok = rawjson.ParseID(text); !ok || h.id == (protocol.ID{}) {
		return h, errHello
	}
	s := rawjson.NewScanner(text)
	h.knows = s.Peek() == '"'
	return h, nil
}

// readFirst returns the first message of a connection.
func readFirst(ws *websocket.Conn) ([]byte, error) {
	_, r, err := ws.NextReader()
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(r, maxHello+1))
	if err == nil && len(text) > maxHello {
		err = errHello
	}
	return text, err
}

// readHello returns the hello of the peer that was dialled.
func readHello(ws *websocket.Conn) (hello, error) {
	text, err := readFirst(ws)
	if err == nil {
		return parseHello(text)
	}
	if err == errHello {
		return hello{}, err
	}
	var c *websocket.CloseError
	if errors.As(err, &c) && c.Code == websocket.CloseNormalClosure && byeReason(c.Text) == wire.ByeDuplicate {
		err = protocol.ErrDuplicate
	}
	return hello{}, fmt.Errorf("wait for the hello: %w", err)
}

// The reason of a bye is sent as the reason of a close frame, which JS ignores. A bye for no
// special reason has none.
const byeText = "bye "

func closeText(reason wire.ByeReason) string {
	if reason == wire.ByeNormal {
		return ""
	}
	return byeText + strconv.Itoa(int(reason))
}

func byeReason(text string) wire.ByeReason {
	if digits, ok := strings.CutPrefix(text, byeText); ok {
		if n, err := strconv.ParseUint(digits, 10, 8); err == nil {
			return wire.ByeReason(n)
		}
	}
	return wire.ByeNormal
}

// closeFor closes a connection that did not become a link, for the reason in err.
func (l *wsLink) closeFor(err error) {
	code, reason := websocket.CloseNormalClosure, wire.ByeNormal
	switch {
	case errors.Is(err, protocol.ErrDuplicate):
		reason = wire.ByeDuplicate
	case errors.Is(err, protocol.ErrClosed):
		reason = wire.ByeShutdown
	case errors.Is(err, wire.ErrMalformed):
		code, reason = websocket.CloseProtocolError, wire.ByeProtocol
	}
	l.closeWith(code, closeText(reason))
}
