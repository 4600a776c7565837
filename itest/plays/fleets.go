package plays

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/protocol"
)

// settledPoll is the time between two looks at a network that is to settle.
const settledPoll = time.Second

// Fleets are hosts in several processes that share one overlay, unless they are plain, and one
// DHT, if they have it. Its methods are for one goroutine.
type Fleets struct {
	fleets []*peers.Fleet
	down   []bool // processes that were killed or stopped
	spec   peers.FleetSpec
	index  map[protocol.ID]int // of Hosts
	post   letterBook

	Hosts []peers.FleetHost // of all processes, in order
}

// OpenFleets starts a number of processes as spec says, all joined by the first host's
// address. Close ends them.
func OpenFleets(ctx context.Context, processes int, spec peers.FleetSpec) (n *Fleets, err error) {
	n = &Fleets{spec: spec, index: make(map[protocol.ID]int)}
	for i := range processes {
		spec.Name, spec.First = fmt.Sprintf("fleet %d", i+1), len(n.Hosts)
		if len(n.Hosts) > 0 {
			spec.Bootstrap = n.Hosts[0].Addr
		}
		f, err := peers.StartFleet(ctx, spec)
		if err != nil {
			return nil, errors.Join(err, n.Close())
		}
		n.fleets, n.down = append(n.fleets, f), append(n.down, false)
		for _, h := range f.Hosts {
			n.index[h.ID] = len(n.Hosts)
			n.Hosts = append(n.Hosts, h)
		}
	}
	return n, nil
}

// State returns what each living host has now.
func (n *Fleets) State(ctx context.Context) (all []peers.FleetState, err error) {
	for i, f := range n.fleets {
		if n.down[i] {
			continue
		}
		states, err := f.State(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, states...)
	}
	return all, nil
}

// Settle waits until every host has published its record and no host opens or loses a link
// any more: in a number of looks in a row nothing has changed. Of plain hosts, their
// connections and routing tables must not change. It takes at least the time least, and
// returns what the hosts have in the end.
func (n *Fleets) Settle(ctx context.Context, least time.Duration, looks int, look func([]peers.FleetState)) (states []peers.FleetState, err error) {
	start := time.Now()
	tick := time.NewTicker(settledPoll)
	defer tick.Stop()
	var last []peers.FleetState
	for same := 0; same < looks || time.Since(start) < least; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("itest: a network of %d hosts did not settle: %w", len(n.Hosts), ctx.Err())
		}
		if states, err = n.State(ctx); err != nil {
			return nil, err
		}
		look(states)
		ready := n.spec.Plain || n.spec.NoDHT || !slices.ContainsFunc(states, func(s peers.FleetState) bool { return s.Published == 0 })
		if ready && slices.EqualFunc(states, last, n.equal) {
			same++
		} else {
			same = 0
		}
		last = states
	}
	return states, nil
}

func (n *Fleets) equal(a, b peers.FleetState) bool {
	if n.spec.Plain {
		return a.Conns == b.Conns && a.Table == b.Table
	}
	return a.Links == b.Links && a.Opened == b.Opened
}

// newsEvery is the time between two looks at what has arrived.
const newsEvery = 200 * time.Millisecond

// A Batch is letters between random hosts that live.
type Batch struct {
	Letters  int
	After    time.Duration // from the beginning of the exchange to the first
	Over     time.Duration // from the first to the last
	Reliable bool
}

