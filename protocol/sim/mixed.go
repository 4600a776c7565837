package sim

import (
	"fmt"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

const legacyToLegacy = "legacy to legacy, delivered" // it has a target

// legacy returns a scenario in which that many in 100 peers are of npm peer-relay.
func legacy(percent int) func(*trial) {
	return func(t *trial) {
		t.open(Config{Bootstraps: 2, Legacy: true})
		t.begin("%d peers join", t.o.Peers)
		for i := range t.o.Peers {
			if i >= t.w.cfg.Bootstraps && t.w.rng.IntN(100) < percent {
				t.w.AddLegacy()
			} else {
				t.w.Add(wire.RolePeer)
			}
			t.wait(t.gap())
		}
		t.begin("rest")
		t.wait(2 * time.Minute)
		kinds := []struct {
			name string
			is   func(*Peer) bool
		}{{"legacy", (*Peer).legacy}, {"new", func(p *Peer) bool { return !p.legacy() }}}
		for _, from := range kinds {
			for _, to := range kinds {
				t.begin("%s to %s", from.name, to.name)
				ms := t.stream(t.each(5), 20*time.Second, func(int) *mail {
					return t.between(from.is, to.is)
				})
				t.wait(late)
				t.share(fmt.Sprintf("%s to %s, delivered", from.name, to.name), ms.arrived(), ms)
			}
		}
		t.bound("pairs with a way over links that are not deaf", 100*t.oracle(nil).connected(), "%", t.o.Peers)
		t.figure(twice, float64(t.w.total().twice), "", len(t.sent))
		channels := t.w.channels()
		t.figure("links of a legacy peer, mean", mean(channels), "", len(channels))
	}
}

// channels returns how many channels that are not deaf each legacy peer has.
func (w *World) channels() (ns []float64) {
	for _, p := range w.living {
		if p.legacy() {
			ns = append(ns, float64(p.js.channels.Len()))
		}
	}
	return ns
}
