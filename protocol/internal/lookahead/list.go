package lookahead

import (
	"cmp"
	"slices"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// maxDeparted is the number of departures that a List keeps for those that were not told yet.
const maxDeparted = 64

// A List is what a peer tells its links of its own links. Each change has a version, so that a link
// is told only what it does not know. The zero value is an empty list, of version 1.
type List struct {
	changes  uint64
	named    []named    // in the order of the ids
	departed []departed // the oldest first; of an id at most one
	dropped  uint64     // version up to which departures were dropped
}

type named struct {
	wire.Neighbour
	since uint64
}

type departed struct {
	id   wire.ID
	at   uint64
	lost bool
}

// Version returns the version of the list. It is not 0, which stands for a link that was told
// nothing.
func (l *List) Version() uint64 { return l.changes + 1 }

// Set makes the list name other peers, which must be in the order of their ids and at most
// wire.MaxNamed less maxDeparted. A time that changes little is no change. lost reports whether a
// peer that is no longer named does not answer.
func (l *List) Set(now []wire.Neighbour, lost func(wire.ID) bool) {
	next := make([]named, 0, len(now))
	old := l.named
	depart := func(n named) {
		l.changes++
		l.forget(n.ID)
		if len(l.departed) == maxDeparted {
			l.dropped = l.departed[0].at
			l.departed = slices.Delete(l.departed, 0, 1)
		}
		l.departed = append(l.departed, departed{n.ID, l.Version(), lost(n.ID)})
	}
	for _, n := range now {
		for len(old) > 0 && old[0].ID.Compare(n.ID) < 0 {
			depart(old[0])
			old = old[1:]
		}
		if len(old) > 0 && old[0].ID == n.ID {
			if !muchOf(old[0].Time, n.Time) {
				next = append(next, old[0])
				old = old[1:]
				continue
			}
			old = old[1:]
		}
		l.changes++
		l.forget(n.ID)
		next = append(next, named{n, l.Version()})
	}
	for _, n := range old {
		depart(n)
	}
	l.named = next
}

// forget removes the departure of a peer that is named again.
func (l *List) forget(id wire.ID) {
	l.departed = slices.DeleteFunc(l.departed, func(d departed) bool { return d.id == id })
}

// muchOf reports whether two times differ by half or more, so that a choice between two ways may
// depend on it.
func muchOf(a, b wire.TimeCode) bool {
	return (a == 0) != (b == 0) || cmp.Compare(max(a, b)-min(a, b), 4) > 0
}

// Changed reports whether what Since returns depends on its except.
func (l *List) Changed(id wire.ID, version uint64) bool {
	if version < l.dropped {
		version = 0
	}
	if i, ok := slices.BinarySearchFunc(l.named, id, func(n named, id wire.ID) int { return n.ID.Compare(id) }); ok {
		return l.named[i].since > version
	}
	return version > 0 && slices.ContainsFunc(l.departed, func(d departed) bool { return d.id == id && d.at > version })
}

// Since returns the changes after a version: all, with Reset, after version 0 and after one whose
// changes are not kept any longer. It leaves out what is about one peer, the one that is told.
func (l *List) Since(version uint64, except wire.ID) (n wire.Neighbours) {
	if version == 0 || version < l.dropped {
		version, n.Reset = 0, true
	}
	fresh := 0
	for i := range l.named {
		if l.named[i].since > version {
			fresh++
		}
	}
	if fresh > 0 {
		n.Named = make([]wire.Neighbour, 0, fresh)
	}
	for _, p := range l.named {
		if p.since > version && p.ID != except {
			n.Named = append(n.Named, p.Neighbour)
		}
	}
	for _, d := range l.departed {
		switch {
		case n.Reset || d.at <= version || d.id == except:
		case d.lost:
			n.Lost = append(n.Lost, d.id)
		default:
			n.Gone = append(n.Gone, d.id)
		}
	}
	return n
}
