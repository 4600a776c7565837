package node

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/quic-go/quic-go"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/packet"
)

// Streams are QUIC over a datagram socket, one QUIC connection for all streams between
// two peers. Both present the certificate of libp2p's TLS handshake, so that each knows
// the other's key, and by that its id. SPEC.md describes the rest, under "Streams": the
// header of a stream and its answer, and the question whether a connection is idle.

// StreamPort is the datagram port by which nodes have streams ("PR" in ASCII).
const StreamPort = 'P'<<8 | 'R'

// The limits of streams.
const (
	maxStreams       = 256  // that a peer may have opened to us at a time
	maxStreamBacklog = 1024 // that wait for Accept: more than one peer can bring
	maxStreamPeers   = 512  // connections that others opened, or are opening
	maxStreamConns   = 3    // of those, by one peer, once it is proved; one more ends its oldest
	maxStreamsOpened = 8    // those by one id, whose they may not be as long as they are opening
	fewStreamPeers   = 64   // from so many on, who opens one has to show first that it gets what is sent to its id,
	fewStreamsOpened = 2    // and from so many of the id on

	streamWindow     = 4 << 20 // most bytes on their way or unread, of a stream,
	streamConnWindow = 8 << 20 // and of all streams with one peer; both start at 512 KiB
	streamPacketSize = 1452    // bytes of a packet: the most that quic-go can do

	streamHandshake = 10 * time.Second // within which a peer must answer each step of opening a stream
	streamKeepAlive = 10 * time.Second
	streamSilence   = 30 * time.Second // after which a peer that says nothing is gone
	streamIdle      = 30 * time.Second // after which a connection is closed on which neither side has a stream
)

// How a stream begins. The header is longer than there is use for, because a peer that
// has started anew says so, by a stateless reset, to packets of more than 42 bytes alone.
const (
	streamVersion = 1
	streamHeader  = 32

	forData = 0 // a stream for who accepts
	forIdle = 1 // the question whether the connection may be closed
)

// streamALPN keeps these connections apart from what else libp2p's certificates are for.
const streamALPN = "peer-relay-stream/1"

// Why a stream or a connection was ended.
const (
	streamDone    = 0 // in order: closed by the application, or idle
	streamRefused = 1 // nobody accepts, too many wait for it, or the peer has too many connections
	streamBad     = 2 // the other side broke the rules
)

// ErrWrongPeer is matched by the error of DialStream when who answers cannot prove to be
// the peer that was dialled.
var ErrWrongPeer = errors.New("node: another peer answers")

// errPeerSilent is syscall.ETIMEDOUT, as which it counts as a timeout of package net.
var errPeerSilent error = silentError{fmt.Errorf("the peer says nothing: %w", syscall.ETIMEDOUT)}

type silentError struct{ error }

func (e silentError) Unwrap() error { return e.error }
func (silentError) Timeout() bool   { return true }

var errNoStreamKey = errors.New("node: the host does not give its private key, which streams need")

// A StreamListener accepts streams. It is a net.Listener.
type StreamListener struct {
	streams *streams
	backlog chan *StreamConn
	done    chan struct{} // closed by Close

	reserved int // places in backlog for streams that are being answered; guarded by streams.mu
}

var _ net.Listener = (*StreamListener)(nil)

// streams is the part of a node that has streams. The zero value with its node works.
type streams struct {
	node *Node

	// Fixed by the first use.
	socket    *streamSocket
	transport *quic.Transport
	identity  *libp2ptls.Identity
	config    *quic.Config

	incoming crowd
	tasks    sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	listener *StreamListener // nil: nobody accepts
	accepted uint64          // connections that others opened so far
	peers    map[*streamPeer]struct{}
	current  map[protocol.ID]*streamPeer // on which to open streams: the latest
	dialing  map[protocol.ID]*streamDial
}

// A crowd counts the connections that others opened, or are opening. The zero value works.
type crowd struct {
	mu  sync.Mutex
	all int
	of  map[protocol.ID]int // none is 0
}

