package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	kaddht "github.com/libp2p/go-libp2p-kad-dht"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	libp2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
	routingdiscovery "github.com/libp2p/go-libp2p/p2p/discovery/routing"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/protocol"
)

func closedDHT(o Options) Options {
	o = local(o)
	o.DHT = &DHTOptions{Closed: true}
	return o
}

func TestConnectFindsARecordInTheDHT(t *testing.T) {
	hub := start(t, closedDHT(Options{NoOverlay: true, NoDiscovery: true}))
	boot := []string{hub.Addrs()[0].String()}
	// Without an overlay nobody offers a link, and hub relays for nobody: it is full.
	far := start(t, closedDHT(Options{NoOverlay: true, NoDiscovery: true, Bootstraps: boot}))
	o, _, peers := inboxOf(closedDHT(Options{NoOverlay: true, NoDiscovery: true}))
	o.DHT.Bootstraps = boot
	n := start(t, o)

	eventually(t, "the record of the far node in the DHT", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		v, err := n.dht.kad.GetValue(ctx, recordKey(far.ID()))
		return err == nil && recordValidator{}.Validate(recordKey(far.ID()), v) == nil
	})
	n.Connect(far.ID())
	if got := receive(t, "peer", peers); got.ID != far.ID() || !got.Proved {
		t.Errorf("linked to %+v, want %v", got, far.ID())
	}
}

// What a newcomer asks for before it knows a peer of the DHT is not asked in vain.
func TestConnectWaitsForTheDHT(t *testing.T) {
	hub := start(t, closedDHT(Options{NoOverlay: true, NoDiscovery: true}))
	boot := []string{hub.Addrs()[0].String()}
	far := start(t, closedDHT(Options{NoOverlay: true, NoDiscovery: true, Bootstraps: boot}))
	eventually(t, "the record of the far node at the hub", func() bool {
		v, err := hub.dht.kad.GetValue(t.Context(), recordKey(far.ID()))
		return err == nil && len(v) > 0
	})
	o, _, peers := inboxOf(closedDHT(Options{NoOverlay: true, NoDiscovery: true}))
	o.DHT.Bootstraps = boot
	n := start(t, o)
	n.Connect(far.ID())
	if got := receive(t, "peer", peers); got.ID != far.ID() {
		t.Errorf("linked to %v, want %v", got.ID, far.ID())
	}
}