// Exchange has hosts write to each other, and waits until all has arrived, or for the time late
// after the last letter. It returns a tally of each batch. The error says what should not happen to
// any letter: that it is refused, or comes to another host.
func (n *Fleets) Exchange(ctx context.Context, rng *rand.Rand, late time.Duration, batches ...Batch) ([]Tally, error) {
	first := n.post.size()
	letters := make([][]peers.FleetLetter, len(n.fleets))
	begins := make([]int, len(batches))
	living := n.living()
	var last time.Duration
	for i, b := range batches {
		begins[i] = n.post.size()
		for k := range b.Letters {
			from, to := twoOf(rng, living)
			after := b.After + b.Over*time.Duration(k)/time.Duration(b.Letters)
			last = max(last, after)
			at := n.fleetOf(from)
			letters[at] = append(letters[at], peers.FleetLetter{N: n.post.add(NetLetter{From: from, To: to, Reliable: b.Reliable}),
				From: from % n.spec.Hosts, To: n.Hosts[to].ID, Reliable: b.Reliable, After: after})
		}
	}
	for i, ls := range letters {
		slices.SortStableFunc(ls, func(a, b peers.FleetLetter) int { return cmp.Compare(a.After, b.After) })
		if len(ls) == 0 {
			continue
		}
		if err := n.fleets[i].Send(ls); err != nil {
			return nil, err
		}
	}
	if err := n.collect(ctx, first, last+late); err != nil {
		return nil, err
	}
	tallies := make([]Tally, len(batches))
	for i, b := range batches {
		tallies[i] = n.post.tally(begins[i], begins[i]+b.Letters, anyLetter)
	}
	return tallies, n.post.errors()
}

// Total returns a tally of all letters of all exchanges, with what came of them meanwhile.
func (n *Fleets) Total(ctx context.Context) (Tally, error) {
	if err := n.news(ctx); err != nil {
		return Tally{}, err
	}
	return n.post.tally(0, n.post.size(), anyLetter), n.post.errors()
}

// living returns the indices of the hosts whose processes live.
func (n *Fleets) living() (all []int) {
	for i := range n.Hosts {
		if !n.down[n.fleetOf(i)] {
			all = append(all, i)
		}
	}
	return all
}

// fleetOf returns the index of the process of a host.
func (n *Fleets) fleetOf(host int) int { return host / n.spec.Hosts }

// collect reads what came of letters until all from a number on have come, or a time is over.
func (n *Fleets) collect(ctx context.Context, first int, most time.Duration) error {
	end := time.Now().Add(most)
	for !n.post.complete(first) && time.Now().Before(end) {
		if err := peers.Sleep(ctx, newsEvery); err != nil {
			return err
		}
		if err := n.news(ctx); err != nil {
			return err
		}
	}
	return nil
}

// news reads what came of letters since the last call.
func (n *Fleets) news(ctx context.Context) error {
	for i, f := range n.fleets {
		if n.down[i] {
			continue
		}
		news, err := f.News(ctx)
		if err != nil {
			return err
		}
		n.note(i*n.spec.Hosts, news)
	}
	return nil
}

// note notes the news of a process whose first host has an index.
func (n *Fleets) note(first int, news peers.FleetNews) {
	for _, a := range news.Arrivals {
		from, known := n.index[a.From]
		if !known {
			from = -1
		}
		n.post.arrived(a.N, from, first+a.Host, a.Hops, a.Took)
	}
	for _, o := range news.Outcomes {
		n.post.told(o.N, outcomeOf(o))
	}
	for _, s := range news.Strange {
		n.post.strange(s)
	}
}

func outcomeOf(o peers.FleetOutcome) string {
	switch {
	case o.NoRoute:
		return NoPeer
	case o.Err != "":
		return o.Err
	case o.Receipt.Proved:
		return Proved
	case o.Receipt.Handed:
		return Handed
	}
	return Said
}

// Kill ends a process as kill -9 does.
func (n *Fleets) Kill(process int) error {
	n.down[process] = true
	return n.fleets[process].Kill()
}

// Pause stops a process: its hosts fall silent, and their connections stay.
func (n *Fleets) Pause(process int) error {
	n.down[process] = true
	return n.fleets[process].Process().Pause()
}

// Close ends the processes.
func (n *Fleets) Close() error {
	closed := make(chan error, len(n.fleets))
	for i, f := range n.fleets {
		go func() { closed <- n.end(i, f) }() // ends by itself; awaited below
	}
	var errs []error
	for range n.fleets {
		errs = append(errs, <-closed)
	}
	return errors.Join(errs...)
}

// end ends a process. One that was killed or stopped has nothing to say.
func (n *Fleets) end(i int, f *peers.Fleet) error {
	if n.down[i] {
		return f.Kill()
	}
	return f.Close()
}
