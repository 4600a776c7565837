package seen

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestAge checks that a Table has all entries younger than its age, and none of more
// than twice its age.
func TestAge(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	tab := New(time.Minute, 1<<20)
	added := map[uint64]time.Duration{}
	var order []uint64
	for now := time.Duration(0); now < 10*time.Minute; now += time.Duration(rng.IntN(1000)) * time.Millisecond {
		h := rng.Uint64() | 1
		if !tab.Add(now, h) || tab.Add(now, h) {
			t.Fatal("add returned false for a new entry, or true for a known one")
		}
		added[h] = now
		order = append(order, h)
		for range 3 {
			h := order[rng.IntN(len(order))]
			known, age := tab.Has(now, h), now-added[h]
			if !known && age < time.Minute || known && age > 2*time.Minute+time.Second {
				t.Fatalf("has = %v after %v", known, age)
			}
		}
	}
}

// TestBound checks that a Table that fills fast takes at most its bytes, and half as many
// more while it grows.
func TestBound(t *testing.T) {
	const bytes = 1 << 14
	tab := New(time.Minute, bytes)
	for i := range uint64(100_000) {
		h := i * 0x9e3779b97f4a7c15
		tab.Add(0, h)
		if !tab.Has(0, h) {
			t.Fatalf("entry %d was evicted at once", i)
		}
		if n := tab.bytes(); n > bytes*3/2 {
			t.Fatalf("%d bytes after %d entries", n, i)
		}
	}
	if tab.Len() < bytes/8/4 {
		t.Errorf("%d entries in %d bytes", tab.Len(), bytes)
	}
	tab.Expire(2 * time.Minute)
	if n := tab.bytes(); n > 0 {
		t.Errorf("%d bytes without entries", n)
	}
}

func (t *Table) bytes() (n int) {
	for _, chunk := range slices.Concat(t.lines.chunks, t.former.chunks) {
		n += lineBytes * cap(chunk)
	}
	return n
}

// TestKeepsItsAge checks that a Table has all entries of the last age and no others, at
// rates that make it grow and shrink.
func TestKeepsItsAge(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	tab := New(time.Minute, 1<<22)
	type entry struct {
		h  uint64
		at time.Duration
	}
	var all []entry
	now, largest, smallest := time.Duration(0), 0, math.MaxInt
	for minute := range 60 {
		rate := []int{3, 3, 20_000, 40_000, 10, 2_000, 2_000, 0, 0}[minute%9]
		begin := now
		for i := range rate {
			now = begin + time.Duration(i)*time.Minute/time.Duration(rate)
			h := rng.Uint64()
			if !tab.Add(now, h) {
				t.Fatalf("minute %d: a new entry is there already", minute)
			}
			all = append(all, entry{h, now})
			e := all[rng.IntN(len(all))]
			if known, age := tab.Has(now, e.h), now-e.at; !known && age < time.Minute || known && age > 2*time.Minute+time.Second {
				t.Fatalf("minute %d: has = %v after %v", minute, known, age)
			}
		}
		now = begin + time.Minute
		tab.Expire(now)
		for _, e := range all {
			if now-e.at < time.Minute && !tab.Has(now, e.h) {
				t.Fatalf("minute %d: an entry is lost after %v", minute, now-e.at)
			}
		}
		all = slices.DeleteFunc(all, func(e entry) bool { return now-e.at > 20*time.Minute })
		largest = max(largest, tab.lines.size)
		if minute > 9 {
			smallest = min(smallest, tab.lines.size)
		}
	}
	if largest < 4096 || smallest > 0 {
		t.Errorf("from %d to %d lines", smallest, largest)
	}
}

// TestGrowsInSteps checks that no add copies or allocates many lines, however large the
// table is, since a router holds its lock during an add. The test counts steps and not time.
func TestGrowsInSteps(t *testing.T) {
	tab := New(time.Hour, 1<<30)
	rng := rand.New(rand.NewPCG(1, 1))
	var all []uint64
	for range 200_000 {
		h, copied, size := rng.Uint64(), tab.copied, tab.lines.size
		tab.Add(0, h)
		all = append(all, h)
		if tab.lines.size == size && tab.copied-copied > copyLines {
			t.Fatalf("one add copied %d lines", tab.copied-copied)
		}
		if size > copyLines && tab.lines.size > size && (tab.copied > copyLines || tab.former.size != size) {
			t.Fatalf("the add that made the table grow copied %d of %d lines, and %d are left", tab.copied, size, tab.former.size)
		}
	}
	for _, chunk := range tab.lines.chunks {
		if len(chunk) > chunkLines {
			t.Fatalf("a chunk has %d lines", len(chunk))
		}
	}
	for _, h := range all {
		if !tab.Has(0, h) {
			t.Fatalf("%x is lost", h)
		}
	}
	if tab.Len() != len(all) {
		t.Errorf("%d entries, want %d", tab.Len(), len(all))
	}
}

// TestSweeps checks that no entry of an old generation is left when its number is used again, at rates at which
// the table neither grows nor shrinks, and at others.
func TestSweeps(t *testing.T) {
	const age = time.Minute
	rng := rand.New(rand.NewPCG(1, 1))
	tab := New(age, 1<<20)
	wrong, number := 0, tab.now
	for g := range 300 {
		rate := 1000 + rng.IntN(500)
		if g > 200 {
			rate = 100 << rng.IntN(8)
		}
		for i := range rate {
			tab.Put(time.Duration(g)*age+time.Duration(i)*age/time.Duration(rate), rng.Uint64())
			if tab.now == number {
				continue
			}
			number = tab.now
			for _, chunk := range tab.lines.chunks {
				for _, l := range chunk {
					for _, x := range l.slots {
						if generation(x&generations) == number {
							wrong++
						}
					}
				}
			}
			wrong-- // the one just added
		}
	}
	if wrong != 0 {
		t.Errorf("%d entries of former generations", wrong)
	}
}
