package core

import (
	"slices"
	"sort"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A table holds one usable link for each id, in the order of the ids. It has no limit: buckets
// decide which links the overlay seeks, and not which links it accepts.
type table struct {
	byID   map[wire.ID]*link
	sorted []*link
}

func (t *table) get(id wire.ID) *link { return t.byID[id] }

func (t *table) len() int { return len(t.sorted) }

func (t *table) search(id wire.ID) int {
	return sort.Search(len(t.sorted), func(i int) bool { return t.sorted[i].ID.Compare(id) >= 0 })
}

// put adds l, or replaces the link to the same peer by it.
func (t *table) put(l *link) {
	if t.byID == nil {
		t.byID = make(map[wire.ID]*link)
	}
	i := t.search(l.ID)
	if t.byID[l.ID] != nil {
		t.sorted[i] = l
	} else {
		t.sorted = slices.Insert(t.sorted, i, l)
	}
	t.byID[l.ID] = l
}

// remove removes l, and reports whether it was in the table.
func (t *table) remove(l *link) bool {
	if t.byID[l.ID] != l {
		return false
	}
	delete(t.byID, l.ID)
	i := t.search(l.ID)
	t.sorted = slices.Delete(t.sorted, i, i+1)
	return true
}

// bucket returns the links in bucket b of self. Their ids share b bits with self and differ
// in the next one, so they are consecutive.
func (t *table) bucket(self wire.ID, b int) []*link {
	first := self.FlipBit(b)
	last := first
	for i := b + 1; i < wire.IDBits && i%8 != 0; i++ {
		if first.Bit(i) == 1 {
			first = first.FlipBit(i)
		}
		if last.Bit(i) == 0 {
			last = last.FlipBit(i)
		}
	}
	for i := b/8 + 1; i < wire.IDSize; i++ {
		first[i], last[i] = 0, 0xff
	}
	from := t.search(first)
	return t.sorted[from : from+sort.Search(len(t.sorted)-from, func(i int) bool { return t.sorted[from+i].ID.Compare(last) > 0 })]
}

// nearest visits the links, the nearest to target first, until visit returns false. Ids that
// share their first i bits are consecutive. So each step splits a run at its next bit and
// visits target's half first.
func (t *table) nearest(target wire.ID, visit func(*link) bool) {
	walkNearest(t.sorted, target, 0, visit)
}

func walkNearest(run []*link, target wire.ID, bit int, visit func(*link) bool) bool {
	for {
		switch len(run) {
		case 0:
			return true
		case 1:
			return visit(run[0])
		}
		bit = max(bit, run[0].ID.CommonPrefixLen(run[len(run)-1].ID))
		split := sort.Search(len(run), func(i int) bool { return run[i].ID.Bit(bit) == 1 })
		first, second := run[:split], run[split:]
		if target.Bit(bit) == 1 {
			first, second = second, first
		}
		if !walkNearest(first, target, bit+1, visit) {
			return false
		}
		run, bit = second, bit+1
	}
}

// closest returns at most n links for which keep returns true, the nearest to target first. A
// nil keep means all links.
func (t *table) closest(target wire.ID, n int, keep func(*link) bool) []*link {
	var out []*link
	t.nearest(target, func(l *link) bool {
		if keep == nil || keep(l) {
			out = append(out, l)
		}
		return len(out) < n
	})
	return out
}

// compareDistance returns -1, 0 or 1: the order of a and b by their distance to target.
func compareDistance(target, a, b wire.ID) int {
	switch {
	case target.Closer(a, b):
		return -1
	case target.Closer(b, a):
		return 1
	}
	return 0
}
