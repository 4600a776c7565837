package stream

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/quic-go/quic-go"

	"github.com/peer-relay/peer-relay/node/internal/certificate"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/packet"
)

// Port is the datagram port of the streams ("PR" in ASCII).
const Port = 'P'<<8 | 'R'

// The limits of streams.
const (
	maxStreams  = 256  // open streams that the peer opened, on one session
	maxBacklog  = 1024 // streams that wait for Accept; more than one peer can open
	maxSessions = 512  // sessions that others opened, or are opening
	maxOfPeer   = 3    // of those, sessions of one proved peer; one more ends its oldest
	maxOpening  = 8    // of those, sessions from one id, which is not proved while they open
	fewSessions = 64   // sessions from which on the opener must show that it receives what is sent to its id
	fewOpening  = 2    // of those, sessions from one id from which on it must

	streamWindow  = 4 << 20 // bytes in flight or unread of a stream, at most; starts at 512 KiB
	sessionWindow = 8 << 20 // bytes in flight or unread of a session, at most; starts at 512 KiB
	packetSize    = 1452    // bytes of a packet; the most that quic-go allows

	handshakeTimeout = 10 * time.Second // for each step of opening a stream
	keepAlive        = 10 * time.Second // between packets of an idle session
	silence          = 30 * time.Second // after which a peer that sends nothing counts as gone
	idleTime         = 30 * time.Second // after which a session without streams is closed
)

// alpn keeps sessions apart from other uses of libp2p's certificates.
const alpn = "peer-relay-stream/1"

// The reasons for which a stream or a session is ended.
const (
	codeDone      = 0 // no error: closed by the application, or idle
	codeRefused   = 1 // too many streams wait for Accept, or the peer has too many sessions
	codeInvalid   = 2 // the other side broke the protocol
	codeNoService = 3 // there is no listener for the service
)

// Options are the options of an Endpoint.
type Options struct {
	// ID is the id of this peer.
	ID protocol.ID

	// Key is the private key whose peer id hashes to ID. nil means that streams cannot be used.
	Key crypto.PrivKey

	// Open returns the datagram socket. It is called once, on first use. The addresses of the
	// socket are of type packet.Addr. The Endpoint closes it.
	Open func() (net.PacketConn, error)

	// Logger gets at debug level why a session was refused. It is not nil.
	Logger *slog.Logger
}

// An Endpoint opens and accepts the streams of one peer.
type Endpoint struct {
	opts   Options
	ctx    context.Context // done when the endpoint closes
	cancel context.CancelFunc

	// Fixed by the first use.
	socket    *socket
	transport *quic.Transport
	identity  *libp2ptls.Identity
	config    *quic.Config

	incoming crowd
	tasks    sync.WaitGroup

	mu        sync.Mutex
	ending    bool // no stream is opened or accepted any more
	closed    bool
	listeners map[uint16]*Listener // by service
	accepted  uint64               // number of sessions that others have opened
	sessions  map[*session]struct{}
	current   map[protocol.ID]*session // the latest session, on which streams are opened
	dialing   map[protocol.ID]*dial
}

// A dial is a session that is being made.
type dial struct {
	done    chan struct{} // closed when session or err is set
	session *session
	err     error
}

// New returns an Endpoint, which the caller closes. It opens its socket on first use.
func New(o Options) *Endpoint {
	e := &Endpoint{opts: o, listeners: make(map[uint16]*Listener)}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e
}

// Listen accepts the streams that others open to a service of this peer. A service is a number
// that both sides agree on, like a TCP port, and has one listener. For a second listener the
// error matches syscall.EADDRINUSE, and also if a datagram socket has [Port].
func (e *Endpoint) Listen(service uint16) (*Listener, error) {
	l, err := e.listen(service)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: e.addr(service), Err: err}
	}
	return l, nil
}

// Dial opens a stream to a service of a peer. All streams to a peer share one session.
//
// It returns when the other peer has the stream for its listener to accept. The context ends
// the call and not the stream. Dial waits while 256 streams that this peer has opened to the
// other one are open. The errors are *net.OpError. They match syscall.ECONNREFUSED if the other
// peer has no listener for the service or too many streams wait for it, syscall.ETIMEDOUT if
// nothing answers, which takes 10 to 20 seconds, ErrWrongPeer, and net.ErrClosed after Close.
func (e *Endpoint) Dial(ctx context.Context, id protocol.ID, service uint16) (*Conn, error) {
	c, err := e.dial(ctx, id, service)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Source: e.addr(0), Addr: packet.Addr{ID: id, Port: service}, Err: err}
	}
	return c, nil
}

