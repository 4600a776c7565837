// Package lookahead holds what linked peers tell of their own links: which peers a message reaches
// by one more hop. It also holds the list of own links that they are told, with its changes. It
// does not decide anything.
package lookahead

import (
	"slices"
	"sort"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A Table holds the neighbours of linked peers by id. T is a link, and no link is its zero value. The
// zero Table is empty. It has no limit. An entry takes 24 bytes. It has no pointer, so that the collector
// does not read the tables.
type Table[T comparable] struct {
	entries []entry // in the order of the ids
	vias    []T     // by slot: those that have named a neighbour since the last Drop; the zero T is a free slot
}

// An entry is an Entry with the slot of its link.
type entry struct {
	id  wire.ID
	via uint32 // the slot, and in the lowest timeBits the time
}

const timeBits = 8 // of a wire.TimeCode; the rest numbers 16 million links

func newEntry(id wire.ID, time wire.TimeCode, slot uint32) entry {
	return entry{id, slot<<timeBits | uint32(time)}
}

func (e *entry) slot() uint32        { return e.via >> timeBits }
func (e *entry) time() wire.TimeCode { return wire.TimeCode(e.via) }

// An Entry is a neighbour of a linked peer.
type Entry[T comparable] struct {
	ID   wire.ID
	Time wire.TimeCode
	Via  T // link of the peer that named it
}

// Has reports whether a linked peer has named a neighbour.
func (t *Table[T]) Has(via T, id wire.ID) bool {
	slot, known := t.known(via)
	_, found := t.find(slot, id)
	return known && found
}

// Names reports whether any linked peer has named a neighbour.
func (t *Table[T]) Names(id wire.ID) bool {
	i := t.search(id)
	return i < len(t.entries) && t.entries[i].id == id
}

// Len returns the number of entries.
func (t *Table[T]) Len() int { return len(t.entries) }

func (t *Table[T]) search(id wire.ID) int {
	return sort.Search(len(t.entries), func(i int) bool { return !t.entries[i].id.Less(&id) })
}

// find returns the index of the entry of a neighbour and a link, or where it belongs.
func (t *Table[T]) find(slot uint32, id wire.ID) (i int, found bool) {
	for i = t.search(id); i < len(t.entries) && t.entries[i].id == id; i++ {
		if t.entries[i].slot() == slot {
			return i, true
		}
	}
	return i, false
}

// known returns the slot of a link that has named a neighbour since the last Drop.
func (t *Table[T]) known(via T) (slot uint32, known bool) {
	i := slices.Index(t.vias, via)
	return uint32(i), i >= 0
}

// slot returns the slot of a link, which may be new.
func (t *Table[T]) slot(via T) uint32 {
	if slot, known := t.known(via); known {
		return slot
	}
	var none T
	if slot, free := t.known(none); free {
		t.vias[slot] = via
		return slot
	}
	t.vias = append(t.vias, via)
	return uint32(len(t.vias) - 1)
}

// Put adds neighbours of a linked peer that have different ids, or changes their times. It returns the
// number of the new ones.
func (t *Table[T]) Put(via T, named []wire.Neighbour) (added int) {
	type place struct {
		entry
		at int // index of the entry that it goes before
	}
	slot := t.slot(via)
	var room [8]place
	fresh := slices.Grow(room[:0], len(named)) // most frames name few
	for _, n := range named {
		e := newEntry(n.ID, n.Time, slot)
		if i, found := t.find(slot, n.ID); found {
			t.entries[i] = e
		} else {
			fresh = append(fresh, place{e, i})
		}
	}
	slices.SortFunc(fresh, func(a, b place) int { return a.id.Compare(b.id) })
	fresh = slices.CompactFunc(fresh, func(a, b place) bool { return a.id == b.id })
	// Merge from the end, so that each entry moves once, together with those up to the next fresh one.
	at := len(t.entries)
	if cap(t.entries) < at+len(fresh) { // a peer has thousands of entries, so they grow by little
		t.entries = append(make([]entry, 0, at+len(fresh)+at/8), t.entries...)
	}
	t.entries = t.entries[:at+len(fresh)]
	for left := len(fresh); left > 0; left-- {
		f := fresh[left-1]
		copy(t.entries[f.at+left:], t.entries[f.at:at])
		t.entries[f.at+left-1] = f.entry
		at = f.at
	}
	return len(fresh)
}

// Remove removes a neighbour of a linked peer, and reports whether it was there.
func (t *Table[T]) Remove(via T, id wire.ID) bool {
	slot, known := t.known(via)
	if !known {
		return false
	}
	i, found := t.find(slot, id)
	if found {
		t.entries = slices.Delete(t.entries, i, i+1)
	}
	return found
}

// Drop removes all neighbours of a linked peer.
func (t *Table[T]) Drop(via T) {
	slot, known := t.known(via)
	if !known {
		return
	}
	t.entries = slices.DeleteFunc(t.entries, func(e entry) bool { return e.slot() == slot })
	if cap(t.entries) > len(t.entries)+len(t.entries)/4 {
		t.entries = slices.Clone(t.entries) // a peer that has joined soon has half of its links
	}
	var none T
	t.vias[slot] = none
}

func (t *Table[T]) entry(e *entry) Entry[T] { return Entry[T]{e.id, e.time(), t.vias[e.slot()]} }

// Bucket visits the entries in bucket b of self, in the order of their ids.
func (t *Table[T]) Bucket(self wire.ID, b int, visit func(Entry[T])) {
	first, last := self.Bucket(b)
	for i := t.search(first); i < len(t.entries) && !last.Less(&t.entries[i].id); i++ {
		visit(t.entry(&t.entries[i]))
	}
}

// Nearest visits the entries, those nearest to target first, until visit returns false.
func (t *Table[T]) Nearest(target wire.ID, visit func(Entry[T]) bool) {
	walk(t.entries, target, func(e *entry) bool { return visit(t.entry(e)) })
}

// walk visits entries that share all bits in which not all of them differ. Those that share the
// next bit with the target are nearer.
func walk(es []entry, target wire.ID, visit func(*entry) bool) bool {
	for len(es) > 0 {
		bit := es[0].id.CommonPrefixLen(es[len(es)-1].id)
		if bit == wire.IDBits { // all have one id
			for i := range es {
				if !visit(&es[i]) {
					return false
				}
			}
			return true
		}
		split := sort.Search(len(es), func(i int) bool { return es[i].id.Bit(bit) == 1 })
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
