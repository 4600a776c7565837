package sim

import (
	"testing"
	"time"
)

func TestZZ(t *testing.T) {
	w := Join(Config{Seed: 1, Bootstraps: 1}, *peers/5, 50*time.Millisecond)
	w.Run(w.Now() + 30*time.Second)
	t.Logf("stable: %+v", w.Reliably(1000, 10*time.Second, w.Any))
	t.Logf("offline: %+v", w.Reliably(1000, 10*time.Second, w.Unused))
	w.KillShare(5)
	t.Logf("killed: %+v", w.Reliably(1000, 10*time.Second, w.Any))
	w.Run(w.Now() + 60*time.Second)
	w.Corrupt(0.2)
	t.Logf("plain, droppers: %+v", w.Exchange(2000))
	t.Logf("droppers: %+v", w.Reliably(1000, 30*time.Second, w.Any))
	t.Logf("droppers: %+v", w.Reliably(80*len(w.Living()), 30*time.Second, w.Any))
	t.Logf("plain, droppers: %+v", w.Exchange(2000))
}
