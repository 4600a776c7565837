// Package custody lists what a peer is responsible for.
package custody

import (
	"bytes"
	"iter"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

const (
	least = 8    // entries of a ledger that is not empty
	keep  = 2048 // entries for which an empty ledger keeps room
)

// A Ledger lists the messages of one link, in the order in which they were sent, until the other
// end has acknowledged them. Its zero value is empty.
type Ledger struct {
	sent  uint64  // number of messages
	ring  []Entry // message number seq is at seq modulo the length, which is a power of two
	gone  uint64  // that many messages, the first ones, are not in the ring
	count int     // entries
	bytes int
	early []Entry // acknowledged, and not known to be written; the oldest first
}

// An Entry is a message that is not acknowledged. It holds the frame of a message of this peer, and
// the bytes of another one: then its reader can use the frame again.
type Entry struct {
	Seq    uint64        // its number on the link, from 1; 0 if it is not in the ledger any more
	At     time.Duration // when it was queued
	frame  *wire.Frame   // nil if bytes holds the message
	bytes  []byte
	size   int32
	Copied bool // it also went another way
}

// Own returns the frame of a message of this peer, nil for another one.
func (e *Entry) Own() *wire.Frame { return e.frame }

// Size returns the size of the frame, as Frame.Size does.
func (e *Entry) Size() int { return int(e.size) }

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
func (l *Ledger) Len() int { return l.count }

// Bytes returns the bytes of the frames of all entries.
func (l *Ledger) Bytes() int { return l.bytes }

// Add adds a message of this peer that is sent. The ledger keeps its frame.
func (l *Ledger) Add(now time.Duration, f *wire.Frame) {
	l.sent++
	l.put(Entry{Seq: l.sent, At: now, frame: f, size: int32(f.Size())})
}

// AddBytes adds another message. The ledger keeps its bytes, which are those of its frame without a length.
func (l *Ledger) AddBytes(now time.Duration, b []byte) {
	l.sent++
	l.put(Entry{Seq: l.sent, At: now, bytes: b, size: int32(len(b))})
}

// put adds an entry, whose number is greater than those of the others.
func (l *Ledger) put(e Entry) {
	if l.count == 0 {
		l.gone = e.Seq - 1
	}
	if e.Seq-l.gone > uint64(len(l.ring)) {
		l.grow(e.Seq - l.gone)
	}
	*l.at(e.Seq) = e
	l.count++
	l.bytes += int(e.size)
}

func (l *Ledger) at(seq uint64) *Entry { return &l.ring[seq&uint64(len(l.ring)-1)] }

// grow makes room for size numbers after those that are gone.
func (l *Ledger) grow(size uint64) {
	old := *l
	n := least
	for uint64(n) < size {
		n *= 2
	}
	l.ring = make([]Entry, n)
	for e := range old.All() {
		*l.at(e.Seq) = *e
	}
}

// remove removes an entry.
func (l *Ledger) remove(e *Entry) {
	l.bytes -= int(e.size)
	l.count--
	*e = Entry{}
}

// Ack removes the first count messages of the link. It returns when the last of them was queued,
// and whether one of them was in the ledger. It passes to free the bytes of those that were acknowledged and
// are among the first written messages, which the link does not need any more.
func (l *Ledger) Ack(count, written uint64, free func([]byte)) (at time.Duration, any bool) {
	done := 0
	for ; done < len(l.early) && l.early[done].Seq <= written; done++ {
		free(l.early[done].bytes)
	}
	l.early = slices.Delete(l.early, 0, done)
	for ; l.count > 0 && l.gone < count; l.gone++ {
		e := l.at(l.gone + 1)
		if e.Seq == 0 {
			continue
		}
		at, any = e.At, true
		switch {
		case e.bytes != nil && e.Seq <= written:
			free(e.bytes)
		case e.bytes != nil:
			l.early = append(l.early, *e)
		}
		l.remove(e)
	}
	if l.count == 0 && len(l.ring) > keep {
		l.ring = nil
	}
	return at, any
}

// Take removes message number seq and returns it, nil if it is not in the ledger.
func (l *Ledger) Take(seq uint64) *wire.Frame {
	if l.count == 0 || seq <= l.gone || seq > l.sent || l.at(seq).Seq != seq {
		return nil
	}
	e := l.at(seq)
	f := e.Frame()
	l.remove(e)
	return f
}

// Unwritten removes a message that the link could not write. It has no number then.
func (l *Ledger) Unwritten(f *wire.Frame) {
	same := f.Bytes()
	for e := range l.Backward() {
		if e.frame != f && (e.bytes == nil || !bytes.Equal(e.bytes, same)) {
			continue
		}
		seq := e.Seq
		l.remove(e)
		for ; seq < l.sent; seq++ {
			next := l.at(seq + 1)
			if *l.at(seq) = *next; next.Seq != 0 {
				l.at(seq).Seq = seq
			}
			*next = Entry{}
		}
		l.sent--
		return
	}
}

// Empty removes all entries and returns them, without those of the last messages that were sent, which were
// left unwritten.
func (l *Ledger) Empty(left int) (all []Entry) {
	for e := range l.All() {
		if e.Seq+uint64(left) <= l.sent {
			all = append(all, *e)
		}
		l.remove(e)
	}
	return all
}

// All returns the entries, the oldest first, which the caller must not change.
func (l *Ledger) All() iter.Seq[*Entry] {
	return func(yield func(*Entry) bool) {
		for seq := l.gone + 1; l.count > 0 && seq <= l.sent; seq++ {
			if e := l.at(seq); e.Seq == seq && !yield(e) {
				return
			}
		}
	}
}

// Backward is All with the youngest entry first.
func (l *Ledger) Backward() iter.Seq[*Entry] {
	return func(yield func(*Entry) bool) {
		for seq := l.sent; l.count > 0 && seq > l.gone; seq-- {
			if e := l.at(seq); e.Seq == seq && !yield(e) {
				return
			}
		}
	}
}

// Keep adds an entry again that Empty has removed. Its number is greater than those of the others.
func (l *Ledger) Keep(e Entry) { l.put(e) }
