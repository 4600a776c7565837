package node

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/transport/tcpreuse"
	libp2pws "github.com/libp2p/go-libp2p/p2p/transport/websocket"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// One TCP port serves three kinds of clients:
//
//	TCP -- portConn --- HTTP ---- GET -------------------------> status page
//	       (TLS or            \-- WebSocket -- first is text ---> AcceptText
//	        plain text)                     \- first is binary -> libp2p
//
// Both kinds of WebSocket client speak first: a legacy peer sends its id as JSON
// text, libp2p sends multistream in binary. All of dialling, HTTP, gating and limits
// stays go-libp2p's: we only wrap the upgrader that its WebSocket transport is given.
//
// A stranger costs one goroutine and a slot of the resource manager's transient
// scope, for at most handshakeTimeout and then firstMessageTimeout.

const (
	// handshakeTimeout bounds the time from the TCP connection to the end of the
	// HTTP request, TLS included.
	handshakeTimeout = 10 * time.Second
	// firstMessageTimeout bounds the time from the upgrade to the end of the first
	// message.
	firstMessageTimeout = 10 * time.Second
	// maxFirstMessage is the most bytes that a legacy peer's hello may have. A real
	// one has about 110.
	maxFirstMessage = 4 << 10
	// maxTextMessage is the read limit that a TextConn starts with, in bytes.
	maxTextMessage = 1 << 20
	// closeFrameTimeout bounds the wait for a stalled peer to take a close frame.
	closeFrameTimeout = 100 * time.Millisecond
	// refuseLinger bounds the wait for a refused peer to answer the close frame:
	// closing a socket with unread bytes in it resets the connection, and the peer
	// would not learn why.
	refuseLinger = time.Second
	// httpWriteTimeout bounds the time to send the answer to a plain request.
	httpWriteTimeout = 10 * time.Second
	// maxHTTPHeader is the most bytes that a request's header may have.
	maxHTTPHeader = 16 << 10
)

// frontOptions are what a front needs. The zero value serves libp2p alone.
type frontOptions struct {
	tls        *tls.Config             // nil: no TLS
	tlsClient  *tls.Config             // for dialling wss; nil: the system's roots
	gater      connmgr.ConnectionGater // nil: everybody may come in
	acceptText func(*TextConn)         // nil: text is refused with close code 1003
	http       http.Handler            // nil: 404

	handshakeTimeout    time.Duration // 0: handshakeTimeout
	firstMessageTimeout time.Duration // 0: firstMessageTimeout
}

// A front is what all listeners of a host share.
type front struct {
	frontOptions
	count listenerCounters
}

func newFront(o frontOptions) *front {
	if o.tls != nil {
		o.tls = o.tls.Clone()
		// gorilla/websocket takes over HTTP/1.1 connections only.
		o.tls.NextProtos = []string{"http/1.1"}
	}
	if o.http == nil {
		o.http = http.NotFoundHandler()
	}
	if o.handshakeTimeout == 0 {
		o.handshakeTimeout = handshakeTimeout
	}
	if o.firstMessageTimeout == 0 {
		o.firstMessageTimeout = firstMessageTimeout
	}
	return &front{frontOptions: o}
}

// transport is a constructor for libp2p.Transport.
func (f *front) transport(u transport.Upgrader, rc network.ResourceManager, shared *tcpreuse.ConnMgr) (*libp2pws.WebsocketTransport, error) {
	opts := []libp2pws.Option{
		libp2pws.WithHandshakeTimeout(f.handshakeTimeout),
		libp2pws.WithHTTPHandler(http.HandlerFunc(f.serveHTTP)),
		libp2pws.WithHTTPServerConfig(f.configureHTTP),
	}
	if f.tlsClient != nil {
		opts = append(opts, libp2pws.WithTLSClientConfig(f.tlsClient))
	}
	return libp2pws.New(&frontUpgrader{u, f}, rc, shared, opts...)
}

// configureHTTP undoes what suits a web site and not us: HTTP/2 in plain text, and
// idle connections, each of which would hold a slot of the transient scope.
func (f *front) configureHTTP(s *http.Server) {
	s.Protocols = new(http.Protocols)
	s.Protocols.SetHTTP1(true)
	s.SetKeepAlivesEnabled(false)
	s.MaxHeaderBytes = maxHTTPHeader
	s.ReadHeaderTimeout = f.handshakeTimeout
	s.ReadTimeout = f.handshakeTimeout
	s.WriteTimeout = httpWriteTimeout
}