// socketOf returns the address of the datagram socket of a peer.
func socketOf(id protocol.ID) packet.Addr { return packet.Addr{ID: id, Port: Port} }

// addr returns the address of a service of this peer.
func (e *Endpoint) addr(service uint16) packet.Addr {
	return packet.Addr{ID: e.opts.ID, Port: service}
}

// start opens the socket on first use; e.mu is held.
func (e *Endpoint) start() error {
	switch {
	case e.closed || e.ending:
		return net.ErrClosed
	case e.transport != nil:
		return nil
	case e.opts.Key == nil:
		return errNoKey
	}
	identity, err := libp2ptls.NewIdentity(e.opts.Key, certificate.Timeless())
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	secret, err := e.opts.Key.Raw()
	if err != nil {
		return fmt.Errorf("private key: %w", err)
	}
	// The key is the same after a restart, so that peers learn at once that their sessions are
	// gone.
	reset, err := hkdf.Key(sha256.New, secret, nil, "peer-relay stateless reset", len(quic.StatelessResetKey{}))
	if err != nil {
		return fmt.Errorf("reset key: %w", err)
	}
	datagrams, err := e.opts.Open()
	if err != nil {
		return err
	}
	socket := newSocket(datagrams)
	e.identity, e.socket = identity, socket
	e.config = &quic.Config{
		HandshakeIdleTimeout: handshakeTimeout, MaxIdleTimeout: silence, KeepAlivePeriod: keepAlive,
		MaxStreamReceiveWindow: streamWindow, MaxConnectionReceiveWindow: sessionWindow,
		MaxIncomingStreams: maxStreams, MaxIncomingUniStreams: -1,
		InitialPacketSize: packetSize, DisablePathMTUDiscovery: true,
	}
	e.transport = &quic.Transport{
		Conn:                socket,
		StatelessResetKey:   (*quic.StatelessResetKey)(reset),
		VerifySourceAddress: e.incoming.many,
		ConnContext: func(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
			if !e.incoming.enter(info.RemoteAddr) {
				return nil, errors.New("too many sessions")
			}
			context.AfterFunc(ctx, func() { e.incoming.leave(info.RemoteAddr) })
			return ctx, nil
		},
	}
	// Also without a listener, so that a peer that opens a stream is refused at once.
	ql, err := e.transport.Listen(e.tls(protocol.ID{}), e.config)
	if err != nil {
		e.transport = nil
		return errors.Join(err, socket.Close())
	}
	e.sessions = make(map[*session]struct{})
	e.current = make(map[protocol.ID]*session)
	e.dialing = make(map[protocol.ID]*dial)
	e.tasks.Go(socket.send)             // ends when Close closes the socket
	e.tasks.Go(func() { e.accept(ql) }) // ends when Close closes the transport
	return nil
}

// tls returns the configuration of a handshake with one peer. The zero id means any peer.
func (e *Endpoint) tls(want protocol.ID) *tls.Config {
	conf, _ := e.identity.ConfigForPeer("")
	conf.NextProtos = []string{alpn}
	// libp2p's own check works for one handshake only, and compares a whole peer id.
	conf.VerifyPeerCertificate = nil
	conf.VerifyConnection = func(state tls.ConnectionState) error {
		p, err := certifiedPeer(state.PeerCertificates)
		if err != nil {
			return err
		}
		if id := protocol.HashID([]byte(p)); want != (protocol.ID{}) && id != want {
			return fmt.Errorf("%w: %v", ErrWrongPeer, id)
		}
		return nil
	}
	return conf
}

// certifiedPeer returns the peer that a certificate belongs to.
func certifiedPeer(chain []*x509.Certificate) (peer.ID, error) {
	key, err := libp2ptls.PubKeyFromCertChain(chain)
	if err != nil {
		return "", err
	}
	return peer.IDFromPublicKey(key)
}

func (e *Endpoint) listen(service uint16) (*Listener, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.start(); err != nil {
		return nil, err
	}
	if e.listeners[service] != nil {
		return nil, fmt.Errorf("the service already has a listener: %w", syscall.EADDRINUSE)
	}
	l := &Listener{endpoint: e, service: service, backlog: make(chan *Conn, maxBacklog), done: make(chan struct{})}
	e.listeners[service] = l
	return l, nil
}

// accept adds incoming sessions until the transport is closed.
func (e *Endpoint) accept(ql *quic.Listener) {
	for {
		conn, err := ql.Accept(context.Background())
		if err != nil {
			return
		}
		// A peer that proves one id and sends from another is an attacker.
		if _, err := e.add(conn, true); err != nil {
			e.opts.Logger.Debug("no streams", "from", conn.RemoteAddr(), "err", err)
			conn.CloseWithError(codeInvalid, "")
		}
	}
}

