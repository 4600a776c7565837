package sim

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

const (
	late       = 6 * time.Second  // plain messages that take longer count as lost
	lateRetry  = 30 * time.Second // the same for reliable ones, which are sent again
	session    = 5 * time.Minute  // median session of scenario churn
	reputation = 80               // messages of each peer before scenario droppers sends plain ones again
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
		{"partition", "The network is cut into halves for a time, and healed.", partition},
		{"leaves", "One peer in 20 relays. The others are leaves, which cannot be dialled and do not relay.", leaves},
		{"offline", "Reliable messages are sent to ids that no peer has, and to peers that have died.", offline},
	}
}

func stable(t *trial) {
	t.settled(1, time.Minute)
	t.begin("messages")
	carried := t.w.carried
	ms := t.stream(10*t.o.Peers, 20*time.Second, func(int) *mail { return t.plain() })
	t.wait(late)
	got := ms.arrived()
	t.share("delivered", got, ms)
	hops, took := got.values(hopsOf), got.values(tookOf)
	t.figure("hops, mean", mean(hops), "", len(got))
	t.figure("hops, p95", quantile(hops, 0.95), "", len(got))
	t.figure("time to delivery, mean", mean(took), "s", len(got))
	t.figure("time to delivery, p95", quantile(took, 0.95), "s", len(got))
	t.figure("transmissions a delivered message", float64(t.w.carried-carried)/float64(max(len(got), 1)), "", len(got))
	t.figure("delivered twice", float64(t.w.twice), "", len(ms))
}

func links(t *trial) {
	t.settled(1, 2*time.Minute)
	t.begin("idle")
	bytes, living := t.w.bytes, float64(len(t.w.Living()))
	const idle = 2 * time.Minute
	control, pings := t.w.Talk(idle)
	average, most := t.w.Links()
	t.figure("links, mean", average, "", t.o.Peers)
	t.figure("links, most of one peer", float64(most), "", t.o.Peers)
	t.figure("full tables", 100*t.w.whole(), "%", t.o.Peers)
	t.figure("idle control messages a second and peer", control, "", t.o.Peers)
	t.figure("idle pings and pongs a second and peer", pings, "", t.o.Peers)
	t.figure("idle bytes a second and peer", float64(t.w.bytes-bytes)/idle.Seconds()/living, "", t.o.Peers)
}

func stretch(t *trial) {
	t.settled(1, time.Minute)
	t.begin("messages")
	ms := t.stream(10*t.o.Peers, 20*time.Second, func(int) *mail { return t.plain() })
	t.wait(late)
	got := ms.arrived()
	vs := got.values(func(m *mail) float64 { return float64(m.took) / float64(t.w.latency(m.from, m.to)) })
	t.figure("stretch, mean", mean(vs), "", len(got))
	t.figure("stretch, p95", quantile(vs, 0.95), "", len(got))
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
	t.figure("time to a full table, p50", quantile(took, 0.5), "s", len(took))
	t.figure("time to a full table, p95", quantile(took, 0.95), "s", len(took))
	t.figure("newcomers without a full table after a minute", float64(never), "", 50)
}

func flash(t *trial) {
	t.open(1)
	t.begin("%d peers join", t.o.Peers)
	for range t.o.Peers {
		t.w.Add(wire.RolePeer)
		t.wait(10 * time.Second / time.Duration(t.o.Peers))
	}
	last := t.w.now
	t.begin("messages")
	t.w.Run(last + 3*time.Second)
	ms := t.stream(5*t.o.Peers, time.Second, func(int) *mail { return t.plain() })
	t.w.Run(last + 10*time.Second)
	_, most := t.w.Links()
	whole := t.w.whole()
	t.w.Run(last + 10*time.Second + late)
	t.share("delivered, sent 3 to 4 s after the last join", ms.arrived(), ms)
	t.figure("links, most of one peer, 10 s after it", float64(most), "", t.o.Peers)
	t.figure("full tables, 10 s after it", 100*whole, "%", t.o.Peers)
}

// killed returns a scenario in which that many in 100 peers die. One message in five is reliable.
func killed(percent int) func(*trial) {
	return func(t *trial) {
		t.settled(1, time.Minute)
		t.doom(float64(percent) / 100)
		t.begin("%d %% are dead", percent)
		start := t.w.now
		const during = 15 * time.Second
		each := func(i int) *mail {
			if i%5 == 4 {
				return t.reliable()
			}
			return t.plain()
		}
		ms := t.stream(30*t.o.Peers, during, each)
		whole := t.w.whole()
		t.wait(lateRetry)
		for _, after := range []time.Duration{0, 3 * time.Second, 10 * time.Second} {
			sent := ms.between(start+after, start+after+time.Second)
			plain, reliable := sent.plain(), sent.reliable()
			t.share(fmt.Sprintf("plain, sent after %v, delivered", after), plain.arrived().where(inTime), plain)
			t.share(fmt.Sprintf("reliable, sent after %v, delivered", after), reliable.arrived(), reliable)
		}
		sure := ms.reliable()
		t.share("reliable, confirmed", sure.confirmed(), sure)
		t.share("reliable, told that a living peer does not exist", sure.noRoute(), sure)
		t.figure("delivered twice", float64(t.w.twice), "", len(ms))
		t.figure("full tables after 15 s", 100*whole, "%", len(t.w.Living()))
		t.figure("full tables after 45 s", 100*t.w.whole(), "%", len(t.w.Living()))
	}
}

