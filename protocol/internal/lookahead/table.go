// Package lookahead holds what linked peers tell of their own links: which peers a message reaches
// by one more hop. It also holds the list of own links that they are told, with its changes. It
// does not decide anything.
package lookahead

import (
	"slices"
	"sort"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A Table holds the neighbours of linked peers by id. T is a link, of which an entry takes 32 bytes.
// The zero value is empty. It has no limit.
type Table[T comparable] struct {
	entries []Entry[T] // in the order of the ids
}

// An Entry is a neighbour of a linked peer.
type Entry[T comparable] struct {
	ID   wire.ID
	Time wire.TimeCode
	Via  T // link of the peer that named it
}

// Has reports whether a linked peer has named a neighbour.
func (t *Table[T]) Has(via T, id wire.ID) bool {
	_, found := t.find(via, id)
	return found
}

// Names reports whether any linked peer has named a neighbour.
func (t *Table[T]) Names(id wire.ID) bool {
	i := t.search(id)
	return i < len(t.entries) && t.entries[i].ID == id
}

// Len returns the number of entries.
func (t *Table[T]) Len() int { return len(t.entries) }

func (t *Table[T]) search(id wire.ID) int {
	return sort.Search(len(t.entries), func(i int) bool { return t.entries[i].ID.Compare(id) >= 0 })
}

// find returns the index of the entry of a neighbour and a link, or where it belongs.
func (t *Table[T]) find(via T, id wire.ID) (i int, found bool) {
	for i = t.search(id); i < len(t.entries) && t.entries[i].ID == id; i++ {
		if t.entries[i].Via == via {
			return i, true
		}
	}
	return i, false
}

// Put adds neighbours of a linked peer that have different ids, or changes their times. It returns the
// number of the new ones.
func (t *Table[T]) Put(via T, named []wire.Neighbour) (added int) {
	var fresh []Entry[T]
	for _, n := range named {
		if i, found := t.find(via, n.ID); found {
			t.entries[i].Time = n.Time
		} else {
			fresh = append(fresh, Entry[T]{n.ID, n.Time, via})
		}
	}
	slices.SortFunc(fresh, func(a, b Entry[T]) int { return a.ID.Compare(b.ID) })
	fresh = slices.CompactFunc(fresh, func(a, b Entry[T]) bool { return a.ID == b.ID })
	// Merge from the end, so that each entry moves once.
	at := len(t.entries)
	t.entries = slices.Grow(t.entries, len(fresh))[:at+len(fresh)]
	for left := len(fresh); left > 0; {
		if at > 0 && t.entries[at-1].ID.Compare(fresh[left-1].ID) > 0 {
			at--
			t.entries[at+left] = t.entries[at]
		} else {
			left--
			t.entries[at+left] = fresh[left]
		}
	}
	return len(fresh)
}

// Remove removes a neighbour of a linked peer, and reports whether it was there.
func (t *Table[T]) Remove(via T, id wire.ID) bool {
	i, found := t.find(via, id)
	if found {
		t.entries = slices.Delete(t.entries, i, i+1)
	}
	return found
}

// Drop removes all neighbours of a linked peer.
func (t *Table[T]) Drop(via T) {
	t.entries = slices.DeleteFunc(t.entries, func(e Entry[T]) bool { return e.Via == via })
}

// Nearest visits the entries, those nearest to target first, until visit returns false.
func (t *Table[T]) Nearest(target wire.ID, visit func(Entry[T]) bool) {
	walk(t.entries, target, visit)
}

// walk visits entries that share all bits in which not all of them differ. Those that share the
// next bit with the target are nearer.
func walk[T comparable](es []Entry[T], target wire.ID, visit func(Entry[T]) bool) bool {
	for len(es) > 0 {
		bit := es[0].ID.CommonPrefixLen(es[len(es)-1].ID)
		if bit == wire.IDBits { // all have one id
			for _, e := range es {
				if !visit(e) {
					return false
				}
			}
			return true
		}
		split := sort.Search(len(es), func(i int) bool { return es[i].ID.Bit(bit) == 1 })
		near, far := es[:split], es[split:]
		if target.Bit(bit) == 1 {
			near, far = far, near
		}
		if !walk(near, target, visit) {
			return false
		}
		es = far
	}
	return true
}
