package probe

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

var origin, first, second, receiver, stranger = wire.ID{1}, wire.ID{2}, wire.ID{3}, wire.ID{4}, wire.ID{5}

const ms = time.Millisecond

func said(nonce string, hops int) wire.Report {
	return wire.Report{Nonce: []byte(nonce), Hops: hops, Link: "native", Agent: "x/1"}
}

func receipt(nonce string, path ...wire.ID) wire.Receipt {
	return wire.Receipt{Nonce: []byte(nonce), Path: path}
}

func told(id wire.ID, took time.Duration) Hop {
	return Hop{ID: id, Told: true, InPath: true, Link: "native", RTT: took, Agent: "x/1"}
}

func check(t *testing.T, tr *Trace, complete bool, want ...Hop) {
	t.Helper()
	if got := tr.Hops(); !reflect.DeepEqual(got, want) {
		t.Errorf("the way is %+v, want %+v", got, want)
	}
	if tr.Complete() != complete {
		t.Errorf("complete: %v", !complete)
	}
}

func TestTrace(t *testing.T) {
	var tr Trace
	check(t, &tr, false)
	tr.Add(said("1", 1), first, ms)
	tr.Add(said("1", 3), receiver, 3*ms)
	tr.Answer(receipt("1", origin, first, second), receiver)
	check(t, &tr, false, told(first, ms), Hop{ID: second, InPath: true}, told(receiver, 3*ms))
	if tr.Add(said("1", 1), first, 9*ms) {
		t.Error("a report is taken twice")
	}
	tr.Add(said("1", 2), second, 4*ms) // after the receipt
	check(t, &tr, true, told(first, ms), told(second, 4*ms), told(receiver, 3*ms))
}

// A report counts only for the attempt that arrived, and for the place that its peer has in the path.
func TestReportsThatDoNotCount(t *testing.T) {
	for name, forge := range map[string]func(tr *Trace){
		"of another attempt":        func(tr *Trace) { tr.Add(said("2", 1), first, ms) },
		"of another place":          func(tr *Trace) { tr.Add(said("1", 2), first, ms) },
		"of a stranger":             func(tr *Trace) { tr.Add(said("1", 1), stranger, ms) },
		"of a stranger, as the end": func(tr *Trace) { tr.Add(said("1", 2), stranger, ms) },
		"of the origin":             func(tr *Trace) { tr.Add(said("1", 0), origin, ms) },
		"beyond the end":            func(tr *Trace) { tr.Add(said("1", 9), receiver, ms) },
	} {
		t.Run(name, func(t *testing.T) {
			var tr Trace
			forge(&tr)
			tr.Answer(receipt("1", origin, first), receiver)
			check(t, &tr, false, Hop{ID: first, InPath: true}, Hop{ID: receiver, InPath: true})
		})
	}
}

// Two copies of an attempt can take different ways. The receipt says which one arrived.
func TestTwoWays(t *testing.T) {
	var tr Trace
	tr.Add(said("1", 1), stranger, ms)
	tr.Add(said("1", 1), first, 2*ms)
	tr.Answer(receipt("1", origin, first), receiver)
	check(t, &tr, false, told(first, 2*ms), Hop{ID: receiver, InPath: true})
}

// The peer in front of a legacy receiver answers for it, and the receiver does not report.
func TestHanded(t *testing.T) {
	var tr Trace
	tr.Add(said("1", 1), first, ms)
	r := receipt("1", origin, first)
	r.Handed = true
	tr.Answer(r, receiver)
	check(t, &tr, true, told(first, ms), Hop{ID: receiver, InPath: true})
	tr.Answer(receipt("2", origin), receiver) // a better one
	check(t, &tr, false, Hop{ID: receiver, InPath: true})
}

// Without a receipt, or with one that has no path, the reports say how far a ping came.
func TestWithoutAPath(t *testing.T) {
	var tr Trace
	tr.Add(said("1", 1), first, ms)
	tr.Add(said("2", 3), second, 5*ms)
	tr.Add(said("2", 1), stranger, 2*ms)
	unconfirmed := func(id wire.ID, took time.Duration) Hop {
		return Hop{ID: id, Told: true, Link: "native", RTT: took, Agent: "x/1"}
	}
	want := []Hop{unconfirmed(stranger, 2*ms), {}, unconfirmed(second, 5*ms)}
	check(t, &tr, false, want...)
	tr.Answer(receipt("2"), receiver)
	check(t, &tr, false, want...)
}

func TestBounds(t *testing.T) {
	var tr Trace
	n := 0
	for ; tr.Add(said(fmt.Sprint(n), 1), first, ms); n++ {
	}
	if n != maxReports {
		t.Errorf("%d reports are kept", n)
	}
	for took, want := range map[time.Duration]time.Duration{0: graceLeast, 300 * ms: 300 * ms, time.Minute: graceMost} {
		if got := Grace(took); got != want {
			t.Errorf("after %v reports are awaited for %v", took, got)
		}
	}
}