func (f *front) serveHTTP(w http.ResponseWriter, r *http.Request) {
	f.count.http.Add(1)
	f.http.ServeHTTP(w, r)
}

// A frontUpgrader puts us at the two ends of go-libp2p's WebSocket listener: below
// it, where TCP connections come in, and above it, where WebSockets come out.
type frontUpgrader struct {
	transport.Upgrader
	front *front
}

func (u *frontUpgrader) GateMaListener(l manet.Listener) transport.GatedMaListener {
	return u.Upgrader.GateMaListener(&portListener{Listener: l, tls: u.front.tls})
}

func (u *frontUpgrader) UpgradeGatedMaListener(t transport.Transport, l transport.GatedMaListener) transport.Listener {
	ctx, cancel := context.WithCancel(context.Background())
	s := &splitListener{
		GatedMaListener: l,
		front:           u.front,
		binary:          make(chan binaryConn),
		ctx:             ctx,
		cancel:          cancel,
		done:            make(chan struct{}),
	}
	go s.run()
	return &quietListener{u.Upgrader.UpgradeGatedMaListener(t, s), ctx}
}

// A quietListener says that it is closed with the one error for which libp2p's swarm
// writes no line on stderr.
type quietListener struct {
	transport.Listener
	ctx context.Context // the splitListener's
}

func (l *quietListener) Accept() (transport.CapableConn, error) {
	c, err := l.Listener.Accept()
	if err != nil && l.ctx.Err() != nil {
		err = transport.ErrListenerClosed
	}
	return c, err
}

// A splitListener sits between go-libp2p's WebSocket listener and its upgrader. It
// reads the first message of each connection, passes the binary ones on and keeps
// those that speak text. Every connection that it keeps hangs on ctx: cancelling it
// closes them all at once.
type splitListener struct {
	// Fixed after construction.
	transport.GatedMaListener
	front  *front
	binary chan binaryConn
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{} // closed when run has ended

	conns sync.WaitGroup // one for each classify; Add only in run
}

type binaryConn struct {
	conn  *prefixedConn
	scope network.ConnManagementScope
}

// run ends when the WebSocket listener is closed; Close waits for it.
func (s *splitListener) run() {
	defer close(s.done)
	defer s.cancel()
	for {
		c, scope, err := s.GatedMaListener.Accept()
		if err != nil {
			return
		}
		ws, ok := c.(*libp2pws.Conn)
		if !ok { // no go-libp2p does this
			c.Close()
			scope.Done()
			continue
		}
		s.conns.Go(func() { s.classify(ws, scope) })
	}
}

func (s *splitListener) Accept() (manet.Conn, network.ConnManagementScope, error) {
	select {
	case b := <-s.binary:
		return b.conn, b.scope, nil
	case <-s.ctx.Done():
		return nil, nil, transport.ErrListenerClosed
	}
}

// Close closes every connection that has not been passed on to libp2p and waits for
// what serves them, AcceptText included.
func (s *splitListener) Close() error {
	s.cancel()
	err := s.GatedMaListener.Close()
	<-s.done
	s.conns.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil // go-libp2p closes the socket twice; swarm would print that
	}
	return err
}

// classify serves one WebSocket, until it is closed or passed on to libp2p. Close
// ends it by closing the connection under it, and waits for it.
func (s *splitListener) classify(ws *libp2pws.Conn, scope network.ConnManagementScope) {
	c := &TextConn{conn: ws, scope: scope, secured: isSecured(ws.NetConn().LocalAddr())}
	release := context.AfterFunc(s.ctx, func() { c.CloseWith(websocket.CloseGoingAway, "shutting down") })
	defer release()

	ws.SetReadDeadline(time.Now().Add(s.front.firstMessageTimeout))
	kind, r, err := ws.NextReader()
	if err == nil && kind == websocket.BinaryMessage {
		ws.SetReadDeadline(time.Time{}) // libp2p has deadlines of its own
		if !release() {
			c.Close() // waits for the close that has begun
			return
		}
		select {
		case s.binary <- binaryConn{&prefixedConn{Conn: ws, first: r, secured: c.secured}, scope}:
			s.front.count.libp2p.Add(1)
		case <-s.ctx.Done():
			c.CloseWith(websocket.CloseGoingAway, "shutting down")
		}
		return
	}
	if err == nil {
		err = s.front.admit(c, r)
	}
	if err == nil {
		s.front.count.text.Add(1)
		s.front.acceptText(c)
		c.Close()
		return
	}
	s.front.refuse(c, err)
}

