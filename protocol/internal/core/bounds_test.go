package core

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/journal"
	"github.com/peer-relay/peer-relay/protocol/internal/seen"
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
	if n := c.Stats().Dropped[journal.DropQueueFull]; n != 1 {
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

// TestDeliveryQuota checks that one neighbour cannot evict the entries of others from the
// delivery table.
func TestDeliveryQuota(t *testing.T) {
	c := newTestCore(abbreviated("80"), nil)
	c.delivered = seen.New(deliverAge, 1<<12) // 168 entries in a generation, 42 for a link
	for i, id := range []string{"40", "c0"} {
		if err := c.LinkUp(0, LinkHandle(i+1), wire.LinkInfo{ID: abbreviated(id), Kind: wire.LinkNative}, Inbound()); err != nil {
			t.Fatal(err)
		}
	}
	message := func(h LinkHandle, n int) {
		b := wire.Body{To: c.self, From: abbreviated("60"), Form: wire.FormJSON, Payload: fmt.Append(nil, n)}
		if err := b.Encode(); err != nil {
			t.Fatal(err)
		}
		f, err := wire.NewMessageFrame(wire.MessageFields{Hop: wire.NewHop(), Nonce: fmt.Append(nil, n), Body: b, Path: []wire.ID{b.From}})
		if err != nil {
			t.Fatal(err)
		}
		c.Receive(time.Second, h, f)
	}
	message(1, 0)
	for n := range 10_000 {
		message(2, n+1)
	}
	c.transit = newTransit() // leaves the decision to the delivery table
	before := c.stats.Delivered
	message(1, 0)
	if c.stats.Delivered != before || c.stats.Dropped[journal.DropDuplicate] != 1 {
		t.Error("a flood over another link had a message delivered again")
	}
	if n := c.delivered.Len(); n > 65 {
		t.Errorf("%d entries, want at most 65: one, and the flooding link's share of 64", n)
	}
}

// TestQueueBound checks that the queue of a blocked link is bounded, and that another link
// still has room.
func TestQueueBound(t *testing.T) {
	for _, size := range []int{10, 60_000} {
		testLinkBound(t, size, wire.LinkInfo{Kind: wire.LinkNative}, func(*Core, *wire.Frame) {})
	}
}

// TestUnacknowledgedBound checks the same of a neighbour that reads, and acknowledges nothing.
func TestUnacknowledgedBound(t *testing.T) {
	info := wire.LinkInfo{Kind: wire.LinkNative, Features: []string{wire.FeatureCustody}}
	for _, size := range []int{10, 60_000} {
		testLinkBound(t, size, info, func(c *Core, f *wire.Frame) { c.Written(0, 1, 1, f.Size()) })
	}
}

// testLinkBound sends messages of a size over a link until some are refused. sent is called with
// each that is not.
func testLinkBound(t *testing.T, size int, info wire.LinkInfo, sent func(*Core, *wire.Frame)) {
	t.Helper()
	c := newTestCore(abbreviated("80"), nil)
	for i, id := range []string{"40", "c0"} {
		info.ID = abbreviated(id)
		if err := c.LinkUp(0, LinkHandle(i+1), info, Inbound()); err != nil {
			t.Fatal(err)
		}
	}
	c.Actions()
	frames, bytes, refused := 0, 0, 0
	for range 2 * maxQueueFrames {
		if refused == 100 {
			break
		}
		f, err := c.NewFrame(Outgoing{To: abbreviated("40"), Form: wire.FormRaw, Payload: make([]byte, size)}, c.Draw())
		if err != nil {
			t.Fatal(err)
		}
		if c.Send(0, f, OwnMessage) != nil {
			refused++
			continue
		}
		for _, a := range c.Actions() {
			if a.Type != Transmit || a.Link != 1 {
				t.Fatalf("action %+v", a)
			}
			frames++
			bytes += a.Frame.Size()
			sent(c, a.Frame)
		}
	}
	if refused == 0 || frames > maxQueueFrames || bytes > maxQueueBytes {
		t.Errorf("%d frames of %d bytes queued, %d refused", frames, bytes, refused)
	}
	if frames < maxQueueFrames/2 && bytes < maxQueueBytes/2 {
		t.Errorf("only %d frames of %d bytes were queued", frames, bytes)
	}
	f, err := c.NewFrame(Outgoing{To: abbreviated("c0"), Form: wire.FormRaw, Payload: make([]byte, size)}, c.Draw())
	if err != nil || c.Send(0, f, OwnMessage) != nil {
		t.Error("a message to the other link was refused")
	}
}

// TestWaitingBound checks that the messages that wait for a first link are bounded in number
// and in bytes.
func TestWaitingBound(t *testing.T) {
	for _, size := range []int{10, 60_000} {
		c := newTestCore(abbreviated("80"), nil)
		waiting, refused := 0, 0
		for range 1000 {
			f, err := c.NewFrame(Outgoing{To: abbreviated("40"), Form: wire.FormRaw, Payload: make([]byte, size)}, c.Draw())
			if err != nil {
				t.Fatal(err)
			}
			if c.Send(0, f, OwnMessage) == nil {
				waiting++
			} else {
				refused++
			}
		}
		if waiting == 0 || waiting > maxWaiting || waiting*size > waitBytes || refused != 1000-waiting {
			t.Errorf("%d messages of %d bytes wait, %d refused", waiting, size, refused)
		}
		if got := int(c.stats.Dropped[journal.DropWaitingFull]); got != refused {
			t.Errorf("%d drops counted", got)
		}
	}
}

// TestSendLimits checks that an origin refuses a message that some peer could not take.
func TestSendLimits(t *testing.T) {
	c := newTestCore(abbreviated("80"), nil)
	for _, x := range []struct {
		m  Outgoing
		ok bool
	}{
		{Outgoing{Form: wire.FormRaw, Payload: make([]byte, wire.MaxPayload)}, true},
		{Outgoing{Form: wire.FormRaw, Payload: make([]byte, wire.MaxPayload+1)}, false},
		{Outgoing{Form: wire.FormJSON, Payload: make([]byte, wire.MaxText)}, true},
		{Outgoing{Form: wire.FormJSON, Payload: make([]byte, wire.MaxText+1)}, false},
		{Outgoing{Form: wire.FormWholeJSON, Kind: wire.KindOther, Payload: make([]byte, wire.MaxText-10), Extra: make([]byte, 10)}, true},
		{Outgoing{Form: wire.FormWholeJSON, Kind: wire.KindOther, Payload: make([]byte, wire.MaxText-10), Extra: make([]byte, 11)}, false},
		{Outgoing{Form: wire.FormRaw, Payload: make([]byte, wire.MaxPayload), Extra: make([]byte, 1)}, false},
	} {
		x.m.To = abbreviated("40")
		_, err := c.NewFrame(x.m, c.Draw())
		if (err == nil) != x.ok {
			t.Errorf("%d bytes, form %v, %d extra: %v", len(x.m.Payload), x.m.Form, len(x.m.Extra), err)
		}
	}
}
