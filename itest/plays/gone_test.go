package plays

import (
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
)

// TestKilledPeerIsMissed kills a process with which a node has a link. How long it takes
// until that is noticed, "go run ./itest/accept gone" tells.
func TestKilledPeerIsMissed(t *testing.T) {
	path := harness.Binary(t)
	for _, g := range Gones() {
		if !g.Sudden() {
			continue // takes 23 s
		}
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel() // they wait, most of the time
			took, err := g.Play(harness.Context(t), path)
			harness.Must(t, err)
			t.Log("noticed after", took)
		})
	}
}
