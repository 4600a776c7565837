package node

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/quic-go/quic-go"
	"golang.org/x/net/nettest"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/packet"
)

var _ interface{ CloseWrite() error } = (*StreamConn)(nil) // as half-closing programs ask for it

// overRelay starts two nodes that listen nowhere, so that all between them goes by a relay.
func overRelay(t *testing.T) (a, b *Node) {
	t.Helper()
	relay := start(t, local(Options{}))
	var nodes [2]*Node
	for i := range nodes {
		o, _, peers := inboxOf(Options{Bootstraps: []string{relay.Addrs()[0].String()}})
		nodes[i] = start(t, o)
		receive(t, "link to the relay", peers)
	}
	return nodes[0], nodes[1]
}

func streamContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func listenStreams(t *testing.T, n *Node) *StreamListener {
	t.Helper()
	l, err := n.Listen()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// openStream gives both ends of a stream from one node to another.
func openStream(t *testing.T, from *Node, l *StreamListener) (dialled, accepted *StreamConn) {
	t.Helper()
	dialled, err := from.DialStream(streamContext(t), l.streams.node.ID())
	if err != nil {
		t.Fatal(err)
	}
	if accepted, err = l.AcceptStream(); err != nil {
		t.Fatal(err)
	}
	return dialled, accepted
}

func connections(n *Node) int {
	n.streams.mu.Lock()
	defer n.streams.mu.Unlock()
	return len(n.streams.peers)
}

// endIdle has ends of a connection ask whether it is idle until it is gone: a busy machine
// may be too slow for one question.
func endIdle(t *testing.T, what string, gone func() bool, ends ...*streamPeer) {
	t.Helper()
	eventually(t, what, func() bool {
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
		d, err := a.DialStream(t.Context(), b.ID())
		if err != nil {
			return nil, nil, nil, err
		}
		accepted, err := l.Accept()
		return d, accepted, func() { d.Close(); accepted.Close() }, err
	})
	if n := connections(a); n != 1 {
		t.Errorf("there are %d connections for the streams of one peer", n)
	}
}

func TestStreamTellsBothEnds(t *testing.T) {
	a, b := overRelay(t)
	d, c := openStream(t, a, listenStreams(t, b))
	defer d.Close()
	defer c.Close()
	if d.RemoteID() != b.ID() || c.RemoteID() != a.ID() || c.RemotePeer() != a.Host().ID() {
		t.Errorf("the ends are told to be %v and %v (%v)", d.RemoteID(), c.RemoteID(), c.RemotePeer())
	}
	if want := (packet.Addr{ID: a.ID(), Port: StreamPort}); c.RemoteAddr() != want || d.LocalAddr() != want {
		t.Errorf("the addresses of a are told to be %v and %v, want %v", c.RemoteAddr(), d.LocalAddr(), want)
	}
	// In the other direction on the same connection.
	e, _ := openStream(t, b, listenStreams(t, a))
	defer e.Close()
	if n, m := connections(a), connections(b); n != 1 || m != 1 {
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

// A side that closes without reading resets the one that writes to it.
func TestStreamReset(t *testing.T) {
	a, b := overRelay(t)
	d, c := openStream(t, a, listenStreams(t, b))
	defer d.Close()
	c.Close()
	d.SetDeadline(time.Now().Add(patience))
	var err error
	for err == nil {
		_, err = d.Write(make([]byte, 1000))
	}
	if !errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a write to who has closed: %v", err)
	}
}

func TestStreamDialFails(t *testing.T) {
	a, b := overRelay(t)
	ctx := streamContext(t)
	l := listenStreams(t, b)
	if _, err := b.Listen(); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second listener: %v", err)
	}
	waits := make(chan error, 1)
	go func() { // ends with the listener
		c, err := l.Accept()
		if c != nil {
			t.Errorf("Accept gives %v and an error", c)
		}
		waits <- err
	}()
	l.Close()
	if err := receive(t, "end of Accept", waits); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept ended by %v", err)
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the second Close: %v", err)
	}
	if _, err := a.DialStream(ctx, b.ID()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("with the listener closed: %v", err)
	}
	if _, err := a.DialStream(ctx, protocol.ID{}); err == nil {
		t.Error("the zero id was dialled")
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := a.DialStream(cancelled, protocol.ID{1}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled dial: %v", err)
	}
	if _, err := a.DialStream(cancelled, b.ID()); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled dial of a peer with a connection: %v", err)
	}
	// As if nothing had been.
	d, c := openStream(t, a, listenStreams(t, b))
	d.Close()
	c.Close()
}

