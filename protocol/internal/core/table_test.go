package core

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/seen"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

func randomID(rng *rand.Rand) (id wire.ID) {
	for i := range id {
		id[i] = byte(rng.Uint32())
	}
	return id
}

// crowd returns n ids, half of which share up to 29 bits with self.
func crowd(rng *rand.Rand, self wire.ID, n int) []wire.ID {
	ids := make([]wire.ID, n)
	for i := range ids {
		ids[i] = randomID(rng)
		for b := range rng.IntN(30) * (i % 2) {
			if ids[i].Bit(b) != self.Bit(b) {
				ids[i] = ids[i].FlipBit(b)
			}
		}
	}
	return ids
}

func TestTableOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		self := randomID(rng)
		var tab table
		ids := crowd(rng, self, rng.IntN(60))
		for i, id := range ids {
			tab.put(&link{LinkInfo: wire.LinkInfo{ID: id}, handle: LinkHandle(i)})
		}
		for i := range len(ids) / 3 {
			tab.remove(tab.get(ids[i]))
		}
		ids = ids[len(ids)/3:]
		target := randomID(rng)
		if rng.IntN(2) == 0 && len(ids) > 0 {
			target = ids[0]
		}
		slices.SortFunc(ids, func(a, b wire.ID) int {
			if target.Closer(a, b) {
				return -1
			}
			return 1
		})
		var got []wire.ID
		tab.nearest(target, func(l *link) bool { got = append(got, l.ID); return true })
		if !slices.Equal(got, ids) {
			t.Fatalf("nearest to %v:\n%v\nwant\n%v", target, got, ids)
		}
		for b := range wire.IDBits {
			var want int
			for _, id := range ids {
				if self.CommonPrefixLen(id) == b {
					want++
				}
			}
			in := tab.bucket(self, b)
			for _, l := range in {
				if self.CommonPrefixLen(l.ID) != b {
					t.Fatalf("%v is not in bucket %d of %v", l.ID, b, self)
				}
			}
			if len(in) != want {
				t.Fatalf("bucket %d has %d links, want %d", b, len(in), want)
			}
		}
	}
}

// TestTableReplace checks that a table keeps one link to each peer, and that removing a
// replaced link does not remove the new one.
func TestTableReplace(t *testing.T) {
	var tab table
	old, young := &link{LinkInfo: wire.LinkInfo{ID: wire.ID{1}}, handle: 1}, &link{LinkInfo: wire.LinkInfo{ID: wire.ID{1}}, handle: 2}
	tab.put(old)
	tab.put(young)
	if tab.remove(old) || tab.len() != 1 || tab.get(wire.ID{1}) != young {
		t.Error("removing the old link removed the new one")
	}
	if !tab.remove(young) || tab.len() != 0 {
		t.Error("the new link was not removed")
	}
}

func TestLearnedRoutes(t *testing.T) {
	var tab routeTable
	rng := rand.New(rand.NewPCG(1, 1))
	a, b, via := randomID(rng), randomID(rng), randomID(rng)
	tab.learn(0, a, via)
	if got, ok := tab.via(29*time.Second, a); !ok || got != via {
		t.Error("the route of a is gone after 29 s")
	}
	tab.learn(40*time.Second, b, via)
	if _, ok := tab.via(80*time.Second, a); ok {
		t.Error("the route of a is there after 80 s")
	}
	if _, ok := tab.via(69*time.Second, b); !ok {
		t.Error("the route of b is gone after 29 s")
	}
	for range 10 * maxLearned {
		tab.learn(80*time.Second, randomID(rng), via)
	}
	if n := len(tab.young) + len(tab.old); n > maxLearned {
		t.Errorf("%d entries", n)
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
	if c.stats.Delivered != before || c.stats.Dropped[DropDuplicate] != 1 {
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
		c := newTestCore(abbreviated("80"), nil)
		for i, id := range []string{"40", "c0"} {
			if err := c.LinkUp(0, LinkHandle(i+1), wire.LinkInfo{ID: abbreviated(id), Kind: wire.LinkNative}, Inbound()); err != nil {
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
		if got := int(c.stats.Dropped[DropWaitingFull]); got != refused {
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
