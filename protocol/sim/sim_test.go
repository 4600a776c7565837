package sim

import (
	"flag"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var peers = flag.Int("peers", manyPeers, "number of peers in the large networks")

// TestEventQueue checks that events come in the order of their times, and those of one time in the order
// of the peers that caused them, and in which these did.
func TestEventQueue(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var q eventQueue
	pushed := 0
	push := func() {
		q.push(event{at: time.Duration(rng.IntN(50)), from: rng.Uint32N(5), seq: uint32(pushed)})
		pushed++
	}
	for range 1000 {
		push()
	}
	var last event
	for n := 0; len(q.heap) > 0; n++ {
		at := q.next()
		e := q.pop()
		if e.at != at || n > 0 && (e.at < last.at || e.at == last.at && (e.from < last.from || e.from == last.from && e.seq <= last.seq)) {
			t.Fatalf("event %d of peer %d at %v after %d of %d at %v", e.seq, e.from, e.at, last.seq, last.from, last.at)
		}
		last = e
	}
	if pushed != 1000 || q.next() != math.MaxInt64 || len(q.free) != len(q.events) {
		t.Errorf("%d events left, %d of %d places free", len(q.heap), len(q.free), len(q.events))
	}
}

// TestDeterminism checks that equal seeds lead to equal transcripts, and that different seeds lead to
// different ones.
func TestDeterminism(t *testing.T) {
	var hashes [][32]byte
	for _, seed := range []uint64{1, 1, 2} {
		w := Join(Config{Seed: seed, Bootstraps: 1}, *peers/4, 10*time.Millisecond)
		w.KillShare(10)
		w.Exchange(500)
		hashes = append(hashes, w.Hash())
	}
	if hashes[0] != hashes[1] {
		t.Error("equal seeds led to different transcripts")
	}
	if hashes[0] == hashes[2] {
		t.Error("different seeds led to equal transcripts")
	}
}

// TestNetwork checks the figures of the design in a network of hundreds of peers: a new peer
// can be reached within seconds, with few hops, few links and few control messages. After a
// fifth of the peers were killed, messages arrive again once the pings have found out.
func TestNetwork(t *testing.T) {
	w := Join(Config{Seed: 1, Bootstraps: 1}, *peers, 10*time.Millisecond)
	w.Run(w.Now() + 5*time.Second)
	check := func(what string, most float64) {
		t.Helper()
		mean, crowd := w.Links()
		at := w.Now()
		e := w.Exchange(5000)
		t.Logf("%v, %s: %.2f %% delivered, %.2f hops (p95 %d), %.1f links (most %d)", at.Round(time.Second), what, 100*e.Share(), e.Hops, e.P95, mean, crowd)
		if e.Share() < 0.999 || e.Twice > 0 || e.Refused > 0 {
			t.Errorf("%s: %+v", what, e)
		}
		if e.Hops > 3.5 || e.P95 > 5 {
			t.Errorf("%s: %.2f hops, p95 %d", what, e.Hops, e.P95)
		}
		if mean > most {
			t.Errorf("%s: %.1f links", what, mean)
		}
	}
	check("all joined within 10 s, 5 s later", 50) // those that turned out to be slower are not yet old enough to end
	w.Run(w.Now() + time.Minute)
	control, pings := w.Talk(time.Minute)
	t.Logf("idle: %.3f control messages, %.2f pings and pongs a second and peer", control, pings)
	if control > 0.3 {
		t.Errorf("%.3f control messages a second and peer", control)
	}
	check("idle", 36)
	w.KillShare(5)
	w.Run(w.Now() + 30*time.Second) // a ping after 20 s, 3 s for its answer, and the repair
	check("a fifth killed, 30 s later", 36)
	if took := w.Arrival(16); took > 10*time.Second {
		t.Errorf("a newcomer had 16 links after %v", took)
	}
}

// TestLeaves checks that leaves, which cannot be dialled and do not relay, can be reached
// through the other peers.
func TestLeaves(t *testing.T) {
	w := New(Config{Seed: 1, Bootstraps: 1})
	for i := range *peers / 5 {
		role := wire.RoleLeaf
		if i%5 == 0 {
			role = wire.RolePeer
		}
		w.Add(role)
		w.Run(w.Now() + 20*time.Millisecond)
	}
	w.Run(w.Now() + 20*time.Second)
	if e := w.Exchange(2000); e.Share() < 0.999 {
		t.Errorf("%+v", e)
	}
}

// TestHeal checks that a network that was partitioned for ten minutes becomes one network
// again.
func TestHeal(t *testing.T) {
	w := Join(Config{Seed: 1, Bootstraps: 2}, *peers/5, 20*time.Millisecond)
	w.Run(w.Now() + 20*time.Second)
	w.Cut(func(p *Peer) bool { return p.Index%2 == 0 })
	w.Run(w.Now() + 10*time.Minute)
	if e := w.Exchange(1000); e.Share() > 0.6 || e.Share() < 0.4 {
		t.Errorf("during the partition: %+v, want half of them delivered", e)
	}
	w.Cut(nil)
	w.Run(w.Now() + 5*time.Minute)
	if e := w.Exchange(2000); e.Share() < 0.999 {
		t.Errorf("5 min after the partition: %+v", e)
	}
}