func idOf(addr net.Addr) protocol.ID { return addr.(packet.Addr).ID } // a PacketConn gives no others

// many reports whether who opens a connection from this address has to show that it gets
// what is sent there. Who cannot must not use up what the id may have.
func (c *crowd) many(from net.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all >= fewStreamPeers || c.of[idOf(from)] >= fewStreamsOpened
}

// enter counts a connection, unless there are too many.
func (c *crowd) enter(from net.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := idOf(from)
	if c.all >= maxStreamPeers || c.of[id] >= maxStreamsOpened {
		return false
	}
	if c.of == nil {
		c.of = make(map[protocol.ID]int)
	}
	c.all++
	c.of[id]++
	return true
}

// leave is the end of a connection that enter counted.
func (c *crowd) leave(from net.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := idOf(from)
	c.all--
	if c.of[id]--; c.of[id] == 0 {
		delete(c.of, id)
	}
}

// A streamPeer is a QUIC connection with a peer.
type streamPeer struct {
	streams *streams
	conn    *quic.Conn
	id      protocol.ID
	peerID  peer.ID

	accepted bool   // the peer opened it,
	number   uint64 // after so many others; fixed by add

	// Guarded by streams.mu.
	open int
	idle *time.Timer
}

// A streamDial is a connection that is being made.
type streamDial struct {
	done chan struct{} // closed when peer or err is set
	peer *streamPeer
	err  error
}

// Listen accepts the streams that other nodes open to this one. There is one listener
// at a time; with another the error matches syscall.EADDRINUSE, as it does when a socket
// has [StreamPort].
func (n *Node) Listen() (*StreamListener, error) {
	s := &n.streams
	l, err := s.listen()
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: streamNetwork, Addr: s.local(), Err: err}
	}
	return l, nil
}

// DialStream opens a stream to a node that accepts them, over as many hops as it takes.
// It is reliable and ordered, and encrypted from end to end: relays see the ids of both
// ends, and when how much is sent. All streams to a node share one connection.
//
// It returns when the other node has the stream for its listener to accept. The context
// ends the call and not the stream. While there are 256 streams that this node has opened
// to the other and that either has not closed, it waits. The errors are *net.OpError; they
// match syscall.ECONNREFUSED if nobody accepts there, or too many wait, syscall.ETIMEDOUT
// if nobody answers, which takes 10 to 20 seconds and is also what an id does that no node
// has, or one that never called Listen or DialStream, ErrWrongPeer, and net.ErrClosed after
// Close.
func (n *Node) DialStream(ctx context.Context, id protocol.ID) (*StreamConn, error) {
	s := &n.streams
	c, err := s.dial(ctx, id)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: streamNetwork, Source: s.local(), Addr: streamAddr(id), Err: err}
	}
	return c, nil
}

// Accept implements net.Listener. It gives a *StreamConn.
func (l *StreamListener) Accept() (net.Conn, error) {
	c, err := l.AcceptStream()
	if err != nil {
		return nil, err // and no net.Conn that holds a nil
	}
	return c, nil
}

// AcceptStream waits for a stream.
func (l *StreamListener) AcceptStream() (*StreamConn, error) {
	select {
	case <-l.done:
	case c := <-l.backlog:
		return c, nil
	}
	return nil, l.failed("accept")
}

// Close implements net.Listener. Streams that wait for Accept are reset, those that were
// accepted go on.
func (l *StreamListener) Close() error {
	s := l.streams
	s.mu.Lock()
	if s.listener != l {
		s.mu.Unlock()
		return l.failed("close")
	}
	s.listener = nil
	close(l.done)
	s.mu.Unlock() // nothing is put into the backlog any more
	for {
		select {
		case c := <-l.backlog:
			c.reset(streamRefused)
		default:
			return nil
		}
	}
}

// Addr implements net.Listener. It gives a packet.Addr.
func (l *StreamListener) Addr() net.Addr { return l.streams.local() }

func (l *StreamListener) failed(op string) error {
	return &net.OpError{Op: op, Net: streamNetwork, Addr: l.Addr(), Err: net.ErrClosed}
}

