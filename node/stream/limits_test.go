package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/protocol"
)

// patientDials is for a node that has dialled before and is to dial many at once. A slow, busy
// machine must not fail the test.
func patientDials(p testPeer) { p.config.HandshakeIdleTimeout = nodetest.Patience }

// TestStreamBacklog checks that streams beyond the backlog are refused, and that no other
// stream is lost.
func TestStreamBacklog(t *testing.T) {
	a, b := overRelay(t)
	l := listenStreams(t, b)
	first, accepted := openStream(t, a, l)
	first.Close()
	accepted.Close()
	patientDials(a)
	const few = 100
	b.mu.Lock()
	l.reserved = maxBacklog - few
	b.mu.Unlock()
	type dialled struct {
		conn *Conn
		err  error
	}
	dials := make(chan dialled)
	ctx, cancel := context.WithTimeout(t.Context(), 4*nodetest.Patience) // there are many of them
	defer cancel()
	for range maxStreams - 1 {
		go func() { // ends with the dial
			c, err := a.Dial(ctx, b.ID(), testService)
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

// TestThousandStreams checks that any number of wanted streams take turns.
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
	ctx, cancel := context.WithTimeout(t.Context(), 4*nodetest.Patience) // there are many of them
	defer cancel()
	errs := make(chan error)
	for i := range 1000 {
		go func() { // ends with its echo
			errs <- func() error {
				c, err := a.Dial(ctx, b.ID(), testService)
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

// TestSessionsAreLimited checks that with many sessions a dialler must show that it receives
// what is sent to its id, and that too many sessions are refused.
func TestSessionsAreLimited(t *testing.T) {
	a, b := overRelay(t)
	l := listenStreams(t, b)
	others := 0
	enter := func(n int) {
		for range n {
			others++
			b.incoming.enter(socketOf(protocol.ID{byte(others >> 8), byte(others)}))
		}
	}
	counted := func() int {
		b.incoming.mu.Lock()
		defer b.incoming.mu.Unlock()
		return b.incoming.all
	}
	enter(fewSessions)
	d, c := openStream(t, a, l)
	if n := counted(); n != fewSessions+1 {
		t.Errorf("%d connections are counted, want %d", n, fewSessions+1)
	}
	d.Close()
	c.Close()
	endIdle(t, "the connection to be counted no more", func() bool { return counted() == fewSessions }, d.session)
	enter(maxSessions - fewSessions)
	if _, err := a.Dial(streamContext(t), b.ID(), testService); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("one too many: %v", err)
	}
}

// TestSessionsBeforeProof checks that a peer that opens sessions without end uses up only its
// own share, even if it forges the id of another peer.
func TestSessionsBeforeProof(t *testing.T) {
	a, b := overRelay(t)
	l := listenStreams(t, b)
	enter := func(id protocol.ID, n int) {
		for range n {
			b.incoming.enter(socketOf(id))
		}
	}
	enter(protocol.ID{1}, maxSessions) // only few of them count
	enter(a.ID(), fewOpening)          // any peer may have opened them
	if !b.incoming.many(socketOf(a.ID())) || b.incoming.many(socketOf(protocol.ID{2})) {
		t.Error("an id with several sessions need not show its address, or an id without any must")
	}
	d, c := openStream(t, a, l)
	d.Close()
	c.Close()
	endIdle(t, "the connection to be gone at both ends", func() bool { return sessions(a)+sessions(b) == 0 }, d.session)
	enter(a.ID(), maxOpening)
	if _, err := a.Dial(streamContext(t), b.ID(), testService); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("one too many: %v", err)
	}
}

// TestSessionsOfOnePeer checks that a peer keeps few connections, the latest of all that it
// opens.
func TestSessionsOfOnePeer(t *testing.T) {
	a, b := overRelay(t)
	l := listenStreams(t, b)
	d, c := openStream(t, a, l)
	defer d.Close()
	defer c.Close()
	for range 2 * maxOfPeer {
		p, err := a.connect(socketOf(b.ID()), b.ID())
		if err != nil {
			t.Fatal(err)
		}
		e, _, err := p.open(streamContext(t), testService)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
	}
	c.SetReadDeadline(time.Now().Add(nodetest.Patience))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the first connection: %v", err)
	}
	nodetest.Eventually(t, "the older connections to be gone", func() bool { return sessions(a) == maxOfPeer && sessions(b) == maxOfPeer })
}
