// Package custody lists what a peer is responsible for.
package custody

import (
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// keep is the number of entries for which an empty ledger keeps room.
const keep = 2048

// A Ledger lists the messages of one link, in the order in which they were sent, until the other
// end has acknowledged them. Its zero value is empty.
type Ledger struct {
	sent    uint64  // number of messages
	entries []Entry // a queue that begins at first
	first   int
	bytes   int
}

// An Entry is a message that is not acknowledged.
type Entry struct {
	Seq    uint64        // its number on the link, from 1
	At     time.Duration // when it was queued
	Frame  *wire.Frame
	Copied bool // it also went another way
}

// Sent returns the number of messages that were sent.
func (l *Ledger) Sent() uint64 { return l.sent }

// Len returns the number of entries.
func (l *Ledger) Len() int { return len(l.entries) - l.first }

// Bytes returns the bytes of the frames of all entries.
func (l *Ledger) Bytes() int { return l.bytes }

// Add adds a message that is sent.
func (l *Ledger) Add(now time.Duration, f *wire.Frame) {
	l.sent++
	if l.first > len(l.entries)/2 && len(l.entries) == cap(l.entries) {
		n := copy(l.entries, l.entries[l.first:])
		clear(l.entries[n:])
		l.entries, l.first = l.entries[:n], 0
	}
	l.entries = append(l.entries, Entry{Seq: l.sent, At: now, Frame: f})
	l.bytes += f.Size()
}

// Ack removes the first count messages of the link. It returns when the last of them was queued,
// and whether one of them was in the ledger.
func (l *Ledger) Ack(count uint64) (at time.Duration, any bool) {
	for l.first < len(l.entries) && l.entries[l.first].Seq <= count {
		e := &l.entries[l.first]
		l.bytes -= e.Frame.Size()
		at, any = e.At, true
		*e = Entry{}
		l.first++
	}
	if l.first == len(l.entries) {
		if l.entries, l.first = l.entries[:0], 0; cap(l.entries) > keep {
			l.entries = nil
		}
	}
	return at, any
}

// Take removes message number seq and returns it, nil if it is not in the ledger.
func (l *Ledger) Take(seq uint64) *wire.Frame {
	i, ok := slices.BinarySearchFunc(l.entries[l.first:], seq, func(e Entry, seq uint64) int {
		switch {
		case e.Seq < seq:
			return -1
		case e.Seq > seq:
			return 1
		}
		return 0
	})
	if !ok {
		return nil
	}
	i += l.first
	f := l.entries[i].Frame
	l.remove(i)
	return f
}

// Unwritten removes a message that the link could not write. It has no number then.
func (l *Ledger) Unwritten(f *wire.Frame) {
	i := slices.IndexFunc(l.entries, func(e Entry) bool { return e.Frame == f })
	if i < 0 {
		return
	}
	l.remove(i)
	for j := range l.entries[i:] {
		l.entries[i+j].Seq--
	}
	l.sent--
}

func (l *Ledger) remove(i int) {
	l.bytes -= l.entries[i].Frame.Size()
	l.entries = slices.Delete(l.entries, i, i+1)
}

// Empty removes all entries and returns them, without those whose frames are among left.
func (l *Ledger) Empty(left []*wire.Frame) (all []Entry) {
	all = slices.Clone(l.entries[l.first:])
	if len(left) > 0 {
		all = slices.DeleteFunc(all, func(e Entry) bool { return slices.Contains(left, e.Frame) })
	}
	clear(l.entries)
	l.entries, l.first, l.bytes = l.entries[:0], 0, 0
	return all
}

// All returns the entries, which the caller must not change.
func (l *Ledger) All() []Entry { return l.entries[l.first:] }

// Keep adds an entry again that Empty has removed. Its number is greater than those of the others.
func (l *Ledger) Keep(e Entry) {
	l.entries = append(l.entries, e)
	l.bytes += e.Frame.Size()
}