// A refusal is the reason why a text connection is turned away.
type refusal struct {
	code   int // WebSocket close code, RFC 6455, 7.4.1
	reason string
	count  func(*listenerCounters) *atomic.Uint64
}

func (r *refusal) Error() string { return r.reason }

var (
	errNoText = &refusal{websocket.CloseUnsupportedData, "this port takes no text messages",
		func(c *listenerCounters) *atomic.Uint64 { return &c.noText }}
	errSilent = &refusal{websocket.ClosePolicyViolation, "no message in time",
		func(c *listenerCounters) *atomic.Uint64 { return &c.silent }}
	errTooBig = &refusal{websocket.CloseMessageTooBig, "first message too big",
		func(c *listenerCounters) *atomic.Uint64 { return &c.tooBig }}
	errNotJSON = &refusal{websocket.CloseProtocolError, "first message is not JSON",
		func(c *listenerCounters) *atomic.Uint64 { return &c.notJSON }}
	errLimit = &refusal{websocket.CloseTryAgainLater, "not now",
		func(c *listenerCounters) *atomic.Uint64 { return &c.limit }}
)

// admit reads the first text message and moves the connection out of the transient
// scope. On success c is ready for AcceptText.
func (f *front) admit(c *TextConn, r io.Reader) error {
	if f.acceptText == nil {
		return errNoText
	}
	// Not gorilla's read limit: that one sends a close frame of its own.
	first, err := io.ReadAll(io.LimitReader(r, maxFirstMessage+1))
	switch {
	case err != nil:
		return err
	case len(first) > maxFirstMessage:
		return errTooBig
	case !json.Valid(first):
		return errNotJSON
	}
	// A legacy peer proves no key, but the resource manager counts by peer id, and
	// allows one peer 8 inbound connections: each gets an id that nobody else has.
	id := pseudoPeer(f.count.pseudo.Add(1))
	if f.gater != nil && !f.gater.InterceptSecured(network.DirInbound, id, c.conn) {
		return errLimit
	}
	if err := c.scope.SetPeer(id); err != nil {
		return errLimit
	}
	c.first = first
	c.conn.SetReadDeadline(time.Time{})
	c.conn.SetReadLimit(maxTextMessage)
	return nil
}

// refuse counts the reason, tells it to the peer and closes the connection.
func (f *front) refuse(c *TextConn, err error) {
	// gorilla hides os.ErrDeadlineExceeded from errors.Is.
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		err = errSilent
	}
	var why *refusal
	if !errors.As(err, &why) {
		// It left, or broke WebSocket's own rules: gorilla has told it so.
		f.count.left.Add(1)
		c.Close()
		return
	}
	why.count(&f.count).Add(1)
	c.writeClose(why.code, why.reason)
	c.conn.SetReadDeadline(time.Now().Add(refuseLinger))
	for {
		if _, _, err := c.conn.NextReader(); err != nil {
			break // the peer's close frame, or its silence
		}
	}
	c.Close()
}

// pseudoPeer gives the peer id under which the resource manager counts the n-th
// legacy connection. It is an identity multihash, which no peer with a key of any
// supported type can have at this length.
func pseudoPeer(n uint64) peer.ID {
	const size = 8
	return peer.ID(binary.BigEndian.AppendUint64([]byte{0x00, size}, n))
}

// A prefixedConn gives back the first binary message, then reads on.
type prefixedConn struct {
	*libp2pws.Conn
	secured bool

	mu    sync.Mutex // held while reading first; a Close unblocks the read
	first io.Reader  // nil once it is read
}

func (c *prefixedConn) Read(b []byte) (int, error) {
	c.mu.Lock()
	if c.first == nil {
		c.mu.Unlock()
		return c.Conn.Read(b)
	}
	n, err := c.first.Read(b)
	if err == io.EOF {
		c.first, err = nil, nil
	}
	c.mu.Unlock()
	if n == 0 && err == nil && len(b) > 0 {
		return c.Read(b)
	}
	return n, err
}