// patientDials is for a node that has dialled already and is to dial many at once: that a
// busy machine is slow is no failure.
func patientDials(n *Node) { n.streams.config.HandshakeIdleTimeout = patience }

// More streams than wait for Accept are refused, and none that was not is lost.
func TestStreamBacklog(t *testing.T) {
	a, b := overRelay(t)
	l := listenStreams(t, b)
	first, accepted := openStream(t, a, l)
	first.Close()
	accepted.Close()
	patientDials(a)
	const few = 100
	b.streams.mu.Lock()
	l.reserved = maxStreamBacklog - few
	b.streams.mu.Unlock()
	type dialled struct {
		conn *StreamConn
		err  error
	}
	dials := make(chan dialled)
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience) // there are many of them
	defer cancel()
	for range maxStreams - 1 {
		go func() { // ends with the dial
			c, err := a.DialStream(ctx, b.ID())
			dials <- dialled{c, err}
		}()
	}
	opened := 0
	for range maxStreams - 1 {
		switch d := <-dials; {
		case d.err == nil:
			opened++
			defer d.conn.Close()
		case !errors.Is(d.err, syscall.ECONNREFUSED):
			t.Errorf("one too many: %v", d.err)
		}
	}
	if opened != few {
		t.Errorf("%d were opened, want the %d that may wait", opened, few)
	}
	for range few {
		c, err := l.AcceptStream()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	d, c := openStream(t, a, l)
	d.Close()
	c.Close()
}

