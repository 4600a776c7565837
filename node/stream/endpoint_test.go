package stream

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/quic-go/quic-go"
	"golang.org/x/net/nettest"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/packet"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
)

var _ interface{ CloseWrite() error } = (*Conn)(nil) // as programs that half-close check for it

// testService is the service of streams in tests that need only one.
const testService = 7

// A testPeer is an endpoint on a router.
type testPeer struct {
	*Endpoint
	key    crypto.PrivKey
	peerID peer.ID
	router *protocol.Router
}

func (p testPeer) ID() protocol.ID { return p.router.ID() }

func newTestKey(t *testing.T) crypto.PrivKey {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// startPeer starts a peer that is linked to another one.
func startPeer(t *testing.T, n *protocoltest.Network, key crypto.PrivKey, to *protocol.Router) testPeer {
	t.Helper()
	p := testPeer{key: key}
	var err error
	if p.peerID, err = peer.IDFromPrivateKey(key); err != nil {
		t.Fatal(err)
	}
	p.router = n.Router(protocol.Options{ID: protocol.HashID([]byte(p.peerID)), NoOverlay: true})
	if to != nil {
		n.Link(p.router, to)
		nodetest.Eventually(t, "a link", func() bool { return len(p.router.Peers()) == 1 })
	}
	p.Endpoint = New(Options{
		ID: p.router.ID(), Key: key, Logger: slog.New(slog.DiscardHandler),
		Open: func() (net.PacketConn, error) { return p.router.ListenPacket(Port) },
	})
	t.Cleanup(func() { p.Close() })
	return p
}

// startRelay starts a router that only forwards.
func startRelay(t *testing.T) (*protocoltest.Network, *protocol.Router) {
	n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
	return n, n.Router(protocol.Options{ID: protocol.ID{0xff}, NoOverlay: true})
}

// overRelay starts two peers that have a link to a relay, and none to each other.
func overRelay(t *testing.T) (a, b testPeer) {
	t.Helper()
	n, relay := startRelay(t)
	return startPeer(t, n, newTestKey(t), relay), startPeer(t, n, newTestKey(t), relay)
}

func streamContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	t.Cleanup(cancel)
	return ctx
}

func listenStreams(t *testing.T, p testPeer) *Listener {
	t.Helper()
	l, err := p.Listen(testService)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// openStream returns both ends of a stream from one peer to another.
func openStream(t *testing.T, from testPeer, l *Listener) (dialled, accepted *Conn) {
	t.Helper()
	dialled, err := from.Dial(streamContext(t), l.endpoint.opts.ID, testService)
	if err != nil {
		t.Fatal(err)
	}
	if accepted, err = l.AcceptStream(); err != nil {
		t.Fatal(err)
	}
	return dialled, accepted
}

func sessions(p testPeer) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.sessions)
}

// endIdle makes ends of a connection ask whether it is idle until it is gone. On a busy machine
// one question may be too slow.
func endIdle(t *testing.T, what string, gone func() bool, ends ...*session) {
	t.Helper()
	nodetest.Eventually(t, what, func() bool {
		for _, p := range ends {
			p.endIfIdle()
		}
		return gone()
	})
}

func TestStreamsConform(t *testing.T) {
	a, b := overRelay(t)
	l := listenStreams(t, b)
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		d, err := a.Dial(t.Context(), b.ID(), testService)
		if err != nil {
			return nil, nil, nil, err
		}
		accepted, err := l.Accept()
		return d, accepted, func() { d.Close(); accepted.Close() }, err
	})
	if n := sessions(a); n != 1 {
		t.Errorf("there are %d connections for the streams of one peer", n)
	}
}

