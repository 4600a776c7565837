package core

import (
	"encoding/binary"
	"github.com/peer-relay/peer-relay/protocol/internal/journal"
	"slices"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A peer that names ever more neighbours fills no more than its share of the memory.
func TestNeighboursAreBounded(t *testing.T) {
	s := &script{t: t, c: newTestCore(abbreviated("80"), nil)}
	for h := LinkHandle(1); h <= 3; h++ {
		id := wire.ID{0xc0, byte(h)}
		info := wire.LinkInfo{ID: id, Kind: wire.LinkNative, Features: []string{wire.FeatureNeighbours}}
		if err := s.c.LinkUp(s.now, h, info, Inbound()); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 * wire.MaxNamed {
		id := wire.ID{0x40}
		binary.BigEndian.PutUint32(id[1:], uint32(i))
		f, err := wire.NewNeighbours(wire.Neighbours{Named: []wire.Neighbour{{ID: id}}})
		if err != nil {
			t.Fatal(err)
		}
		s.c.Receive(s.now, LinkHandle(1+i%3), f)
	}
	if n := s.c.ahead.Len(); n > 3*wire.MaxNamed {
		t.Errorf("%d neighbours of 3 peers are kept, want at most %d", n, 3*wire.MaxNamed)
	}
}

// linkUp makes a native link that names neighbours.
func linkUp(t *testing.T, s *script, h LinkHandle, id wire.ID, cause Cause) {
	t.Helper()
	info := wire.LinkInfo{ID: id, Kind: wire.LinkNative, Proved: true, Features: []string{wire.FeatureNeighbours}}
	if err := s.c.LinkUp(s.now, h, info, cause); err != nil {
		t.Fatal(err)
	}
}

// names has a linked peer name n neighbours.
func names(t *testing.T, s *script, h LinkHandle, n int) {
	t.Helper()
	var named []wire.Neighbour
	for i := range n {
		named = append(named, wire.Neighbour{ID: wire.ID{0x55, byte(h), byte(i + 1)}})
	}
	f, err := wire.NewNeighbours(wire.Neighbours{Named: named})
	if err != nil {
		t.Fatal(err)
	}
	s.c.Receive(s.now, h, f)
}

// The neighbours that a peer has named are forgotten with its link, also with one that a better link
// replaces.
func TestNeighboursGoWithTheirLink(t *testing.T) {
	s := &script{t: t, c: newTestCore(abbreviated("80"), nil)}
	for h := LinkHandle(1); h < 40; h++ {
		linkUp(t, s, h, wire.ID{0xc0}, Inbound())
		names(t, s, h, 10)
		if n := s.c.ahead.Len(); n != 10 {
			t.Fatalf("link %d: %d neighbours, want 10", h, n)
		}
		s.c.Receive(s.now, h, wire.NewBye(wire.ByeDuplicate))
		s.c.LinkDown(s.now, h, nil)
		s.c.Actions()
		s.now += 100 * time.Millisecond
	}
	if n := s.c.ahead.Len(); n != 0 {
		t.Errorf("%d neighbours of links that have ended", n)
	}
}

// A flood of lists is not read.
func TestNeighboursHaveARate(t *testing.T) {
	s := &script{t: t, c: newTestCore(abbreviated("80"), nil)}
	linkUp(t, s, 1, wire.ID{0xc0}, Inbound())
	for range 100 {
		names(t, s, 1, 1)
	}
	if n := s.c.Stats().Dropped[journal.DropRate]; n != 100-heardBurst {
		t.Errorf("%d lists were dropped, want %d", n, 100-heardBurst)
	}
}

// A peer with very many links ends some of those that others have opened and that it does not need. One
// that comes again stays.
func TestManyLinks(t *testing.T) {
	s := &script{t: t, c: newTestCore(abbreviated("80"), func(cfg *CoreConfig) { cfg.NoOverlay = false })}
	const many = 200
	ended := make(map[wire.ID]int)
	ids := make(map[LinkHandle]wire.ID)
	step := func(d time.Duration) {
		for end := s.now + d; s.now < end; s.now += 100 * time.Millisecond {
			for _, l := range slices.Clone(s.c.order) {
				s.c.Receive(s.now, l.Handle, wire.NewPong(7))
			}
			s.c.Tick(s.now)
			for _, a := range slices.Clone(s.c.Actions()) {
				if a.Type == CloseLink {
					ended[ids[a.Link]]++
					s.c.LinkDown(s.now, a.Link, nil)
					s.c.Actions()
				}
			}
		}
	}
	up := func(h LinkHandle, id wire.ID, n int) {
		ids[h] = id
		linkUp(t, s, h, id, Inbound())
		names(t, s, h, n)
	}
	for h := LinkHandle(1); h <= many; h++ {
		up(h, wire.ID{byte(h % 128), byte(h)}, 12)
	}
	step(time.Minute)
	if n := s.c.table.Len(); n < 100 || n > 130 {
		t.Errorf("%d links are left, want about 128", n)
	}
	h := LinkHandle(many)
	for id := range ended {
		h++
		up(h, id, 12)
	}
	before := len(ended)
	step(time.Minute)
	for id, n := range ended {
		if n > 1 {
			t.Errorf("%v was sent away %d times", id.Short(), n)
		}
	}
	if before == 0 {
		t.Error("no link was ended")
	}

	// Peers that have told of few links may have no others.
	s = &script{t: t, c: newTestCore(abbreviated("80"), func(cfg *CoreConfig) { cfg.NoOverlay = false })}
	clear(ended)
	for h := LinkHandle(1); h <= many; h++ {
		up(h, wire.ID{byte(h % 128), byte(h)}, 2)
	}
	step(time.Minute)
	if len(ended) > 0 {
		t.Errorf("%d links of peers with few others were ended", len(ended))
	}
}