// However many streams are wanted at once, they take turns.
func TestThousandStreams(t *testing.T) {
	a, b := overRelay(t)
	l := listenStreams(t, b)
	d, c := openStream(t, a, l)
	d.Close()
	c.Close()
	patientDials(a)
	go func() { // ends with the listener
		for {
			c, err := l.AcceptStream()
			if err != nil {
				return
			}
			go func() { // ends with the stream
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience) // there are many of them
	defer cancel()
	errs := make(chan error)
	for i := range 1000 {
		go func() { // ends with its echo
			errs <- func() error {
				c, err := a.DialStream(ctx, b.ID())
				if err != nil {
					return err
				}
				defer c.Close()
				want := fmt.Sprint("stream ", i)
				if _, err := io.WriteString(c, want); err != nil {
					return err
				}
				if err := c.CloseWrite(); err != nil {
					return err
				}
				got, err := io.ReadAll(c)
				if err == nil && string(got) != want {
					err = fmt.Errorf("sent %q, came back %q", want, got)
				}
				return err
			}()
		}()
	}
	failed := 0
	for range 1000 {
		if err := <-errs; err != nil {
			if failed++; failed < 5 {
				t.Error(err)
			}
		}
	}
	if failed > 0 {
		t.Errorf("%d failed", failed)
	}
}

// Many who dial have to show that they are where they say, and too many are turned away.
func TestStreamPeersAreLimited(t *testing.T) {
	a, b := overRelay(t)
	l := listenStreams(t, b)
	others := 0
	enter := func(n int) {
		for range n {
			others++
			b.streams.incoming.enter(streamAddr(protocol.ID{byte(others >> 8), byte(others)}))
		}
	}
	counted := func() int {
		b.streams.incoming.mu.Lock()
		defer b.streams.incoming.mu.Unlock()
		return b.streams.incoming.all
	}
	enter(fewStreamPeers)
	d, c := openStream(t, a, l)
	if n := counted(); n != fewStreamPeers+1 {
		t.Errorf("%d connections are counted, want %d", n, fewStreamPeers+1)
	}
	d.Close()
	c.Close()
	endIdle(t, "the connection to be counted no more", func() bool { return counted() == fewStreamPeers }, d.peer)
	enter(maxStreamPeers - fewStreamPeers)
	if _, err := a.DialStream(streamContext(t), b.ID()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("one too many: %v", err)
	}
}

// Who opens connections without end, or lets it look as if another did, uses up its own.
func TestStreamConnectionsBeforeProof(t *testing.T) {
	a, b := overRelay(t)
	l := listenStreams(t, b)
	enter := func(id protocol.ID, n int) {
		for range n {
			b.streams.incoming.enter(streamAddr(id))
		}
	}
	enter(protocol.ID{1}, maxStreamPeers) // of which few count
	enter(a.ID(), fewStreamsOpened)       // that anybody may have opened
	if !b.streams.incoming.many(streamAddr(a.ID())) || b.streams.incoming.many(streamAddr(protocol.ID{2})) {
		t.Error("who seems to open several connections need not show where it is, or others must")
	}
	d, c := openStream(t, a, l)
	d.Close()
	c.Close()
	endIdle(t, "the connection to be gone at both ends", func() bool { return connections(a)+connections(b) == 0 }, d.peer)
	enter(a.ID(), maxStreamsOpened)
	if _, err := a.DialStream(streamContext(t), b.ID()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("one too many: %v", err)
	}
}

// A stream that does not begin as it must is reset, and costs the others nothing.
func TestStreamBeginsBadly(t *testing.T) {
	a, b := overRelay(t)
	l := listenStreams(t, b)
	d, c := openStream(t, a, l)
	defer d.Close()
	defer c.Close()
	for what, header := range map[string][]byte{
		"another version": {0: streamVersion + 1, streamHeader - 1: 0},
		"another use":     {0: streamVersion, 1: forIdle + 1, streamHeader - 1: 0},
		"too little":      {streamVersion},
	} {
		stream, err := d.peer.conn.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Write(header); err != nil {
			t.Fatal(err)
		}
		stream.Close()
		stream.SetReadDeadline(time.Now().Add(patience))
		_, err = stream.Read(make([]byte, 1))
		var reset *quic.StreamError
		if !errors.As(err, &reset) || !reset.Remote || reset.ErrorCode != streamBad {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := d.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the bad streams to be counted no more", func() bool {
		b.streams.mu.Lock()
		defer b.streams.mu.Unlock()
		return c.peer.open == 1
	})
}

// A node may dial itself, as it may send to itself.
func TestStreamToOneself(t *testing.T) {
	a := start(t, local(Options{}))
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

func TestIdleStreamConnectionEnds(t *testing.T) {
	a, b := overRelay(t)
	l := listenStreams(t, b)
	d, c := openStream(t, a, l)
	at := d.peer
	at.endIfIdle() // early: it has a stream
	if _, err := d.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	d.Close()
	c.Close()
	endIdle(t, "the connection to be gone at its end", func() bool { return connections(b) == 0 }, c.peer)
	// a does not know yet, or does: a new stream comes about either way.
	d, c = openStream(t, a, l)
	defer d.Close()
	defer c.Close()
	if d.peer == at {
		t.Error("the stream is on a connection that was closed")
	}
	eventually(t, "the idle connection to be gone at both ends", func() bool { return connections(a) == 1 && connections(b) == 1 })
}

// What was written before Close is there to be read for as long as the reader likes.
func TestClosedStreamIsReadLate(t *testing.T) {
	a, b := overRelay(t)
	d, c := openStream(t, a, listenStreams(t, b))
	defer c.Close()
	want := bytes.Repeat([]byte("late"), 50_000)
	if _, err := d.Write(want); err != nil {
		t.Fatal(err)
	}
	d.Close()
	for range 3 {
		d.peer.endIfIdle()
	}
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes of %d: %v", len(got), len(want), err)
	}
	// And then it ends, whichever side asks.
	c.Close()
	endIdle(t, "the connection to be gone at both ends", func() bool { return connections(a)+connections(b) == 0 }, c.peer, d.peer)
}

// A peer that is gone without a word is given up by a dial long before its connection is.
func TestStreamDialOfWhoSaysNothing(t *testing.T) {
	a, b := overRelay(t)
	d, c := openStream(t, a, listenStreams(t, b))
	defer d.Close()
	defer c.Close()
	b.streams.socket.Close()
	a.streams.config.HandshakeIdleTimeout = 100 * time.Millisecond
	for who, id := range map[string]protocol.ID{"with a connection": b.ID(), "without one": {1}} {
		_, err := a.DialStream(streamContext(t), id)
		var timeout net.Error
		if !errors.Is(err, syscall.ETIMEDOUT) || !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("the dial of a silent peer %s: %v", who, err)
		}
	}
}

// Who only dials refuses streams, too, and does not let those who open them wait.
func TestStreamToWhoOnlyDials(t *testing.T) {
	a, b := overRelay(t)
	d, c := openStream(t, a, listenStreams(t, b))
	d.Close()
	c.Close()
	endIdle(t, "the connection to be gone at both ends", func() bool { return connections(a)+connections(b) == 0 }, d.peer)
	if _, err := b.DialStream(streamContext(t), a.ID()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("nobody accepts there: %v", err)
	}
}

// One peer has few connections, however many it opens, and the latest of them.
func TestStreamConnectionsOfOnePeer(t *testing.T) {
	a, b := overRelay(t)
	l := listenStreams(t, b)
	d, c := openStream(t, a, l)
	defer d.Close()
	defer c.Close()
	for range 2 * maxStreamConns {
		p, err := a.streams.connect(streamAddr(b.ID()), b.ID())
		if err != nil {
			t.Fatal(err)
		}
		e, _, err := p.openStream(streamContext(t))
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
	}
	c.SetReadDeadline(time.Now().Add(patience))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the first connection: %v", err)
	}
	eventually(t, "the older connections to be gone", func() bool { return connections(a) == maxStreamConns && connections(b) == maxStreamConns })
}

