package trials

import (
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
)

// TestSituations plays those situations that are over soon.
func TestSituations(t *testing.T) {
	binary := harness.Binary(t)
	for _, x := range Situations() {
		if !x.Quick {
			continue
		}
		t.Run(x.Name, func(t *testing.T) {
			t.Parallel() // it waits, most of the time
			seen, err := x.Play(harness.Context(t), binary)
			harness.Must(t, err)
			t.Logf("want %s; seen %s", x.Expect, seen)
		})
	}
}
