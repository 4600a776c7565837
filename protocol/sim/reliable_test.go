package sim

import (
	"testing"
	"time"
)

// TestReliable checks that senders of reliable messages are told the truth in time: in a quiet
// network, for ids without a peer, after peers crashed, after a fifth of the peers was killed, and among
// peers that drop what they acknowledge.
func TestReliable(t *testing.T) {
	w := Join(Config{Seed: 1, Bootstraps: 1}, *peers/5, 50*time.Millisecond)
	w.Run(w.Now() + 30*time.Second)
	check := func(name string, r Reliability, least float64, within time.Duration) {
		t.Helper()
		copies := float64(r.Copies) / float64(r.Sent)
		t.Logf("%s: %d of %d delivered, %d receipts, %d without a route; told after %v, 99 %% %v, all %v; %.1f copies a message",
			name, r.Delivered, r.Sent, r.Confirmed, r.NoRoute, r.Quantile(0.5), r.Quantile(0.99), r.Quantile(1), copies)
		if r.Within(within) < least || r.Twice > 0 || r.Confirmed > r.Delivered {
			t.Errorf("%s: %+v", name, r)
		}
	}
	all := func(name string, n int, least float64, within time.Duration) {
		t.Helper()
		r := w.Reliably(n, within, w.Any)
		check(name, r, least, within)
		if r.NoRoute > 0 {
			t.Errorf("%s: %d senders were told that a living peer does not exist", name, r.NoRoute)
		}
	}
	all("quiet", 2000, 1, 5*time.Second)
	none := w.Reliably(1000, 5*time.Second, w.Unused)
	check("ids without a peer", none, 1, 5*time.Second)
	if none.NoRoute != none.Sent || none.Copies > 16*none.Sent {
		t.Errorf("ids without a peer: %d of %d senders were told, with %d copies", none.NoRoute, none.Sent, none.Copies)
	}
	for i, p := range w.Living() {
		if i%8 == 1 {
			w.Crash(p)
		}
	}
	all("1 in 8 crashed", 2000, 1, 5*time.Second)
	w.KillShare(5)
	all("1 in 5 killed", 2000, 1, 5*time.Second)
	w.Run(w.Now() + time.Minute)
	w.Corrupt(0.2)
	all("1 in 5 drop what they acknowledge", 2000, 0.995, 30*time.Second)
}
