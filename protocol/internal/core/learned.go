package core

import (
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A routeTable maps an origin to the neighbour that brought its last message. It has two
// generations. An entry is only a hint, since a message with a forged origin can set it. So it
// is used only where no link is nearer.
type routeTable struct {
	young, old map[wire.ID]wire.ID
	born       time.Duration
}

func (t *routeTable) learn(now time.Duration, origin, via wire.ID) {
	if now-t.born >= learnedAge/2 || len(t.young) >= maxLearned/2 {
		if now-t.born >= learnedAge {
			t.young = nil
		}
		t.old, t.young, t.born = t.young, make(map[wire.ID]wire.ID), now
	}
	if t.young == nil {
		t.young = make(map[wire.ID]wire.ID)
	}
	t.young[origin] = via
}

func (t *routeTable) via(now time.Duration, origin wire.ID) (wire.ID, bool) {
	if via, ok := t.young[origin]; ok && now-t.born < learnedAge {
		return via, true
	}
	via, ok := t.old[origin]
	return via, ok && now-t.born < learnedAge/2
}
