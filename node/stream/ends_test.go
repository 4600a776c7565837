package stream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/protocol"
)

func TestIdleSessionEnds(t *testing.T) {
	a, b := overRelay(t)
	l := listenStreams(t, b)
	d, c := openStream(t, a, l)
	at := d.session
	at.endIfIdle() // early: it has a stream
	if _, err := d.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	d.Close()
	c.Close()
	endIdle(t, "the connection to be gone at its end", func() bool { return sessions(b) == 0 }, c.session)
	// Whether a knows this already or not, a new stream is opened.
	d, c = openStream(t, a, l)
	defer d.Close()
	defer c.Close()
	if d.session == at {
		t.Error("the stream is on a connection that was closed")
	}
	nodetest.Eventually(t, "the idle connection to be gone at both ends", func() bool { return sessions(a) == 1 && sessions(b) == 1 })
}

// TestClosedStreamIsReadLate checks that data written before Close can be read much later.
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
		d.session.endIfIdle()
	}
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes of %d: %v", len(got), len(want), err)
	}
	// Then the session ends, whichever side asks.
	c.Close()
	endIdle(t, "the connection to be gone at both ends", func() bool { return sessions(a)+sessions(b) == 0 }, c.session, d.session)
}

// TestStreamsAfterRestart checks that a restarted peer can be reached at once, since it sends a
// stateless reset.
func TestStreamsAfterRestart(t *testing.T) {
	n, relay := startRelay(t)
	a, b := startPeer(t, n, newTestKey(t), relay), startPeer(t, n, newTestKey(t), relay)
	d, _ := openStream(t, a, listenStreams(t, b))
	defer d.Close()
	b.mu.Lock() // as if it had crashed: a does not learn of the end
	b.socket.Close()
	b.mu.Unlock()
	b.Close()
	n.Kill(b.router)

	b = startPeer(t, n, b.key, relay)
	l := listenStreams(t, b)
	e, _ := openStream(t, a, l)
	defer e.Close()
	if _, err := d.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the stream from before the restart: %v", err)
	}
}

func TestStreamsEndWithEndpoint(t *testing.T) {
	a, b := overRelay(t)
	d, c := openStream(t, a, listenStreams(t, b))
	defer c.Close()
	l := listenStreams(t, a)
	ends := map[string]func() error{
		"read":   func() error { _, err := d.Read(make([]byte, 1)); return err },
		"write":  func() error { _, err := d.Write(make([]byte, 2*sessionWindow)); return err },
		"accept": func() error { _, err := l.Accept(); return err },
		"dial":   func() error { _, err := a.Dial(context.Background(), protocol.ID{1}, testService); return err },
	}
	type end struct {
		what string
		err  error
	}
	ended := make(chan end, len(ends))
	for what, f := range ends {
		go func() { ended <- end{what, f()} }()
	}
	nodetest.Eventually(t, "the dial to begin", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.dialing) == 1
	})
	a.Close()
	for range ends {
		if e := nodetest.Receive(t, "end", ended); !errors.Is(e.err, net.ErrClosed) {
			t.Errorf("%s: %v", e.what, e.err)
		}
	}
	if _, err := a.Dial(context.Background(), b.ID(), testService); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a dial after Close: %v", err)
	}
	if _, err := a.Listen(testService); !errors.Is(err, net.ErrClosed) {
		t.Errorf("listen after Close: %v", err)
	}
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a read at the other end: %v", err)
	}
}
