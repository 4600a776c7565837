package plays

import (
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
)

func TestFirst(t *testing.T) {
	harness.NeedNPM(t)
	steps, err := First(harness.Context(t), harness.Binary(t), 50)
	for _, s := range steps {
		t.Logf("%s: %v %s", s.Name, s.Took, s.Note)
	}
	harness.Must(t, err)
}
