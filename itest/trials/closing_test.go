package trials

import (
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
)

// TestSendThenClose plays each way twice. "go run ./itest/accept closing" plays each 1,000 times.
func TestSendThenClose(t *testing.T) {
	ways := Closings(harness.Binary(t))
	s, err := NewClosingStage(harness.Context(t))
	harness.Must(t, err)
	defer s.Close()
	for i, way := range ways {
		t.Run(way.Name, func(t *testing.T) {
			for round := range 2 {
				r, err := way.Play(harness.Context(t), s, 2*i+round+1)
				harness.Must(t, err)
				if r.Arrived != r.Sent || r.Named != 0 {
					t.Errorf("%+v", r)
				}
			}
		})
	}
}
