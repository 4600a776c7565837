package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	kaddht "github.com/libp2p/go-libp2p-kad-dht"
	dhtrecord "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/discovery"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	libp2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
	routingdiscovery "github.com/libp2p/go-libp2p/p2p/discovery/routing"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/protocol"
)

// DHTPrefix is the protocol prefix of the DHT that peers of this kind share.
const DHTPrefix = "/peer-relay"

const (
	// rendezvous and gatewayRendezvous are where nodes announce themselves, for who
	// shares a DHT with many others and seeks this network, or a way to legacy peers.
	rendezvous        = string(StreamProtocol)
	gatewayRendezvous = rendezvous + "/gateway"

	// dhtBucket is the bucket size in a DHT of our own. The overlay's links are DHT
	// connections as well; kad-dht's 20 would keep most of a small network connected.
	dhtBucket = 8
	// Connections older than dhtConnsGrace are closed once there are more than dhtConnsHigh
	// in all, down to dhtConnsLow beside those that carry a link or are to one of the 16
	// peers that kad-dht protects.
	dhtConnsLow   = 8
	dhtConnsHigh  = 32
	dhtConnsGrace = 20 * time.Second

	// The routing table of a DHT of our own is filled by the overlay's links, and by searches.
	// kad-dht would have a newcomer dial most of a small network at once to fill it.
	refreshFirst = 15 * time.Second // half as much to one and a half
	refreshEvery = 10 * time.Minute
	rejoinEvery  = 10 * time.Second // while no peer of the DHT is known

	kadSuffix     = "/kad/1.0.0"    // of the protocol that kad-dht puts on the host
	dhtTick       = 2 * time.Second // how often it is looked whether there is something to publish
	republish     = 6 * time.Hour   // kad-dht forgets after 48 h
	publishRetry  = 20 * time.Second
	seekMin       = 5 * time.Second // between searches of the rendezvous, doubling to seekMax
	seekMax       = 5 * time.Minute
	lookupTimeout = 20 * time.Second
	connectPoll   = 20 * time.Millisecond  // kad-dht does not tell when it has its first peer
	maxSearches   = 3                      // for one Connect, as long as few peers of the DHT are known
	searchRetry   = 200 * time.Millisecond // after the first and a look around, then twice as long
	maxLookups    = 16                     // at a time; for further ids the overlay is asked alone
	maxHeld       = 4096                   // legacy ids that are announced as held here
	maxProvides   = 8                      // of them in one tick, so that all else has its turn
	maxProviders  = 4                      // of one id that are dialled
	rendezvousMax = 16                     // nodes that one search of the rendezvous gives
)

// DHTOptions put a kad-dht on the node's host. It turns ids into addresses, which
// Connect asks for beside the overlay, and gives the overlay candidates. A node that
// can be dialled is a server of the DHT, another one its client. Connections that carry no
// link are kept few; on an attached host that is the affair of its connection manager.
type DHTOptions struct {
	// Prefix is that of the DHT's protocol, "" is DHTPrefix. With that of another
	// network, such as "/ipfs", the node joins the DHT of that network.
	Prefix string

	// Bootstraps are multiaddrs, each with /p2p/…, of peers of the DHT. Peers to which
	// the node is connected otherwise, and that are in the DHT, need not be named.
	Bootstraps []string

	// Closed is for a network without public addresses: private and loopback addresses
	// are told and dialled, and the node is a server wherever it listens.
	Closed bool
}

