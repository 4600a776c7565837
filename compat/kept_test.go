package compat

import (
	"bytes"
	"slices"
	"testing"

	"github.com/peer-relay/peer-relay/protocol"
)

// startCalls starts the calls of handlers, which end with the test.
func startCalls(t *testing.T, c *calls) {
	go c.run()
	t.Cleanup(func() { c.end(handlerTime) })
}

// settle waits until the handlers have been called for all events so far.
func settle(c *calls) {
	called := make(chan struct{})
	c.soon(func() { close(called) })
	<-called
}

// TestKeptIsBounded checks that the messages without a listener are bounded by number and by
// bytes, are decoded only for a listener, and then free their room.
func TestKeptIsBounded(t *testing.T) {
	p := newPeerRelay()
	startCalls(t, p.calls)
	dropped := 0
	p.dropped = func() { dropped++ }
	large := append(append([]byte{'"'}, bytes.Repeat([]byte("x"), 200_000)...), '"')
	const fit = maxKeptBytes / 200_002
	for range 2 * fit {
		p.onMessage(protocol.Message{Kind: protocol.KindUser, Form: protocol.FormJSON, Payload: large})
	}
	if n, size := len(p.message.kept), p.message.bytes; n != fit || size != fit*len(large) {
		t.Errorf("%d messages of %d bytes together are kept, want %d messages", n, size, fit)
	}
	for _, i := range p.message.kept {
		if i.done {
			t.Fatal("a message without a listener was decoded")
		}
	}
	for range 2 * maxKept {
		p.onMessage(protocol.Message{Kind: protocol.KindUser, Form: protocol.FormNone})
	}
	if n := len(p.message.kept); n != maxKept || dropped != fit+2*maxKept-(maxKept-fit) {
		t.Errorf("%d messages are kept, want %d, and %d are counted as dropped", n, maxKept, dropped)
	}
	texts, none := 0, 0
	p.OnMessage(func(data any, _ ID) {
		switch data := data.(type) {
		case string:
			texts += len(data)
		case undefined:
			none++
		}
	})
	settle(p.calls)
	if texts != fit*200_000 || none != maxKept-fit || p.message.bytes != 0 || len(p.message.kept) != 0 {
		t.Errorf("got %d bytes and %d undefined values, %d bytes left", texts, none, p.message.bytes)
	}
	// All listeners get all messages.
	p.OnReceive(func(m Message) { texts += len(m.JSON) })
	texts = 0
	p.onMessage(protocol.Message{Kind: protocol.KindUser, Form: protocol.FormJSON, Payload: large})
	p.onMessage(protocol.Message{Kind: protocol.KindUser, Form: protocol.FormJSON, Payload: []byte("no JSON")})
	settle(p.calls)
	if texts != 200_000+len(large) {
		t.Errorf("got %d bytes", texts)
	}
}

// TestKeptDatagrams checks that a socket keeps datagrams within the same bounds, and keeps none
// that it would not send.
func TestKeptDatagrams(t *testing.T) {
	s := newSocket(newPeerRelay())
	come := func(size int) {
		text := appendDatagram(nil, make([]byte, size), protocol.ID{1}, 1)
		s.onMessage(protocol.Message{Kind: protocol.KindUser, Form: protocol.FormJSON, Payload: text})
	}
	come(MaxDatagram + 1)
	if len(s.message.kept) > 0 {
		t.Error("a datagram that is too large is kept")
	}
	for range maxKept {
		come(MaxDatagram)
	}
	if n, want := len(s.message.kept), maxKeptBytes/MaxDatagram; n != want {
		t.Errorf("%d datagrams are kept, want %d", n, want)
	}
}

// TestKeptPeers checks that a listener that is added late learns of the peers that are linked, and
// of none that is gone.
func TestKeptPeers(t *testing.T) {
	p := newPeerRelay()
	startCalls(t, p.calls)
	stays := ID{0xff}
	p.onPeer(stays)
	for i := range 2 * maxKept {
		gone := ID{1, byte(i), byte(i >> 8)}
		p.onPeer(gone)
		p.onDown(gone)
	}
	late := ID{0xfe}
	p.onPeer(late)
	var up, down []ID
	p.OnPeer(func(id ID) { up = append(up, id) })
	p.OnDisconnect(func(id ID) { down = append(down, id) })
	p.onDown(stays)
	settle(p.calls)
	if !slices.Equal(up, []ID{stays, late}) || !slices.Equal(down, []ID{stays}) {
		t.Errorf("up %v, down %v", up, down)
	}
}