// A peer that starts anew is reachable at once: its stateless reset tells.
func TestStreamsAfterRestart(t *testing.T) {
	relay := start(t, local(Options{}))
	boot := []string{relay.Addrs()[0].String()}
	ao, _, aPeers := inboxOf(Options{Bootstraps: boot})
	a := start(t, ao)
	receive(t, "link to the relay", aPeers)
	bo, _, bPeers := inboxOf(Options{Bootstraps: boot, KeyFile: t.TempDir() + "/key"})
	b := start(t, bo)
	receive(t, "link to the relay", bPeers)
	d, _ := openStream(t, a, listenStreams(t, b))
	defer d.Close()
	b.streams.mu.Lock() // as if it had crashed: a hears nothing of the end
	b.streams.socket.Close()
	b.streams.mu.Unlock()
	b.Close()

	b = start(t, bo)
	receive(t, "link to the relay", bPeers)
	l := listenStreams(t, b)
	e, _ := openStream(t, a, l)
	defer e.Close()
	if _, err := d.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the stream of before: %v", err)
	}
}

func TestStreamsEndWithNode(t *testing.T) {
	a, b := overRelay(t)
	d, c := openStream(t, a, listenStreams(t, b))
	defer c.Close()
	l := listenStreams(t, a)
	ends := map[string]func() error{
		"read":   func() error { _, err := d.Read(make([]byte, 1)); return err },
		"write":  func() error { _, err := d.Write(make([]byte, 2*streamConnWindow)); return err },
		"accept": func() error { _, err := l.Accept(); return err },
		"dial":   func() error { _, err := a.DialStream(context.Background(), protocol.ID{1}); return err },
	}
	type end struct {
		what string
		err  error
	}
	ended := make(chan end, len(ends))
	for what, f := range ends {
		go func() { ended <- end{what, f()} }()
	}
	eventually(t, "the dial to begin", func() bool {
		a.streams.mu.Lock()
		defer a.streams.mu.Unlock()
		return len(a.streams.dialing) == 1
	})
	a.Close()
	for range ends {
		if e := receive(t, "end", ended); !errors.Is(e.err, net.ErrClosed) {
			t.Errorf("%s: %v", e.what, e.err)
		}
	}
	if _, err := a.DialStream(context.Background(), b.ID()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a dial after Close: %v", err)
	}
	if _, err := a.Listen(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("listen after Close: %v", err)
	}
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a read at the other end: %v", err)
	}
}

func TestStreamProvesPeer(t *testing.T) {
	a, b := overRelay(t)
	l := listenStreams(t, b)
	d, c := openStream(t, a, l) // a's transport is there
	defer d.Close()
	defer c.Close()
	// Somebody sits at the address that is dialled who is not that peer.
	if _, err := a.streams.connect(streamAddr(b.ID()), protocol.ID{1}); !errors.Is(err, ErrWrongPeer) {
		t.Errorf("another peer answered: %v", err)
	}
	// Somebody dials from an address whose id is not its key's.
	key, err := LoadKey(t.TempDir() + "/key")
	if err != nil {
		t.Fatal(err)
	}
	identity, err := libp2ptls.NewIdentity(key)
	if err != nil {
		t.Fatal(err)
	}
	dial := func(change func(*tls.Config)) error {
		conf := (&streams{identity: identity}).tls(b.ID())
		change(conf)
		conn, err := a.streams.transport.Dial(streamContext(t), streamAddr(b.ID()), conf, a.streams.config)
		if err != nil {
			return err
		}
		<-conn.Context().Done()
		return context.Cause(conn.Context())
	}
	var app *quic.ApplicationError
	if err := dial(func(*tls.Config) {}); !errors.As(err, &app) || !app.Remote || app.ErrorCode != streamBad {
		t.Errorf("a foreign key: %v", err)
	}
	var refused *quic.TransportError
	if err := dial(func(c *tls.Config) { c.Certificates = nil }); !errors.As(err, &refused) || !refused.Remote {
		t.Errorf("no key: %v", err)
	}
}