// A directory is the DHT's side of a node.
type directory struct {
	// Fixed after newDirectory.
	n      *Node
	kad    *kaddht.IpfsDHT
	disc   *routingdiscovery.RoutingDiscovery
	proto  libp2pprotocol.ID
	own    bool // the DHT is of our kind alone, so that it keeps records
	closed bool
	now    func() time.Time // time.Now, but in tests

	puts atomic.Uint64 // how often the node was published

	// Of the goroutine of start.
	adverts  []advert
	seekAt   time.Time     // when the rendezvous is searched again
	seekWait time.Duration // the last wait

	joinAt    time.Time // when the bootstraps are asked again
	refreshAt time.Time // when the routing table is to be refreshed

	published []ma.Multiaddr // what the record told when it was last put
	publishAt time.Time      // when it is to be put again

	mu     sync.Mutex
	held   map[protocol.ID]time.Time // legacy ids of links, and when each is to be announced
	sought map[protocol.ID]struct{}  // ids that are being looked up
}

// An advert is a rendezvous at which the node announces itself, and when it does so again.
type advert struct {
	namespace string
	at        time.Time
}

// newDirectory makes the DHT on the node's host.
func newDirectory(n *Node, o DHTOptions) (*directory, error) {
	prefix := o.Prefix
	if prefix == "" {
		prefix = DHTPrefix
	}
	if prefix[0] != '/' {
		return nil, optionError{fmt.Errorf("node: DHT prefix %q: want it to begin with a slash", prefix)}
	}
	var boots []peer.AddrInfo
	for _, b := range o.Bootstraps {
		info, err := parseP2P(b)
		if err != nil {
			return nil, optionError{fmt.Errorf("node: DHT bootstrap: %w", err)}
		}
		boots = append(boots, *info)
	}
	proto := libp2pprotocol.ID(prefix + kadSuffix)
	if slices.Contains(n.host.Mux().Protocols(), proto) {
		return nil, optionError{fmt.Errorf("node: DHT prefix %q: the host has a DHT of it already", prefix)}
	}
	d := &directory{
		n: n, proto: proto, own: prefix == DHTPrefix, closed: o.Closed, now: time.Now,
		held: make(map[protocol.ID]time.Time), sought: make(map[protocol.ID]struct{}),
	}
	mode := kaddht.ModeAuto // a server as soon as hosts that offer AutoNAT say that it can be dialled
	if d.serves() {
		mode = kaddht.ModeServer
	}
	opts := []kaddht.Option{
		kaddht.ProtocolPrefix(libp2pprotocol.ID(prefix)), kaddht.Mode(mode), kaddht.BootstrapPeers(boots...),
		kaddht.AddressFilter(d.filter),
		kaddht.ProviderDatastore(newBoundedStore(maxKeptProviders, publisherOf)),
		kaddht.ValueDatastore(newBoundedStore(maxKeptRecords, bucketOf(IDOf(n.host.ID())))),
		kaddht.QueryFilter(func(_ any, info peer.AddrInfo) bool {
			return len(info.Addrs) == 0 || len(d.filter(info.Addrs)) > 0
		}),
	}
	if d.own {
		// Records of our kind alone: neither /pk nor /ipns.
		validator := dhtrecord.NamespacedValidator{recordNamespace: recordValidator{}}
		opts = append(opts, kaddht.Validator(validator), kaddht.BucketSize(dhtBucket), kaddht.DisableAutoRefresh())
	}
	kad, err := kaddht.New(tellingHost{n.host, d.filter}, opts...)
	if err != nil {
		return nil, fmt.Errorf("node: DHT: %w", err)
	}
	d.kad, d.disc = kad, routingdiscovery.NewRoutingDiscovery(kad)
	return d, nil
}

// serves reports whether the node is a server of the DHT whatever others say: in a DHT of
// our own nobody offers AutoNAT.
func (d *directory) serves() bool {
	own := d.n.own
	if own == nil {
		listen, err := d.n.host.Network().InterfaceListenAddresses()
		return err == nil && len(d.filter(listen)) > 0 && (d.closed || d.own)
	}
	return d.n.opts.Listen && (d.closed || len(d.filter(own.announced)) > 0 || d.own && own.listensPublicly())
}

