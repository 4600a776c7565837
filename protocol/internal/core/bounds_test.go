package core

import (
	"encoding/binary"
	"testing"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// TestExpectedBound checks that handshakes which never end take bounded memory.
func TestExpectedBound(t *testing.T) {
	c := newTestCore(abbreviated("80"), nil)
	for i := range maxExpected + 100 {
		var id wire.ID
		binary.BigEndian.PutUint32(id[:], uint32(i+1))
		c.Expect(0, id)
	}
	if n := len(c.expected); n != maxExpected {
		t.Errorf("%d handshakes are expected, want %d", n, maxExpected)
	}
}

// TestControlMeetsAFullQueue checks that a control message for one link is dropped if the
// queue of that link is full.
func TestControlMeetsAFullQueue(t *testing.T) {
	c := newTestCore(abbreviated("80"), nil)
	peer := abbreviated("40")
	if err := c.LinkUp(0, 1, wire.LinkInfo{ID: peer, Kind: wire.LinkNative, Proved: true}, Inbound()); err != nil {
		t.Fatal(err)
	}
	c.Actions()
	l := c.byHandle[1]
	l.queuedFrames = maxQueueFrames
	d := &Draft{out: Outgoing{To: peer, Kind: wire.KindOffer}, draw: c.Draw(), by: 1}
	c.Compose(d)
	c.Composed(0, d)
	for _, a := range c.Actions() {
		if a.Type == Transmit {
			t.Errorf("sent a %v over a link whose queue is full", a.Frame.Body.Kind)
		}
	}
	if n := c.Stats().Dropped[DropQueueFull]; n != 1 {
		t.Errorf("%d drops for a full queue, want 1", n)
	}
}

// TestEventsOnlyWhenTraced checks that events, which cost a SHA-256 of each message, are not
// collected unless they are read.
func TestEventsOnlyWhenTraced(t *testing.T) {
	for _, traced := range []bool{false, true} {
		c := newTestCore(abbreviated("80"), nil)
		c.Trace(traced)
		f, err := c.NewFrame(Outgoing{To: abbreviated("40"), Form: wire.FormJSON, Payload: []byte("1")}, c.Draw())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Send(0, f, OwnMessage); err != nil {
			t.Fatal(err)
		}
		if n := len(c.Events()); n > 0 != traced {
			t.Errorf("traced is %v, and there are %d events", traced, n)
		}
	}
}
