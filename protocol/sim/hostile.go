package sim

import (
	"net/netip"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// reputation is the number of messages of each peer before scenario droppers sends plain ones again.
const reputation = 80

// Figures that have a target.
const (
	sureDelivered = "reliable, delivered"
	plainLearnt   = "plain after 80 reliable messages a peer, delivered"
	victimGot     = "reliable, to the victim, delivered"
)

// droppers returns a scenario in which that many in 100 peers drop what is not for them. Only the
// others send and receive.
func droppers(percent int) func(*trial) {
	return func(t *trial) {
		t.settled(1, time.Minute)
		for _, p := range t.some(float64(percent) / 100) {
			p.drops = true
		}
		t.bound("honest pairs with a way over honest peers", 100*t.oracle(honest).connected(), "%", t.o.Peers)
		t.begin("plain messages")
		ms := t.stream(t.each(5), 10*time.Second, func(int) *mail { return t.plain(honest) })
		t.wait(late)
		t.share("plain, delivered", ms.arrived(), ms)
		t.begin("reliable messages")
		ms = t.stream(t.each(5), 10*time.Second, func(int) *mail { return t.reliable(honest) })
		t.wait(lateRetry)
		t.w.endReliable()
		t.share(sureDelivered, ms.arrived(), ms)
		t.share("reliable, confirmed", ms.confirmed(), ms)
		t.share("reliable, told that a living peer does not exist", ms.noRoute(), ms)
		t.begin("%d reliable messages a peer", reputation)
		t.stream(reputation*t.o.Peers, 2*time.Minute, func(int) *mail { return t.reliable(honest) })
		t.wait(lateRetry)
		t.w.endReliable()
		t.begin("plain messages again")
		ms = t.stream(t.each(5), 10*time.Second, func(int) *mail { return t.plain(honest) })
		t.wait(late)
		t.share(plainLearnt, ms.arrived(), ms)
	}
}

func honest(p *Peer) bool { return !p.drops }

// attackers is the subnet of the peers that join next to a victim. The others are in no known one.
var attackers = netip.MustParsePrefix("203.0.113.0/24")

// eclipse returns a scenario in which n ids are ground next to a victim's: each shares the id's
// first 40 bits, more than any peer of a network that can be simulated. All of them are in one subnet.
func eclipse(n int) func(*trial) {
	return func(t *trial) {
		t.settled(1, time.Minute)
		victim := t.pick(func(p *Peer) bool { return !t.w.isBootstrap(p) })
		t.begin("%d attackers join", n)
		for range n {
			p := t.w.add(t.w.now, wire.RolePeer, func(id *wire.ID) { copy(id[:5], victim.ID[:]) })
			p.drops, p.subnet = true, attackers
			t.wait(100 * time.Millisecond)
		}
		t.wait(2 * time.Minute)
		near := t.w.near.Closest(victim.ID, fullNear, func(p *Peer) bool { return p != victim && honest(p) })
		links, left := victim.linked(), 0
		for _, p := range near {
			if links[p] {
				left++
			}
		}
		t.figure("the victim's links to the nearest honest peers", 100*float64(left)/float64(len(near)), "%", len(near))
		t.begin("messages to the victim")
		t.bound("honest pairs with a way over honest peers", 100*t.oracle(honest).connected(), "%", t.o.Peers)
		toVictim := func(int) *mail {
			return t.w.postReliable(t.at, t.pick(honest, func(p *Peer) bool { return p != victim }), victim.ID)
		}
		ms := t.stream(t.each(2), time.Minute, toVictim)
		t.wait(time.Minute)
		t.share(victimGot, ms.arrived(), ms)
		t.share("reliable, to the victim, confirmed", ms.confirmed(), ms)
		t.share("reliable, told that the victim does not exist", ms.noRoute(), ms)
	}
}
