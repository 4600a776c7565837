package candidates

import (
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// TestWorstOf includes ages that differ by more than 2.1 s, which overflow 32 bits in nanoseconds.
func TestWorstOf(t *testing.T) {
	stale := Candidate{ID: wire.ID{1}, Heard: 10 * time.Second}
	fresh := Candidate{ID: wire.ID{2}, Heard: 13 * time.Second}
	failed := Candidate{ID: wire.ID{3}, Heard: 20 * time.Second, Fails: 1}
	wanted := Candidate{ID: wire.ID{4}, Wanted: true, Fails: 2}
	for _, c := range []struct {
		bucket []Candidate
		want   Candidate
	}{
		{[]Candidate{fresh, stale}, stale},
		{[]Candidate{stale, fresh}, stale},
		{[]Candidate{stale, failed, fresh}, failed},
		{[]Candidate{wanted, fresh}, fresh},
	} {
		if got := worstOf(c.bucket); *got != c.want {
			t.Errorf("the worst is %v, named at %v, want %v", got.ID.Short(), got.Heard, c.want.ID.Short())
		}
	}
}

// TestDepth checks that Depth follows the candidates that are added and forgotten.
func TestDepth(t *testing.T) {
	table := New(wire.ID{})
	ids := []wire.ID{{0x80}, {0: 0, 1: 0x10}, {0x40}} // of the buckets 0, 11 and 1
	for i, want := range []int{1, 12, 12} {
		table.Learn(0, ids[i], ids[i])
		if table.Depth() != want {
			t.Errorf("depth %d with %d candidates, want %d", table.Depth(), i+1, want)
		}
	}
	for _, test := range []struct {
		id   wire.ID
		want int
	}{{ids[0], 12}, {ids[1], 2}, {ids[2], 0}} {
		if table.Forget(test.id); table.Depth() != test.want {
			t.Errorf("depth %d without %v, want %d", table.Depth(), test.id.Short(), test.want)
		}
	}
}
