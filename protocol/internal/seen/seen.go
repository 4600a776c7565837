// Package seen remembers what was seen lately.
package seen

import "time"

// A Table holds 64-bit keyed hashes for at least its age, if its bytes suffice. While it
// grows it takes half as many bytes more. Its entries belong to generations. A new one begins
// when the current one is as old as the age, or full, and the entries of those before the
// previous one are free. So at a high rate the table evicts entries earlier, and does not grow.
// A peer cannot have a chosen entry evicted. The key of the hash is secret, so a peer cannot make
// two messages collide.
//
// An entry is looked up for every message, and its place in memory is random. So both
// generations share one array of cache lines, and a lookup mostly reads one line.
type Table struct {
	age   time.Duration
	most  int // entries of one generation
	limit int // lines

	lines  lines
	former lines // the array that lines replaces; read until all of it was copied, or is too old
	copied int   // lines of former that were copied
	swept  int   // the line of lines that is swept next

	now, prev generation
	n, prevN  int           // entries of these
	born      time.Duration // when now began
	formerAge int           // generations that began since lines replaced former
}

// A generation is the number of a generation, from 1 to generations. The numbers are used again.
type generation uint64

const (
	generationBits = 4
	generations    = 1<<generationBits - 1
	lineSlots      = 7
	lineBytes      = 64
	chunkLines     = 512 // lines of a chunk: 32 KiB
	firstLines     = 8   // lines of a new table
	copyLines      = 2   // lines that an entry copies: with fewer a table could fill before all were copied
	sweepEvery     = 2   // entries of a generation for which a line is swept; a table that shrinks in time needs one for five
	shrink         = 4   // the factor by which a table shrinks
)

// A line is a cache line of the table. A slot holds a hash, whose lowest bits are replaced by the
// entry's generation. A slot of 0 is free, and so is one of a generation that is over.
type line struct {
	slots [lineSlots]uint64
	over  generation // the last one with an entry that had no room here and is in a line behind
}

// New returns a table that takes at most that many bytes, and half as many more while it grows.
func New(age time.Duration, bytes int) Table {
	limit := floorPow2(bytes / lineBytes)
	return Table{age: age, most: limit * lineSlots * 3 / 8, limit: limit, now: 2, prev: 1}
}

// Add adds h and reports whether it was new.
func (t *Table) Add(now time.Duration, h uint64) bool {
	if t.Has(now, h) {
		return false
	}
	t.Put(now, h)
	return true
}

// Has reports whether h is in the table.
func (t *Table) Has(now time.Duration, h uint64) bool {
	t.Expire(now)
	return t.find(&t.lines, h) || t.former.size > 0 && t.find(&t.former, h)
}

// Fetch reads the lines in which Has will look for the hashes. The processor waits for all of them at once
// then, and not for one after the other. The result has no meaning: without one the compiler would leave the
// reads out.
func (t *Table) Fetch(hashes []uint64) (sum uint64) {
	if t.lines.size == 0 {
		return 0
	}
	for _, h := range hashes {
		if l := t.lines.at(t.lines.index(h, 0)); l != nil {
			sum += l.slots[0]
		}
	}
	return sum
}

// Put adds h, which is not in the table.
func (t *Table) Put(now time.Duration, h uint64) {
	t.Expire(now)
	if t.n >= t.most {
		t.turn(now)
	}
	if (t.n+t.prevN)*4 >= t.lines.size*lineSlots*3 && t.lines.size < t.limit {
		t.resize(min(max(2*t.lines.size, firstLines), t.limit))
	}
	t.n++
	t.store(h, t.now)
	if t.former.size == 0 && t.n%sweepEvery == 1 {
		t.sweep()
	}
	for range copyLines {
		t.move()
	}
}

// Expire begins a new generation when it is time.
func (t *Table) Expire(now time.Duration) {
	if now-t.born < t.age {
		return
	}
	if now-t.born >= 2*t.age { // the current generation is too old as well
		t.n = 0
		t.turn(now)
	}
	t.turn(now)
}

