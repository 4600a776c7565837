package plays

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/node/dht"
	"github.com/peer-relay/peer-relay/protocol"
)

// settledPoll is the time between two looks at a network that is to settle.
const settledPoll = time.Second

// A DHTNetwork is hosts in several processes that share one DHT and, unless they are plain,
// one overlay.
type DHTNetwork struct {
	fleets []*peers.Fleet
	spec   peers.FleetSpec

	Hosts []peers.FleetHost
}

// OpenDHTNetwork starts a number of processes as spec says, all joined by the first host's
// address. Close ends them.
func OpenDHTNetwork(ctx context.Context, processes int, spec peers.FleetSpec) (n *DHTNetwork, err error) {
	n = &DHTNetwork{spec: spec}
	for i := range processes {
		spec.Name = fmt.Sprintf("fleet %d", i+1)
		if len(n.Hosts) > 0 {
			spec.Bootstrap = n.Hosts[0].Addr
		}
		f, err := peers.StartFleet(ctx, spec)
		if err != nil {
			return nil, errors.Join(err, n.Close())
		}
		n.fleets = append(n.fleets, f)
		n.Hosts = append(n.Hosts, f.Hosts...)
	}
	return n, nil
}

// State returns what each host has now.
func (n *DHTNetwork) State(ctx context.Context) (all []peers.FleetState, err error) {
	for _, f := range n.fleets {
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
func (n *DHTNetwork) Settle(ctx context.Context, least time.Duration, looks int, look func([]peers.FleetState)) (states []peers.FleetState, err error) {
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

func (n *DHTNetwork) equal(a, b peers.FleetState) bool {
	if n.spec.Plain {
		return a.Conns == b.Conns && a.Table == b.Table
	}
	return a.Links == b.Links && a.Opened == b.Opened
}

// Lose adds a host, waits until its record is in the DHT, and kills it.
func (n *DHTNetwork) Lose(ctx context.Context) (dead peers.FleetHost, err error) {
	f, err := peers.StartFleet(ctx, peers.FleetSpec{Name: "to be killed", Hosts: 1, Bootstrap: n.Hosts[0].Addr})
	if err != nil {
		return dead, err
	}
	defer f.Close() // it was killed, or err says more
	if err := peers.Until(ctx, "the record of the host to be killed", func() (bool, error) {
		states, err := f.State(ctx)
		return err == nil && states[0].Published > 0, err
	}); err != nil {
		return dead, err
	}
	return f.Hosts[0], f.Kill()
}

// Close ends the processes.
func (n *DHTNetwork) Close() error {
	closed := make(chan error, len(n.fleets))
	for _, f := range n.fleets {
		go func() { closed <- f.Close() }() // ends by itself; awaited below
	}
	var errs []error
	for range n.fleets {
		errs = append(errs, <-closed)
	}
	return errors.Join(errs...)
}

// A Newcomer is the way in which a newcomer finds others.
type Newcomer struct {
	Overlay bool // it knows the address of a peer of the overlay
	DHT     bool // it has a DHT; without Overlay it knows the address of a peer of that
	Listen  bool // it has a port
}

// options returns those of a newcomer that knows only the address of at.
func (c Newcomer) options(at peers.FleetHost) node.Options {
	o := node.Options{NoWebRTCDirect: true}
	if c.Listen {
		o.Listen, o.ListenHost = true, peers.Loopback
	}
	if c.DHT {
		o.DHT = &dht.Options{Closed: true}
	}
	if c.Overlay {
		o.Bootstraps = []string{at.Addr}
	} else {
		o.NoOverlay, o.NoDiscovery = true, true
		o.DHT.Bootstraps = []string{at.Addr}
	}
	return o
}

// A NewcomerFigure is the time that a newcomer took.
type NewcomerFigure struct {
	Start   time.Duration // from the start of the node to the link
	Connect time.Duration // from the call of Connect
	ByDHT   bool          // it had found the address in the DHT by then
	Story   []string      // what it logged meanwhile
}

// Join starts a newcomer that knows only the address of at, has it Connect to an id at once,
// and returns how long it took to be linked with that.
func (c Newcomer) Join(ctx context.Context, at, to peers.FleetHost) (figure NewcomerFigure, err error) {
	o := c.options(at)
	linked := make(chan protocol.LinkInfo, 1)
	o.OnPeer = func(i protocol.LinkInfo) {
		if i.ID == to.ID {
			linked <- i // once: neither end disconnects
		}
	}
	lines := newLogLines("newcomer")
	o.Logger = slog.New(lines)
	start := time.Now()
	n, err := node.New(o)
	if err != nil {
		return figure, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	call := time.Now()
	n.Connect(to.ID)
	select {
	case <-linked:
		figure = NewcomerFigure{Start: time.Since(start), Connect: time.Since(call), ByDHT: lines.Count(isLine(lineFound, to.ID)) > 0}
		for _, l := range lines.All() {
			figure.Story = append(figure.Story, fmt.Sprintf("%v %s", l.at.Sub(start).Round(time.Millisecond), l.text))
		}
		return figure, nil
	case <-ctx.Done():
		return figure, fmt.Errorf("itest: no link from a newcomer at %v to %v: %w", at.ID, to.ID, ctx.Err())
	}
}