func inTime(m *mail) bool { return m.took <= late }

// doom kills a share of the peers at the same instant, and returns them.
func (t *trial) doom(share float64) []*Peer {
	dead := t.some(share)
	for _, p := range dead {
		t.w.Kill(p)
	}
	return dead
}

// some returns a share of the living peers, chosen at random among those that are not bootstraps.
func (t *trial) some(share float64) []*Peer {
	alive := t.w.Living()
	n := int(share*float64(len(alive)) + 0.5)
	fit := alive[t.w.cfg.Bootstraps:] // no scenario kills a bootstrap
	t.w.rng.Shuffle(len(fit), func(i, j int) { fit[i], fit[j] = fit[j], fit[i] })
	return fit[:min(n, len(fit))]
}

// churn kills and adds peers for six minutes. It sends messages in the last five.
func churn(t *trial) {
	t.settled(1, time.Minute)
	t.begin("sessions of %v", session)
	const step = 100 * time.Millisecond
	// The share of the peers that die in a step, so that half of them die in a session.
	rate := 1 - math.Exp2(-step.Seconds()/session.Seconds())
	turn := func() {
		for _, p := range t.w.Living() {
			if p.Index >= t.w.cfg.Bootstraps && t.w.rng.Float64() < rate {
				t.w.Kill(p)
				t.w.Add(wire.RolePeer)
			}
		}
	}
	for range int(time.Minute / step) {
		turn()
		t.wait(step)
	}
	old := func(p *Peer) bool { return t.w.now-p.born > time.Minute }
	present := func(p *Peer) bool { return t.w.now-p.born >= 2*time.Second }
	young := func(p *Peer) bool { return present(p) && !old(p) }
	var between, fresh, sure mails
	const steps = int(5 * time.Minute / step)
	each := max(t.o.Peers/250, 1) // messages of a kind in a step
	for range steps {
		turn()
		t.stream(3*each, step, func(i int) *mail {
			kinds := []func() *mail{
				func() *mail { return keep(&between, t.plain(old)) },
				func() *mail { return keep(&fresh, t.oneYoung(old, young)) },
				func() *mail { return keep(&sure, t.reliable(present)) },
			}
			return kinds[i%3]()
		})
	}
	t.wait(lateRetry)
	lived := func(m *mail) bool { return m.livedFor(late) }
	between, fresh = between.where(lived), fresh.where(lived)
	wrong := sure.noRoute().where(func(m *mail) bool { return m.livedFor(m.outcome.At - m.at) })
	certain := sure.where(func(m *mail) bool { return m.livedFor(lateRetry) })
	t.share("established to established, delivered", between.arrived().where(inTime), between)
	t.share("to or from newcomers 2 to 60 s old, delivered", fresh.arrived().where(inTime), fresh)
	t.share("reliable, between peers 2 s old or older, delivered", certain.arrived(), certain)
	t.figure("reliable, told that a living peer does not exist", float64(len(wrong)), "", len(sure))
	t.figure("delivered twice", float64(t.w.twice), "", len(t.sent))
}

// keep adds a message to ms, unless it is nil, and returns it.
func keep(ms *mails, m *mail) *mail {
	if m != nil {
		*ms = append(*ms, m)
	}
	return m
}

// oneYoung sends a message from an old peer to a young one, or back.
func (t *trial) oneYoung(old, young func(*Peer) bool) *mail {
	from, to := t.pick(old), t.pick(young)
	if from == nil || to == nil {
		return nil
	}
	if t.w.rng.IntN(2) == 0 {
		from, to = to, from
	}
	return t.w.post(from, to)
}

