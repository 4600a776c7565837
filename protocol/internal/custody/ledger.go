// Package custody lists what a peer is responsible for.
package custody

import (
	"bytes"
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

// An Entry is a message that is not acknowledged. It holds the frame of a message of this peer, and
// the bytes of another one: then its reader can use the frame again.
type Entry struct {
	Seq    uint64        // its number on the link, from 1
	At     time.Duration // when it was queued
	Copied bool          // it also went another way
	size   int
	frame  *wire.Frame // nil if bytes holds the message
	bytes  []byte
}

// Own returns the frame of a message of this peer, nil for another one.
func (e *Entry) Own() *wire.Frame { return e.frame }

// Size returns the size of the frame, as Frame.Size does.
func (e *Entry) Size() int { return e.size }

// Frame returns the frame of the message. That of another peer's message is a new one, whose path ends with
// this peer.
func (e *Entry) Frame() *wire.Frame {
	if e.frame != nil {
		return e.frame
	}
	f, err := wire.ParseFrame(e.bytes)
	if err != nil {
		panic("custody: " + err.Error()) // a frame was read from these bytes, or made of them
	}
	return f
}

// Sent returns the number of messages that were sent.
func (l *Ledger) Sent() uint64 { return l.sent }

// Len returns the number of entries.
func (l *Ledger) Len() int { return len(l.entries) - l.first }

// Bytes returns the bytes of the frames of all entries.
func (l *Ledger) Bytes() int { return l.bytes }

// Add adds a message of this peer that is sent. The ledger keeps its frame.
func (l *Ledger) Add(now time.Duration, f *wire.Frame) {
	l.add(Entry{At: now, frame: f, size: f.Size()})
}

// AddBytes adds another message. The ledger keeps its bytes, which are those of its frame without a length.
func (l *Ledger) AddBytes(now time.Duration, b []byte) { l.add(Entry{At: now, bytes: b, size: len(b)}) }

func (l *Ledger) add(e Entry) {
	l.sent++
	e.Seq = l.sent
	if l.first > len(l.entries)/2 && len(l.entries) == cap(l.entries) {
		n := copy(l.entries, l.entries[l.first:])
		clear(l.entries[n:])
		l.entries, l.first = l.entries[:n], 0
	}
	l.entries = append(l.entries, e)
	l.bytes += e.size
}

// Ack removes the first count messages of the link. It returns when the last of them was queued,
// and whether one of them was in the ledger. It passes to free the bytes of those that it removes and
// that are among the first written messages, which the link does not need any more.
func (l *Ledger) Ack(count, written uint64, free func([]byte)) (at time.Duration, any bool) {
	for l.first < len(l.entries) && l.entries[l.first].Seq <= count {
		e := &l.entries[l.first]
		l.bytes -= e.size
		at, any = e.At, true
		if e.bytes != nil && e.Seq <= written {
			free(e.bytes)
		}
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
	f := l.entries[i].Frame()
	l.remove(i)
	return f
}

// Unwritten removes a message that the link could not write. It has no number then.
func (l *Ledger) Unwritten(f *wire.Frame) {
	same := f.Bytes()
	i := len(l.entries) - 1
	for i >= l.first && l.entries[i].frame != f && (l.entries[i].bytes == nil || !bytes.Equal(l.entries[i].bytes, same)) {
		i--
	}
	if i < l.first {
		return
	}
	l.remove(i)
	for j := range l.entries[i:] {
		l.entries[i+j].Seq--
	}
	l.sent--
}

func (l *Ledger) remove(i int) {
	l.bytes -= l.entries[i].size
	l.entries = slices.Delete(l.entries, i, i+1)
}

// Empty removes all entries and returns them, without those of the last messages that were sent, which were
// left unwritten.
func (l *Ledger) Empty(left int) (all []Entry) {
	all = slices.Clone(l.entries[l.first:])
	for n := len(all); n > 0 && all[n-1].Seq+uint64(left) > l.sent; n-- {
		all = all[:n-1]
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
	l.bytes += e.size
}
