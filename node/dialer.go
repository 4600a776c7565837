package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"

	"github.com/peer-relay/peer-relay/node/internal/contact"
	"github.com/peer-relay/peer-relay/protocol"
)

// A startedDialer dials when the node has started. Before that its own port, which a list of
// bootstraps may name too, would refuse.
type startedDialer struct {
	n *Node
	protocol.Dialer
}

// Dial implements protocol.Dialer.
func (d startedDialer) Dial(ctx context.Context, r *protocol.Router, c protocol.Contact) (protocol.Link, error) {
	select {
	case <-d.n.started:
		return d.Dialer.Dial(ctx, r, c)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A nativeDialer opens /peer-relay/1 streams to the peer of a signed record, or of a multiaddr
// that ends in /p2p/….
type nativeDialer struct{ n *Node }

// CanDial implements protocol.Dialer.
func (d nativeDialer) CanDial(c protocol.Contact) bool {
	return len(c.Record) > 0 || strings.HasPrefix(c.URL, "/")
}

// Dial implements protocol.Dialer. The router may dial before the node has it.
func (d nativeDialer) Dial(ctx context.Context, r *protocol.Router, c protocol.Contact) (protocol.Link, error) {
	var to *peer.AddrInfo
	var err error
	if len(c.Record) > 0 {
		to, err = d.n.openRecord(c)
	} else {
		to, err = contact.ParseP2P(c.URL)
	}
	if err != nil {
		return nil, err
	}
	defer d.n.dials.begin(to.ID)()
	if s, ok := d.n.host.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(to.ID) // the router has its own back-off
	}
	err = d.n.host.Connect(ctx, *to)
	// Identify has 5 s, which is too short for some lines. The connection works without it.
	if err != nil && d.n.host.Network().Connectedness(to.ID) != network.Connected {
		return nil, fmt.Errorf("node: connect to %v: %w", to.ID, err)
	}
	return d.n.openTo(ctx, r, to.ID)
}

// dials counts the dials in progress, by peer. While one connects, identify tells discovery of the
// same peer, which leaves it to the dial. The zero value works.
type dials struct {
	mu sync.Mutex
	of map[peer.ID]*dialled
}

type dialled struct {
	number int
	none   chan struct{} // closed when no dial of the peer is in progress
}

// begin counts a dial, until end is called.
func (d *dials) begin(p peer.ID) (end func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.of == nil {
		d.of = make(map[peer.ID]*dialled)
	}
	x := d.of[p]
	if x == nil {
		x = &dialled{none: make(chan struct{})}
		d.of[p] = x
	}
	x.number++
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if x.number--; x.number == 0 {
			delete(d.of, p)
			close(x.none)
		}
	}
}

// wait waits until no dial of a peer is in progress, or until the context is done.
func (d *dials) wait(ctx context.Context, p peer.ID) {
	d.mu.Lock()
	x := d.of[p]
	d.mu.Unlock()
	if x == nil {
		return
	}
	select {
	case <-x.none:
	case <-ctx.Done():
	}
}

// errLimited is the error of a dial that reached a peer only by a circuit relay. The relay ends
// such a connection after some data or time, so it is not fit for the messages of others. libp2p
// would wait for a better connection until the dial has no time left.
var errLimited = fmt.Errorf("there is only a circuit relay with limits, which is not fit for a link: %w", network.ErrLimitedConn)

// openTo opens a stream to a peer with which the host is connected.
func (n *Node) openTo(ctx context.Context, r *protocol.Router, p peer.ID) (protocol.Link, error) {
	if n.host.Network().Connectedness(p) == network.Limited {
		return nil, fmt.Errorf("node: open a stream to %v: %w", p, errLimited)
	}
	s, err := n.host.NewStream(network.WithNoDial(ctx, "only over the connection there is"), p, StreamProtocol)
	if err != nil {
		return nil, fmt.Errorf("node: open a stream to %v: %w", p, err)
	}
	return n.openStream(ctx, r, s)
}

var errNoAddrs = errors.New("node: the record has no address that may be dialled")

// openRecord returns the peer of a signed record, with those of its addresses that may be
// dialled.
func (n *Node) openRecord(c protocol.Contact) (*peer.AddrInfo, error) {
	rec, err := contact.OpenRecord(c.Record, c.ID)
	if err != nil {
		return nil, err
	}
	info := &peer.AddrInfo{ID: rec.PeerID}
	home := n.home()
	for _, a := range rec.Addrs {
		if home.Has(a) && len(info.Addrs) < contact.MaxAddrs {
			info.Addrs = append(info.Addrs, a)
		}
	}
	if len(info.Addrs) == 0 {
		return nil, errNoAddrs
	}
	return info, nil
}
