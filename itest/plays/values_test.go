package plays

import (
	"math/rand/v2"
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
)

func TestGeneratedValues(t *testing.T) {
	harness.NeedNPM(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	report, err := Values(harness.Context(t), harness.Binary(t), seed, 1000)
	harness.Must(t, err)
	if report.Documents != 1000 || report.FixedPoints == 0 {
		t.Errorf("report is %+v", report)
	}
}
