package lookahead

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// randomID returns an id of which few of the first bits vary, so that ids are near each other.
func randomID(rng *rand.Rand) (id wire.ID) {
	for i := range id {
		id[i] = byte(rng.Uint32())
	}
	id[0] &= 0x81
	return id
}

// TestTable compares a table with a plain list, through random changes.
func TestTable(t *testing.T) {
	type pair struct {
		via int
		id  wire.ID
	}
	rng := rand.New(rand.NewPCG(1, 1))
	var table Table[int]
	model := make(map[pair]wire.TimeCode)
	ids := make([]wire.ID, 60)
	for i := range ids {
		ids[i] = randomID(rng)
	}
	for range 3000 {
		p := pair{1 + rng.IntN(5), ids[rng.IntN(len(ids))]}
		_, had := model[p]
		switch rng.IntN(40) {
		case 0:
			table.Drop(p.via)
			for q := range model {
				if q.via == p.via {
					delete(model, q)
				}
			}
		case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15:
			if table.Remove(p.via, p.id) != had {
				t.Fatalf("Remove of an entry that is there: %v", had)
			}
			delete(model, p)
		default:
			time := wire.TimeCode(rng.Uint32())
			named := []wire.Neighbour{{ID: p.id, Time: time}}
			if rng.IntN(4) == 0 { // several, with one twice
				for range rng.IntN(20) {
					named = append(named, wire.Neighbour{ID: ids[rng.IntN(len(ids))], Time: time})
				}
			}
			want := len(model)
			for _, n := range named {
				model[pair{p.via, n.ID}] = time
			}
			if added := table.Put(p.via, named); added != len(model)-want {
				t.Fatalf("%d entries were added, want %d", added, len(model)-want)
			}
		}
		if table.Len() != len(model) {
			t.Fatalf("%d entries, want %d", table.Len(), len(model))
		}
		target := randomID(rng)
		var have []Entry[int]
		table.Nearest(target, func(e Entry[int]) bool {
			have = append(have, e)
			return true
		})
		var want []pair
		for p := range model {
			want = append(want, p)
		}
		slices.SortFunc(want, func(a, b pair) int {
			switch {
			case target.Closer(a.id, b.id):
				return -1
			case target.Closer(b.id, a.id):
				return 1
			}
			return a.via - b.via
		})
		for i, e := range have { // entries with one id are in any order
			if e.ID != want[i].id || e.Time != model[pair{e.Via, e.ID}] || !table.Has(e.Via, e.ID) {
				t.Fatalf("entry %d is %+v, want %v", i, e, want[i])
			}
		}
		if len(have) != len(want) {
			t.Fatalf("%d entries were visited, want %d", len(have), len(want))
		}
	}
}

// TestTableStops checks that a visit ends when it is told to.
func TestTableStops(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	var table Table[int]
	for i := range 100 {
		table.Put(1+i%3, []wire.Neighbour{{ID: randomID(rng), Time: 1}})
	}
	for most := 1; most <= 100; most += 9 {
		seen := 0
		table.Nearest(randomID(rng), func(Entry[int]) bool {
			seen++
			return seen < most
		})
		if seen != most {
			t.Errorf("%d entries were visited, want %d", seen, most)
		}
	}
}

// A listener is a linked peer, which is told of a list now and then.
type listener struct {
	id      wire.ID
	version uint64
	named   map[wire.ID]wire.TimeCode
}

func (l *listener) tell(t *testing.T, list *List) (reset bool) {
	n := list.Since(l.version, l.id)
	if changed := !reflect.DeepEqual(n, list.Since(l.version, wire.ID{})); changed != list.Changed(l.id, l.version) {
		t.Fatalf("after version %d the changes are others for %v: %v", l.version, l.id.Short(), changed)
	}
	if size := len(n.Named) + len(n.Gone) + len(n.Lost); size > wire.MaxNamed || l.version == 0 && !n.Reset {
		t.Fatalf("%d changes after version %d, reset %v", size, l.version, n.Reset)
	}
	if n.Reset {
		clear(l.named)
	}
	for _, p := range n.Named {
		l.named[p.ID] = p.Time
	}
	for _, id := range slices.Concat(n.Gone, n.Lost) {
		delete(l.named, id)
	}
	l.version = list.Version()
	return n.Reset
}

// TestList checks that linked peers that are told of changes, each at times of its own, know the list.
func TestList(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	ids := make([]wire.ID, 2*maxDeparted)
	for i := range ids {
		ids[i] = randomID(rng)
	}
	slices.SortFunc(ids, wire.ID.Compare)
	var list List
	listeners := make([]*listener, 4)
	for i := range listeners {
		listeners[i] = &listener{id: ids[i], named: make(map[wire.ID]wire.TimeCode)}
	}
	in := make(map[wire.ID]wire.TimeCode)
	resets := 0
	for round := range 2000 {
		for range rng.IntN(4) {
			if id := ids[rng.IntN(len(ids))]; in[id] != 0 {
				delete(in, id)
			} else if len(in) < wire.MaxNamed-maxDeparted {
				in[id] = wire.TimeCode(1 + rng.IntN(255))
			}
		}
		var now []wire.Neighbour
		for _, id := range ids {
			if in[id] != 0 {
				now = append(now, wire.Neighbour{ID: id, Time: in[id]})
			}
		}
		list.Set(now, func(wire.ID) bool { return rng.IntN(2) == 0 })
		i := 0
		if round%100 == 0 { // the others are told rarely
			i = rng.IntN(len(listeners))
		}
		l := listeners[i]
		if l.tell(t, &list) {
			resets++
		}
		for id, time := range in {
			if id != l.id && l.named[id] != time {
				t.Fatalf("round %d: listener %d knows %d of %v, want %d", round, i, l.named[id], id.Short(), time)
			}
		}
		if _, self := in[l.id]; len(l.named) != len(in) && !(self && len(l.named) == len(in)-1) {
			t.Fatalf("round %d: listener %d knows %d, want %d", round, i, len(l.named), len(in))
		}
	}
	if resets < len(listeners)+1 || resets > 30 {
		t.Errorf("%d times all was told", resets)
	}
}

// TestListTimes checks that a time that changes little is not told, and that one that becomes known is.
func TestListTimes(t *testing.T) {
	var list List
	id := randomID(rand.New(rand.NewPCG(4, 4)))
	set := func(time wire.TimeCode) bool {
		version := list.Version()
		list.Set([]wire.Neighbour{{ID: id, Time: time}}, nil)
		return list.Version() != version
	}
	for _, test := range []struct {
		time wire.TimeCode
		told bool
	}{{0, true}, {0, false}, {40, true}, {44, false}, {36, false}, {45, true}, {41, false}, {0, true}} {
		if told := set(test.time); told != test.told {
			t.Errorf("%d was told: %v", test.time, told)
		}
	}
}
