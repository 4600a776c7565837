package compat

import (
	"bytes"
	"testing"

	"github.com/peer-relay/peer-relay/protocol"
)

// startCalls makes the calls of handlers until the end of the test.
func startCalls(t *testing.T, c *calls) {
	go c.run()
	t.Cleanup(c.end)
}

// settle waits until the handlers have been called with all that has happened.
func settle(c *calls) {
	called := make(chan struct{})
	c.soon(func() { close(called) })
	<-called
}

// Messages that no listener hears are bounded by their number and their bytes, are decoded
// only when they are heard, and then make room.
func TestKeptIsBounded(t *testing.T) {
	p := newPeerRelay()
	startCalls(t, p.calls)
	large := append(append([]byte{'"'}, bytes.Repeat([]byte("x"), 200_000)...), '"')
	const fit = maxKeptBytes / 200_002
	for range 2 * fit {
		p.onMessage(protocol.Message{Kind: protocol.KindUser, Form: protocol.FormJSON, Payload: large})
	}
	if n, size := len(p.message.kept), p.message.bytes; n != fit || size != fit*len(large) {
		t.Errorf("%d messages of %d bytes are kept, want %d", n, size, fit)
	}
	for _, i := range p.message.kept {
		if i.done {
			t.Fatal("a message that nobody hears was decoded")
		}
	}
	for range 2 * maxKept {
		p.onMessage(protocol.Message{Kind: protocol.KindUser, Form: protocol.FormNone})
	}
	if n := len(p.message.kept); n != maxKept {
		t.Errorf("%d messages are kept, want %d", n, maxKept)
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
		t.Errorf("%d bytes and %d times nothing were heard, %d bytes left", texts, none, p.message.bytes)
	}
	// Those who listen hear it all, each the same.
	p.OnReceive(func(m Message) { texts += len(m.JSON) })
	texts = 0
	p.onMessage(protocol.Message{Kind: protocol.KindUser, Form: protocol.FormJSON, Payload: large})
	p.onMessage(protocol.Message{Kind: protocol.KindUser, Form: protocol.FormJSON, Payload: []byte("no JSON")})
	settle(p.calls)
	if texts != 200_000+len(large) {
		t.Errorf("%d bytes were heard", texts)
	}
}

// A socket keeps datagrams by the same rule, and takes none that it would not send.
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
