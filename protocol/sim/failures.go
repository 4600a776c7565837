package sim

import (
	"fmt"
	"math"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

const (
	session     = 5 * time.Minute // median session of scenario churn
	soon        = 5 * time.Second // by then reliable messages are to have arrived
	wholeLimit  = 2 * time.Minute // longest wait for a topology that is whole
	wholeEvery  = 500 * time.Millisecond
	tellWithin  = 2 * time.Second // by then the sender is to know that no peer has the id
	liveTargets = 10_000          // least number of reliable messages in scenario churn
)

// Figures that have a target.
const (
	plainAfter0   = "plain, sent after 0s, delivered"
	plainAfter3   = "plain, sent after 3s, delivered"
	plainAfter10  = "plain, sent after 10s, delivered"
	sureAtOnce    = "reliable, sent after 0s, delivered within 5s"
	wholeAfter    = "all tables full after"
	churnOld      = "established to established, delivered"
	churnYoung    = "to or from newcomers 2 to 60 s old, delivered"
	falseNoRoutes = "reliable, told that a living peer does not exist"
	acrossAfter30 = "across, sent 30s after it was healed, delivered"
	acrossAfter60 = "across, sent 1m0s after it was healed, delivered"
	unusedID      = "an id without a peer"
	longDead      = "a peer that died a minute ago"
	toldInTime    = ": told within 2s that there is none"
	transmissions = ": transmissions a message"
)

// killed returns a scenario in which that many in 100 peers die. One message in five is reliable.
func killed(percent int) func(*trial) {
	return func(t *trial) {
		t.settled(1, 40*time.Second)
		t.doom(float64(percent) / 100)
		t.begin("%d %% are dead", percent)
		connected := t.oracle(nil).connected()
		start := t.w.now
		whole := t.watchWhole(start)
		each := func(i int) *mail {
			whole.look()
			if i%5 == 4 {
				return t.reliable()
			}
			return t.plain()
		}
		ms := t.stream(t.each(22), 11*time.Second, each)
		whole.wait(start + lateRetry + 15*time.Second)
		t.w.Run(start + lateRetry + 15*time.Second)
		for _, after := range []time.Duration{0, 3 * time.Second, 10 * time.Second} {
			sent := ms.between(start+after, start+after+time.Second)
			plain, reliable := sent.plain(), sent.reliable()
			t.share(fmt.Sprintf("plain, sent after %v, delivered", after), plain.arrived().where(inTime), plain)
			t.share(fmt.Sprintf("reliable, sent after %v, delivered within %v", after, soon), reliable.arrived().where(inSoon), reliable)
		}
		t.bound("pairs with a way over living links, at once", 100*connected, "%", len(t.w.living))
		sure := ms.reliable()
		t.share("reliable, confirmed", sure.confirmed(), sure)
		t.figure(falseNoRoutes, float64(len(sure.noRoute())), "", len(sure))
		t.figure(twice, float64(t.w.total().twice), "", len(ms))
		whole.wait(start + wholeLimit)
		t.figure(wholeAfter, whole.after().Seconds(), "s", len(t.w.living))
		t.figure("full tables at the end", 100*t.w.whole(), "%", len(t.w.living))
	}
}

// A watch looks for the time at which all tables are full.
type watch struct {
	t           *trial
	start, next time.Duration
	whole       time.Duration // 0 means not yet
}

func (t *trial) watchWhole(start time.Duration) *watch {
	return &watch{t: t, start: start, next: start}
}

// look looks, if it is time to.
func (w *watch) look() {
	if now := w.t.w.now; w.whole == 0 && now >= w.next {
		w.next = now + wholeEvery
		if w.t.w.isWhole() {
			w.whole = now
		}
	}
}

// wait runs the world until all tables are full, and at most until a time.
func (w *watch) wait(until time.Duration) {
	for w.t.w.now < until && w.whole == 0 && w.t.ctx.Err() == nil {
		w.t.w.Run(min(until, max(w.next, w.t.w.now)))
		w.look()
	}
}

// after returns the time until all tables were full, and wholeLimit if they never were.
func (w *watch) after() time.Duration {
	if w.whole == 0 {
		return wholeLimit
	}
	return w.whole - w.start
}

func inTime(m *mail) bool { return m.took <= late }
func inSoon(m *mail) bool { return m.took <= soon }

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
	fit := alive[t.w.cfg.Bootstraps:] // no scenario kills a bootstrap, so they are the first
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
			if !t.w.isBootstrap(p) && t.w.rng.Float64() < rate {
				t.w.Kill(p)
				t.w.Add(wire.RolePeer)
			}
		}
	}
	for range int(time.Minute / step) {
		turn()
		t.wait(step)
	}
	old := func(p *Peer) bool { return t.at-p.born > time.Minute }
	present := func(p *Peer) bool { return t.at-p.born >= 2*time.Second }
	young := func(p *Peer) bool { return present(p) && !old(p) }
	var between, fresh, sure mails
	const steps = int(5 * time.Minute / step)
	each := max(t.o.Peers/250, (liveTargets+steps-1)/steps) // messages of a kind in a step
	for range steps {
		turn()
		t.stream(3*each, step, func(i int) *mail {
			kinds := []func() *mail{
				func() *mail { return keep(&between, t.plain(old)) },
				func() *mail { return keep(&fresh, t.either(old, young)) },
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
	t.share(churnOld, between.arrived().where(inTime), between)
	t.share(churnYoung, fresh.arrived().where(inTime), fresh)
	t.share("reliable, between peers 2 s old or older, delivered", certain.arrived(), certain)
	t.figure(falseNoRoutes, float64(len(wrong)), "", len(sure))
	t.figure(twice, float64(t.w.total().twice), "", len(t.sent))
}

// keep adds a message to ms, unless it is nil, and returns it.
func keep(ms *mails, m *mail) *mail {
	if m != nil {
		*ms = append(*ms, m)
	}
	return m
}

// partition cuts the network so that each half has a bootstrap.
func partition(t *trial) {
	t.settled(2, time.Minute)
	even := func(p *Peer) bool { return p.Index%2 == 0 }
	odd := func(p *Peer) bool { return !even(p) }
	t.w.Cut(even)
	t.begin("cut for %v", t.o.Cut)
	t.wait(t.o.Cut)
	t.w.Cut(nil)
	healed := t.w.now
	for _, after := range []time.Duration{0, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute} {
		t.begin("healed")
		t.w.Run(healed + after)
		ms := t.stream(t.each(5), 2*time.Second, func(int) *mail { return t.either(even, odd) })
		t.wait(late)
		t.share(fmt.Sprintf("across, sent %v after it was healed, delivered", after), ms.arrived().where(inTime), ms)
	}
	t.figure("full tables at the end", 100*t.w.whole(), "%", t.o.Peers)
}

// offline sends to ids that no peer has, then to peers that have just died, and a minute later to
// the same peers.
func offline(t *trial) {
	t.settled(1, time.Minute)
	t.absent(unusedID, func() wire.ID { return t.w.Unused(nil) })
	dead := t.doom(0.1)
	target := func() wire.ID { return dead[t.w.rng.IntN(len(dead))].ID }
	t.absent("a peer that died just now", target)
	t.wait(time.Minute)
	t.absent(longDead, target)
}

// absent sends reliable messages to ids that do not answer.
func (t *trial) absent(name string, to func() wire.ID) {
	t.begin("messages to %s", name)
	carried := t.w.total().carried
	ms := t.stream(t.each(1), 5*time.Second, func(int) *mail { return t.w.postReliable(t.at, t.pick(), to()) })
	t.wait(lateRetry)
	t.w.endReliable()
	told := ms.noRoute()
	times := told.values(toldOf)
	inTime := func(m *mail) bool { return toldOf(m) <= tellWithin.Seconds() }
	t.share(name+": told that there is none", told, ms)
	t.share(name+toldInTime, told.where(inTime), ms)
	t.figure(name+": time until it is told, p50", quantile(times, 0.5), "s", len(told))
	t.figure(name+": time until it is told, p99", quantile(times, 0.99), "s", len(told))
	t.figure(name+transmissions, float64(t.w.total().carried-carried)/float64(max(len(ms), 1)), "", len(ms))
}
