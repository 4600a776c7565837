package core

import (
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A seenTable remembers 64-bit keyed hashes for at least its age, as long as its
// bytes suffice. It holds two generations: when the young one is as old as the age
// or full, it becomes the old one. At full speed it forgets sooner rather than
// grow; no peer can make it forget one chosen entry, and the key of the hash is
// secret, so that no peer can make two messages collide.
type seenTable struct {
	age   time.Duration
	most  int // slots of one generation
	young generation
	old   generation
	born  time.Duration
}

func newSeenTable(age time.Duration, bytes int) seenTable {
	return seenTable{age: age, most: floorPow2(bytes / 8 / 2)}
}

// add notes h and reports whether it was new.
func (t *seenTable) add(now time.Duration, h uint64) bool {
	if t.has(now, h) {
		return false
	}
	t.young.add(h, t.most)
	return true
}

func (t *seenTable) has(now time.Duration, h uint64) bool {
	if now-t.born >= t.age || t.young.full(t.most) {
		if now-t.born >= 2*t.age { // even the young generation is too old
			t.young = generation{}
		}
		t.old, t.young, t.born = t.young, generation{}, now
	}
	return t.young.has(h) || t.old.has(h)
}

// len returns the number of entries.
func (t *seenTable) len() int { return t.young.n + t.old.n }

// A generation is a set of hashes with open addressing; 0 stands for no entry.
type generation struct {
	slots []uint64
	n     int
}

const firstSlots = 256

func (g *generation) full(most int) bool { return g.n*4 >= most*3 }

func (g *generation) has(h uint64) bool {
	if g.n == 0 {
		return false
	}
	for i := h | 1; ; i += 2 {
		switch g.slots[i>>1&uint64(len(g.slots)-1)] {
		case 0:
			return false
		case h | 1:
			return true
		}
	}
}

func (g *generation) add(h uint64, most int) {
	if g.n*4 >= len(g.slots)*3 {
		old := g.slots
		g.slots = make([]uint64, min(max(2*len(old), firstSlots), floorPow2(most)))
		for _, x := range old {
			if x != 0 {
				g.put(x)
			}
		}
	}
	g.put(h)
	g.n++
}

func (g *generation) put(h uint64) {
	i := h | 1
	for g.slots[i>>1&uint64(len(g.slots)-1)] != 0 {
		i += 2
	}
	g.slots[i>>1&uint64(len(g.slots)-1)] = h | 1
}

func floorPow2(n int) int {
	p := 1
	for p*2 <= n {
		p *= 2
	}
	return p
}

// A routeTable remembers from which neighbour messages of an origin came, in two
// generations like a seenTable. An entry is a hint: a peer that forges an origin can
// set it, which is why it is asked only where no link is nearer.
type routeTable struct {
	young, old map[wire.ID]wire.ID
	born       time.Duration
}

func (t *routeTable) learn(now time.Duration, origin, via wire.ID) {
	if now-t.born >= learnedAge/2 || len(t.young) >= maxLearned/2 {
		if now-t.born >= learnedAge {
			t.young = nil
		}
		t.old, t.young, t.born = t.young, make(map[wire.ID]wire.ID), now
	}
	if t.young == nil {
		t.young = make(map[wire.ID]wire.ID)
	}
	t.young[origin] = via
}

func (t *routeTable) via(now time.Duration, origin wire.ID) (wire.ID, bool) {
	if via, ok := t.young[origin]; ok && now-t.born < learnedAge {
		return via, true
	}
	via, ok := t.old[origin]
	return via, ok && now-t.born < learnedAge/2
}
