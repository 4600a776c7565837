package overlay

import (
	"testing"
	"time"
)

// The longer a bootstrap does not answer, the rarer it is dialled; but one that was away for
// some minutes is dialled again within seconds.
func TestBootstrapWait(t *testing.T) {
	const since = time.Hour
	for _, test := range []struct {
		age   time.Duration
		tries int
		want  time.Duration
	}{
		{0, 0, bootFirst},
		{time.Second, 1, 2 * bootFirst},
		{time.Minute, 20, 4 * time.Second},
		{3 * time.Minute, 40, 4 * time.Second},
		{8 * time.Minute, 60, 7500 * time.Millisecond},
		{time.Hour, 100, 56250 * time.Millisecond},
		{24 * time.Hour, 2000, bootMostLate},
	} {
		b := &bootstrap{since: since, tries: test.tries}
		if got := b.wait(since + test.age); got != test.want {
			t.Errorf("after %v and %d tries it waits %v, want %v", test.age, test.tries, got, test.want)
		}
	}
}
