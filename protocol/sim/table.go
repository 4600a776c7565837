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
	links := p.linked()
	near := w.near.Closest(p.ID, fullNear, func(q *Peer) bool { return q != p && q.role != wire.RoleLeaf })
	for _, q := range near {
		if !links[q] {
			return false
		}
	}
	if len(near) < fullNear {
		return true
	}
	depth := p.ID.CommonPrefixLen(near[fullNear-1].ID)
	var missing [wire.IDBits]int // links, by bucket
	for b := range depth {
		missing[b] = w.wantedOf(w.near.Bucket(p.ID, b))
	}
	for q := range links {
		if b := p.ID.CommonPrefixLen(q.ID); q.Alive && b < depth && !w.isBootstrap(q) {
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

// linked returns the peers that a peer is linked with.
func (p *Peer) linked() map[*Peer]bool {
	links := make(map[*Peer]bool, len(p.ends))
	for _, e := range p.ends {
		if !e.byeSent {
			links[e.other.peer] = true
		}
	}
	return links
}

// wantedOf returns how many links a peer wants to those of a bucket.
func (w *World) wantedOf(bucket []*Peer) (n int) {
	for _, q := range bucket {
		if !w.isBootstrap(q) {
			n++
		}
		if n == fullBucket {
			break
		}
	}
	return n
}

func (w *World) isBootstrap(p *Peer) bool { return p.Index < w.cfg.Bootstraps }

// whole returns the share of the living peers whose table is full.
func (w *World) whole() float64 {
	n := 0
	for _, p := range w.living {
		if w.full(p) {
			n++
		}
	}
	return float64(n) / float64(max(len(w.living), 1))
}

// isWhole reports whether the tables of all living peers are full.
func (w *World) isWhole() bool {
	for _, p := range w.living {
		if !w.full(p) {
			return false
		}
	}
	return true
}
