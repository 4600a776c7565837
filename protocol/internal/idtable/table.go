// Package idtable holds values by the ids of peers, and finds those that are nearest to an id.
package idtable

import (
	"slices"
	"sort"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A Table holds one value for each id, in the order of the ids. Its zero value is empty. It has no
// limit.
type Table[T comparable] struct {
	ids []wire.ID // in order
	all []T       // in the order of ids
}

// Get returns the value of an id, the zero value if there is none.
func (t *Table[T]) Get(id wire.ID) (v T) {
	if i, found := t.find(id); found {
		v = t.all[i]
	}
	return v
}

// Len returns the number of values.
func (t *Table[T]) Len() int { return len(t.all) }

// All returns the values in the order of their ids. The caller must not change the slice.
func (t *Table[T]) All() []T { return t.all }

func (t *Table[T]) search(id wire.ID) int {
	return sort.Search(len(t.ids), func(i int) bool { return !t.ids[i].Less(&id) })
}

// find returns the index of an id, or where it belongs.
func (t *Table[T]) find(id wire.ID) (i int, found bool) {
	i = t.search(id)
	return i, i < len(t.ids) && t.ids[i] == id
}

// Put adds a value, or replaces that of the same id.
func (t *Table[T]) Put(id wire.ID, v T) {
	if i, found := t.find(id); found {
		t.all[i] = v
	} else {
		t.ids, t.all = slices.Insert(t.ids, i, id), slices.Insert(t.all, i, v)
	}
}

// Remove removes the value of an id if it is v, and reports whether it was.
func (t *Table[T]) Remove(id wire.ID, v T) bool {
	i, found := t.find(id)
	if !found || t.all[i] != v {
		return false
	}
	t.ids, t.all = slices.Delete(t.ids, i, i+1), slices.Delete(t.all, i, i+1)
	return true
}

// Bucket returns the values in bucket b of self. Their ids share b bits with self and differ
// in the next one, so they are consecutive.
func (t *Table[T]) Bucket(self wire.ID, b int) []T {
	first, last := self.Bucket(b)
	from := t.search(first)
	return t.all[from : from+sort.Search(len(t.ids)-from, func(i int) bool { return last.Less(&t.ids[from+i]) })]
}

// Nearest visits the values, the one nearest to target first, until visit returns false. Ids that
// share their first i bits are consecutive. So each step splits a run at its next bit and
// visits target's half first.
func (t *Table[T]) Nearest(target wire.ID, visit func(T) bool) {
	t.walk(0, len(t.ids), target, 0, visit)
}

// walk visits the values from index from on, up to to.
func (t *Table[T]) walk(from, to int, target wire.ID, bit int, visit func(T) bool) bool {
	for {
		switch to - from {
		case 0:
			return true
		case 1:
			return visit(t.all[from])
		}
		bit = max(bit, t.ids[from].CommonPrefixLen(t.ids[to-1]))
		split := from + sort.Search(to-from, func(i int) bool { return t.ids[from+i].Bit(bit) == 1 })
		near, far := [2]int{from, split}, [2]int{split, to}
		if target.Bit(bit) == 1 {
			near, far = far, near
		}
		if !t.walk(near[0], near[1], target, bit+1, visit) {
			return false
		}
		from, to, bit = far[0], far[1], bit+1
	}
}

// Closest returns at most n values for which keep returns true, the one nearest to target first. A
// nil keep means all.
func (t *Table[T]) Closest(target wire.ID, n int, keep func(T) bool) []T {
	var out []T
	t.Nearest(target, func(v T) bool {
		if keep == nil || keep(v) {
			out = append(out, v)
		}
		return len(out) < n
	})
	return out
}

// CompareDistance returns -1, 0 or 1: the order of a and b by their distance to target.
func CompareDistance(target, a, b wire.ID) int {
	switch {
	case target.Closer(a, b):
		return -1
	case target.Closer(b, a):
		return 1
	}
	return 0
}
