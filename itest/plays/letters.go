package plays

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
)

// A NetLetter is a message from one peer of a network to another, by their numbers there.
type NetLetter struct {
	From, To int
	Reliable bool

	Arrived int             // times
	Hops    int             // of the first arrival; 0 is unknown
	Took    []time.Duration // each arrival
	Outcome string          // of a reliable one, "" while there is none: a key of Tally.Outcomes
}

// Outcomes of reliable letters, other than errors.
const (
	Proved  = "proved"
	Handed  = "handed to its relay"
	Said    = "claimed" // a receipt that no key proves
	NoPeer  = "no peer has the id"
	Unknown = "unknown whether it arrived"
)

// toldBy returns the outcome that an event of our binary tells.
func toldBy(e peers.Event) string {
	switch {
	case e.Kind == peers.EventError && e.Status == 4:
		return NoPeer
	case e.Kind == peers.EventError && e.Status == 5:
		return Unknown
	case e.Kind == peers.EventError:
		return string(e.Data)
	case e.Proved:
		return Proved
	case e.Handed:
		return Handed
	}
	return Said
}

// A Tally is what became of letters.
type Tally struct {
	Sent, Arrived, Twice int
	Hops                 float64 // mean of those that arrived
	Took                 []time.Duration
	Outcomes             map[string]int // of reliable ones
}

// Share returns how much of 1 has arrived.
func (t Tally) Share() float64 { return float64(t.Arrived) / float64(max(t.Sent, 1)) }

// letterBook keeps the letters of a network. Letters that came in a wrong way are errors.
type letterBook struct {
	mu      sync.Mutex
	letters []NetLetter
	wrong   []error
}

// add adds a letter and returns its number.
func (b *letterBook) add(l NetLetter) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.letters = append(b.letters, l)
	return len(b.letters) - 1
}

// size returns the number of all letters.
func (b *letterBook) size() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.letters)
}

// arrived notes that a letter came from one peer to another.
func (b *letterBook) arrived(n, from, to, hops int, took time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n < 0 || n >= len(b.letters) || b.letters[n].From != from || b.letters[n].To != to {
		b.fail(fmt.Errorf("letter %d came to peer %d as if from %d", n, to, from))
		return
	}
	l := &b.letters[n]
	if l.Arrived++; l.Arrived == 1 {
		l.Hops = hops
	}
	l.Took = append(l.Took, took)
}

// told notes what the sender of a letter was told.
func (b *letterBook) told(n int, outcome string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch l := &b.letters[n]; {
	case !l.Reliable:
		b.fail(fmt.Errorf("letter %d was refused: %s", n, outcome))
	case l.Outcome != "":
		b.fail(fmt.Errorf("letter %d has two outcomes: %s and %s", n, l.Outcome, outcome))
	default:
		l.Outcome = outcome
	}
}

// strange notes what is no letter.
func (b *letterBook) strange(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail(fmt.Errorf("a peer received %.100s", text))
}

// fail needs mu.
func (b *letterBook) fail(err error) { b.wrong = append(b.wrong, err) }

// errors returns what was wrong since the last call.
func (b *letterBook) errors() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := errors.Join(b.wrong[:min(len(b.wrong), mostWrong)]...)
	if more := len(b.wrong) - mostWrong; more > 0 {
		err = errors.Join(err, fmt.Errorf("and %d more", more))
	}
	b.wrong = nil
	return err
}

// mostWrong is the number of errors that are told in full.
const mostWrong = 10

// complete reports whether all letters from a number on have arrived, and the reliable ones have an
// outcome.
func (b *letterBook) complete(first int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !slices.ContainsFunc(b.letters[first:], func(l NetLetter) bool { return l.Arrived == 0 || l.Reliable && l.Outcome == "" })
}

// tally counts the letters from one number up to another that match.
func (b *letterBook) tally(first, end int, match func(NetLetter) bool) Tally {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := Tally{Outcomes: make(map[string]int)}
	hops := 0
	for _, l := range b.letters[first:end] {
		if !match(l) {
			continue
		}
		t.Sent++
		if l.Reliable {
			t.Outcomes[l.Outcome]++
		}
		if l.Arrived == 0 {
			continue
		}
		t.Arrived++
		t.Twice += l.Arrived - 1
		hops += l.Hops
		t.Took = append(t.Took, l.Took[0])
	}
	t.Hops = float64(hops) / float64(max(t.Arrived, 1))
	return t
}

func anyLetter(NetLetter) bool { return true }

// twoOf returns two different ones of a list.
func twoOf(rng *rand.Rand, list []int) (from, to int) {
	at := rng.IntN(len(list))
	return list[at], list[(at+1+rng.IntN(len(list)-1))%len(list)]
}
