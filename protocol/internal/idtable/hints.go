package idtable

import (
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

const (
	maxHints = 1024             // origins in Hints
	hintAge  = 60 * time.Second // age of one
)

// Hints map an origin to the neighbour that brought its last message. It has two
// generations. An entry is only a hint, since a message with a forged origin can set it. So it
// is used only where no link is nearer.
type Hints struct {
	young, old map[wire.ID]wire.ID
	born       time.Duration
}

// Learn notes that via brought a message of origin.
func (t *Hints) Learn(now time.Duration, origin, via wire.ID) {
	if now-t.born >= hintAge/2 || len(t.young) >= maxHints/2 {
		if now-t.born >= hintAge {
			t.young = nil
		}
		t.old, t.young, t.born = t.young, make(map[wire.ID]wire.ID), now
	}
	if t.young == nil {
		t.young = make(map[wire.ID]wire.ID)
	}
	t.young[origin] = via
}

// Via returns the neighbour that lately brought a message of origin.
func (t *Hints) Via(now time.Duration, origin wire.ID) (wire.ID, bool) {
	if via, ok := t.young[origin]; ok && now-t.born < hintAge {
		return via, true
	}
	via, ok := t.old[origin]
	return via, ok && now-t.born < hintAge/2
}