// A newcomer knows few peers, and asks again when they know nothing.
func TestASearchThatBeganWithFewPeersIsRepeated(t *testing.T) {
	h := stockHost(t)
	if err := h.Network().Listen(ma.StringCast("/ip4/127.0.0.1/tcp/0/ws")); err != nil {
		t.Fatal(err)
	}
	n := mounted(t, Options{NoDiscovery: true, DHT: &DHTOptions{Closed: true}})
	missing := protocol.ID{1, 2, 3}
	var asked atomic.Int64
	d, err := kaddht.New(h, kaddht.Mode(kaddht.ModeServer), kaddht.ProtocolPrefix(DHTPrefix),
		kaddht.OnRequestHook(func(_ context.Context, _ network.Stream, m *pb.Message) {
			if m.GetType() == pb.Message_GET_VALUE && string(m.GetKey()) == recordKey(missing) {
				asked.Add(1)
			}
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	connect(t, n.host, peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()})
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience) // a busy machine may be slow to answer
	defer cancel()
	n.dht.lookUp(ctx, missing)
	if got := asked.Load(); got < 2 || got > maxSearches {
		t.Errorf("the server was asked %d times, want 2 to %d", got, maxSearches)
	}
}

// What was not dialled, as there was too much of it or it had just failed, may be later.
func TestWhatIsIntroducedIsWhatIsDialled(t *testing.T) {
	n := mounted(t, Options{DHT: &DHTOptions{Closed: true}})
	addrs := make([]ma.Multiaddr, maxRecordAddrs+2)
	for i := range addrs {
		addrs[i] = ma.StringCast(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/ws", i+1)) // nobody is there
	}
	many, failed := peer.AddrInfo{ID: stockHost(t).ID(), Addrs: addrs}, peer.AddrInfo{ID: stockHost(t).ID(), Addrs: addrs[:1]}
	backoff := n.host.Network().(*swarm.Swarm).Backoff()
	backoff.AddBackoff(failed.ID, failed.Addrs[0])
	tried := make(map[string]bool)
	for _, step := range []struct {
		what string
		info peer.AddrInfo
		want int // in all
	}{
		{"in back-off", failed, 0},
		{"too many", many, maxRecordAddrs},
		{"the rest of them", many, maxRecordAddrs + 2},
		{"nothing new", many, maxRecordAddrs + 2},
	} {
		if n.dht.introduce(step.info, tried); len(tried) != step.want {
			t.Errorf("%s: %d addresses are tried, want %d", step.what, len(tried), step.want)
		}
	}
	backoff.Clear(failed.ID)
	if n.dht.introduce(failed, tried); len(tried) != maxRecordAddrs+3 {
		t.Errorf("out of back-off: %d addresses are tried, want %d", len(tried), maxRecordAddrs+3)
	}
}

// An id is looked up once at a time, however often it is asked for, and few are together.
func TestSearchesOfTheDHTAreBounded(t *testing.T) {
	d := mounted(t, Options{DHT: &DHTOptions{Closed: true}}).dht
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sought := func() int {
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.sought)
	}
	var searches sync.WaitGroup
	for n := 1; n <= maxLookups; n++ {
		id := protocol.ID{1, byte(n)}
		searches.Go(func() { d.connect(ctx, id) }) // ends with ctx: there is nobody to ask
		eventually(t, "another id to be looked up", func() bool { return sought() == n })
		if d.begin(id) {
			t.Fatalf("%v is looked up twice", id)
		}
	}
	if d.begin(protocol.ID{2}) {
		t.Errorf("more than %d are looked up", maxLookups)
	}
	cancel()
	searches.Wait()
	if n := sought(); n != 0 {
		t.Errorf("%d are looked up at the end", n)
	}
}

// mounted gives a node with a DHT whose loop does not run and whose host does not listen,
// so that a test can take their steps.
func mounted(t *testing.T, o Options) *Node {
	t.Helper()
	n := newNode(o)
	var err error
	if n.own, err = newHost(hostOptions{Listen: o.Listen, ListenHost: o.ListenHost, Announce: o.Announce}); err != nil {
		t.Fatal(err)
	}
	if err := n.mount(n.own); err != nil {
		n.own.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return n
}

func TestAServerOfTheDHTCanBeDialled(t *testing.T) {
	const public, wss = "203.0.114.1", "wss://relay.example.com"
	for _, test := range []struct {
		name string
		o    Options
		dht  DHTOptions
		want kaddht.ModeOpt
	}{
		{"public", Options{Listen: true, ListenHost: public}, DHTOptions{}, kaddht.ModeServer},
		{"public, another DHT", Options{Listen: true, ListenHost: public}, DHTOptions{Prefix: "/acme"}, kaddht.ModeAuto},
		{"announced", Options{Listen: true, ListenHost: "127.0.0.1", Announce: []string{wss}}, DHTOptions{}, kaddht.ModeServer},
		{"announced, another DHT", Options{Listen: true, ListenHost: "127.0.0.1", Announce: []string{wss}}, DHTOptions{Prefix: "/acme"}, kaddht.ModeServer},
		{"announced in private", Options{Listen: true, ListenHost: "127.0.0.1", Announce: []string{"ws://192.168.1.1:8001"}}, DHTOptions{}, kaddht.ModeAuto},
		{"private", Options{Listen: true, ListenHost: "127.0.0.1"}, DHTOptions{}, kaddht.ModeAuto},
		{"private and closed", Options{Listen: true, ListenHost: "127.0.0.1"}, DHTOptions{Closed: true}, kaddht.ModeServer},
		{"no port", Options{}, DHTOptions{Closed: true}, kaddht.ModeAuto},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.o.DHT = &test.dht
			if got := mounted(t, test.o).dht.kad.Mode(); got != test.want {
				t.Errorf("mode %d, want %d", got, test.want)
			}
		})
	}
}

// A finder answers for the DHT who is at the rendezvous.
type finder func(ctx context.Context, found chan<- peer.AddrInfo)

func (finder) Provide(context.Context, cid.Cid, bool) error { return errors.ErrUnsupported }

func (f finder) FindProvidersAsync(ctx context.Context, _ cid.Cid, _ int) <-chan peer.AddrInfo {
	found := make(chan peer.AddrInfo)
	go func() { // ends with the search, at the latest
		defer close(found)
		f(ctx, found)
	}()
	return found
}

