package core

import (
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// Every signed body has an end-to-end id of its own. Otherwise a receiver could not tell two
// equal messages from one that a relay repeats under another nonce.
func TestSignedBodyHasAnID(t *testing.T) {
	c := newTestCore(abbreviated("80"), func(cfg *CoreConfig) {
		cfg.Key = []byte("sig:80")
		cfg.Sign = func([]byte) ([]byte, error) { return []byte("sig:80"), nil }
	})
	seen := make(map[string]bool)
	for _, kind := range []wire.Kind{wire.KindUser, wire.KindFind, wire.KindSignal} {
		for range 2 {
			f, err := c.NewFrame(Outgoing{To: abbreviated("40"), Kind: kind, Form: wire.FormJSON, Payload: []byte("1"), Sign: true}, c.Draw())
			if err != nil {
				t.Fatal(err)
			}
			id := string(f.Body.E2E)
			if len(id) != wire.TokenSize || seen[id] {
				t.Errorf("a signed %v has the id %x, want a fresh one of %d bytes", kind, id, wire.TokenSize)
			}
			seen[id] = true
		}
	}
}

// TestQueuesFreeTheirRoom checks that written frames, and those of a link that ended, free the
// room that all queues share.
func TestQueuesFreeTheirRoom(t *testing.T) {
	self, peer := abbreviated("80"), abbreviated("40")
	payload := make([]byte, 60_000)
	fill := func(c *Core, h LinkHandle) (frames, bytes int) {
		for {
			f, err := c.NewFrame(Outgoing{To: peer, Form: wire.FormRaw, Payload: payload}, c.Draw())
			if err != nil {
				t.Fatal(err)
			}
			if c.Send(0, f, OwnMessage) != nil {
				return frames, bytes
			}
			for _, a := range c.Actions() {
				if a.Type == Transmit && a.Link == h {
					frames++
					bytes += a.Frame.Size()
				}
			}
		}
	}
	up := func(c *Core, h LinkHandle) {
		if err := c.LinkUp(0, h, wire.LinkInfo{ID: peer, Kind: wire.LinkNative, Proved: true}, Inbound()); err != nil {
			t.Fatal(err)
		}
		c.Actions()
	}
	const rounds = 2 * queuesBytes / maxQueueBytes
	for name, free := range map[string]func(c *Core, h LinkHandle, frames, bytes int) LinkHandle{
		"written": func(c *Core, h LinkHandle, frames, bytes int) LinkHandle {
			c.Written(0, h, frames, bytes)
			return h
		},
		"ended": func(c *Core, h LinkHandle, _, _ int) LinkHandle {
			c.LinkDown(time.Second, h, nil)
			up(c, h+1)
			return h + 1
		},
	} {
		c, h := newTestCore(self, nil), LinkHandle(1)
		up(c, h)
		for round := range rounds {
			frames, bytes := fill(c, h)
			if bytes < maxQueueBytes/2 {
				t.Fatalf("%s: the queue holds only %d bytes in round %d", name, bytes, round)
			}
			h = free(c, h, frames, bytes)
		}
	}
}