func streamAddr(id protocol.ID) packet.Addr { return packet.Addr{ID: id, Port: StreamPort} }

func (s *streams) local() packet.Addr { return streamAddr(s.node.ID()) }

// --- the connection

// start opens the socket on first use; s.mu is held.
func (s *streams) start() error {
	switch {
	case s.closed:
		return net.ErrClosed
	case s.transport != nil:
		return nil
	case s.node.key == nil:
		return errNoStreamKey
	}
	identity, err := libp2ptls.NewIdentity(s.node.key)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	secret, err := s.node.key.Raw()
	if err != nil {
		return fmt.Errorf("private key: %w", err)
	}
	// The same after a restart, so that peers learn at once that their connections are gone.
	reset, err := hkdf.Key(sha256.New, secret, nil, "peer-relay stateless reset", len(quic.StatelessResetKey{}))
	if err != nil {
		return fmt.Errorf("reset key: %w", err)
	}
	datagrams, err := s.node.ListenPacket(StreamPort)
	if err != nil {
		return err
	}
	socket := newStreamSocket(datagrams)
	s.identity, s.socket = identity, socket
	s.config = &quic.Config{
		HandshakeIdleTimeout: streamHandshake, MaxIdleTimeout: streamSilence, KeepAlivePeriod: streamKeepAlive,
		MaxStreamReceiveWindow: streamWindow, MaxConnectionReceiveWindow: streamConnWindow,
		MaxIncomingStreams: maxStreams, MaxIncomingUniStreams: -1,
		InitialPacketSize: streamPacketSize, DisablePathMTUDiscovery: true,
	}
	s.transport = &quic.Transport{
		Conn:                socket,
		StatelessResetKey:   (*quic.StatelessResetKey)(reset),
		VerifySourceAddress: s.incoming.many,
		ConnContext: func(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
			if !s.incoming.enter(info.RemoteAddr) {
				return nil, errors.New("too many connections")
			}
			context.AfterFunc(ctx, func() { s.incoming.leave(info.RemoteAddr) })
			return ctx, nil
		},
	}
	// Also when nobody accepts: who opens a stream is told so, and need not guess it.
	ql, err := s.transport.Listen(s.tls(protocol.ID{}), s.config)
	if err != nil {
		s.transport = nil
		return errors.Join(err, socket.Close())
	}
	s.peers = make(map[*streamPeer]struct{})
	s.current = make(map[protocol.ID]*streamPeer)
	s.dialing = make(map[protocol.ID]*streamDial)
	s.tasks.Go(socket.send)             // ends when close closes the socket
	s.tasks.Go(func() { s.accept(ql) }) // ends when close closes the transport
	return nil
}

// tls gives the configuration of a handshake with a peer, the zero id for any.
func (s *streams) tls(want protocol.ID) *tls.Config {
	conf, _ := s.identity.ConfigForPeer("")
	conf.NextProtos = []string{streamALPN}
	// libp2p's own check does for one handshake, and needs a whole peer id to compare with.
	conf.VerifyPeerCertificate = nil
	conf.VerifyConnection = func(state tls.ConnectionState) error {
		p, err := certifiedPeer(state.PeerCertificates)
		if err != nil {
			return err
		}
		if id := IDOf(p); want != (protocol.ID{}) && id != want {
			return fmt.Errorf("%w: %v", ErrWrongPeer, id)
		}
		return nil
	}
	return conf
}

// certifiedPeer gives the peer whose certificate this is.
func certifiedPeer(chain []*x509.Certificate) (peer.ID, error) {
	key, err := libp2ptls.PubKeyFromCertChain(chain)
	if err != nil {
		return "", err
	}
	return peer.IDFromPublicKey(key)
}

func (s *streams) listen() (*StreamListener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.start(); err != nil {
		return nil, err
	}
	if s.listener != nil {
		return nil, fmt.Errorf("somebody accepts streams already: %w", syscall.EADDRINUSE)
	}
	s.listener = &StreamListener{streams: s, backlog: make(chan *StreamConn, maxStreamBacklog), done: make(chan struct{})}
	return s.listener, nil
}