// filter leaves the addresses that may be told to the DHT, and dialled if they were found
// there: anybody can read and write it.
func (d *directory) filter(addrs []ma.Multiaddr) []ma.Multiaddr {
	return ma.FilterAddrs(addrs, func(a ma.Multiaddr) bool {
		s := scopeOfAddr(a)
		return s == scopePublic || d.closed && s != scopeNone
	})
}

// A tellingHost is the node's host as kad-dht sees it: what it knows of other peers is
// filtered, too. A server tells that to everybody who asks, and it has met peers of its own
// network.
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

// PeerInfo implements peerstore.Peerstore. kad-dht asks it for what it tells, and dials by
// the host, which knows all.
func (p tellingPeerstore) PeerInfo(id peer.ID) peer.AddrInfo {
	info := p.Peerstore.PeerInfo(id)
	info.Addrs = p.filter(info.Addrs)
	return info
}

// start begins to publish and to look around. It ends with the node, which waits.
func (d *directory) start() {
	d.n.task(func(ctx context.Context) {
		d.refreshAt = d.now().Add(refreshFirst/2 + rand.N(refreshFirst))
		d.joinAt = d.now().Add(rejoinEvery) // New has begun the first attempt
		if !d.own {
			d.join(ctx)
		}
		d.adverts = []advert{{namespace: rendezvous}}
		if d.n.opts.Legacy != nil && d.n.opts.Listen {
			d.adverts = append(d.adverts, advert{namespace: gatewayRendezvous})
		}
		tick := time.NewTicker(dhtTick)
		defer tick.Stop()
		for {
			if d.kad.RoutingTable().Size() > 0 {
				if !d.n.opts.NoOverlay {
					d.suggest(ctx)
				}
				if d.own && d.now().After(d.refreshAt) {
					d.kad.RefreshRoutingTable() // on its own goroutine, which Close waits for
					d.refreshAt = d.now().Add(refreshEvery)
				}
				if len(d.kad.FilteredAddrs()) > 0 { // else nobody would keep it
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
	})
}

// join has kad-dht connect to its bootstraps if it knows nobody, as it does of itself every
// 2 minutes, and refresh its routing table.
func (d *directory) join(ctx context.Context) {
	d.joinAt = d.now().Add(rejoinEvery)
	if err := d.kad.Bootstrap(ctx); err != nil {
		d.n.log.Debug("DHT bootstrap", "err", err)
	}
}

// counters are what the status page tells of the DHT.
func (d *directory) counters() []Counter {
	return []Counter{{"DHT peers", uint64(d.kad.RoutingTable().Size())}, {"DHT records published", d.puts.Load()}}
}

func (d *directory) close() error {
	err := d.kad.Close()
	// kad-dht leaves its handler, and the host may live on.
	d.n.host.RemoveStreamHandler(d.proto)
	return err
}

// suggest gives the overlay the peers of the routing table that are of our kind, and
// seeks some at the rendezvous, ever less often, while there is no link at all.
func (d *directory) suggest(ctx context.Context) {
	var ids []protocol.ID
	for _, p := range d.kad.RoutingTable().ListPeers() {
		if ours, err := d.n.host.Peerstore().SupportsProtocols(p, StreamProtocol); err == nil && len(ours) > 0 {
			ids = append(ids, IDOf(p))
		}
	}
	d.n.router.Suggest(ids...)
	up := d.n.nextLink()
	if d.n.router.Stats().Links > 0 {
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
	// The first link ends it: others tell of more, and there is to publish.
	if err := d.at(ctx, rendezvous, up, func(info peer.AddrInfo) { d.introduce(info, tried) }); err != nil {
		d.n.log.Debug("DHT rendezvous", "err", err)
	}
}

// at gives who announced themselves at a rendezvous, as they are found, until enough is
// closed: the end of the search waits for peers that are gone.
func (d *directory) at(ctx context.Context, namespace string, enough <-chan struct{}, found func(peer.AddrInfo)) error {
	ctx, cancel := context.WithCancel(ctx) // ends what kad-dht has begun
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
			if info.ID != d.n.host.ID() {
				found(info)
			}
		case <-enough:
			return nil
		}
	}
}

// publish announces this node, with its own record in a DHT of our own, unless the DHT
// holds that already. A node that cannot sign is announced without a record.
func (d *directory) publish(ctx context.Context) {
	addrs := d.filter(d.n.toldAddrs())
	if len(addrs) == 0 || d.now().Before(d.publishAt) && slices.EqualFunc(addrs, d.published, ma.Multiaddr.Equal) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	var err error
	if d.own {
		rec, unsigned := d.n.makeRecord(addrs)
		if unsigned != nil { // and will be: to publish again soon would not help
			d.n.log.Debug("DHT: no record to publish", "err", unsigned)
		}
		if rec != nil {
			err = d.kad.PutValue(ctx, recordKey(d.n.ID()), rec)
		}
	}
	next := republish
	if err = errors.Join(err, d.kad.Provide(ctx, cidOf(d.n.ID()), true)); err != nil {
		d.n.log.Debug("DHT: not published", "err", err)
		next = publishRetry
	} else {
		d.puts.Add(1)
	}
	d.published, d.publishAt = addrs, d.now().Add(next)
}

// advertise announces the node at each rendezvous at which that is due.
func (d *directory) advertise(ctx context.Context) {
	for i := range d.adverts {
		a := &d.adverts[i]
		if d.now().Before(a.at) {
			continue
		}
		one, cancel := context.WithTimeout(ctx, lookupTimeout)
		ttl, err := d.disc.Advertise(one, a.namespace)
		cancel()
		if err != nil {
			d.n.log.Debug("DHT: not announced", "rendezvous", a.namespace, "err", err)
			ttl = publishRetry
		}
		a.at = d.now().Add(ttl)
	}
}

// hold notes that a legacy peer has a link here, or has it no more.
func (d *directory) hold(id protocol.ID, up bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !up {
		delete(d.held, id)
	} else if len(d.held) < maxHeld {
		d.held[id] = time.Time{}
	}
}

// provide announces legacy peers that are held here, some in each tick.
func (d *directory) provide(ctx context.Context) {
	now := d.now()
	var due []protocol.ID
	d.mu.Lock()
	for id, at := range d.held {
		if now.After(at) && len(due) < maxProvides {
			due = append(due, id)
			d.held[id] = now.Add(republish)
		}
	}
	d.mu.Unlock()
	for _, id := range due {
		one, cancel := context.WithTimeout(ctx, lookupTimeout)
		err := d.kad.Provide(one, cidOf(id), true)
		cancel()
		if err == nil {
			continue
		}
		d.n.log.Debug("DHT: legacy peer not announced", "peer", id.Short(), "err", err)
		d.mu.Lock()
		if _, still := d.held[id]; still {
			d.held[id] = now.Add(publishRetry)
		}
		d.mu.Unlock()
	}
}

// connect looks an id up, and introduces who has it: the peer itself, or the nodes to
// which a legacy peer has links. What is found is dialled as it comes, and no address
// twice: a record that is stale costs one failed dial.
func (d *directory) connect(ctx context.Context, id protocol.ID) {
	if !d.begin(id) {
		return
	}
	defer d.end(id)
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	d.lookUp(ctx, id)
}

// lookUp searches for an id again as long as few peers of the DHT are known and nobody
// was found.
func (d *directory) lookUp(ctx context.Context, id protocol.ID) {
	tried := make(map[string]bool)
	defer func() { d.n.log.Debug("DHT: search ended", "peer", id.Short(), "addresses", len(tried)) }()
	tick := time.NewTicker(connectPoll)
	defer tick.Stop()
	for d.kad.RoutingTable().Size() == 0 { // asked before it knows anybody it finds nothing
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	for try := range maxSearches {
		if d.n.linked(id) {
			return
		}
		few := d.kad.RoutingTable().Size() < dhtBucket
		d.search(ctx, id, tried)
		if !few || len(tried) > 0 || try == maxSearches-1 {
			return
		}
		// A newcomer knows one peer, perhaps, and that names some that are gone.
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

// begin reports whether an id may be looked up now: who asks for one again and again must
// not keep others from being looked up.
func (d *directory) begin(id protocol.ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, sought := d.sought[id]; sought || len(d.sought) >= maxLookups {
		return false
	}
	d.sought[id] = struct{}{}
	return true
}

// end is the end of what begin allowed.
func (d *directory) end(id protocol.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.sought, id)
}

// search looks an id up once, until all is found that there is, or there is a link.
func (d *directory) search(ctx context.Context, id protocol.ID, tried map[string]bool) {
	ctx, cancel := context.WithCancel(ctx) // ends what kad-dht has begun
	defer cancel()
	var records <-chan []byte
	if d.own {
		var err error
		if records, err = d.kad.SearchValue(ctx, recordKey(id)); err != nil {
			d.n.log.Debug("DHT: no record", "peer", id.Short(), "err", err)
		}
	}
	seeking, proved := context.WithCancel(ctx)
	defer proved()
	providers := d.kad.FindProvidersAsync(seeking, cidOf(id), maxProviders)
	for records != nil || providers != nil {
		up := d.n.nextLink()
		if d.n.linked(id) { // the overlay was faster, or this
			return
		}
		select {
		case rec, ok := <-records:
			if !ok {
				records = nil
			} else if kept, err := openKept(recordKey(id), rec); err == nil {
				// The id is this peer's: nobody else holds it.
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

// introduce lets the router dial a peer at those of its addresses that were not tried yet,
// nor dialled in vain a moment ago by kad-dht itself.
func (d *directory) introduce(info peer.AddrInfo, tried map[string]bool) {
	backoff := func(peer.ID, ma.Multiaddr) bool { return false }
	if s, ok := d.n.host.Network().(*swarm.Swarm); ok {
		backoff = s.Backoff().Backoff
	}
	if info.ID == d.n.host.ID() {
		return
	}
	var addrs []ma.Multiaddr
	for _, a := range d.filter(info.Addrs) {
		if at := string(info.ID) + a.String(); !tried[at] && !backoff(info.ID, a) && len(addrs) < maxRecordAddrs {
			addrs = append(addrs, a)
			tried[at] = true
		}
	}
	if len(addrs) == 0 {
		return
	}
	// The dial tries all that the host knows of.
	d.n.host.Peerstore().AddAddrs(info.ID, addrs, peerstore.TempAddrTTL)
	info.Addrs = addrs[:1]
	named, err := peer.AddrInfoToP2pAddrs(&info)
	if err != nil {
		return
	}
	d.n.log.Debug("DHT: found", "peer", IDOf(info.ID).Short())
	d.n.router.Introduce(protocol.Contact{ID: IDOf(info.ID), URL: named[0].String()})
}

// --- the node's side

// Connect asks for a direct link to a peer: over the overlay, now and again until
// there is one or it has failed six times, and beside that once in the DHT, if there
// is one. It does not wait.
func (n *Node) Connect(id protocol.ID) {
	n.router.Connect(id)
	if n.dht != nil {
		n.task(func(ctx context.Context) { n.dht.connect(ctx, id) })
	}
}

// ErrNoDHT says that the node has none.
var ErrNoDHT = errors.New("node: there is no DHT")

// Gateways gives nodes that announced in the DHT that they take legacy peers.
func (n *Node) Gateways(ctx context.Context) (gateways []peer.AddrInfo, err error) {
	if n.dht == nil {
		return nil, ErrNoDHT
	}
	err = n.dht.at(ctx, gatewayRendezvous, nil, func(info peer.AddrInfo) { gateways = append(gateways, info) })
	return gateways, err
}
