package core

import "time"

// A transit table remembers the messages that this peer passed on, and those that it keeps
// until it can, by the hash of each: a second copy of them is a duplicate. A copy that
// went nowhere leaves no trace: it may have come with a spent budget, a full path, or at a
// moment when every queue was full, and must not take a better copy along.
type transit struct {
	done seenTable
	kept map[uint64]struct{} // at most maxWaiting and maxHeld
}

func newTransit() transit {
	return transit{done: newSeenTable(seenAge, seenBytes), kept: make(map[uint64]struct{})}
}

// has reports whether a message was passed on or is kept.
func (t *transit) has(now time.Duration, h uint64) bool {
	if _, kept := t.kept[h]; kept {
		return true
	}
	return t.done.has(now, h)
}

// keep notes a message that waits here.
func (t *transit) keep(h uint64) { t.kept[h] = struct{}{} }

// finish notes that a message went on, or arrived.
func (t *transit) finish(now time.Duration, h uint64) {
	delete(t.kept, h)
	t.done.add(now, h)
}

// lose forgets a message that went nowhere.
func (t *transit) lose(h uint64) { delete(t.kept, h) }
