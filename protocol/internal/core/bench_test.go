package core

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// BenchmarkRelay measures the work of a relay with 32 links for one message with a payload of
// 64 bytes: parse it, look for duplicates, choose the next hop and extend the path.
func BenchmarkRelay(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	c := newTestCore(randomID(rng), nil)
	for i := range 32 {
		if err := c.LinkUp(0, LinkHandle(i+1), wire.LinkInfo{ID: randomID(rng), Kind: wire.LinkNative, Proved: true}, Inbound()); err != nil {
			b.Fatal(err)
		}
	}
	c.Actions()
	origin := newTestCore(randomID(rng), nil)
	var wires [][]byte
	for range 1024 {
		f, err := origin.NewFrame(Outgoing{To: randomID(rng), Form: wire.FormRaw, Payload: make([]byte, 64)}, origin.Draw())
		if err != nil {
			b.Fatal(err)
		}
		wires = append(wires, unframed(b, f))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		f, err := wire.ParseFrame(wires[i%len(wires)])
		if err != nil {
			b.Fatal(err)
		}
		if i%len(wires) == 0 {
			c.transit = newTransit()
		}
		c.Receive(time.Second, 1, f)
		for _, a := range c.Actions() {
			if a.Type == Transmit {
				c.Written(time.Second, a.Link, 1, a.Frame.Size())
			}
		}
	}
}