// turn begins a new generation. It shrinks a table that is much too large.
func (t *Table) turn(now time.Duration) {
	t.prev, t.prevN = t.now, t.n
	t.now, t.n, t.born = t.now%generations+1, 0, now
	t.formerAge++
	switch {
	case t.prevN == 0: // all entries are too old
		t.lines, t.former = lines{}, lines{}
	case t.formerAge >= 2: // those of former are
		t.former = lines{}
	}
	if t.former.size == 0 && t.lines.size > shrink*firstLines && t.prevN*shrink*4 < t.lines.size*lineSlots {
		t.resize(t.lines.size / shrink)
	}
}

// resize replaces the array of lines. Its entries are copied step by step. The one before was
// copied by now: the table doubles at the earliest after as many steps as that takes.
func (t *Table) resize(size int) {
	for t.former.size > 0 {
		t.move()
	}
	t.former, t.copied, t.formerAge = t.lines, 0, 0
	t.lines, t.swept = newLines(size), 0
}

// move copies a line of former, if there is one.
func (t *Table) move() {
	if t.former.size == 0 {
		return
	}
	if l := t.former.at(t.copied); l != nil {
		for _, x := range l.slots {
			if t.holds(x) {
				t.store(x, generation(x&generations))
			}
		}
	}
	if t.copied++; t.copied == t.former.size {
		t.former = lines{}
	}
}

// sweep frees the slots of a line whose generation is over, before its number is used again.
func (t *Table) sweep() {
	if l := t.lines.at(t.swept); l != nil {
		for i, x := range l.slots {
			if !t.holds(x) {
				l.slots[i] = 0
			}
		}
		if !t.lives(l.over) {
			l.over = 0
		}
	}
	t.swept = (t.swept + 1) % t.lines.size
}

// lives reports whether the entries of a generation are in the table.
func (t *Table) lives(g generation) bool { return g == t.now || g == t.prev }

// holds reports whether the entry in a slot is in the table. Otherwise the slot is free.
func (t *Table) holds(x uint64) bool { return t.lives(generation(x & generations)) }

func (t *Table) find(ls *lines, h uint64) bool {
	for i := range ls.size {
		l := ls.at(ls.index(h, i))
		if l == nil {
			return false
		}
		for _, x := range l.slots {
			if (x^h)&^generations == 0 && t.holds(x) {
				return true
			}
		}
		if !t.lives(l.over) {
			return false
		}
	}
	return false
}

// store writes an entry into the first line that has room. There is one: at most three quarters
// of the slots are taken.
func (t *Table) store(h uint64, g generation) {
	for i := range t.lines.size {
		l := t.lines.make(t.lines.index(h, i))
		for j, x := range l.slots {
			if !t.holds(x) {
				l.slots[j] = h&^generations | uint64(g)
				return
			}
		}
		if g == t.now || !t.lives(l.over) {
			l.over = g
		}
	}
}

// Most returns the number of entries of one generation when the table is full.
func (t *Table) Most() int { return t.most }

// Len returns the number of entries.
func (t *Table) Len() int { return t.n + t.prevN }

// lines is an array whose length is a power of two. Each chunk is allocated at its first write,
// since allocating and clearing a large array at once takes milliseconds.
type lines struct {
	chunks [][]line
	size   int
}

func newLines(size int) lines {
	return lines{chunks: make([][]line, (size+chunkLines-1)/chunkLines), size: size}
}

// index returns the line number i in the order in which h looks for room.
func (ls *lines) index(h uint64, i int) int {
	return int(h>>generationBits+uint64(i)) & (ls.size - 1)
}

// at returns a line, nil if nothing was written to its chunk.
func (ls *lines) at(i int) *line {
	if chunk := ls.chunks[i/chunkLines]; chunk != nil {
		return &chunk[i%chunkLines]
	}
	return nil
}

// make returns a line to write to.
func (ls *lines) make(i int) *line {
	chunk := &ls.chunks[i/chunkLines]
	if *chunk == nil {
		*chunk = make([]line, min(ls.size, chunkLines))
	}
	return &(*chunk)[i%chunkLines]
}

func floorPow2(n int) int {
	p := 1
	for p*2 <= n {
		p *= 2
	}
	return p
}
