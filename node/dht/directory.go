package dht

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	kaddht "github.com/libp2p/go-libp2p-kad-dht"
	dhtrecord "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	libp2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
	routingdiscovery "github.com/libp2p/go-libp2p/p2p/discovery/routing"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/node/internal/contact"
	"github.com/peer-relay/peer-relay/node/internal/options"
	"github.com/peer-relay/peer-relay/node/internal/scope"
	"github.com/peer-relay/peer-relay/protocol"
)

// Prefix is the protocol prefix of the DHT of this network.
const Prefix = "/peer-relay"

const (
	// bucketSize is the number of peers in a bucket of a DHT of our own. The overlay's links
	// are DHT connections as well, and kad-dht's 20 would keep most of a small network
	// connected.
	bucketSize = 8

	// The overlay's links and searches fill the routing table of a DHT of our own. kad-dht
	// would make a newcomer dial most of a small network at once to fill it.
	refreshFirst = 15 * time.Second // mean time until the first refresh; random, from half to one and a half of it
	refreshEvery = 10 * time.Minute
	rejoinEvery  = 10 * time.Second // while no peer of the DHT is known

	kadSuffix = "/kad/1.0.0"    // end of the name of the protocol that kad-dht puts on the host
	tickEvery = 2 * time.Second // between checks for something to publish
)

// Options put a kad-dht on the host of a node. It turns ids into addresses, which Connect uses
// beside the overlay, and suggests candidates to the overlay. A node that can be dialled is a
// server of the DHT, any other node a client. Few connections without a link are kept. On an
// attached host that is up to the host's connection manager.
type Options struct {
	// Prefix is the prefix of the DHT's protocol. "" means the constant Prefix. With the prefix
	// of another network, such as "/ipfs", the node joins the DHT of that network.
	Prefix string

	// Bootstraps are multiaddrs, each with /p2p/…, of peers of the DHT. A peer of the DHT that
	// the node is connected with for another reason need not be named.
	Bootstraps []string

	// Closed is for a network without public addresses: private and loopback addresses are
	// written and dialled, and the node is a server wherever it listens.
	Closed bool
}

// An Overlay is the part of a node's links that a Directory needs.
type Overlay interface {
	// Links returns the number of links.
	Links() int
	// Linked reports whether there is a link to a peer.
	Linked(protocol.ID) bool
	// NextLink returns a channel that is closed with the next link.
	NextLink() <-chan struct{}
	// Suggest adds candidates for links.
	Suggest(...protocol.ID)
	// Introduce adds a peer that may be dialled at once.
	Introduce(protocol.Contact)
}

// A Config is what a Directory needs from its node.
type Config struct {
	Host    host.Host
	Overlay Overlay
	Key     crypto.PrivKey // signs the record of this peer; nil means no record
	Logger  *slog.Logger

	// Protocol is the stream protocol of the peers of this network.
	Protocol libp2pprotocol.ID

	// Addrs returns the addresses that are sent to others.
	Addrs func() []ma.Multiaddr

	// Listens means that the host listens, or will listen. Public means that it does so at a
	// public address. Announced are the addresses that the user announces.
	Listens, Public bool
	Announced       []ma.Multiaddr

	// Gateway announces the node as one that accepts legacy peers.
	Gateway bool

	// NoSuggest turns suggestions to the overlay off.
	NoSuggest bool
}

// A Directory is a node's side of the DHT.
type Directory struct {
	// Fixed after New.
	conf   Config
	id     protocol.ID
	kad    *kaddht.IpfsDHT
	disc   *routingdiscovery.RoutingDiscovery
	proto  libp2pprotocol.ID
	own    bool // the DHT is only for this network, so it keeps records
	closed bool
	now    func() time.Time // time.Now, except in tests

	published atomic.Uint64 // number of times that the node was published

	// Owned by the goroutine of Run.
	adverts   []advert
	seekAt    time.Time     // time of the next search of the rendezvous
	seekWait  time.Duration // the last wait
	joinAt    time.Time     // time at which the bootstraps are dialled again
	refreshAt time.Time     // time of the next refresh of the routing table
	told      []ma.Multiaddr
	publishAt time.Time // time at which the record is put again; told are the addresses of the last one

	mu     sync.Mutex
	held   map[protocol.ID]time.Time // legacy ids of links, each with the time of its next announcement
	sought map[protocol.ID]struct{}  // ids that are being looked up
}

