// Package lookahead holds what linked peers tell of their own links: which peers a message reaches
// by one more hop. It also holds the list of own links that they are told, with its changes. It
// does not decide anything.
package lookahead

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"sort"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A Table holds the neighbours of linked peers by id. T is a link. A table keeps only the first 64
// bits of an id, so that a peer whose links have as many links each needs 24 bytes for one of them.
// Two ids with equal first 64 bits are not told apart. That misleads a message at most, as a
// neighbour that lies does. The zero value is empty. It has no limit.
type Table[T comparable] struct {
	entries []Entry[T] // in the order of the ids
}

// An Entry is a neighbour of a linked peer.
type Entry[T comparable] struct {
	prefix uint64 // of the neighbour's id
	Via    T      // link of the peer that named it
	Time   wire.TimeCode
}

func prefixOf(id wire.ID) uint64 { return binary.BigEndian.Uint64(id[:8]) }

// Common returns the number of bits that the neighbour's id shares with an id: 64 at most, which
// then stands for all.
func (e Entry[T]) Common(id wire.ID) int { return bits.LeadingZeros64(e.prefix ^ prefixOf(id)) }

// Is reports whether the neighbour seems to have an id.
func (e Entry[T]) Is(id wire.ID) bool { return e.prefix == prefixOf(id) }

// Nearer reports whether the neighbour is nearer to a target than an id.
func (e Entry[T]) Nearer(target, id wire.ID) bool {
	t := prefixOf(target)
	return e.prefix^t < prefixOf(id)^t
}

// Len returns the number of entries.
func (t *Table[T]) Len() int { return len(t.entries) }

// find returns the index of the entry of a neighbour and a link, or where it belongs.
func (t *Table[T]) find(via T, id wire.ID) (i int, found bool) {
	p := prefixOf(id)
	i = sort.Search(len(t.entries), func(i int) bool { return t.entries[i].prefix >= p })
	for ; i < len(t.entries) && t.entries[i].prefix == p; i++ {
		if t.entries[i].Via == via {
			return i, true
		}
	}
	return i, false
}

// Put adds a neighbour of a linked peer, or changes its time. It reports whether it is new.
func (t *Table[T]) Put(via T, id wire.ID, time wire.TimeCode) bool {
	i, found := t.find(via, id)
	if found {
		t.entries[i].Time = time
		return false
	}
	t.entries = slices.Insert(t.entries, i, Entry[T]{prefixOf(id), via, time})
	return true
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
	walk(t.entries, prefixOf(target), visit)
}

// walk visits entries that share all bits in which not all of them differ. Those that share the
// next bit with the target are nearer.
func walk[T comparable](es []Entry[T], target uint64, visit func(Entry[T]) bool) bool {
	for len(es) > 0 {
		bit := uint64(1) << 63 >> bits.LeadingZeros64(es[0].prefix^es[len(es)-1].prefix)
		if bit == 0 { // all have one prefix
			for _, e := range es {
				if !visit(e) {
					return false
				}
			}
			return true
		}
		split := sort.Search(len(es), func(i int) bool { return es[i].prefix&bit != 0 })
		near, far := es[:split], es[split:]
		if target&bit != 0 {
			near, far = far, near
		}
		if !walk(near, target, visit) {
			return false
		}
		es = far
	}
	return true
}
