package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"

	"github.com/peer-relay/peer-relay/protocol"
)

// openPatience is the time that the dialled side waits for the other one to open the stream, so
// that they seldom open one each.
const openPatience = 2 * time.Second

// overlayPatience is the time for which a host with a DHT leaves the peers that it meets to the
// overlay, which chooses among all that it knows. A peer that the overlay wants, but has no
// link with after that time, may be in another partition, where no offer arrives.
const overlayPatience = time.Minute

// discover opens links to the peers that the host is connected with, that speak the protocol
// according to identify, and that the overlay wants. It also updates the contact when the
// host's own addresses change. It ends when the node closes.
func (n *Node) discover() error {
	sub, err := n.host.EventBus().Subscribe([]any{
		new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerProtocolsUpdated), new(event.EvtLocalAddressesUpdated),
	}, eventbus.Name("peer-relay"))
	if err != nil {
		return err
	}
	n.tasks.Go(func() { // ends with the subscription, which Close closes; Close waits
		for e := range sub.Out() {
			switch e := e.(type) {
			case event.EvtPeerIdentificationCompleted:
				if slices.Contains(e.Protocols, StreamProtocol) {
					n.found(e.Peer)
				}
			case event.EvtPeerProtocolsUpdated:
				if slices.Contains(e.Added, StreamProtocol) {
					n.found(e.Peer)
				}
			case event.EvtLocalAddressesUpdated:
				n.updateContact()
			}
		}
	})
	n.unsubscribe = sub.Close
	// The peers that were identified before the node was mounted.
	for _, p := range n.host.Network().Peers() {
		if got, err := n.host.Peerstore().SupportsProtocols(p, StreamProtocol); err == nil && len(got) > 0 {
			n.found(p)
		}
	}
	return nil
}

// The limits of discovery. A peer can report the protocol at any rate.
const (
	maxFound   = 1024 // peers that wait for a turn
	maxOpening = 8    // of those, peers to which a stream is being opened
)

// A finder bounds the cost of the peers that a host meets. Its zero value works.
type finder struct {
	mu    sync.Mutex
	found map[peer.ID]struct{} // peers that wait for a turn
	turns chan struct{}        // holds a token for each stream that is being opened
}

// begin reports whether a peer gets a turn. If so, end must be called.
func (f *finder) begin(p peer.ID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.found == nil {
		f.found, f.turns = make(map[peer.ID]struct{}), make(chan struct{}, maxOpening)
	}
	if _, twice := f.found[p]; twice || len(f.found) >= maxFound {
		return false
	}
	f.found[p] = struct{}{}
	return true
}

func (f *finder) end(p peer.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.found, p)
}

// found opens a link to a connected peer if the overlay wants it. A host with a DHT meets many
// peers, in random order, so there the overlay chooses first.
func (n *Node) found(p peer.ID) {
	wait := openPatience
	for _, c := range n.host.Network().ConnsToPeer(p) {
		if c.Stat().Direction == network.DirOutbound {
			wait = 0
		}
	}
	if n.dht != nil && n.router.Stats().Links > 0 {
		wait = overlayPatience
	}
	if !n.finder.begin(p) {
		return
	}
	n.task(func(ctx context.Context) {
		link := n.linkTo(ctx, p, wait)
		n.finder.end(p)
		if link != nil {
			n.router.Serve(ctx, link) // it logs why the link ended
		}
	})
}

// linkTo waits, also for a dial of the peer, and then opens a link to a connected peer if the
// overlay still wants it. It returns nil if there is no link.
func (n *Node) linkTo(ctx context.Context, p peer.ID, wait time.Duration) protocol.Link {
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(wait):
	}
	n.dials.wait(ctx, p)
	// Few at once: with each link the overlay wants fewer others.
	select {
	case <-ctx.Done():
		return nil
	case n.finder.turns <- struct{}{}:
	}
	defer func() { <-n.finder.turns }()
	if c := n.host.Network().Connectedness(p); !n.router.Wants(IDOf(p)) || c != network.Connected && c != network.Limited {
		return nil
	}
	dial, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	link, err := n.openTo(dial, n.router, p)
	if err != nil {
		n.log.Debug("no link to an identified peer", "peer", p, "err", err)
		return nil
	}
	return link
}
