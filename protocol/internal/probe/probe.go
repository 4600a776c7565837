// Package probe collects what is known of the way of a traced ping: what the peers on it report, and
// the path in the receipt.
//
// A report is signed, so no peer can report for another one. But each peer on the way writes the path,
// and the receiver signs what arrived. So a peer is shown as told only if its report is about the very
// attempt that the receipt is for, and about the place that it has in the receipt's path.
package probe

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

const (
	maxReports = 128                    // reports that are kept of one ping
	graceLeast = 100 * time.Millisecond // least wait for the reports that are missing after the receipt
	graceMost  = time.Second            // longest wait for them; otherwise it is what the receipt took
)

// A Hop is one peer on the way of a traced ping.
type Hop struct {
	ID     wire.ID       // the zero ID means a peer that is not known
	Told   bool          // the peer itself has told the rest, and has signed it
	InPath bool          // the path in the receipt has the peer at this place
	Link   string        // kind of the link by which it was reached: native, websocket or webrtc; "" means unknown
	RTT    time.Duration // from the attempt to the peer's report; 0 means unknown
	Agent  string        // name and version of its program; "" means unknown
}

// A report is the word of one peer. The slices are the Trace's own.
type report struct {
	wire.Report
	from wire.ID
	took time.Duration
}

// A Trace is what is known of one ping. Its zero value knows nothing.
type Trace struct {
	reports []report
	receipt *wire.Receipt // nil means none yet
	to      wire.ID
}

// Add adds the report of a peer that has proved its id, took after the attempt. It returns false if
// there was one from it, or if there is no room.
func (t *Trace) Add(r wire.Report, from wire.ID, took time.Duration) bool {
	same := func(o report) bool { return o.from == from && o.Hops == r.Hops && bytes.Equal(o.Nonce, r.Nonce) }
	if len(t.reports) >= maxReports || slices.ContainsFunc(t.reports, same) {
		return false
	}
	r.E2E, r.Nonce = nil, bytes.Clone(r.Nonce)
	t.reports = append(t.reports, report{r, from, took})
	return true
}

// Answer notes the receipt of a ping to a peer. A later one replaces it.
func (t *Trace) Answer(r wire.Receipt, to wire.ID) {
	t.receipt = &wire.Receipt{Nonce: bytes.Clone(r.Nonce), Handed: r.Handed, Path: r.Path}
	t.to = to
}

// Grace returns how long reports are awaited after a receipt that took so long.
func Grace(took time.Duration) time.Duration { return min(max(took, graceLeast), graceMost) }

// Complete reports whether there is a receipt with a path, and nothing else can come: each peer of the
// path has reported, and so has the receiver, unless it is a legacy peer.
func (t *Trace) Complete() bool {
	if t.receipt == nil || len(t.receipt.Path) == 0 {
		return false
	}
	hops := t.Hops()
	if t.receipt.Handed {
		hops = hops[:len(hops)-1]
	}
	return !slices.ContainsFunc(hops, func(h Hop) bool { return !h.Told })
}

// Hops returns the peers on the way after the origin. With a receipt the last one is the receiver, and
// the others are those of its path. Otherwise they are those that have reported, of the attempt that
// got farthest: only their own word says where they stand.
func (t *Trace) Hops() []Hop {
	if t.receipt == nil || len(t.receipt.Path) == 0 {
		return t.farthest()
	}
	path := append(slices.Clone(t.receipt.Path[1:]), t.to)
	hops := make([]Hop, len(path))
	for i, id := range path {
		hops[i] = Hop{ID: id, InPath: true}
		if r := t.find(t.receipt.Nonce, i+1, id); r != nil {
			hops[i].tell(r)
		}
	}
	return hops
}

// find returns the report of a peer about an attempt and a place, nil if there is none.
func (t *Trace) find(nonce []byte, place int, id wire.ID) *report {
	i := slices.IndexFunc(t.reports, func(r report) bool {
		return r.from == id && r.Hops == place && bytes.Equal(r.Nonce, nonce)
	})
	if i < 0 {
		return nil
	}
	return &t.reports[i]
}

func (h *Hop) tell(r *report) {
	h.Told, h.Link, h.RTT, h.Agent = true, r.Link, r.took, r.Agent
}

// farthest returns the peers that reported about the attempt that got farthest, each at its place.
func (t *Trace) farthest() []Hop {
	if len(t.reports) == 0 {
		return nil
	}
	last := slices.MaxFunc(t.reports, func(a, b report) int { return cmp.Compare(a.Hops, b.Hops) })
	hops := make([]Hop, last.Hops)
	for i := range t.reports {
		r := &t.reports[i]
		if h := &hops[min(r.Hops, last.Hops)-1]; !h.Told && bytes.Equal(r.Nonce, last.Nonce) {
			h.ID = r.from
			h.tell(r)
		}
	}
	return hops
}
