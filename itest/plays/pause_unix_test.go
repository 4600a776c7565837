//go:build unix

package plays

import (
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
)

// TestPausedPeerIsHeardAgain stops a Go peer for less and for more than it takes to lose its
// link to a page.
func TestPausedPeerIsHeardAgain(t *testing.T) {
	if alone(t) {
		return
	}
	binary := harness.Binary(t)
	pages, err := peers.StartPages(harness.Context(t))
	harness.Must(t, err)
	t.Cleanup(func() {
		if err := pages.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, pause := range []time.Duration{3 * time.Second, 7 * time.Second, 13 * time.Second} {
		t.Run(pause.String(), func(t *testing.T) {
			t.Parallel() // it waits, most of the time
			steps, err := PausePeer(harness.Context(t), pages, binary, pause)
			logSteps(t, steps)
			harness.Must(t, err)
		})
	}
}
