package plays

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
)

// TestFleets kills the process of the bootstrap of a small network, and has the rest write to each
// other.
func TestFleets(t *testing.T) {
	ctx := harness.Context(t)
	n, err := OpenFleets(ctx, 3, peers.FleetSpec{Hosts: 10, NoDHT: true})
	harness.Must(t, err)
	defer func() { harness.Must(t, n.Close()) }()
	harness.Must(t, peers.Until(ctx, "links", func() (bool, error) {
		states, err := n.State(ctx)
		for _, s := range states {
			if s.Links < 8 {
				return false, err
			}
		}
		return true, err
	}))
	exchangeAll(ctx, t, n, 300)
	harness.Must(t, n.Kill(0))
	exchangeAll(ctx, t, n, 200)
	total, err := n.Total(ctx)
	harness.Must(t, err)
	if total.Sent != 1000 || total.Twice > 0 {
		t.Errorf("in all: %+v", total)
	}
}

// exchangeAll has hosts send reliable messages at once, and plain ones later. All must arrive.
func exchangeAll(ctx context.Context, t *testing.T, n *Fleets, letters int) {
	t.Helper()
	got, err := n.Exchange(ctx, rand.New(rand.NewPCG(1, 2)), harness.Patience/4,
		Batch{Letters: letters, Over: time.Second, Reliable: true},
		Batch{Letters: letters, After: 3 * time.Second, Over: time.Second})
	harness.Must(t, err)
	for i, tally := range got {
		if tally.Sent != letters || tally.Arrived != letters || tally.Hops < 1 {
			t.Errorf("batch %d: %+v", i, tally)
		}
	}
	if got[0].Outcomes[Proved] != letters {
		t.Errorf("the senders were told %v", got[0].Outcomes)
	}
}

// TestLetters checks what a letter book takes for lost, twice and wrong.
func TestLetters(t *testing.T) {
	var b letterBook
	for _, reliable := range []bool{false, true, false} {
		b.add(NetLetter{From: 1, To: 2, Reliable: reliable})
	}
	b.arrived(0, 1, 2, 3, time.Second)
	b.arrived(0, 1, 2, 5, time.Minute)
	if b.complete(0) || b.errors() != nil {
		t.Error("letter 1 has no outcome yet, and nothing was wrong")
	}
	b.arrived(1, 1, 2, 1, time.Second)
	b.told(1, Proved)
	if got := b.tally(0, 3, anyLetter); got.Sent != 3 || got.Arrived != 2 || got.Twice != 1 || got.Hops != 2 || got.Outcomes[Proved] != 1 {
		t.Errorf("tally %+v", got)
	}
	for name, wrong := range map[string]func(){
		"an outcome of a plain letter": func() { b.told(2, Handed) },
		"two outcomes":                 func() { b.told(1, Unknown) },
		"a letter to another peer":     func() { b.arrived(2, 1, 3, 1, 0) },
		"a letter of another peer":     func() { b.arrived(2, 0, 2, 1, 0) },
		"no letter":                    func() { b.arrived(3, 1, 2, 1, 0) },
		"a text":                       func() { b.strange("hello") },
	} {
		if wrong(); b.errors() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
