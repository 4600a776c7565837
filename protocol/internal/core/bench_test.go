package core

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/rate"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// BenchmarkRelay measures the work of a relay with 32 links for one message with a payload of
// 64 bytes: parse it, look for duplicates, choose the next hop and extend the path. With
// lookahead, the peer of each link has named 32 neighbours.
func BenchmarkRelay(b *testing.B) {
	b.Run("links", func(b *testing.B) { benchRelay(b, 0) })
	b.Run("lookahead", func(b *testing.B) { benchRelay(b, 32) })
}

func benchRelay(b *testing.B, named int) {
	rng := rand.New(rand.NewPCG(1, 1))
	c := newTestCore(randomID(rng), nil)
	for i := range 32 {
		info := wire.LinkInfo{ID: randomID(rng), Kind: wire.LinkNative, Proved: true, RTT: 50 * time.Millisecond, Features: []string{wire.FeatureNeighbours}}
		if err := c.LinkUp(0, LinkHandle(i+1), info, Inbound()); err != nil {
			b.Fatal(err)
		}
		if named > 0 {
			c.Receive(0, LinkHandle(i+1), neighbours(b, rng, named))
		}
	}
	c.Tick(time.Second) // the core looks at its links
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
		c.Receive(2*time.Second, 1, f)
		for _, a := range c.Actions() {
			if a.Type == Transmit {
				c.Written(2*time.Second, a.Link, 1, a.Frame.Size())
			}
		}
	}
}

// neighbours returns a frame that names n random peers.
func neighbours(b *testing.B, rng *rand.Rand, n int) *wire.Frame {
	b.Helper()
	all := wire.Neighbours{Reset: true}
	for range n {
		all.Named = append(all.Named, wire.Neighbour{ID: randomID(rng), Time: wire.CodeTime(50 * time.Millisecond)})
	}
	slices.SortFunc(all.Named, func(a, b wire.Neighbour) int { return a.ID.Compare(b.ID) })
	f, err := wire.NewNeighbours(all)
	if err != nil {
		b.Fatal(err)
	}
	return f
}

// BenchmarkUnderLock measures the work for one frame under a router's lock. That is Receive,
// without the parsing before it and the signature of an answer after it.
func BenchmarkUnderLock(b *testing.B) {
	for _, size := range []int{64, 16 << 10, 250 << 10} {
		b.Run(fmt.Sprintf("forward%dB", size), func(b *testing.B) {
			benchUnderLock(b, func(to wire.ID) Outgoing { return Outgoing{To: to, Form: wire.FormJSON, Payload: make([]byte, size)} })
		})
	}
	b.Run("find", func(b *testing.B) {
		benchUnderLock(b, func(to wire.ID) Outgoing {
			return Outgoing{To: abbreviated("80"), Kind: wire.KindFind, Form: wire.FormRaw, Payload: to[:]}
		})
	})
}

func benchUnderLock(b *testing.B, message func(to wire.ID) Outgoing) {
	rng := rand.New(rand.NewPCG(1, 1))
	c := newTestCore(abbreviated("80"), nil)
	var ids []wire.ID
	for i := range 32 {
		ids = append(ids, randomID(rng))
		if err := c.LinkUp(0, LinkHandle(i+1), wire.LinkInfo{ID: ids[i], Kind: wire.LinkNative, Proved: true}, Inbound()); err != nil {
			b.Fatal(err)
		}
	}
	c.Actions()
	origin := newTestCore(ids[0], nil)
	var locked time.Duration
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		f, err := origin.NewFrame(message(ids[1+i%31]), origin.Draw())
		if err != nil {
			b.Fatal(err)
		}
		if f, err = wire.ParseFrame(unframed(b, f)); err != nil {
			b.Fatal(err)
		}
		c.Prepare(f)
		c.byHandle[1].asks = rate.Full(c.now, askBurst)
		start := time.Now()
		c.Receive(time.Second, 1, f)
		actions := c.Actions()
		locked += time.Since(start)
		for _, a := range actions {
			if a.Type == Transmit {
				c.Written(time.Second, a.Link, 1, a.Frame.Size())
			}
		}
	}
	b.ReportMetric(float64(locked.Nanoseconds())/float64(b.N), "ns-under-lock/op")
}

func randomID(rng *rand.Rand) (id wire.ID) {
	for i := range id {
		id[i] = byte(rng.Uint32())
	}
	return id
}
