package core

import (
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/seen"
)

// A transit table has the hashes of the messages that this peer forwarded or delivered, and
// of those that wait for a link. Another copy of such a message is a duplicate. A dropped
// copy leaves no entry. It may have had a spent budget or a full path, or every queue was
// full. A better copy that arrives later must not count as its duplicate.
type transit struct {
	done seen.Table
	kept map[uint64]struct{} // at most maxWaiting plus maxHeld
}

func newTransit() transit {
	return transit{done: seen.New(seenAge, seenBytes), kept: make(map[uint64]struct{})}
}

// has reports whether a message was forwarded or delivered, or waits here.
func (t *transit) has(now time.Duration, h uint64) bool {
	if len(t.kept) > 0 { // it seldom is, and every message asks
		if _, kept := t.kept[h]; kept {
			return true
		}
	}
	return t.done.Has(now, h)
}

// keep adds a message that waits here.
func (t *transit) keep(h uint64) { t.kept[h] = struct{}{} }

// finish adds a message that was forwarded or delivered. It must not be in the table, unless it
// waited here.
func (t *transit) finish(now time.Duration, h uint64) {
	if len(t.kept) > 0 {
		delete(t.kept, h)
	}
	t.done.Put(now, h)
}

// lose removes a waiting message that was dropped.
func (t *transit) lose(h uint64) { delete(t.kept, h) }
