package measure

import (
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/itest/harness"
)

// TestHop has each relay that is measured pass on messages between its ends.
func TestHop(t *testing.T) {
	harness.NeedLinux(t)
	harness.NeedNPM(t)
	programs := HopPrograms{Ours: harness.Binary(t)}
	var err error
	programs.Other, err = BuildHop(harness.Context(t), t.TempDir())
	harness.Must(t, err)
	for _, setting := range HopSettings() {
		t.Run(setting.Name, func(t *testing.T) {
			s, err := setting.Start(harness.Context(t), programs)
			harness.Must(t, err)
			defer func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}()
			for _, size := range []int{costLeast, 16 << 10} {
				got, err := s.Round(harness.Context(t), size, 8, 50*time.Millisecond)
				harness.Must(t, err)
				if got.Messages < 8 || got.Lost != 0 && !setting.Lossy || got.Took <= 0 {
					t.Errorf("%d bytes: %+v", size, got)
				}
			}
		})
	}
}

// TestHopLine has the receiving end of a line see what it must not.
func TestHopLine(t *testing.T) {
	const size = 32
	message := func(n int) []byte {
		b := append([]byte{'"'}, make([]byte, size-2)...)
		for i := range b[1:] {
			b[1+i] = 'a'
		}
		b = append(b, '"')
		number(b, n)
		return b
	}
	for _, tt := range []struct {
		name    string
		lossy   bool
		arrive  []int
		fails   bool
		arrived int
	}{
		{"in order", false, []int{0, 1, 2}, false, 3},
		{"one is missing", false, []int{0, 2}, true, 1},
		{"one comes twice", false, []int{0, 0}, true, 1},
		{"a lossy relay's gap", true, []int{0, 2, 3}, false, 3},
		{"a lossy relay's disorder", true, []int{1, 0}, true, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := &hopLine{want: message(0), lossy: tt.lossy}
			l.moved.L = &l.mu
			for _, n := range tt.arrive {
				l.take(message(n), false)
			}
			if (l.err != nil) != tt.fails || l.arrived != tt.arrived {
				t.Errorf("%d arrived, error %v", l.arrived, l.err)
			}
		})
	}
}