func TestStreamTellsBothEnds(t *testing.T) {
	a, b := overRelay(t)
	d, c := openStream(t, a, listenStreams(t, b))
	defer d.Close()
	defer c.Close()
	if d.RemoteID() != b.ID() || c.RemoteID() != a.ID() || c.RemotePeer() != a.peerID {
		t.Errorf("the ends are %v and %v (%v)", d.RemoteID(), c.RemoteID(), c.RemotePeer())
	}
	if want := (packet.Addr{ID: a.ID()}); c.RemoteAddr() != want || d.LocalAddr() != want {
		t.Errorf("the addresses of a are %v and %v, want %v", c.RemoteAddr(), d.LocalAddr(), want)
	}
	if want := (packet.Addr{ID: b.ID(), Port: testService}); d.RemoteAddr() != want || c.LocalAddr() != want {
		t.Errorf("the addresses of b are %v and %v, want %v", d.RemoteAddr(), c.LocalAddr(), want)
	}
	// In the other direction on the same connection.
	e, _ := openStream(t, b, listenStreams(t, a))
	defer e.Close()
	if n, m := sessions(a), sessions(b); n != 1 || m != 1 {
		t.Errorf("there are %d and %d connections, want one", n, m)
	}
}

func TestStreamHalfClose(t *testing.T) {
	a, b := overRelay(t)
	d, c := openStream(t, a, listenStreams(t, b))
	defer c.Close()
	question, answer := bytes.Repeat([]byte("?"), 100_000), []byte("answer")
	if _, err := d.Write(question); err != nil {
		t.Fatal(err)
	}
	if err := d.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Write([]byte("more")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a write after CloseWrite: %v", err)
	}
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, question) {
		t.Fatalf("read %d bytes of %d: %v", len(got), len(question), err)
	}
	if _, err := c.Write(answer); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if got, err := io.ReadAll(d); err != nil || !bytes.Equal(got, answer) {
		t.Fatalf("read %q: %v", got, err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := d.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the second Close: %v", err)
	}
	if _, err := d.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a read after Close: %v", err)
	}
	if err := d.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a deadline after Close: %v", err)
	}
}

// TestStreamReset checks that a side that closes without reading resets the other side's
// writes.
func TestStreamReset(t *testing.T) {
	a, b := overRelay(t)
	d, c := openStream(t, a, listenStreams(t, b))
	defer d.Close()
	c.Close()
	d.SetDeadline(time.Now().Add(nodetest.Patience))
	var err error
	for err == nil {
		_, err = d.Write(make([]byte, 1000))
	}
	if !errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a write to a closed stream: %v", err)
	}
}

func TestStreamDialFails(t *testing.T) {
	a, b := overRelay(t)
	ctx := streamContext(t)
	l := listenStreams(t, b)
	if _, err := b.Listen(testService); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second listener: %v", err)
	}
	waits := make(chan error, 1)
	go func() { // ends with the listener
		c, err := l.Accept()
		if c != nil {
			t.Errorf("Accept returns %v and an error", c)
		}
		waits <- err
	}()
	l.Close()
	if err := nodetest.Receive(t, "end of Accept", waits); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept ended with %v", err)
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the second Close: %v", err)
	}
	if _, err := a.Dial(ctx, b.ID(), testService); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("with the listener closed: %v", err)
	}
	if _, err := a.Dial(ctx, protocol.ID{}, testService); err == nil {
		t.Error("the zero id was dialled")
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := a.Dial(cancelled, protocol.ID{1}, testService); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled dial: %v", err)
	}
	if _, err := a.Dial(cancelled, b.ID(), testService); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled dial of a peer with a connection: %v", err)
	}
	// As if nothing had happened.
	d, c := openStream(t, a, listenStreams(t, b))
	d.Close()
	c.Close()
}

// TestStreamBeginsBadly checks that a stream with an invalid beginning is reset, without an
// effect on others.
func TestStreamBeginsBadly(t *testing.T) {
	a, b := overRelay(t)
	l := listenStreams(t, b)
	d, c := openStream(t, a, l)
	defer d.Close()
	defer c.Close()
	for what, header := range map[string][]byte{
		"another version": {0: version + 1, headerSize - 1: 0},
		"another use":     {0: version, 1: forIdle + 1, headerSize - 1: 0},
		"too little":      {version},
	} {
		stream, err := d.session.conn.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Write(header); err != nil {
			t.Fatal(err)
		}
		stream.Close()
		stream.SetReadDeadline(time.Now().Add(nodetest.Patience))
		_, err = stream.Read(make([]byte, 1))
		var reset *quic.StreamError
		if !errors.As(err, &reset) || !reset.Remote || reset.ErrorCode != codeInvalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := d.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	nodetest.Eventually(t, "the bad streams to be counted no more", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return c.session.streams == 1
	})
}

