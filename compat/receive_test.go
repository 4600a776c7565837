package compat_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/protocol"
)

type received struct {
	data any
	err  error
}

// receive calls Receive in a goroutine, which ends with the call.
func receive(ctx context.Context, p *compat.PeerRelay) <-chan received {
	got := make(chan received, 1)
	go func() {
		m, err := p.Receive(ctx)
		got <- received{m.Data, err}
	}()
	return got
}

// TestReceive checks that Receive returns the messages that have no listener, in order, and
// that several calls share them.
func TestReceive(t *testing.T) {
	a, b := pair(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i := range 3 {
		if err := b.Send(a.ID(), i); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		if m, err := a.Receive(ctx); err != nil || m.Data != float64(i) || m.From != b.ID() {
			t.Errorf("message %d is %+v, %v", i, m, err)
		}
	}
	one, two := receive(ctx, a), receive(ctx, a)
	for range 2 {
		if err := b.Send(a.ID(), "for either"); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []<-chan received{one, two} {
		if r := await(t, "message", c); r.data != "for either" || r.err != nil {
			t.Errorf("received %+v", r)
		}
	}

	ended, end := context.WithCancel(ctx)
	waiting := receive(ended, a)
	end()
	if r := await(t, "end of the context", waiting); !errors.Is(r.err, context.Canceled) {
		t.Errorf("received %+v", r)
	}
	if err := b.Send(a.ID(), "kept"); err != nil {
		t.Fatal(err)
	}
	if m, err := a.Receive(ctx); err != nil || m.Data != "kept" {
		t.Errorf("received %+v, %v", m, err)
	}
}

// TestReceiveBesideAListener checks that only the listener gets messages once there is one.
func TestReceiveBesideAListener(t *testing.T) {
	a, b := pair(t)
	one, two := receive(t.Context(), a), receive(t.Context(), a)
	got := make(chan any, 10)
	a.OnMessage(func(data any, _ compat.ID) { got <- data })
	for _, c := range []<-chan received{one, two} {
		if r := await(t, "error", c); !errors.Is(r.err, compat.ErrListening) {
			t.Errorf("received %+v", r)
		}
	}
	if _, err := a.Receive(t.Context()); !errors.Is(err, compat.ErrListening) {
		t.Errorf("error %v", err)
	}
	if err := b.Send(a.ID(), "hi"); err != nil {
		t.Fatal(err)
	}
	if data := await(t, "message", got); data != "hi" {
		t.Errorf("the listener got %v", data)
	}
}

// TestReceiveEndsWithThePeer checks that the end of the peer ends every call, and that nothing
// is received after it.
func TestReceiveEndsWithThePeer(t *testing.T) {
	p := newPeer(t, compat.Options{})
	one, two := receive(t.Context(), p), receive(t.Context(), p)
	if err := p.Send(p.ID(), "to itself"); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	heard := 0
	for _, c := range []<-chan received{one, two} {
		if r := await(t, "end of the peer", c); r.err == nil {
			heard++
		} else if !errors.Is(r.err, protocol.ErrClosed) || !errors.Is(r.err, net.ErrClosed) {
			t.Errorf("received %+v", r)
		}
	}
	if heard > 1 {
		t.Errorf("%d calls received one message", heard)
	}
	if m, err := p.Receive(t.Context()); !errors.Is(err, protocol.ErrClosed) {
		t.Errorf("after the end: %+v, %v", m, err)
	}
}

// TestReceiveFromASocketsPeer checks that a socket's peer, which keeps no messages, delivers
// them to a waiting Receive.
func TestReceiveFromASocketsPeer(t *testing.T) {
	s, _ := newSocket(t, compat.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	waiting := receive(ctx, s.Peer())
	tick := time.NewTicker(10 * time.Millisecond) // until Receive waits
	defer tick.Stop()
	for {
		select {
		case r := <-waiting:
			if r.err != nil || r.data != "hi" {
				t.Errorf("received %+v", r)
			}
			return
		case <-tick.C:
			if err := s.Peer().Send(s.Peer().ID(), "hi"); err != nil {
				t.Fatal(err)
			}
		}
	}
}
