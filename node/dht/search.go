package dht

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/discovery"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/node/internal/contact"
	"github.com/peer-relay/peer-relay/protocol"
)

const (
	seekMin       = 5 * time.Second // between searches of the rendezvous, doubling to seekMax
	seekMax       = 5 * time.Minute
	lookupTimeout = 20 * time.Second
	connectPoll   = 20 * time.Millisecond  // kad-dht does not report its first peer
	maxSearches   = 3                      // for one Connect, while few peers of the DHT are known
	searchRetry   = 200 * time.Millisecond // after the first search and a refresh; doubles
	maxLookups    = 16                     // ids that are looked up at once; others are left to the overlay
	maxProviders  = 4                      // dialled nodes that hold one id
	rendezvousMax = 16                     // nodes from one search of the rendezvous
)

// suggest suggests those peers of the routing table to the overlay that speak the protocol.
// While there is no link, it searches the rendezvous for some, with growing waits.
func (d *Directory) suggest(ctx context.Context) {
	var ids []protocol.ID
	for _, p := range d.kad.RoutingTable().ListPeers() {
		if ours, err := d.conf.Host.Peerstore().SupportsProtocols(p, d.conf.Protocol); err == nil && len(ours) > 0 {
			ids = append(ids, contact.IDOf(p))
		}
	}
	d.conf.Overlay.Suggest(ids...)
	up := d.conf.Overlay.NextLink()
	if d.conf.Overlay.Links() > 0 {
		d.seekAt, d.seekWait = time.Time{}, 0
		return
	}
	if d.now().Before(d.seekAt) {
		return
	}
	defer func() { // the wait begins when the search has ended
		d.seekWait = min(max(2*d.seekWait, seekMin), seekMax)
		d.seekAt = d.now().Add(d.seekWait)
	}()
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	tried := make(map[string]bool)
	// The first link ends the search: its peer names more, and there is something to publish.
	if err := d.at(ctx, d.rendezvous(), up, func(info peer.AddrInfo) { d.introduce(info, tried) }); err != nil {
		d.conf.Logger.Debug("DHT rendezvous", "err", err)
	}
}

// at calls found for each node that has announced itself at a rendezvous, until enough is
// closed. A whole search would wait for peers that are gone.
func (d *Directory) at(ctx context.Context, namespace string, enough <-chan struct{}, found func(peer.AddrInfo)) error {
	ctx, cancel := context.WithCancel(ctx) // ends the search of kad-dht
	defer cancel()
	infos, err := d.disc.FindPeers(ctx, namespace, discovery.Limit(rendezvousMax))
	if err != nil {
		return fmt.Errorf("node: DHT: search %s: %w", namespace, err)
	}
	for {
		select {
		case info, ok := <-infos:
			if !ok {
				return nil
			}
			if info.ID != d.conf.Host.ID() {
				found(info)
			}
		case <-enough:
			return nil
		}
	}
}

// Gateways returns nodes that have announced that they accept legacy peers.
func (d *Directory) Gateways(ctx context.Context) (gateways []peer.AddrInfo, err error) {
	err = d.at(ctx, d.gatewayRendezvous(), nil, func(info peer.AddrInfo) { gateways = append(gateways, info) })
	return gateways, err
}

// Connect looks up an id, and introduces the peers that have it: the peer itself, or the nodes
// that have a link to a legacy peer. Each is dialled when it is found, and no address twice. So
// an outdated record costs one failed dial.
func (d *Directory) Connect(ctx context.Context, id protocol.ID) {
	if !d.begin(id) {
		return
	}
	defer d.end(id)
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	d.lookUp(ctx, id)
}

// lookUp searches for an id. It repeats the search while few peers of the DHT are known and no
// address was found.
func (d *Directory) lookUp(ctx context.Context, id protocol.ID) {
	tried := make(map[string]bool)
	defer func() { d.conf.Logger.Debug("DHT: search ended", "peer", id.Short(), "addresses", len(tried)) }()
	tick := time.NewTicker(connectPoll)
	defer tick.Stop()
	for d.kad.RoutingTable().Size() == 0 { // without a peer there is nothing to search
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	for try := range maxSearches {
		if d.conf.Overlay.Linked(id) {
			return
		}
		few := d.kad.RoutingTable().Size() < bucketSize
		d.search(ctx, id, tried)
		if !few || len(tried) > 0 || try == maxSearches-1 {
			return
		}
		// A newcomer may know only one peer, and that one may name peers that are gone.
		select {
		case <-ctx.Done():
			return
		case <-d.kad.RefreshRoutingTable():
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(searchRetry << try):
		}
	}
}

// begin reports whether an id may be looked up now. Many requests for one id must not keep
// others from being looked up.
func (d *Directory) begin(id protocol.ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, sought := d.sought[id]; sought || len(d.sought) >= maxLookups {
		return false
	}
	d.sought[id] = struct{}{}
	return true
}

// end undoes begin.
func (d *Directory) end(id protocol.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.sought, id)
}

// search looks up an id once, until everything is found, or there is a link.
func (d *Directory) search(ctx context.Context, id protocol.ID, tried map[string]bool) {
	ctx, cancel := context.WithCancel(ctx) // ends the search of kad-dht
	defer cancel()
	var records <-chan []byte
	if d.own {
		var err error
		if records, err = d.kad.SearchValue(ctx, recordKey(id)); err != nil {
			d.conf.Logger.Debug("DHT: no record", "peer", id.Short(), "err", err)
		}
	}
	seeking, proved := context.WithCancel(ctx)
	defer proved()
	providers := d.kad.FindProvidersAsync(seeking, cidOf(id), maxProviders)
	for records != nil || providers != nil {
		up := d.conf.Overlay.NextLink()
		if d.conf.Overlay.Linked(id) { // by the overlay, or by this search
			return
		}
		select {
		case rec, ok := <-records:
			if !ok {
				records = nil
			} else if kept, err := openKept(recordKey(id), rec); err == nil {
				// The id belongs to this peer, so no other node holds it.
				proved()
				providers = nil
				d.introduce(peer.AddrInfo{ID: kept.PeerID, Addrs: kept.Addrs}, tried)
			}
		case info, ok := <-providers:
			if !ok {
				providers = nil
			} else {
				d.introduce(info, tried)
			}
		case <-up:
		}
	}
}

// introduce lets the router dial a peer at its untried addresses, except those that kad-dht
// itself has just failed to dial.
func (d *Directory) introduce(info peer.AddrInfo, tried map[string]bool) {
	host := d.conf.Host
	backoff := func(peer.ID, ma.Multiaddr) bool { return false }
	if s, ok := host.Network().(*swarm.Swarm); ok {
		backoff = s.Backoff().Backoff
	}
	if info.ID == host.ID() {
		return
	}
	var addrs []ma.Multiaddr
	for _, a := range d.filter(info.Addrs) {
		if at := string(info.ID) + a.String(); !tried[at] && !backoff(info.ID, a) && len(addrs) < contact.MaxAddrs {
			addrs = append(addrs, a)
			tried[at] = true
		}
	}
	if len(addrs) == 0 {
		return
	}
	// The dial uses all addresses that the host knows.
	host.Peerstore().AddAddrs(info.ID, addrs, peerstore.TempAddrTTL)
	info.Addrs = addrs[:1]
	named, err := peer.AddrInfoToP2pAddrs(&info)
	if err != nil {
		return
	}
	d.conf.Logger.Debug("DHT: found", "peer", contact.IDOf(info.ID).Short())
	d.conf.Overlay.Introduce(protocol.Contact{ID: contact.IDOf(info.ID), URL: named[0].String()})
}
