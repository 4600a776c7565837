package plays

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/node/dht"
	"github.com/peer-relay/peer-relay/protocol"
)

// Lose adds a host, waits until its record is in the DHT, and kills it.
func (n *Fleets) Lose(ctx context.Context) (dead peers.FleetHost, err error) {
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