// droppers returns a scenario in which that many in 100 peers drop what is not for them. Only the
// others send and receive.
func droppers(percent int) func(*trial) {
	return func(t *trial) {
		t.settled(1, time.Minute)
		for _, p := range t.some(float64(percent) / 100) {
			p.drops = true
		}
		t.begin("plain messages")
		ms := t.stream(5*t.o.Peers, 10*time.Second, func(int) *mail { return t.plain(honest) })
		t.wait(late)
		t.share("plain, delivered", ms.arrived(), ms)
		t.begin("reliable messages")
		ms = t.stream(5*t.o.Peers, 10*time.Second, func(int) *mail { return t.reliable(honest) })
		t.wait(lateRetry)
		t.w.endReliable()
		t.share("reliable, delivered", ms.arrived(), ms)
		t.share("reliable, confirmed", ms.confirmed(), ms)
		t.share("reliable, told that a living peer does not exist", ms.noRoute(), ms)
		t.begin("%d reliable messages a peer", reputation)
		t.stream(reputation*t.o.Peers, 2*time.Minute, func(int) *mail { return t.reliable(honest) })
		t.wait(lateRetry)
		t.w.endReliable()
		t.begin("plain messages again")
		ms = t.stream(5*t.o.Peers, 10*time.Second, func(int) *mail { return t.plain(honest) })
		t.wait(late)
		t.share(fmt.Sprintf("plain after %d reliable messages a peer, delivered", reputation), ms.arrived(), ms)
	}
}

func honest(p *Peer) bool { return !p.drops }

// eclipse returns a scenario in which n ids are ground next to a victim's: each shares the id's
// first 40 bits, more than any peer of a network that can be simulated.
func eclipse(n int) func(*trial) {
	return func(t *trial) {
		t.settled(1, time.Minute)
		victim := t.pick(func(p *Peer) bool { return p.Index >= t.w.cfg.Bootstraps })
		t.begin("%d attackers join", n)
		for range n {
			p := t.w.add(wire.RolePeer, func(id *wire.ID) { copy(id[:5], victim.ID[:]) })
			p.drops = true
			t.wait(100 * time.Millisecond)
		}
		t.wait(2 * time.Minute)
		t.begin("messages to the victim")
		toVictim := func(int) *mail {
			return t.w.postReliable(t.pick(honest, func(p *Peer) bool { return p != victim }), victim.ID)
		}
		ms := t.stream(2*t.o.Peers, time.Minute, toVictim)
		t.wait(time.Minute)
		t.share("reliable, to the victim, delivered", ms.arrived(), ms)
		t.share("reliable, to the victim, confirmed", ms.confirmed(), ms)
		t.share("reliable, told that the victim does not exist", ms.noRoute(), ms)
	}
}

// partition cuts the network so that each half has a bootstrap.
func partition(t *trial) {
	t.settled(2, time.Minute)
	t.w.Cut(func(p *Peer) bool { return p.Index%2 == 0 })
	t.begin("cut for %v", t.o.Cut)
	t.wait(t.o.Cut)
	t.w.Cut(nil)
	healed := t.w.now
	for _, after := range []time.Duration{0, time.Minute, 2 * time.Minute, 5 * time.Minute} {
		t.begin("healed")
		t.w.Run(healed + after)
		ms := t.stream(5*t.o.Peers, 5*time.Second, func(int) *mail { return t.plain() })
		t.wait(late)
		t.share(fmt.Sprintf("delivered, sent %v after it was healed", after), ms.arrived(), ms)
	}
	t.figure("full tables at the end", 100*t.w.whole(), "%", t.o.Peers)
}

func leaves(t *trial) {
	t.open(1)
	t.begin("%d peers join", t.o.Peers)
	for i := range t.o.Peers {
		role := wire.RoleLeaf
		if i%20 == 0 {
			role = wire.RolePeer
		}
		t.w.Add(role)
		t.wait(10 * time.Millisecond)
	}
	t.begin("rest")
	t.wait(time.Minute)
	t.begin("messages")
	ms := t.stream(10*t.o.Peers, 20*time.Second, func(int) *mail { return t.plain() })
	t.wait(late)
	t.share("delivered", ms.arrived(), ms)
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

// offline sends to ids that no peer has, then to peers that have just died, and a minute later to
// the same peers.
func offline(t *trial) {
	t.settled(1, time.Minute)
	t.absent("an id without a peer", func() wire.ID { return t.w.Unused(nil) })
	dead := t.doom(0.1)
	target := func() wire.ID { return dead[t.w.rng.IntN(len(dead))].ID }
	t.absent("a peer that died just now", target)
	t.wait(time.Minute)
	t.absent("a peer that died a minute ago", target)
}

// absent sends reliable messages to ids that do not answer.
func (t *trial) absent(name string, to func() wire.ID) {
	t.begin("messages to %s", name)
	carried := t.w.carried
	ms := t.stream(t.o.Peers, 5*time.Second, func(int) *mail { return t.w.postReliable(t.pick(), to()) })
	t.wait(lateRetry)
	t.w.endReliable()
	told := ms.noRoute()
	times := told.values(toldOf)
	t.share(name+": told that there is none", told, ms)
	t.figure(name+": time until it is told, p50", quantile(times, 0.5), "s", len(told))
	t.figure(name+": time until it is told, p99", quantile(times, 0.99), "s", len(told))
	t.figure(name+": transmissions a message", float64(t.w.carried-carried)/float64(max(len(ms), 1)), "", len(ms))
}
