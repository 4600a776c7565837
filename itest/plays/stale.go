package plays

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/node"
)

// A StaleFigure is the cost of the record of a peer that is gone, for a newcomer.
type StaleFigure struct {
	Before int // dials of its address until then: servers of the DHT name it in any search
	Found  int // how often the search found an address to dial
	Dials  int // of the address, from Connect until the dial had failed
	Again  int // how often it was found again, while it was watched
	Later  int // dials during that time: kad-dht's own searches dial what servers name
}

// Stale starts a newcomer, has it Connect to a peer that was killed after its record came
// into the DHT, and counts its dials of that peer, then and for a while after.
func Stale(ctx context.Context, at, dead peers.FleetHost, watch time.Duration) (figure StaleFigure, err error) {
	gate := &dialCounter{peer: dead.Peer}
	lines := newLogLines("newcomer")
	o := Newcomer{Overlay: true, DHT: true, Listen: true}.options(at)
	o.Gater, o.Logger = gate, slog.New(lines)
	n, err := node.New(o)
	if err != nil {
		return figure, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if s, ok := n.Host().Network().(*swarm.Swarm); ok {
		gate.swarm.Store(s)
	}
	// Its searches for itself may lead it to the dead peer as well.
	if err := peers.Until(ctx, "the record of a newcomer", func() (bool, error) { return peers.StateOf(n).Published > 0, nil }); err != nil {
		return figure, err
	}
	before := gate.count()
	figure.Before = before
	n.Connect(dead.ID)
	if err := lines.await(ctx, 1, lineEnded, dead.ID); err != nil {
		return figure, err
	}
	figure.Found = lines.Count(isLine(lineFound, dead.ID))
	if err := lines.await(ctx, figure.Found, lineFailed, dead.ID); err != nil {
		return figure, err
	}
	figure.Dials = gate.count() - before
	timer := time.NewTimer(watch)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return figure, ctx.Err()
	}
	figure.Again = lines.Count(isLine(lineFound, dead.ID)) - figure.Found
	figure.Later = gate.count() - before - figure.Dials
	return figure, nil
}

// A Decoy listens where there is no peer.
type Decoy struct {
	l    net.Listener
	done chan struct{}
	n    atomic.Int64
}

// NewDecoyOf takes the TCP port of a host that is gone.
func NewDecoyOf(gone peers.FleetHost) (*Decoy, error) {
	a, err := ma.NewMultiaddr(gone.Addr)
	if err != nil {
		return nil, fmt.Errorf("itest: decoy: %w", err)
	}
	port, err := a.ValueForProtocol(ma.P_TCP)
	if err != nil {
		return nil, fmt.Errorf("itest: decoy: %w", err)
	}
	return NewDecoy(port)
}

// NewDecoy listens on a TCP port, "0" for any. It closes every connection at once.
func NewDecoy(port string) (*Decoy, error) {
	l, err := net.Listen("tcp4", net.JoinHostPort(peers.Loopback, port))
	if err != nil {
		return nil, fmt.Errorf("itest: decoy: %w", err)
	}
	d := &Decoy{l: l, done: make(chan struct{})}
	go func() { // ends with the listener; Close waits
		defer close(d.done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d.n.Add(1)
			c.Close()
		}
	}()
	return d, nil
}

// Addr is the address of a peer, if there were one.
func (d *Decoy) Addr() ma.Multiaddr {
	return ma.StringCast(fmt.Sprintf("/ip4/%s/tcp/%d/ws", peers.Loopback, d.l.Addr().(*net.TCPAddr).Port))
}

// Dials returns the number of times that it was dialled, by any host.
func (d *Decoy) Dials() int { return int(d.n.Load()) }

// Close ends it.
func (d *Decoy) Close() error {
	err := d.l.Close()
	<-d.done
	return err
}

// A dialCounter counts the dials of one peer, a dial for each address.
type dialCounter struct {
	peer  peer.ID
	swarm atomic.Pointer[swarm.Swarm]
	n     atomic.Int64
}

func (d *dialCounter) count() int { return int(d.n.Load()) }

// InterceptAddrDial counts, unless the swarm will refuse to dial what failed a moment ago.
func (d *dialCounter) InterceptAddrDial(p peer.ID, a ma.Multiaddr) bool {
	if s := d.swarm.Load(); p == d.peer && (s == nil || !s.Backoff().Backoff(p, a)) {
		d.n.Add(1)
	}
	return true
}

func (d *dialCounter) InterceptPeerDial(peer.ID) bool { return true }

func (d *dialCounter) InterceptAccept(network.ConnMultiaddrs) bool { return true }

func (d *dialCounter) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool {
	return true
}

func (d *dialCounter) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) {
	return true, 0
}
