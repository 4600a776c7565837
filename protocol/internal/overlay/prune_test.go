package overlay

import (
	"testing"

	"github.com/peer-relay/peer-relay/protocol/internal/candidates"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// TestPart checks the parts of buckets at each depth: also at those that no network has, since a peer may
// grind ids next to another's.
func TestPart(t *testing.T) {
	self := wire.ID{}
	o := Overlay{self: self, cands: candidates.New(self)}
	for _, test := range []struct{ depth, b, want int }{{0, 0, 2}, {3, 0, 2}, {4, 0, 4}, {4, 1, 2}, {6, 0, 8}, {6, 1, 4}, {6, 2, 2}, {159, 0, 8}, {159, 1, 4}, {159, 2, 2}, {159, 158, 2}} {
		o.depth = test.depth
		parts := make(map[int]bool)
		for x := range 256 {
			id := self.FlipBit(test.b)
			for i := range 8 {
				if x>>i&1 == 1 && test.b+1+i < wire.IDBits {
					id = id.FlipBit(test.b + 1 + i)
				}
			}
			part := o.part(test.b, id)
			if part < 0 || part >= mostParts {
				t.Fatalf("depth %d: part %d of bucket %d", test.depth, part, test.b)
			}
			parts[part] = true
		}
		if len(parts) != test.want {
			t.Errorf("depth %d: bucket %d has %d parts, want %d", test.depth, test.b, len(parts), test.want)
		}
	}
}

// TestKept checks how many of the fastest links of each bucket are kept, in networks of about 50 to 10,000 peers,
// and at depths that no network has.
func TestKept(t *testing.T) {
	for _, test := range []struct {
		depth int
		want  []int // of the farthest buckets
	}{{0, []int{3, 1}}, {3, []int{3, 3, 1}}, {6, []int{6, 3, 3, 1}}, {8, []int{6, 3, 3, 1}}, {9, []int{6, 3, 1, 1, 1}}, {159, []int{6, 3, 1, 1, 1}}} {
		o := Overlay{depth: test.depth}
		for b, want := range test.want {
			if got := o.kept(b); got != want {
				t.Errorf("depth %d: bucket %d keeps %d, want %d", test.depth, b, got, want)
			}
		}
	}
}
