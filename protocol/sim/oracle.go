package sim

import (
	"container/heap"
	"math"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// oracleTargets is the number of receivers for which an oracle looks for ways.
const oracleTargets = 200

// An oracle knows all links of a network, and finds the best ways over them. So a figure that misses
// its target can be judged: no rule that chooses among the same links does better.
type oracle struct {
	w     *World
	peers []*Peer
	links [][]hop // of each peer, to others by their index in peers
}

// A hop is a link to a peer.
type hop struct {
	to   int
	time time.Duration
}

// oracle returns an oracle about the living peers that pass a test. A nil test means all.
func (t *trial) oracle(ok func(*Peer) bool) *oracle {
	o := &oracle{w: t.w}
	index := make(map[*Peer]int)
	for _, p := range t.w.living {
		if ok == nil || ok(p) {
			index[p] = len(o.peers)
			o.peers = append(o.peers, p)
		}
	}
	o.links = make([][]hop, len(o.peers))
	for i, p := range o.peers {
		for _, e := range p.ends {
			to := e.other.peer
			if x, known := index[to]; known && e.carries() && e.other.carries() {
				o.links[i] = append(o.links[i], hop{x, t.w.latency(p, to)})
			}
		}
		slices.SortFunc(o.links[i], func(a, b hop) int { return a.to - b.to })
	}
	return o
}

// carries reports whether an end is open, and not deaf.
func (e *end) carries() bool {
	if e.peer.legacy() && e.peer.js.channels.Get(e.other.peer.ID) != e {
		return false
	}
	return !e.down && !e.byeSent
}

// connected returns the share of the pairs of peers that a way leads from one to the other.
func (o *oracle) connected() float64 {
	if len(o.peers) < 2 {
		return 0
	}
	seen := make([]bool, len(o.peers))
	pairs := 0.0
	for i := range o.peers {
		if n := float64(o.flood(i, seen)); n > 0 {
			pairs += n * (n - 1)
		}
	}
	all := float64(len(o.peers))
	return pairs / (all * (all - 1))
}

// flood marks the peers that ways lead to from one, and returns how many were not marked before.
func (o *oracle) flood(from int, seen []bool) (n int) {
	next := []int{from}
	for len(next) > 0 {
		i := next[len(next)-1]
		next = next[:len(next)-1]
		if seen[i] {
			continue
		}
		seen[i] = true
		n++
		for _, h := range o.links[i] {
			next = append(next, h.to)
		}
	}
	return n
}

// A rule says whether a message for a target may take a hop.
type rule func(target, from, to wire.ID) bool

// greedy ways come nearer to the receiver's id with each hop, as the core's do as long as no link fails.
func greedy(target, from, to wire.ID) bool { return target.Closer(to, from) }

func anyWay(target, from, to wire.ID) bool { return true }

// stretch adds the stretch of the fastest ways to the result: of the greedy ones, and of all.
func (o *oracle) stretch(t *trial) {
	for _, kind := range []struct {
		name string
		may  rule
	}{{"best greedy ways", greedy}, {"fastest ways", anyWay}} {
		vs := o.best(kind.may, func(h hop) float64 { return float64(h.time) }, func(from, to *Peer) float64 {
			return float64(o.w.latency(from, to))
		})
		t.bound("stretch of the "+kind.name+" over these links, mean", mean(vs), "", len(vs))
		t.bound("stretch of the "+kind.name+" over these links, p95", quantile(vs, 0.95), "", len(vs))
	}
}

// hops adds the mean number of hops of the shortest ways to the result.
func (o *oracle) hops(t *trial) {
	vs := o.best(anyWay, func(hop) float64 { return 1 }, func(*Peer, *Peer) float64 { return 1 })
	t.bound("hops of the shortest ways over these links, mean", mean(vs), "", len(vs))
}

// best returns the lengths of the shortest ways from all peers to some of them, divided by the unit of
// each pair, in rising order.
func (o *oracle) best(may rule, length func(hop) float64, unit func(from, to *Peer) float64) (vs []float64) {
	step := max(len(o.peers)/oracleTargets, 1)
	lengths := make([][]float64, (len(o.peers)+step-1)/step)
	parallel(o.w.workers, len(lengths), func(i int) {
		target := i * step
		for from, d := range o.ways(target, may, length) {
			if from != target && !math.IsInf(d, 1) {
				lengths[i] = append(lengths[i], d/unit(o.peers[from], o.peers[target]))
			}
		}
	})
	vs = slices.Concat(lengths...)
	slices.Sort(vs)
	return vs
}

// ways returns the length of the shortest way from each peer to the target, by Dijkstra's algorithm from
// the target on: a link leads both ways.
func (o *oracle) ways(target int, may rule, length func(hop) float64) []float64 {
	far := make([]float64, len(o.peers))
	for i := range far {
		far[i] = math.Inf(1)
	}
	far[target] = 0
	id := o.peers[target].ID
	for open := (reached{{target, 0}}); len(open) > 0; {
		next := heap.Pop(&open).(reach)
		if next.far > far[next.peer] {
			continue // a shorter way was found meanwhile
		}
		for _, h := range o.links[next.peer] {
			d := next.far + length(h)
			if d < far[h.to] && may(id, o.peers[h.to].ID, o.peers[next.peer].ID) {
				far[h.to] = d
				heap.Push(&open, reach{h.to, d})
			}
		}
	}
	return far
}

// A reach is a peer and the length of a way from it to the target.
type reach struct {
	peer int
	far  float64
}

// reached is a heap of peers, the nearest first.
type reached []reach

func (r reached) Len() int           { return len(r) }
func (r reached) Less(i, j int) bool { return r[i].far < r[j].far }
func (r reached) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *reached) Push(x any)        { *r = append(*r, x.(reach)) }
func (r *reached) Pop() any {
	last := (*r)[len(*r)-1]
	*r = (*r)[:len(*r)-1]
	return last
}
