package core

import (
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// TestWorstOf includes ages that differ by more than 2.1 s, which overflow an int of 32 bits in
// nanoseconds.
func TestWorstOf(t *testing.T) {
	stale := &candidate{id: wire.ID{1}, heard: 10 * time.Second}
	fresh := &candidate{id: wire.ID{2}, heard: 13 * time.Second}
	failed := &candidate{id: wire.ID{3}, heard: 20 * time.Second, fails: 1}
	wanted := &candidate{id: wire.ID{4}, wanted: true, fails: 2}
	for _, c := range []struct {
		bucket []*candidate
		want   *candidate
	}{
		{[]*candidate{fresh, stale}, stale},
		{[]*candidate{stale, fresh}, stale},
		{[]*candidate{stale, failed, fresh}, failed},
		{[]*candidate{wanted, fresh}, fresh},
	} {
		if got := worstOf(c.bucket); got != c.want {
			t.Errorf("the worst is %v, named at %v, want %v", got.id.Short(), got.heard, c.want.id.Short())
		}
	}
}