func TestTheRendezvousIsSearchedEverLessOften(t *testing.T) {
	ctx := t.Context()
	n := mounted(t, Options{DHT: &DHTOptions{Closed: true}})
	d := n.dht
	now := time.Now()
	d.now = func() time.Time { return now }
	searches := 0
	d.disc = routingdiscovery.NewRoutingDiscovery(finder(func(context.Context, chan<- peer.AddrInfo) { searches++ }))
	for wait := seekMin; wait <= 2*seekMax; wait *= 2 {
		before := searches
		d.suggest(ctx)
		if next := now.Add(min(wait, seekMax)); !d.seekAt.Equal(next) {
			t.Fatalf("the next search is in %v, want %v", d.seekAt.Sub(now), next.Sub(now))
		}
		now = d.seekAt.Add(-1)
		if d.suggest(ctx); searches != before+1 {
			t.Fatalf("%d searches before the wait was over, want one", searches-before)
		}
		now = d.seekAt
	}
	// While there is a link nothing is sought; after it all begins anew.
	other := start(t, local(Options{}))
	n.router.Introduce(protocol.Contact{ID: other.ID(), URL: other.Addrs()[0].String()})
	eventually(t, "a link", func() bool { return n.router.Stats().Links == 1 })
	before := searches
	if d.suggest(ctx); searches != before || !d.seekAt.IsZero() || d.seekWait != 0 {
		t.Errorf("with a link it searches at %v, after %v", d.seekAt, d.seekWait)
	}
}

// Who has a link need not wait for peers of the DHT that are gone.
func TestTheFirstLinkEndsTheSearchOfTheRendezvous(t *testing.T) {
	n := mounted(t, Options{DHT: &DHTOptions{Closed: true}})
	other := start(t, local(Options{}))
	ended := make(chan error, 1)
	n.dht.disc = routingdiscovery.NewRoutingDiscovery(finder(func(ctx context.Context, found chan<- peer.AddrInfo) {
		found <- peer.AddrInfo{ID: other.Host().ID(), Addrs: other.Host().Addrs()}
		<-ctx.Done() // the rest is gone
		ended <- ctx.Err()
	}))
	n.dht.suggest(t.Context())
	if err := receive(t, "end of the search", ended); !errors.Is(err, context.Canceled) {
		t.Errorf("the search was ended by %v, want the link", err)
	}
	if links := n.router.Stats().Links; links != 1 {
		t.Errorf("there are %d links, want one", links)
	}
}

// A node that cannot sign has no record, but is announced, and not at every tick.
func TestWhoCannotSignIsPublished(t *testing.T) {
	for _, prefix := range []string{DHTPrefix, "/elsewhere"} {
		for what, keyOf := range map[string]func(crypto.PrivKey) crypto.PrivKey{
			"no key":               func(crypto.PrivKey) crypto.PrivKey { return nil },
			"a key that is locked": func(key crypto.PrivKey) crypto.PrivKey { return lockedKey{key} },
		} {
			h := stockHost(t)
			if err := h.Network().Listen(ma.StringCast("/ip4/127.0.0.1/tcp/0/ws")); err != nil {
				t.Fatal(err)
			}
			server, err := kaddht.New(h, kaddht.Mode(kaddht.ModeServer), kaddht.ProtocolPrefix(libp2pprotocol.ID(prefix)))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { server.Close() })
			n := mounted(t, Options{Listen: true, ListenHost: "127.0.0.1", NoDiscovery: true, DHT: &DHTOptions{Prefix: prefix, Closed: true}})
			if err := n.own.listen(); err != nil {
				t.Fatal(err)
			}
			n.key = keyOf(n.key)
			connect(t, n.host, peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()})
			eventually(t, "the server is in the routing table", func() bool { return n.dht.kad.RoutingTable().Size() == 1 })
			for range 3 {
				n.dht.publish(t.Context())
			}
			if got := n.dht.puts.Load(); got != 1 {
				t.Errorf("%s, %s: published %d times, want once", prefix, what, got)
			}
			eventually(t, "the node is announced", func() bool {
				infos, err := server.ProviderStore().GetProviders(t.Context(), cidOf(n.ID()).Hash())
				return err == nil && len(infos) == 1 && infos[0].ID == n.host.ID()
			})
		}
	}
}

// A lockedKey cannot sign.
type lockedKey struct{ crypto.PrivKey }

func (lockedKey) Sign([]byte) ([]byte, error) { return nil, errors.ErrUnsupported }

func TestLegacyPeersAreAnnouncedSomeAtATime(t *testing.T) {
	d := mounted(t, Options{DHT: &DHTOptions{Closed: true}}).dht
	for i := range maxHeld + 1 {
		d.hold(protocol.ID{0: byte(i), 1: byte(i >> 8), 2: 1}, true)
	}
	if len(d.held) != maxHeld {
		t.Errorf("%d are held, want %d", len(d.held), maxHeld)
	}
	for i := 1; i <= 3; i++ {
		d.provide(t.Context())
		begun := 0
		for _, at := range d.held {
			if !at.IsZero() {
				begun++
			}
		}
		if begun != i*maxProvides {
			t.Errorf("after %d ticks %d were announced, want %d", i, begun, i*maxProvides)
		}
	}
}

