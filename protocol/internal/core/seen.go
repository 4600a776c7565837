package core

import "time"

// A seenTable holds 64-bit keyed hashes for at least its age, if its bytes suffice. While it
// grows it takes a quarter more bytes. It has two generations. The young one becomes the old
// one when it is as old as the age, or full. So at a high rate the table evicts entries
// earlier, and does not grow. A peer cannot have a chosen entry evicted. The key of the hash
// is secret, so a peer cannot make two messages collide.
type seenTable struct {
	age   time.Duration
	most  int // slots of one generation
	young hashSet
	old   hashSet
	born  time.Duration
}

func newSeenTable(age time.Duration, bytes int) seenTable {
	return seenTable{age: age, most: floorPow2(bytes / 8 / 2)}
}

// add adds h and reports whether it was new.
func (t *seenTable) add(now time.Duration, h uint64) bool {
	if t.has(now, h) {
		return false
	}
	t.young.add(h)
	return true
}

// put adds h, which is not in the table.
func (t *seenTable) put(now time.Duration, h uint64) {
	t.expire(now)
	t.young.add(h)
}

func (t *seenTable) has(now time.Duration, h uint64) bool {
	t.expire(now)
	return t.young.has(h) || t.old.has(h)
}

// expire frees the memory of entries that are too old.
func (t *seenTable) expire(now time.Duration) {
	full := t.young.n*4 >= t.most*3
	if now-t.born < t.age && !full {
		return
	}
	if now-t.born >= 2*t.age { // the young generation is too old as well
		t.young = hashSet{}
	}
	t.old, t.young, t.born = t.young, hashSet{}, now
}

// len returns the number of entries.
func (t *seenTable) len() int { return t.young.n + t.old.n }

// A hashSet is a set of hashes with open addressing and linear probing. A slot of 0 is free.
// The set doubles when it is three quarters full, and copies a few slots of the smaller
// table at each add. So no call takes long, however large the set is.
type hashSet struct {
	slots  slots
	former slots // the table that slots replaces; read until all of it was copied
	copied int   // slots of former that were copied
	n      int   // entries
}

const (
	firstSlots   = 256 // slots of a new set
	slotsPerCopy = 4   // slots copied at an add; with less than 2 the set would fill before all were copied
)

func (s *hashSet) has(h uint64) bool { return s.slots.has(h) || s.former.has(h) }

// add adds h, which is not in the set.
func (s *hashSet) add(h uint64) {
	if s.n*4 >= s.slots.size*3 {
		s.former, s.copied = s.slots, 0
		s.slots = newSlots(max(2*s.slots.size, firstSlots))
	}
	s.slots.put(h)
	s.n++
	for range slotsPerCopy {
		if s.copied == s.former.size {
			s.former, s.copied = slots{}, 0
			return
		}
		if x := s.former.at(uint64(s.copied)); x != 0 {
			s.slots.put(x)
		}
		s.copied++
	}
}

// slots is an array whose length is a power of two. Each chunk is allocated at its first
// write, since allocating and clearing a large array at once takes milliseconds.
type slots struct {
	chunks [][]uint64
	size   int
}

const chunkSlots = 4096 // slots of a chunk: 32 KiB

func newSlots(size int) slots {
	return slots{chunks: make([][]uint64, (size+chunkSlots-1)/chunkSlots), size: size}
}

func (s *slots) at(i uint64) uint64 {
	chunk := s.chunks[i/chunkSlots]
	if chunk == nil {
		return 0
	}
	return chunk[i%chunkSlots]
}

func (s *slots) has(h uint64) bool {
	if s.size == 0 {
		return false
	}
	for i := h >> 1; ; i++ {
		switch s.at(i & uint64(s.size-1)) {
		case 0:
			return false
		case h | 1:
			return true
		}
	}
}

func (s *slots) put(h uint64) {
	i := h >> 1 & uint64(s.size-1)
	for s.at(i) != 0 {
		i = (i + 1) & uint64(s.size-1)
	}
	chunk := &s.chunks[i/chunkSlots]
	if *chunk == nil {
		*chunk = make([]uint64, min(s.size, chunkSlots))
	}
	(*chunk)[i%chunkSlots] = h | 1
}

func floorPow2(n int) int {
	p := 1
	for p*2 <= n {
		p *= 2
	}
	return p
}
