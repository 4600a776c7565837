//go:build unix

package trials

import (
	"slices"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/itest/harness"
)

// TestSoak disturbs a small network for one round.
func TestSoak(t *testing.T) {
	report, err := Soak(harness.Context(t), harness.Binary(t), SoakSpec{
		Processes: 6, Relays: 2, Every: time.Second, Events: 6, Quiet: 2 * time.Second, Most: 4 * time.Second,
		Talk: 200 * time.Millisecond, Seed: 1, Progress: t.Logf,
	})
	harness.Must(t, err)
	for _, d := range Disturbances() {
		if !slices.ContainsFunc(report.Reached, func(r Reach) bool { return r.Kind == d && r.Back && len(r.Times) > 0 }) {
			t.Errorf("%s was not tried", d)
		}
	}
	if report.Quiet.Sent == 0 || report.Byes.Sent == 0 || len(report.Samples) == 0 {
		t.Errorf("not all was tried: %+v, %+v, %d samples", report.Quiet, report.Byes, len(report.Samples))
	}
}
