package port

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/transport/tcpreuse"
	libp2pws "github.com/libp2p/go-libp2p/p2p/transport/websocket"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	// handshakeTimeout is the time limit from the TCP connection to the end of the HTTP
	// request, TLS included.
	handshakeTimeout = 10 * time.Second
	// firstMessageTimeout is the time limit from the upgrade to the end of the first message.
	firstMessageTimeout = 10 * time.Second
	// httpWriteTimeout is the time limit of sending the answer to a plain request.
	httpWriteTimeout = 10 * time.Second
	// maxHTTPHeader is the largest size of a request's header in bytes.
	maxHTTPHeader = 16 << 10
)

// A front is the shared part of all listeners of a host.
type front struct {
	opts      Options // with its defaults
	count     counters
	refused   *refusals
	listeners sync.Map // the portListeners that have no splitListener yet, by the text of their addresses
}

func newFront(o Options) *front {
	if o.TLS != nil {
		o.TLS = o.TLS.Clone()
		// gorilla/websocket upgrades only HTTP/1.1 connections.
		o.TLS.NextProtos = []string{"http/1.1"}
	}
	if o.HTTP == nil {
		o.HTTP = http.NotFoundHandler()
	}
	if o.HandshakeTimeout == 0 {
		o.HandshakeTimeout = handshakeTimeout
	}
	if o.FirstMessageTimeout == 0 {
		o.FirstMessageTimeout = firstMessageTimeout
	}
	return &front{opts: o, refused: newRefusals()}
}

// A webSocket is go-libp2p's WebSocket transport, but it keeps the name in an address. So a
// proxy that chooses its site by name gets the name. go-libp2p sends it only over TLS.
type webSocket struct {
	*libp2pws.WebsocketTransport
	gated bool
}

// SkipResolve implements transport.SkipResolver. It reports whether the name in an address is
// left to the dial, which resolves the name and sends it. A connection gater checks addresses
// and not names, so with a gater every name is resolved first.
func (t *webSocket) SkipResolve(_ context.Context, a ma.Multiaddr) bool {
	if t.gated || !t.CanDial(a) {
		return false
	}
	named := false
	for _, c := range a {
		switch c.Protocol().Code {
		case ma.P_DNS, ma.P_DNS4, ma.P_DNS6:
			named = true
		case ma.P_TLS, ma.P_WSS:
			return false
		}
	}
	return named
}

// Listen implements transport.Transport.
func (t *webSocket) Listen(a ma.Multiaddr) (transport.Listener, error) {
	l, err := t.WebsocketTransport.Listen(a)
	if err != nil {
		return nil, err
	}
	return namingListener{l}, nil
}

// A namingListener says which of its connections are over plain TCP. go-libp2p takes all of them for
// WebSockets.
type namingListener struct{ transport.Listener }

func (l namingListener) Accept() (transport.CapableConn, error) {
	c, err := l.Listener.Accept()
	if err == nil && CostOf(c.LocalMultiaddr()) == costTCP {
		c = tcpConn{c}
	}
	return c, err
}

type tcpConn struct{ transport.CapableConn }

func (c tcpConn) ConnState() network.ConnectionState {
	s := c.CapableConn.ConnState()
	s.Transport = "tcp"
	return s
}

// transport is a constructor for libp2p.Transport.
func (f *front) transport(u transport.Upgrader, rc network.ResourceManager, shared *tcpreuse.ConnMgr) (*webSocket, error) {
	opts := []libp2pws.Option{
		libp2pws.WithHandshakeTimeout(max(f.opts.HandshakeTimeout, upgradeTimeout)),
		libp2pws.WithHTTPHandler(http.HandlerFunc(f.serveHTTP)),
		libp2pws.WithHTTPServerConfig(f.configureHTTP),
	}
	if f.opts.TLSClient != nil {
		opts = append(opts, libp2pws.WithTLSClientConfig(f.opts.TLSClient))
	}
	t, err := libp2pws.New(&frontUpgrader{u, f, rc}, rc, shared, opts...)
	return &webSocket{t, f.opts.Gater != nil}, err
}

// configureHTTP turns off two things that suit a web site and not a relay: HTTP/2 in plain
// text, and idle connections, each of which would hold a slot of the transient scope.
func (f *front) configureHTTP(s *http.Server) {
	s.Protocols = new(http.Protocols)
	s.Protocols.SetHTTP1(true)
	s.SetKeepAlivesEnabled(false)
	s.MaxHeaderBytes = maxHTTPHeader
	s.ReadHeaderTimeout = f.opts.HandshakeTimeout
	s.ReadTimeout = f.opts.HandshakeTimeout
	s.WriteTimeout = httpWriteTimeout
}

func (f *front) serveHTTP(w http.ResponseWriter, r *http.Request) {
	f.count.http.Add(1)
	f.opts.HTTP.ServeHTTP(w, r)
}

// A frontUpgrader wraps both ends of go-libp2p's WebSocket listener: below it, where TCP
// connections arrive, and above it, where WebSockets leave. libp2p connections over plain TCP go by
// without that listener.
type frontUpgrader struct {
	transport.Upgrader
	front     *front
	resources network.ResourceManager
}

func (u *frontUpgrader) GateMaListener(l manet.Listener) transport.GatedMaListener {
	p := &portListener{Listener: l, tls: u.front.opts.TLS}
	u.front.listeners.Store(p.Multiaddr().String(), p)
	return newGate(p, u.front, u.resources)
}

func (u *frontUpgrader) UpgradeGatedMaListener(t transport.Transport, l transport.GatedMaListener) transport.Listener {
	ctx, cancel := context.WithCancel(context.Background())
	s := &splitListener{
		GatedMaListener: l,
		front:           u.front,
		libp2p:          make(chan libp2pConn),
		ctx:             ctx,
		cancel:          cancel,
		done:            make(chan struct{}),
	}
	under, _ := ma.SplitLast(l.Multiaddr()) // without /ws
	if p, ok := u.front.listeners.LoadAndDelete(under.String()); ok {
		p.(*portListener).split.Store(s)
	}
	go s.run()
	return &quietListener{u.Upgrader.UpgradeGatedMaListener(t, s), ctx}
}

// A quietListener reports its end with the only error for which libp2p's swarm writes no line
// on stderr.
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
