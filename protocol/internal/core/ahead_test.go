package core

import (
	"encoding/binary"
	"testing"

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
