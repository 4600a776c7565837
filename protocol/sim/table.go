package sim

import (
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// The links of a full table, as routing.md has them.
const (
	fullNear   = 8 // the nearest peers
	fullBucket = 2 // peers of each farther bucket
)

// full reports whether a peer has all links that a full peer of the network wants: to the nearest
// living peers, and to some of each bucket before them. The world knows all peers, so the answer
// does not depend on what the peer has learnt. Bootstraps do not count as peers of a bucket, as for
// the core.
func (w *World) full(p *Peer) bool {
	links := make(map[*Peer]bool, len(p.ends))
	for _, e := range p.ends {
		if !e.byeSent {
			links[e.other.peer] = true
		}
	}
	near := w.nearest(p, fullNear)
	for _, q := range near {
		if !links[q] {
			return false
		}
	}
	if len(near) < fullNear {
		return true
	}
	var missing [wire.IDBits]int // links, by bucket
	depth := p.ID.CommonPrefixLen(near[len(near)-1].ID)
	for _, q := range w.peers {
		if b := p.ID.CommonPrefixLen(q.ID); q.Alive && b < depth && q.Index >= w.cfg.Bootstraps {
			missing[b] = min(missing[b]+1, fullBucket)
		}
	}
	for q := range links {
		if b := p.ID.CommonPrefixLen(q.ID); q.Alive && b < depth && q.Index >= w.cfg.Bootstraps {
			missing[b]--
		}
	}
	for _, n := range missing[:depth] {
		if n > 0 {
			return false
		}
	}
	return true
}

// nearest returns the n living peers nearest to a peer, the nearest first.
func (w *World) nearest(p *Peer, n int) []*Peer {
	near := make([]*Peer, 0, n+1)
	for _, q := range w.peers {
		if !q.Alive || q == p || q.role == wire.RoleLeaf || len(near) == n && !p.ID.Closer(q.ID, near[n-1].ID) {
			continue
		}
		near = append(near, q)
		for i := len(near) - 1; i > 0 && p.ID.Closer(near[i].ID, near[i-1].ID); i-- {
			near[i], near[i-1] = near[i-1], near[i]
		}
		near = near[:min(len(near), n)]
	}
	return near
}

// whole returns the share of the living peers whose table is full.
func (w *World) whole() float64 {
	n, alive := 0, w.Living()
	for _, p := range alive {
		if w.full(p) {
			n++
		}
	}
	return float64(n) / float64(max(len(alive), 1))
}