// accept takes connections until the transport is closed.
func (s *streams) accept(ql *quic.Listener) {
	for {
		conn, err := ql.Accept(context.Background())
		if err != nil {
			return
		}
		// Who can prove one id and get what is sent to another is up to something.
		if _, err := s.add(conn, true); err != nil {
			s.node.log.Debug("no streams", "from", conn.RemoteAddr(), "err", err)
			conn.CloseWithError(streamBad, "")
		}
	}
}

// add takes a connection in use. One that was accepted must come from the address of the
// peer; one that was dialled has been checked against it.
func (s *streams) add(conn *quic.Conn, accepted bool) (*streamPeer, error) {
	peerID, err := certifiedPeer(conn.ConnectionState().TLS.PeerCertificates)
	if err != nil {
		return nil, err
	}
	p := &streamPeer{streams: s, conn: conn, id: IDOf(peerID), peerID: peerID, accepted: accepted}
	if from, ok := conn.RemoteAddr().(packet.Addr); accepted && (!ok || from.ID != p.id) {
		return nil, fmt.Errorf("%w: %v", ErrWrongPeer, p.id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, net.ErrClosed
	}
	if accepted {
		s.trim(p.id)
		p.number = s.accepted
		s.accepted++
	}
	s.peers[p] = struct{}{}
	s.current[p.id] = p // the older one may be to what the peer was before it started anew
	p.idle = time.AfterFunc(streamIdle, p.onIdle)
	s.tasks.Go(p.serve)
	return p, nil
}

// trim makes room for a connection that a peer opened; s.mu is held.
func (s *streams) trim(id protocol.ID) {
	var oldest *streamPeer
	n := 0
	for p := range s.peers {
		if p.id != id || !p.accepted {
			continue
		}
		if n++; oldest == nil || p.number < oldest.number {
			oldest = p
		}
	}
	if n >= maxStreamConns {
		oldest.remove()
		s.tasks.Go(func() { oldest.conn.CloseWithError(streamRefused, "too many connections") })
	}
}

// serve takes the streams that the peer opens, until the connection ends.
func (p *streamPeer) serve() {
	s := p.streams
	for {
		stream, err := p.conn.AcceptStream(context.Background())
		if err != nil {
			break
		}
		if !p.acquire() {
			break // the connection is being closed
		}
		s.tasks.Go(func() { p.admit(stream) }) // ends after streamHandshake, or with the connection
	}
	<-p.conn.Context().Done()
	s.mu.Lock()
	p.remove()
	s.mu.Unlock()
}

// remove takes the connection out of use; s.mu is held.
func (p *streamPeer) remove() {
	s := p.streams
	p.idle.Stop()
	delete(s.peers, p)
	if s.current[p.id] == p {
		delete(s.current, p.id)
	}
}

// acquire counts a stream, unless the connection is out of use.
func (p *streamPeer) acquire() bool {
	s := p.streams
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.peers[p]; !ok {
		return false
	}
	p.open++
	p.idle.Stop()
	return true
}

// release is the end of a stream.
func (p *streamPeer) release() {
	s := p.streams
	s.mu.Lock()
	defer s.mu.Unlock()
	p.open--
	if _, ok := s.peers[p]; ok && p.open == 0 {
		p.idle.Reset(streamIdle)
	}
}

// onIdle is called when this side has had no stream for a while.
func (p *streamPeer) onIdle() {
	s := p.streams
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.idles() {
		s.tasks.Go(p.endIfIdle) // ends after streamHandshake, or with the connection
	}
}

// idles reports whether the connection is in use and this side has no stream on it; s.mu
// is held.
func (p *streamPeer) idles() bool {
	_, ok := p.streams.peers[p]
	return ok && p.open == 0 && !p.streams.closed
}

// endIfIdle closes the connection if the other side has no stream on it either: with the
// connection it would lose what it has yet to read of one that this side has closed. A
// stream that is opened at this moment is opened again on the next connection.
func (p *streamPeer) endIfIdle() {
	end := p.askIfIdle()
	s := p.streams
	s.mu.Lock()
	switch {
	case !p.idles():
		end = false
	case end:
		p.remove()
	default:
		p.idle.Reset(streamIdle)
	}
	s.mu.Unlock()
	if end {
		p.conn.CloseWithError(streamDone, "idle")
	}
}

// askIfIdle asks the other side.
func (p *streamPeer) askIfIdle() bool {
	stream, err := p.conn.OpenStream()
	if err != nil {
		return false // it has all the streams that it may have, or the connection has ended
	}
	defer stream.CancelRead(streamDone)
	defer stream.Close()
	stream.SetDeadline(time.Now().Add(streamHandshake))
	return begin(stream, forIdle) == nil
}

// begin sends the header of a stream and waits for the answer.
func begin(stream *quic.Stream, what byte) error {
	header := [streamHeader]byte{streamVersion, what}
	if _, err := stream.Write(header[:]); err != nil {
		return err
	}
	var version [1]byte
	if _, err := io.ReadFull(stream, version[:]); err != nil {
		return err
	}
	if version[0] != streamVersion {
		return fmt.Errorf("the peer speaks version %d of streams: %w", version[0], syscall.EPROTO)
	}
	return nil
}

// admit takes a stream that the peer opened.
func (p *streamPeer) admit(stream *quic.Stream) {
	s := p.streams
	c := &StreamConn{peer: p, stream: stream}
	stream.SetDeadline(time.Now().Add(streamHandshake))
	var header [streamHeader]byte
	if _, err := io.ReadFull(stream, header[:]); err != nil || header[0] != streamVersion {
		c.reset(streamBad)
		return
	}
	answer := []byte{streamVersion}
	switch header[1] {
	case forData:
		l := s.reserve()
		if l == nil {
			c.reset(streamRefused)
			return
		}
		_, err := stream.Write(answer)
		if err == nil {
			stream.SetDeadline(time.Time{})
		}
		if !s.hand(l, c, err == nil) {
			c.reset(streamRefused)
		}
	case forIdle:
		if !p.alone() {
			c.reset(streamRefused)
			return
		}
		stream.Write(answer) // an error means that it is closed already
		c.Close()
	default:
		c.reset(streamBad)
	}
}

// reserve gives the listener, with a place for a stream that waits for Accept; nil if there
// is none.
func (s *streams) reserve() *StreamListener {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.listener
	if l == nil || len(l.backlog)+l.reserved >= cap(l.backlog) {
		return nil
	}
	l.reserved++
	return l
}

// hand uses the place for a stream, or gives it back. It reports whether the stream waits
// there.
func (s *streams) hand(l *StreamListener, c *StreamConn, good bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.reserved--
	if !good || s.listener != l {
		return false
	}
	l.backlog <- c // has room
	return true
}

// alone reports whether there is one stream on the connection.
func (p *streamPeer) alone() bool {
	p.streams.mu.Lock()
	defer p.streams.mu.Unlock()
	return p.open == 1
}

// --- opening

func (s *streams) dial(ctx context.Context, id protocol.ID) (*StreamConn, error) {
	if id == (protocol.ID{}) {
		return nil, &net.AddrError{Err: "the zero id is no peer's", Addr: id.String()}
	}
	for {
		p, fresh, err := s.peer(ctx, id)
		if err != nil {
			return nil, err
		}
		c, ended, err := p.openStream(ctx)
		if !ended || fresh { // one that was there may have been about to end
			return c, err
		}
		s.mu.Lock()
		p.remove()
		s.mu.Unlock()
	}
}

// peer gives the connection with a peer, and whether it is a new one.
func (s *streams) peer(ctx context.Context, id protocol.ID) (p *streamPeer, fresh bool, err error) {
	s.mu.Lock()
	if err := s.start(); err != nil {
		s.mu.Unlock()
		return nil, false, err
	}
	if p := s.current[id]; p != nil {
		s.mu.Unlock()
		return p, false, nil
	}
	d := s.dialing[id]
	if d == nil {
		d = &streamDial{done: make(chan struct{})}
		s.dialing[id] = d
		// Not the caller's context: others may come to wait for it. It ends by itself, or
		// when close closes the transport.
		s.tasks.Go(func() {
			d.peer, d.err = s.connect(streamAddr(id), id)
			s.mu.Lock()
			delete(s.dialing, id)
			s.mu.Unlock()
			close(d.done)
		})
	}
	s.mu.Unlock()
	select {
	case <-d.done:
		return d.peer, true, d.err
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
}

// connect makes a connection with the peer at an address, which must prove to be want.
func (s *streams) connect(to packet.Addr, want protocol.ID) (*streamPeer, error) {
	conn, err := s.transport.Dial(s.node.ctx, to, s.tls(want), s.config)
	if err != nil {
		if s.node.ctx.Err() != nil {
			return nil, net.ErrClosed
		}
		return nil, connError(err)
	}
	p, err := s.add(conn, false)
	if err != nil {
		conn.CloseWithError(streamDone, "")
	}
	return p, err
}

// openStream opens a stream and waits until the peer has it. It also tells whether it
// failed because the connection has ended.
func (p *streamPeer) openStream(ctx context.Context) (c *StreamConn, ended bool, err error) {
	if !p.acquire() {
		return nil, true, net.ErrClosed
	}
	stream, err := p.conn.OpenStreamSync(ctx)
	if err != nil {
		p.release()
		if ctx.Err() != nil {
			return nil, false, ctx.Err()
		}
		return nil, true, connError(err)
	}
	c = &StreamConn{peer: p, stream: stream}
	stream.SetDeadline(time.Now().Add(p.streams.config.HandshakeIdleTimeout))
	stop := context.AfterFunc(ctx, func() { stream.SetDeadline(past) })
	err = begin(stream, forData)
	var refused *quic.StreamError
	switch {
	case !stop():
		err = ctx.Err()
	case err == nil:
		stream.SetDeadline(time.Time{})
		return c, false, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = errPeerSilent
	case errors.Is(err, syscall.EPROTO):
	default:
		ended = err != io.EOF && !errors.As(err, &refused) // which ended the stream alone
		err = connError(err)
	}
	c.reset(streamDone)
	return nil, ended, err
}

// connError puts what quic-go says in the terms of package net. Most of its errors match
// net.ErrClosed, which here says that this side closed it.
func connError(err error) error {
	var (
		app       *quic.ApplicationError
		stream    *quic.StreamError
		transport *quic.TransportError
		idle      *quic.IdleTimeoutError
		handshake *quic.HandshakeTimeoutError
	)
	switch {
	case errors.Is(err, ErrWrongPeer):
		return err
	case errors.As(err, &stream):
		if stream.Remote && stream.ErrorCode == streamRefused {
			return syscall.ECONNREFUSED
		}
	case errors.As(err, &transport) && transport.Remote && transport.ErrorCode == quic.ConnectionRefused:
		return syscall.ECONNREFUSED
	case errors.As(err, &idle), errors.As(err, &handshake):
		return errPeerSilent
	case errors.As(err, &app) && !app.Remote && app.ErrorCode == streamDone, errors.Is(err, quic.ErrTransportClosed):
		return net.ErrClosed
	}
	return fmt.Errorf("%w (%v)", syscall.ECONNRESET, err)
}

// close ends all of it and waits. The node's context is done, or will be soon.
func (s *streams) close() {
	s.mu.Lock()
	s.closed = true
	l, transport := s.listener, s.transport
	peers := make([]*streamPeer, 0, len(s.peers))
	for p := range s.peers {
		p.idle.Stop()
		peers = append(peers, p)
	}
	s.mu.Unlock()
	if l != nil {
		l.Close()
	}
	for _, p := range peers {
		p.conn.CloseWithError(streamDone, "the node closes")
	}
	if transport != nil {
		transport.Close()
		s.socket.Close()
	}
	s.tasks.Wait()
}
