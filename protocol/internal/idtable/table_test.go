package idtable

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

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
		var tab Table[wire.ID]
		ids := crowd(rng, self, rng.IntN(60))
		for _, id := range ids {
			tab.Put(id, id)
		}
		for i := range len(ids) / 3 {
			tab.Remove(ids[i], tab.Get(ids[i]))
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
		tab.Nearest(target, func(id wire.ID) bool { got = append(got, id); return true })
		if len(ids) > 4 {
			odd := func(id wire.ID) bool { return id != ids[1] }
			if got := tab.Closest(target, 2, odd); !slices.Equal(got, []wire.ID{ids[0], ids[2]}) {
				t.Fatalf("closest to %v: %v", target, got)
			}
		}
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
			in := tab.Bucket(self, b)
			for _, id := range in {
				if self.CommonPrefixLen(id) != b {
					t.Fatalf("%v is not in bucket %d of %v", id, b, self)
				}
			}
			if len(in) != want {
				t.Fatalf("bucket %d has %d values, want %d", b, len(in), want)
			}
		}
	}
}

// A table keeps one value for each id, and removing a replaced value does not remove the new one.
func TestTableReplace(t *testing.T) {
	var tab Table[int]
	id := wire.ID{1}
	tab.Put(id, 1)
	tab.Put(id, 2)
	if tab.Remove(id, 1) || tab.Len() != 1 || tab.Get(id) != 2 || tab.All()[0] != 2 {
		t.Error("removing the old value removed the new one")
	}
	if !tab.Remove(id, 2) || tab.Len() != 0 || tab.Get(id) != 0 {
		t.Error("the new value was not removed")
	}
}

func TestHints(t *testing.T) {
	var tab Hints
	rng := rand.New(rand.NewPCG(1, 1))
	a, b, via := randomID(rng), randomID(rng), randomID(rng)
	tab.Learn(0, a, via)
	if got, ok := tab.Via(29*time.Second, a); !ok || got != via {
		t.Error("the route of a is gone after 29 s")
	}
	tab.Learn(40*time.Second, b, via)
	if _, ok := tab.Via(80*time.Second, a); ok {
		t.Error("the route of a is there after 80 s")
	}
	if _, ok := tab.Via(69*time.Second, b); !ok {
		t.Error("the route of b is gone after 29 s")
	}
	for range 10 * maxHints {
		tab.Learn(80*time.Second, randomID(rng), via)
	}
	if n := len(tab.young) + len(tab.old); n > maxHints {
		t.Errorf("%d entries", n)
	}
}