// TestStreamToOneself checks that a peer may dial itself, as it may send to itself.
func TestStreamToOneself(t *testing.T) {
	n, _ := startRelay(t)
	a := startPeer(t, n, newTestKey(t), nil)
	d, c := openStream(t, a, listenStreams(t, a))
	defer d.Close()
	defer c.Close()
	if _, err := d.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

// TestStreamDialOfWhoSaysNothing checks that a dial of a peer that is gone silently fails long
// before the connection ends.
func TestStreamDialOfWhoSaysNothing(t *testing.T) {
	a, b := overRelay(t)
	d, c := openStream(t, a, listenStreams(t, b))
	defer d.Close()
	defer c.Close()
	b.socket.Close()
	a.config.HandshakeIdleTimeout = 100 * time.Millisecond
	for who, id := range map[string]protocol.ID{"with a connection": b.ID(), "without one": {1}} {
		_, err := a.Dial(streamContext(t), id, testService)
		var timeout net.Error
		if !errors.Is(err, syscall.ETIMEDOUT) || !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("the dial of a silent peer %s: %v", who, err)
		}
	}
}

// TestStreamToWhoOnlyDials checks that a peer that only dials refuses streams at once.
func TestStreamToWhoOnlyDials(t *testing.T) {
	a, b := overRelay(t)
	d, c := openStream(t, a, listenStreams(t, b))
	d.Close()
	c.Close()
	endIdle(t, "the connection to be gone at both ends", func() bool { return sessions(a)+sessions(b) == 0 }, d.session)
	if _, err := b.Dial(streamContext(t), a.ID(), testService); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a stream to a peer without a listener: %v", err)
	}
}

func TestStreamProvesPeer(t *testing.T) {
	a, b := overRelay(t)
	l := listenStreams(t, b)
	d, c := openStream(t, a, l) // a's transport is there
	defer d.Close()
	defer c.Close()
	// Another peer has the address that is dialled.
	if _, err := a.connect(socketOf(b.ID()), protocol.ID{1}); !errors.Is(err, ErrWrongPeer) {
		t.Errorf("another peer answered: %v", err)
	}
	// A dial from an address whose id does not belong to the key.
	identity, err := libp2ptls.NewIdentity(newTestKey(t))
	if err != nil {
		t.Fatal(err)
	}
	dial := func(change func(*tls.Config)) error {
		conf := (&Endpoint{identity: identity}).tls(b.ID())
		change(conf)
		conn, err := a.transport.Dial(streamContext(t), socketOf(b.ID()), conf, a.config)
		if err != nil {
			return err
		}
		<-conn.Context().Done()
		return context.Cause(conn.Context())
	}
	var app *quic.ApplicationError
	if err := dial(func(*tls.Config) {}); !errors.As(err, &app) || !app.Remote || app.ErrorCode != codeInvalid {
		t.Errorf("a foreign key: %v", err)
	}
	var refused *quic.TransportError
	if err := dial(func(c *tls.Config) { c.Certificates = nil }); !errors.As(err, &refused) || !refused.Remote {
		t.Errorf("no key: %v", err)
	}
}

// Each end takes the certificate of the other whatever its clock shows.
func TestStreamCertificatesHoldAtAllTimes(t *testing.T) {
	a, b := overRelay(t)
	l := listenStreams(t, b)
	d, c := openStream(t, a, l)
	defer d.Close()
	defer c.Close()
	for _, end := range []*session{d.session, c.session} {
		cert := end.conn.ConnectionState().TLS.PeerCertificates[0]
		if from, to := cert.NotBefore.Year(), cert.NotAfter.Year(); from > 1970 || to < 9999 {
			t.Errorf("the certificate of %v is valid from %d to %d", end.id, from, to)
		}
	}
}