// noLegacy is a legacy transport that nobody uses.
type noLegacy struct{}

func (noLegacy) CanDial(protocol.Contact) bool { return false }
func (noLegacy) Dial(context.Context, *protocol.Router, protocol.Contact) (protocol.Link, error) {
	return nil, errors.ErrUnsupported
}
func (noLegacy) AcceptText(context.Context, *protocol.Router, *TextConn) {}

func TestGatewaysAreFound(t *testing.T) {
	hub := start(t, closedDHT(Options{}))
	boot := []string{hub.Addrs()[0].String()}
	gateway := start(t, closedDHT(Options{Bootstraps: boot, Legacy: noLegacy{}}))
	var infos []peer.AddrInfo
	eventually(t, "the gateway has announced itself", func() bool {
		var err error
		infos, err = hub.Gateways(t.Context())
		return err == nil && len(infos) > 0
	})
	if len(infos) != 1 || infos[0].ID != gateway.Host().ID() || len(infos[0].Addrs) == 0 {
		t.Errorf("gateways: %v, want %v", infos, gateway.Host().ID())
	}
	if _, err := start(t, Options{}).Gateways(t.Context()); !errors.Is(err, ErrNoDHT) {
		t.Errorf("without a DHT: %v, want ErrNoDHT", err)
	}
}

func TestNodesMeetInTheDHTOfOthers(t *testing.T) {
	// A DHT whose hosts know nothing of us.
	var plain []peer.AddrInfo
	for range 3 {
		h := stockHost(t)
		if err := h.Network().Listen(ma.StringCast("/ip4/127.0.0.1/tcp/0/ws")); err != nil {
			t.Fatal(err)
		}
		d, err := kaddht.New(h, kaddht.Mode(kaddht.ModeServer), kaddht.ProtocolPrefix("/elsewhere"), kaddht.BootstrapPeers(plain...),
			kaddht.AddressFilter(func(addrs []ma.Multiaddr) []ma.Multiaddr { return addrs }))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		if err := d.Bootstrap(t.Context()); err != nil {
			t.Fatal(err)
		}
		plain = append(plain, peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()})
	}
	join := func(at peer.AddrInfo) (Options, chan protocol.LinkInfo) {
		addrs, err := peer.AddrInfoToP2pAddrs(&at)
		if err != nil {
			t.Fatal(err)
		}
		o, _, peers := inboxOf(local(Options{}))
		o.DHT = &DHTOptions{Prefix: "/elsewhere", Bootstraps: []string{addrs[0].String()}, Closed: true}
		return o, peers
	}
	ao, aPeers := join(plain[0])
	a := start(t, ao)
	bo, bPeers := join(plain[2])
	b := start(t, bo)
	if got := receive(t, "peer at a", aPeers); got.ID != b.ID() {
		t.Errorf("a is linked to %v, want %v", got.ID, b.ID())
	}
	if got := receive(t, "peer at b", bPeers); got.ID != a.ID() {
		t.Errorf("b is linked to %v, want %v", got.ID, a.ID())
	}
}

func TestALegacyPeerIsFoundByWhoHoldsIt(t *testing.T) {
	hub := start(t, closedDHT(Options{NoOverlay: true, NoDiscovery: true}))
	boot := []string{hub.Addrs()[0].String()}
	ho := closedDHT(Options{NoOverlay: true, NoDiscovery: true})
	ho.DHT.Bootstraps = boot
	holder := start(t, ho)
	o, _, peers := inboxOf(closedDHT(Options{NoOverlay: true, NoDiscovery: true}))
	o.DHT.Bootstraps = boot
	n := start(t, o)

	legacy := protocol.ID{1, 2, 3}
	holder.peerUp(protocol.LinkInfo{ID: legacy, Kind: protocol.LinkWebSocket, Addr: "127.0.0.1:1"})
	eventually(t, "the holder is a provider of the legacy id", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		infos, err := n.dht.kad.FindProviders(ctx, cidOf(legacy))
		return err == nil && len(infos) == 1
	})
	n.Connect(legacy)
	if got := receive(t, "peer", peers); got.ID != holder.ID() {
		t.Errorf("linked to %v, want the holder %v", got.ID, holder.ID())
	}
	holder.peerDown(legacy, nil)
	if len(holder.dht.held) != 0 {
		t.Error("the holder still announces a peer that is gone")
	}
}

