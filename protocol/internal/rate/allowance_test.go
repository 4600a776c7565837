package rate

import (
	"testing"
	"time"
)

func TestAllowance(t *testing.T) {
	a := Full(0, 3)
	count := func(now time.Duration) (n int) {
		for a.Take(now, 3, 2) {
			n++
		}
		return n
	}
	for _, step := range []struct {
		now  time.Duration
		want int
	}{{0, 3}, {400 * time.Millisecond, 0}, {time.Second, 2}, {time.Hour, 3}} {
		if n := count(step.now); n != step.want {
			t.Errorf("%d at %v, want %d", n, step.now, step.want)
		}
	}
}
