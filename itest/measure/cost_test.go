package measure

import (
	"os"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/itest/harness"
)

// TestCost has each relay whose cost is measured pass on a few messages.
func TestCost(t *testing.T) {
	harness.NeedLinux(t)
	harness.NeedNPM(t)
	binary := harness.Binary(t)
	for _, setting := range CostSettings() {
		t.Run(setting.Name, func(t *testing.T) {
			s, err := setting.Start(harness.Context(t), binary)
			harness.Must(t, err)
			defer func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}()
			const messages = costWindow * 3 / 2
			for _, size := range []int{costLeast, 16 << 10} {
				got, err := s.Round(harness.Context(t), size, func(sent int) bool { return sent < messages })
				harness.Must(t, err)
				if got.Messages != messages || got.Took <= 0 {
					t.Errorf("%d bytes: %+v", size, got)
				}
			}
		})
	}
}

// TestCPUTime looks at the CPU time of this process, which is used up until it shows.
func TestCPUTime(t *testing.T) {
	harness.NeedLinux(t)
	before, err := cpuTime(os.Getpid())
	harness.Must(t, err)
	deadline := time.Now().Add(harness.Patience)
	for after := before; after == before; {
		if after, err = cpuTime(os.Getpid()); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("it stays at %v", before)
		}
	}
	if _, err := cpuTime(-1); err == nil {
		t.Error("no process has a negative id, and no error came")
	}
}