func TestAWrongDHTOptionIsSaid(t *testing.T) {
	for _, o := range []DHTOptions{{Prefix: "peer-relay"}, {Bootstraps: []string{"/ip4/127.0.0.1/tcp/1/ws"}}, {Bootstraps: []string{"ws://127.0.0.1:1"}}} {
		n, err := New(Options{DHT: &o})
		if err == nil {
			n.Close()
		}
		if !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v, want ErrOptions", o, err)
		}
	}
}

func TestPrivateAddressesStayOutOfAnOpenDHT(t *testing.T) {
	public, private := ma.StringCast("/ip4/203.0.114.1/tcp/1/ws"), ma.StringCast("/ip4/192.168.1.1/tcp/1/ws")
	all := append([]ma.Multiaddr{public, private}, ma.StringCast("/ip4/127.0.0.1/tcp/1/ws"), ma.StringCast("/ip4/0.0.0.0/tcp/1/ws"))
	o := local(Options{})
	o.DHT = &DHTOptions{}
	n := start(t, o)
	if got := n.dht.filter(all); len(got) != 1 || !got[0].Equal(public) {
		t.Errorf("%v of %v may be told, want %v", got, all, public)
	}
	if got := n.dht.kad.FilteredAddrs(); len(got) > 0 {
		t.Errorf("the DHT tells %v of a node that listens on loopback", got)
	}
	if n.home()[scopePrivate] {
		t.Error("a node without private addresses is at home in private networks")
	}
	closed := start(t, closedDHT(Options{}))
	if got := closed.dht.filter(all); len(got) != 3 {
		t.Errorf("closed: %v of %v may be told, want 3", got, all)
	}
	if got := closed.home(); got != (home{scopeLoopback: true, scopePrivate: true, scopePublic: true}) {
		t.Errorf("closed: at home in %v", got)
	}
}

// A server tells who asks of the peers that it has met, but not their private addresses.
func TestAnOpenDHTIsToldNobodysPrivateAddresses(t *testing.T) {
	public, private := ma.StringCast("/ip4/203.0.114.1/tcp/1/ws"), ma.StringCast("/ip4/192.168.1.1/tcp/1/ws")
	for _, closed := range []bool{false, true} {
		server := mounted(t, Options{Listen: true, ListenHost: "127.0.0.1", Announce: []string{"wss://relay.example.com"}, DHT: &DHTOptions{Closed: closed}})
		if err := server.own.listen(); err != nil {
			t.Fatal(err)
		}
		met := stockHost(t).ID()
		server.host.Peerstore().AddAddrs(met, []ma.Multiaddr{public, private}, peerstore.PermanentAddrTTL)

		h := stockHost(t)
		d, err := kaddht.New(h, kaddht.Mode(kaddht.ModeClient), kaddht.ProtocolPrefix(DHTPrefix),
			kaddht.AddressFilter(func(addrs []ma.Multiaddr) []ma.Multiaddr { return addrs }))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		connect(t, h, peer.AddrInfo{ID: server.host.ID(), Addrs: server.own.addrs()[1:]})
		eventually(t, "the server is in the routing table", func() bool { return d.RoutingTable().Size() == 1 })
		if _, err := d.GetClosestPeers(t.Context(), string(met)); err != nil {
			t.Fatal(err)
		}
		got := h.Peerstore().Addrs(met)
		if !slices.ContainsFunc(got, public.Equal) || slices.ContainsFunc(got, private.Equal) != closed {
			t.Errorf("closed: %v, told %v", closed, got)
		}
	}
}

func TestTheDHTLeavesAnAttachedHost(t *testing.T) {
	h := stockHost(t)
	if err := h.Network().Listen(ma.StringCast("/ip4/127.0.0.1/tcp/0/ws")); err != nil {
		t.Fatal(err)
	}
	before := len(h.Mux().Protocols())
	for range 2 {
		n, err := Attach(h, Options{DHT: &DHTOptions{Closed: true}})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(h.Mux().Protocols(), n.dht.proto) {
			t.Errorf("protocols %v: want that of the DHT", h.Mux().Protocols())
		}
		if _, err := Attach(h, Options{DHT: &DHTOptions{}}); !errors.Is(err, ErrOptions) {
			t.Errorf("a second DHT on the host: %v, want ErrOptions", err)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		if after := h.Mux().Protocols(); len(after) != before {
			t.Errorf("protocols left: %v", after)
		}
	}
}