// add puts a session into use. An accepted session must come from the address of its peer. A
// dialled one was checked in the handshake.
func (e *Endpoint) add(conn *quic.Conn, accepted bool) (*session, error) {
	peerID, err := certifiedPeer(conn.ConnectionState().TLS.PeerCertificates)
	if err != nil {
		return nil, err
	}
	s := &session{endpoint: e, conn: conn, id: protocol.HashID([]byte(peerID)), peerID: peerID, accepted: accepted, conns: make(map[*Conn]struct{})}
	if from, ok := conn.RemoteAddr().(packet.Addr); accepted && (!ok || from.ID != s.id) {
		return nil, fmt.Errorf("%w: %v", ErrWrongPeer, s.id)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, net.ErrClosed
	}
	if accepted {
		e.trim(s.id)
		s.number = e.accepted
		e.accepted++
	}
	e.sessions[s] = struct{}{}
	e.current[s.id] = s // an older one may be from before a restart of the peer
	s.idle = time.AfterFunc(idleTime, s.onIdle)
	e.tasks.Go(s.serve) // ends with the session, which Close closes
	return s, nil
}

// trim makes room for a session that a peer opened; e.mu is held.
func (e *Endpoint) trim(id protocol.ID) {
	var oldest *session
	n := 0
	for s := range e.sessions {
		if s.id != id || !s.accepted {
			continue
		}
		if n++; oldest == nil || s.number < oldest.number {
			oldest = s
		}
	}
	if n >= maxOfPeer {
		oldest.remove()
		e.tasks.Go(func() { oldest.conn.CloseWithError(codeRefused, "too many sessions") })
	}
}

func (e *Endpoint) dial(ctx context.Context, id protocol.ID, service uint16) (*Conn, error) {
	if id == (protocol.ID{}) {
		return nil, &net.AddrError{Err: "no peer has the zero id", Addr: id.String()}
	}
	for {
		s, fresh, err := e.session(ctx, id)
		if err != nil {
			return nil, err
		}
		c, ended, err := s.open(ctx, service)
		if !ended || fresh { // an older one may have been ending
			return c, err
		}
		e.mu.Lock()
		s.remove()
		e.mu.Unlock()
	}
}

// session returns the session with a peer, and whether it is a new one.
func (e *Endpoint) session(ctx context.Context, id protocol.ID) (s *session, fresh bool, err error) {
	e.mu.Lock()
	if err := e.start(); err != nil {
		e.mu.Unlock()
		return nil, false, err
	}
	if s := e.current[id]; s != nil {
		e.mu.Unlock()
		return s, false, nil
	}
	d := e.dialing[id]
	if d == nil {
		d = &dial{done: make(chan struct{})}
		e.dialing[id] = d
		// Not with the caller's context, since other callers may wait for it too. It ends by
		// itself, or when Close closes the transport.
		e.tasks.Go(func() {
			d.session, d.err = e.connect(socketOf(id), id)
			e.mu.Lock()
			delete(e.dialing, id)
			e.mu.Unlock()
			close(d.done)
		})
	}
	e.mu.Unlock()
	select {
	case <-d.done:
		return d.session, true, d.err
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
}

// connect opens a session with the peer at an address, which must prove to be want.
func (e *Endpoint) connect(to packet.Addr, want protocol.ID) (*session, error) {
	conn, err := e.transport.Dial(e.ctx, to, e.tls(want), e.config)
	if err != nil {
		if e.ctx.Err() != nil {
			return nil, net.ErrClosed
		}
		return nil, connError(err)
	}
	s, err := e.add(conn, false)
	if err != nil {
		conn.CloseWithError(codeDone, "")
	}
	return s, err
}

// Close ends all streams and waits for the endpoint's goroutines. It may be called again. Data
// that was written to streams before, and has not arrived, is lost. See [Endpoint.Shutdown].
func (e *Endpoint) Close() error {
	e.mu.Lock()
	e.closed = true
	transport := e.transport
	listeners := slices.Collect(maps.Values(e.listeners))
	sessions := make([]*session, 0, len(e.sessions))
	for s := range e.sessions {
		s.idle.Stop()
		if !e.ending || s.unsure == 0 {
			sessions = append(sessions, s)
		} // otherwise the end of the session would discard what the other side has not read yet
	}
	e.mu.Unlock()
	e.cancel()
	for _, l := range listeners {
		l.Close()
	}
	for _, s := range sessions {
		s.conn.CloseWithError(codeDone, "the node closes")
	}
	var err error
	if transport != nil {
		transport.Close()
		err = e.socket.Close()
	}
	e.tasks.Wait()
	return err
}
