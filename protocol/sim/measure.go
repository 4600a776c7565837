package sim

import (
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// Join returns a world to which n peers were added, one every gap. The first cfg.Bootstraps of
// them are the bootstraps of all.
func Join(cfg Config, n int, gap time.Duration) *World {
	w := New(cfg)
	for range n {
		w.Add(wire.RolePeer)
		w.Run(w.Now() + gap)
	}
	return w
}

// KillShare kills every n-th living peer, except the bootstraps.
func (w *World) KillShare(n int) {
	for i, p := range w.Living() {
		if i%n == n-1 && p.Index >= w.cfg.Bootstraps {
			w.Kill(p)
		}
	}
}

// An Exchange is the result of messages between random living peers.
type Exchange struct {
	Sent, Refused, Delivered, Twice int // messages

	Hops float64       // mean hops of the delivered messages
	P95  int           // 95th percentile of their hops
	Took time.Duration // mean time to their delivery
}

// Share returns the share of the messages that arrived.
func (e Exchange) Share() float64 { return float64(e.Delivered) / float64(max(e.Sent, 1)) }

// Exchange sends n messages between random pairs of living peers, one every 2 ms, and waits 6 s.
func (w *World) Exchange(n int) Exchange {
	alive := w.Living()
	w.Receipts()
	e := Exchange{Sent: n}
	for range n {
		at := w.rng.IntN(len(alive))
		a, b := alive[at], alive[(at+1+w.rng.IntN(len(alive)-1))%len(alive)]
		if w.Send(a, b) != nil {
			e.Refused++
		}
		w.Run(w.Now() + 2*time.Millisecond)
	}
	w.Run(w.Now() + 6*time.Second)
	got, twice := w.Receipts()
	e.Delivered, e.Twice = len(got), twice
	if len(got) == 0 {
		return e
	}
	var hops []int
	total, took := 0, time.Duration(0)
	for _, r := range got {
		hops = append(hops, r.Hops)
		total += r.Hops
		took += r.Took
	}
	slices.Sort(hops)
	e.Hops, e.P95, e.Took = float64(total)/float64(len(got)), hops[len(hops)*95/100], took/time.Duration(len(got))
	return e
}

// Links returns the mean and the greatest number of links of the living peers.
func (w *World) Links() (mean float64, most int) {
	alive := w.Living()
	for _, p := range alive {
		n := p.Core.Stats().Links
		mean += float64(n)
		most = max(most, n)
	}
	return mean / float64(max(len(alive), 1)), most
}

// Talk runs the world for a time. It returns the control messages, and the pings and pongs,
// that a peer sends per second.
func (w *World) Talk(during time.Duration) (control, pings float64) {
	count := func() (n uint64) {
		for _, p := range w.Living() {
			n += p.Core.Stats().Control
		}
		return n
	}
	c, p := count(), w.total().pings
	w.Run(w.Now() + during)
	each := during.Seconds() * float64(max(len(w.Living()), 1))
	return float64(count()-c) / each, float64(w.total().pings-p) / each
}

// Arrival adds a peer and returns the time until it has that many links, at most a minute.
func (w *World) Arrival(links int) time.Duration {
	p, start := w.Add(wire.RolePeer), w.Now()
	for w.Now() < start+time.Minute && p.Core.Stats().Links < links {
		w.Run(w.Now() + 50*time.Millisecond)
	}
	return w.Now() - start
}