func (c *prefixedConn) LocalMultiaddr() ma.Multiaddr {
	return addrOver(c.Conn.LocalMultiaddr(), c.secured)
}

func (c *prefixedConn) RemoteMultiaddr() ma.Multiaddr {
	return addrOver(c.Conn.RemoteMultiaddr(), c.secured)
}

func addrOver(a ma.Multiaddr, secured bool) ma.Multiaddr {
	if secured {
		return securedAddr(a)
	}
	return a
}

// A TextConn is an inbound WebSocket whose client spoke text first, and so is a
// legacy peer. It lives until Close, until AcceptText returns, or until the host is
// closed, whichever is first.
type TextConn struct {
	// Fixed before AcceptText is called.
	conn    *libp2pws.Conn
	scope   network.ConnManagementScope
	secured bool
	first   []byte

	closeOnce sync.Once
	closeErr  error
}

// First gives the first message, at most 4 KiB of valid JSON. It has been read
// already: the next read gives the second one.
func (c *TextConn) First() []byte { return c.first }

// WebSocket gives the connection to read from and write to. It has no deadlines and
// a read limit of 1 MiB. To close it call the TextConn's own methods: they alone
// give back what the resource manager counts.
func (c *TextConn) WebSocket() *websocket.Conn { return c.conn.Conn }

// RemoteAddr gives the TCP address of the peer, or of the proxy before it.
func (c *TextConn) RemoteAddr() net.Addr { return c.conn.Conn.RemoteAddr() }

// RemoteMultiaddr gives the same as a multiaddr that ends in /ws or /tls/ws.
func (c *TextConn) RemoteMultiaddr() ma.Multiaddr {
	return addrOver(c.conn.RemoteMultiaddr(), c.secured)
}

// Close sends a normal close frame (1000) and closes the connection. A blocked read
// or write returns at once. It may be called any number of times, from anywhere.
func (c *TextConn) Close() error { return c.CloseWith(websocket.CloseNormalClosure, "") }

// CloseWith is Close with another close code and a reason of at most 123 bytes. Only
// the first call of Close or CloseWith has an effect; all wait for it and give its
// error.
func (c *TextConn) CloseWith(code int, reason string) error {
	c.closeOnce.Do(func() {
		c.writeClose(code, reason)
		c.closeErr = c.conn.Conn.Close()
		c.scope.Done()
	})
	return c.closeErr
}

// writeClose does its best: the peer may be gone, or a close frame sent already.
func (c *TextConn) writeClose(code int, reason string) {
	c.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(closeFrameTimeout))
}

// listenerCounters count what came in at the port since the host was made.
type listenerCounters struct {
	pseudo atomic.Uint64 // the last number that pseudoPeer was given

	libp2p, text, http                           atomic.Uint64
	noText, silent, tooBig, notJSON, limit, left atomic.Uint64
}

// ListenerStats tells what came in at the port since the host was made.
type ListenerStats struct {
	LibP2P uint64 // WebSockets passed on to libp2p
	Text   uint64 // WebSockets passed on to AcceptText
	HTTP   uint64 // plain HTTP requests

	// WebSockets that were closed, by reason.
	RefusedNoText  uint64 // text, and nobody takes it (1003)
	RefusedSilent  uint64 // no first message within 10 s (1008)
	RefusedTooBig  uint64 // first text message over 4 KiB (1009)
	RefusedNotJSON uint64 // first text message is not JSON (1002)
	RefusedLimit   uint64 // the resource manager or the connection gater says no (1013)
	Left           uint64 // the client left, or broke WebSocket's rules, before its first message
}

func (f *front) stats() ListenerStats {
	c := &f.count
	return ListenerStats{
		LibP2P:         c.libp2p.Load(),
		Text:           c.text.Load(),
		HTTP:           c.http.Load(),
		RefusedNoText:  c.noText.Load(),
		RefusedSilent:  c.silent.Load(),
		RefusedTooBig:  c.tooBig.Load(),
		RefusedNotJSON: c.notJSON.Load(),
		RefusedLimit:   c.limit.Load(),
		Left:           c.left.Load(),
	}
}