// New puts the DHT on a host. Errors about Options match node.ErrOptions.
func New(c Config, o Options) (*Directory, error) {
	prefix := o.Prefix
	if prefix == "" {
		prefix = Prefix
	}
	if prefix[0] != '/' {
		return nil, options.Wrong("node: DHT prefix %q: want it to begin with a slash", prefix)
	}
	var boots []peer.AddrInfo
	for _, b := range o.Bootstraps {
		info, err := contact.ParseP2P(b)
		if err != nil {
			return nil, options.Wrong("node: DHT bootstrap: %w", err)
		}
		boots = append(boots, *info)
	}
	proto := libp2pprotocol.ID(prefix + kadSuffix)
	if slices.Contains(c.Host.Mux().Protocols(), proto) {
		return nil, options.Wrong("node: DHT prefix %q: the host already has a DHT with it", prefix)
	}
	d := &Directory{
		conf: c, id: contact.IDOf(c.Host.ID()),
		proto: proto, own: prefix == Prefix, closed: o.Closed, now: time.Now,
		held: make(map[protocol.ID]time.Time), sought: make(map[protocol.ID]struct{}),
	}
	mode := kaddht.ModeAuto // a server once hosts that offer AutoNAT report that it can be dialled
	if d.serves() {
		mode = kaddht.ModeServer
	}
	opts := []kaddht.Option{
		kaddht.ProtocolPrefix(libp2pprotocol.ID(prefix)), kaddht.Mode(mode), kaddht.BootstrapPeers(boots...),
		kaddht.AddressFilter(d.filter),
		kaddht.ProviderDatastore(newBoundedStore(maxKeptProviders, publisherOf)),
		kaddht.ValueDatastore(newBoundedStore(maxKeptRecords, bucketOf(d.id))),
		kaddht.QueryFilter(func(_ any, info peer.AddrInfo) bool {
			return len(info.Addrs) == 0 || len(d.filter(info.Addrs)) > 0
		}),
	}
	if d.own {
		// Only records of this network: neither /pk nor /ipns.
		validator := dhtrecord.NamespacedValidator{recordNamespace: recordValidator{}}
		opts = append(opts, kaddht.Validator(validator), kaddht.BucketSize(bucketSize), kaddht.DisableAutoRefresh())
	}
	kad, err := kaddht.New(tellingHost{c.Host, d.filter}, opts...)
	if err != nil {
		return nil, fmt.Errorf("node: DHT: %w", err)
	}
	d.kad, d.disc = kad, routingdiscovery.NewRoutingDiscovery(kad)
	return d, nil
}

// serves reports whether the node is a server of the DHT from the start. In a DHT of our own no
// host offers AutoNAT.
func (d *Directory) serves() bool {
	c := &d.conf
	return c.Listens && (d.closed || len(d.filter(c.Announced)) > 0 || d.own && c.Public)
}

// filter returns the addresses that may be written to the DHT, and dialled if they come from
// it.
func (d *Directory) filter(addrs []ma.Multiaddr) []ma.Multiaddr {
	return ma.FilterAddrs(addrs, func(a ma.Multiaddr) bool {
		s := scope.OfMultiaddr(a)
		return s == scope.Public || d.closed && s != scope.None
	})
}

// A tellingHost is the node's host for kad-dht, with the addresses of other peers filtered. A
// server sends those to every peer that asks, and it has met peers of its own network.
type tellingHost struct {
	host.Host
	filter func([]ma.Multiaddr) []ma.Multiaddr
}

// Peerstore implements host.Host.
func (h tellingHost) Peerstore() peerstore.Peerstore {
	return tellingPeerstore{h.Host.Peerstore(), h.filter}
}

type tellingPeerstore struct {
	peerstore.Peerstore
	filter func([]ma.Multiaddr) []ma.Multiaddr
}

// PeerInfo implements peerstore.Peerstore. kad-dht sends what it returns. kad-dht dials with
// the host, which knows all addresses.
func (p tellingPeerstore) PeerInfo(id peer.ID) peer.AddrInfo {
	info := p.Peerstore.PeerInfo(id)
	info.Addrs = p.filter(info.Addrs)
	return info
}

// Run publishes the node and searches for others until the context is done.
func (d *Directory) Run(ctx context.Context) {
	d.refreshAt = d.now().Add(refreshFirst/2 + rand.N(refreshFirst))
	d.joinAt = d.now().Add(rejoinEvery) // New has begun the first attempt
	if !d.own {
		d.join(ctx)
	}
	d.adverts = []advert{{namespace: d.rendezvous()}}
	if d.conf.Gateway {
		d.adverts = append(d.adverts, advert{namespace: d.gatewayRendezvous()})
	}
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		if d.kad.RoutingTable().Size() > 0 {
			if !d.conf.NoSuggest {
				d.suggest(ctx)
			}
			if d.own && d.now().After(d.refreshAt) {
				d.kad.RefreshRoutingTable() // on its own goroutine, which Close waits for
				d.refreshAt = d.now().Add(refreshEvery)
			}
			if len(d.kad.FilteredAddrs()) > 0 { // otherwise no server would keep the records
				d.publish(ctx)
				d.advertise(ctx)
				d.provide(ctx)
			}
		}
		if d.kad.RoutingTable().Size() == 0 && d.now().After(d.joinAt) {
			d.join(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// join makes kad-dht connect to its bootstraps if it knows no peer, and refresh its routing
// table. kad-dht by itself does so only every 2 minutes.
func (d *Directory) join(ctx context.Context) {
	d.joinAt = d.now().Add(rejoinEvery)
	if err := d.kad.Bootstrap(ctx); err != nil {
		d.conf.Logger.Debug("DHT bootstrap", "err", err)
	}
}

// Peers returns the number of peers in the routing table.
func (d *Directory) Peers() int { return d.kad.RoutingTable().Size() }

// Published returns the number of times that the node was published.
func (d *Directory) Published() uint64 { return d.published.Load() }

// Close removes the DHT from the host. Run and Connect must have returned.
func (d *Directory) Close() error {
	err := d.kad.Close()
	// kad-dht leaves its handler, and the host may outlive it.
	d.conf.Host.RemoveStreamHandler(d.proto)
	return err
}
