package mailbox

import (
	"time"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/kept"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// An index has what is to be known of all messages without reading the file.
type index struct {
	entries   map[place]entry
	known     map[identity]time.Time // until when each is kept
	senders   map[protocol.ID]int64  // bytes of each
	receivers map[protocol.ID]box
	total     int64  // bytes
	last      uint64 // the greatest number
}

// A place is the key of a message.
type place struct {
	to     protocol.ID
	number uint64
}

// An identity is the same for all attempts of a message.
type identity struct {
	from protocol.ID
	e2e  [wire.TokenSize]byte
}

func identityOf(m *kept.Message) identity { return identity{m.From, m.E2E} }

type entry struct {
	identity
	size int64
}

// A box is what is kept for one receiver.
type box struct {
	count int
	bytes int64
}

func newIndex() index {
	return index{entries: make(map[place]entry), known: make(map[identity]time.Time), senders: make(map[protocol.ID]int64), receivers: make(map[protocol.ID]box)}
}

func (x *index) add(m *kept.Message, size int64) {
	id := identityOf(m)
	x.entries[place{m.To, m.Number}] = entry{id, size}
	x.known[id] = m.Until
	x.last = max(x.last, m.Number)
	x.count(m.To, m.From, 1, size)
}

func (x *index) remove(to protocol.ID, number uint64) {
	e, ok := x.entries[place{to, number}]
	if !ok {
		return
	}
	delete(x.entries, place{to, number})
	delete(x.known, e.identity)
	x.count(to, e.from, -1, -e.size)
}

// count adds to the sums.
func (x *index) count(to, from protocol.ID, messages int, bytes int64) {
	x.total += bytes
	if x.senders[from] += bytes; x.senders[from] == 0 {
		delete(x.senders, from)
	}
	b := x.receivers[to]
	if b = (box{b.count + messages, b.bytes + bytes}); b == (box{}) {
		delete(x.receivers, to)
		return
	}
	x.receivers[to] = b
}

// over returns the keys of the messages whose time is over.
func (x *index) over(now time.Time) (keys [][]byte) {
	for p, e := range x.entries {
		if !x.known[e.identity].After(now) {
			keys = append(keys, keyOf(p.to, p.number))
		}
	}
	return keys
}
