package sim

import (
	"flag"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/peer-relay/peer-relay/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var peers = flag.Int("peers", manyPeers, "how many peers the big networks have")

// join gives a world of n peers that came one by one through one bootstrap.
func join(seed uint64, n int, gap time.Duration) *World {
	w := New(Config{Seed: seed, Bootstraps: 1})
	for range n {
		w.Add(protocol.RolePeer)
		w.Run(w.Now() + gap)
	}
	return w
}

// exchange sends n messages between random living pairs and gives the share that
// arrived, the mean number of hops and its 95th percentile.
func exchange(t testing.TB, w *World, n int) (share, hops float64, p95 int) {
	t.Helper()
	alive := w.Living()
	w.Receipts()
	for range n {
		a, b := alive[w.rng.IntN(len(alive))], alive[w.rng.IntN(len(alive))]
		if err := w.Send(a, b); err != nil {
			t.Fatal(err)
		}
		w.Run(w.Now() + 2*time.Millisecond)
	}
	w.Run(w.Now() + 6*time.Second)
	got, twice := w.Receipts()
	if twice > 0 {
		t.Errorf("%d messages arrived more than once", twice)
	}
	var counts []int
	for _, r := range got {
		counts = append(counts, r.Hops)
		hops += float64(r.Hops)
	}
	slices.Sort(counts)
	return float64(len(got)) / float64(n), hops / float64(len(got)), counts[len(counts)*95/100]
}

// links gives the mean number of links of the living peers and the greatest.
func links(w *World) (mean float64, most int) {
	alive := w.Living()
	for _, p := range alive {
		n := p.Core.Stats().Links
		mean += float64(n)
		most = max(most, n)
	}
	return mean / float64(len(alive)), most
}

// control gives how many control messages all living peers have begun.
func control(w *World) (n uint64) {
	for _, p := range w.Living() {
		n += p.Core.Stats().Control
	}
	return n
}

// TestDeterminism: the same seed gives the same transcript of a thousand cores, another
// seed another one.
func TestDeterminism(t *testing.T) {
	var hashes [][32]byte
	for _, seed := range []uint64{1, 1, 2} {
		w := join(seed, *peers, 10*time.Millisecond)
		for i, p := range w.Living() {
			if i%10 == 9 {
				w.Kill(p)
			}
		}
		exchange(t, w, 500)
		hashes = append(hashes, w.Hash())
	}
	if hashes[0] != hashes[1] {
		t.Error("the same seed gave two transcripts")
	}
	if hashes[0] == hashes[2] {
		t.Error("two seeds gave the same transcript")
	}
}

// TestNetwork holds a network of a thousand to the figures of the design: who joins is
// reached within seconds, by few hops and few links, and without much talk. Killing a
// fifth without a word costs what crosses them until the pings find out.
func TestNetwork(t *testing.T) {
	w := join(1, *peers, 10*time.Millisecond)
	w.Run(w.Now() + 5*time.Second)
	check := func(what string, least float64) {
		t.Helper()
		mean, most := links(w)
		at := w.Now()
		share, hops, p95 := exchange(t, w, 5000)
		t.Logf("%v, %s: %.2f %% delivered, %.2f hops (p95 %d), %.1f links (most %d)", at.Round(time.Second), what, 100*share, hops, p95, mean, most)
		if share < least {
			t.Errorf("%s: %.2f %% delivered, want %.2f", what, 100*share, 100*least)
		}
		if hops > 3.5 || p95 > 5 {
			t.Errorf("%s: %.2f hops, p95 %d", what, hops, p95)
		}
		if mean > 40 {
			t.Errorf("%s: %.1f links", what, mean)
		}
	}
	check("all joined within 10 s, 5 s later", 0.999)
	w.Run(w.Now() + 60*time.Second)
	began, pings, from := control(w), w.Pings(), w.Now()
	w.Run(w.Now() + 60*time.Second)
	each := (w.Now() - from).Seconds() * float64(len(w.Living()))
	talk := float64(control(w)-began) / each
	t.Logf("idle: %.3f control messages, %.2f pings and pongs a second and peer", talk, float64(w.Pings()-pings)/each)
	if talk > 0.3 {
		t.Errorf("%.3f control messages a second and peer", talk)
	}
	check("idle", 0.999)
	for i, p := range w.Living() {
		if i%5 == 4 {
			w.Kill(p)
		}
	}
	w.Run(w.Now() + 30*time.Second) // a ping after 20 s, 3 s for its answer, and the repair
	check("a fifth killed, 30 s later", 0.999)
}

// TestLeaves: peers that nobody can dial and that relay for nobody are reached through
// those that can.
func TestLeaves(t *testing.T) {
	w := New(Config{Seed: 1, Bootstraps: 1})
	for i := range *peers / 5 {
		role := protocol.RoleLeaf
		if i%5 == 0 {
			role = protocol.RolePeer
		}
		w.Add(role)
		w.Run(w.Now() + 20*time.Millisecond)
	}
	w.Run(w.Now() + 20*time.Second)
	share, hops, _ := exchange(t, w, 2000)
	t.Logf("%.2f %% delivered, %.2f hops", 100*share, hops)
	if share < 0.999 {
		t.Errorf("%.2f %% delivered", 100*share)
	}
}

// TestHeal: two halves that were apart for ten minutes find each other again.
func TestHeal(t *testing.T) {
	w := New(Config{Seed: 1, Bootstraps: 2})
	for range *peers / 5 {
		w.Add(protocol.RolePeer)
		w.Run(w.Now() + 20*time.Millisecond)
	}
	w.Run(w.Now() + 20*time.Second)
	w.Cut(func(p *Peer) bool { return p.Index%2 == 0 })
	w.Run(w.Now() + 10*time.Minute)
	share, _, _ := exchange(t, w, 1000)
	if share > 0.6 || share < 0.4 {
		t.Errorf("apart: %.2f %% delivered, want half of it", 100*share)
	}
	w.Cut(nil)
	w.Run(w.Now() + 5*time.Minute)
	share, hops, _ := exchange(t, w, 2000)
	t.Logf("%.2f %% delivered, %.2f hops", 100*share, hops)
	if share < 0.999 {
		t.Errorf("5 min after it healed: %.2f %% delivered", 100*share)
	}
}
