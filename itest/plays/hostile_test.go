package plays

import (
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/itest/harness"
)

// TestHostile has peers do some of what they should not, for a moment each. accept hostile
// does all of it, and for longer.
func TestHostile(t *testing.T) {
	harness.NeedLinux(t)
	all := Hostilities()
	if len(all) < 50 {
		t.Errorf("%d hostilities, want at least 50", len(all))
	}
	names := make(map[string]bool)
	played := 0
	for i, h := range all {
		if names[h.Name] {
			t.Errorf("two are named %q", h.Name)
		}
		names[h.Name] = true
		if !h.Quick || i%4 != 0 {
			continue
		}
		played++
		t.Run(h.Name, func(t *testing.T) {
			s, err := NewSiege(harness.Context(t), harness.Binary(t))
			harness.Must(t, err)
			defer func() { harness.Must(t, s.Close()) }()
			got, err := h.Play(harness.Context(t), s, 200*time.Millisecond)
			harness.Must(t, err)
			if got.Memory > MostMemory || got.Goroutines > MostGoroutines || got.Sent == 0 || got.Talked == 0 {
				t.Errorf("%+v", got)
			}
		})
	}
	if played == 0 {
		t.Error("nothing was played")
	}
}
