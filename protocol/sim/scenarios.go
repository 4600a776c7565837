package sim

import (
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

const (
	late      = 6 * time.Second  // plain messages that take longer count as lost
	lateRetry = 30 * time.Second // the same for reliable ones, which are sent again
)

// Figures that have a target.
const (
	delivered      = "delivered"
	twice          = "delivered twice"
	meanHops       = "hops, mean"
	meanLinks      = "links, mean"
	idleBytes      = "idle bytes a second and peer"
	meanStretch    = "stretch, mean"
	p95Stretch     = "stretch, p95"
	fullP50        = "time to a full table, p50"
	fullP95        = "time to a full table, p95"
	flashDelivered = "delivered, sent 3 to 4 s after the last join"
	flashLinks     = "links, most of one peer, 10 s after it"
)

// Scenarios returns all scenarios, in the order in which a report lists them.
func Scenarios() []Scenario {
	return []Scenario{
		{"stable", "All peers stay, and send messages to each other.", stable},
		{"links", "All peers stay and send nothing: their links, and what they cost.", links},
		{"stretch", "All peers stay: the latency of the messages' ways, as a multiple of that of a direct link.", stretch},
		{"newcomer", "Peers join a network that has settled, one every second, until their tables are full.", newcomer},
		{"flash", "All peers join within 10 s, through one bootstrap.", flash},
		{"killed-20", "20 % of the peers die at once, without a bye. Messages are sent all the time.", killed(20)},
		{"killed-50", "50 % of the peers die at once, without a bye. Messages are sent all the time.", killed(50)},
		{"churn", "Peers die without a bye, after a median session of 5 min, and as many join.", churn},
		{"droppers-5", "5 % of the peers acknowledge messages and drop them.", droppers(5)},
		{"droppers-10", "10 % of the peers acknowledge messages and drop them.", droppers(10)},
		{"droppers-20", "20 % of the peers acknowledge messages and drop them.", droppers(20)},
		{"eclipse-16", "16 peers with ids that were ground next to a victim's join, and drop its messages.", eclipse(16)},
		{"eclipse-32", "32 peers with ids that were ground next to a victim's join, and drop its messages.", eclipse(32)},
		{"partition", "The network is cut into halves for a time, and healed. Messages are sent across.", partition},
		{"legacy-10", "10 % of the peers are of npm peer-relay, and the bootstraps are not.", legacy(10)},
		{"legacy-50", "50 % of the peers are of npm peer-relay, and the bootstraps are not.", legacy(50)},
		{"legacy-90", "90 % of the peers are of npm peer-relay, and the bootstraps are not.", legacy(90)},
		{"leaves", "One peer in 20 relays. The others are leaves, which cannot be dialled and do not relay.", leaves},
		{"offline", "Reliable messages are sent to ids that no peer has, and to peers that have died.", offline},
	}
}

func stable(t *trial) {
	t.settled(1, 40*time.Second)
	t.begin("messages")
	carried := t.w.total().carried
	ms := t.stream(t.each(10), 10*time.Second, func(int) *mail { return t.plain() })
	t.wait(late)
	got := ms.arrived()
	t.share(delivered, got, ms)
	hops, took := got.values(hopsOf), got.values(tookOf)
	t.figure(meanHops, mean(hops), "", len(got))
	t.figure("hops, p95", quantile(hops, 0.95), "", len(got))
	t.oracle(nil).hops(t)
	t.figure("time to delivery, mean", mean(took), "s", len(got))
	t.figure("time to delivery, p95", quantile(took, 0.95), "s", len(got))
	t.figure("transmissions a delivered message", float64(t.w.total().carried-carried)/float64(max(len(got), 1)), "", len(got))
	t.figure(twice, float64(t.w.total().twice), "", len(ms))
	average, _ := t.w.Links()
	t.figure(meanLinks, average, "", t.o.Peers)
}

func links(t *trial) {
	t.settled(1, 2*time.Minute)
	t.begin("idle")
	bytes, living := t.w.total().bytes, float64(len(t.w.living))
	const idle = 2 * time.Minute
	control, pings := t.w.Talk(idle)
	average, most := t.w.Links()
	t.figure(meanLinks, average, "", t.o.Peers)
	t.figure("links, most of one peer", float64(most), "", t.o.Peers)
	t.figure("full tables", 100*t.w.whole(), "%", t.o.Peers)
	t.figure("idle control messages a second and peer", control, "", t.o.Peers)
	t.figure("idle pings and pongs a second and peer", pings, "", t.o.Peers)
	t.figure(idleBytes, float64(t.w.total().bytes-bytes)/idle.Seconds()/living, "", t.o.Peers)
}

func stretch(t *trial) {
	t.settled(1, time.Minute)
	t.begin("messages")
	ms := t.stream(t.each(10), 10*time.Second, func(int) *mail { return t.plain() })
	t.wait(late)
	got := ms.arrived()
	vs := got.values(func(m *mail) float64 { return float64(m.took) / float64(t.w.latency(m.from, m.to)) })
	t.figure(meanStretch, mean(vs), "", len(got))
	t.figure(p95Stretch, quantile(vs, 0.95), "", len(got))
	t.oracle(nil).stretch(t)
	t.figure("time to delivery, mean", mean(got.values(tookOf)), "s", len(got))
}

// newcomer looks every 50 ms for peers whose table has become full.
func newcomer(t *trial) {
	t.settled(1, time.Minute)
	t.begin("newcomers")
	const most = time.Minute // wait for one
	var open []*Peer
	var took []float64
	never := 0
	for i, start := 0, t.w.now; (i < 50 || len(open) > 0) && t.ctx.Err() == nil; t.wait(50 * time.Millisecond) {
		if i < 50 && t.w.now >= start+time.Duration(i)*time.Second {
			open = append(open, t.w.Add(wire.RolePeer))
			i++
		}
		var still []*Peer
		for _, p := range open {
			switch age := t.w.now - p.born; {
			case t.w.full(p):
				took = append(took, age.Seconds())
			case age > most:
				never++
			default:
				still = append(still, p)
			}
		}
		open = still
	}
	slices.Sort(took)
	t.figure(fullP50, quantile(took, 0.5), "s", len(took))
	t.figure(fullP95, quantile(took, 0.95), "s", len(took))
	t.figure("newcomers without a full table after a minute", float64(never), "", 50)
}

func flash(t *trial) {
	t.open(Config{Bootstraps: 1})
	t.join(10*time.Second/time.Duration(t.o.Peers), func(int) wire.Role { return wire.RolePeer })
	last := t.w.now
	t.begin("messages")
	t.w.Run(last + 3*time.Second)
	ms := t.stream(t.each(5), time.Second, func(int) *mail { return t.plain() })
	t.w.Run(last + 10*time.Second)
	_, most := t.w.Links()
	whole := t.w.whole()
	t.w.Run(last + 10*time.Second + late)
	t.share(flashDelivered, ms.arrived(), ms)
	t.figure(flashLinks, float64(most), "", t.o.Peers)
	t.figure("full tables, 10 s after it", 100*whole, "%", t.o.Peers)
}

func leaves(t *trial) {
	t.open(Config{Bootstraps: 1})
	t.join(t.gap(), func(i int) wire.Role {
		if i%20 == 0 {
			return wire.RolePeer
		}
		return wire.RoleLeaf
	})
	t.begin("rest")
	t.wait(time.Minute)
	t.begin("messages")
	ms := t.stream(t.each(10), 20*time.Second, func(int) *mail { return t.plain() })
	t.wait(late)
	t.share(delivered, ms.arrived(), ms)
	t.figure("hops, mean", mean(ms.arrived().values(hopsOf)), "", len(ms.arrived()))
	var ofLeaves, ofRelays []float64
	for _, p := range t.w.peers {
		if n := float64(p.Core.Stats().Links); p.role == wire.RoleLeaf {
			ofLeaves = append(ofLeaves, n)
		} else {
			ofRelays = append(ofRelays, n)
		}
	}
	t.figure("links of a leaf, mean", mean(ofLeaves), "", len(ofLeaves))
	t.figure("links of a leaf, most", slices.Max(ofLeaves), "", len(ofLeaves))
	t.figure("links of a relay, mean", mean(ofRelays), "", len(ofRelays))
	t.figure("links of a relay, most", slices.Max(ofRelays), "", len(ofRelays))
}
