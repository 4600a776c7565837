package dht

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

	"github.com/peer-relay/peer-relay/node/internal/contact"
	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/protocol"
)

// A fakeOverlay has the links that a test sets.
type fakeOverlay struct {
	mu         sync.Mutex
	links      int
	up         chan struct{}
	introduced []protocol.Contact
}

func (o *fakeOverlay) Suggest(...protocol.ID)  {}
func (o *fakeOverlay) Linked(protocol.ID) bool { return false }

func (o *fakeOverlay) Links() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.links
}

func (o *fakeOverlay) NextLink() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.up == nil {
		o.up = make(chan struct{})
	}
	return o.up
}

// Introduce reports a dial at once.
func (o *fakeOverlay) Introduce(c protocol.Contact) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.introduced = append(o.introduced, c)
	o.links++
	if o.up != nil {
		close(o.up)
		o.up = nil
	}
}

// newTestDirectory returns a Directory that does not run, so that a test can take its steps.
// Without a host in c it has one that does not listen.
func newTestDirectory(t *testing.T, c Config, o Options) *Directory {
	t.Helper()
	if c.Host == nil {
		c.Host = nodetest.StockHost(t)
	}
	if c.Overlay == nil {
		c.Overlay = new(fakeOverlay)
	}
	c.Logger, c.Protocol = slog.New(slog.DiscardHandler), "/peer-relay/1"
	c.Addrs = c.Host.Addrs
	d, err := New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

// TestASearchThatBeganWithFewPeersIsRepeated checks that a newcomer, which knows few peers,
// asks again when they know nothing.
func TestASearchThatBeganWithFewPeersIsRepeated(t *testing.T) {
	h := nodetest.Listening(t)
	directory := newTestDirectory(t, Config{}, Options{Closed: true})
	missing := protocol.ID{1, 2, 3}
	var asked atomic.Int64
	d, err := kaddht.New(h, kaddht.Mode(kaddht.ModeServer), kaddht.ProtocolPrefix(Prefix),
		kaddht.OnRequestHook(func(_ context.Context, _ network.Stream, m *pb.Message) {
			if m.GetType() == pb.Message_GET_VALUE && string(m.GetKey()) == recordKey(missing) {
				asked.Add(1)
			}
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	nodetest.Connect(t, directory.conf.Host, peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()})
	ctx, cancel := context.WithTimeout(t.Context(), 4*nodetest.Patience) // a busy machine may be slow to answer
	defer cancel()
	directory.lookUp(ctx, missing)
	if got := asked.Load(); got < 2 || got > maxSearches {
		t.Errorf("the server was asked %d times, want 2 to %d", got, maxSearches)
	}
}

// TestWhatIsIntroducedIsWhatIsDialled checks that an address that was not dialled, because
// there were too many or it had just failed, may be dialled later.
func TestWhatIsIntroducedIsWhatIsDialled(t *testing.T) {
	d := newTestDirectory(t, Config{}, Options{Closed: true})
	addrs := make([]ma.Multiaddr, contact.MaxAddrs+2)
	for i := range addrs {
		addrs[i] = ma.StringCast(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/ws", i+1)) // no peer is there
	}
	many, failed := peer.AddrInfo{ID: nodetest.StockHost(t).ID(), Addrs: addrs}, peer.AddrInfo{ID: nodetest.StockHost(t).ID(), Addrs: addrs[:1]}
	backoff := d.conf.Host.Network().(*swarm.Swarm).Backoff()
	backoff.AddBackoff(failed.ID, failed.Addrs[0])
	tried := make(map[string]bool)
	for _, step := range []struct {
		what string
		info peer.AddrInfo
		want int // in total
	}{
		{"in back-off", failed, 0},
		{"too many", many, contact.MaxAddrs},
		{"the rest of them", many, contact.MaxAddrs + 2},
		{"nothing new", many, contact.MaxAddrs + 2},
	} {
		if d.introduce(step.info, tried); len(tried) != step.want {
			t.Errorf("%s: %d addresses are tried, want %d", step.what, len(tried), step.want)
		}
	}
	backoff.Clear(failed.ID)
	if d.introduce(failed, tried); len(tried) != contact.MaxAddrs+3 {
		t.Errorf("out of back-off: %d addresses are tried, want %d", len(tried), contact.MaxAddrs+3)
	}
}

// TestSearchesOfTheDHTAreBounded checks that an id has only one search at once, and that few
// ids have one.
func TestSearchesOfTheDHTAreBounded(t *testing.T) {
	d := newTestDirectory(t, Config{}, Options{Closed: true})
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
		searches.Go(func() { d.Connect(ctx, id) }) // ends with ctx: there is no peer to ask
		nodetest.Eventually(t, "another id to be looked up", func() bool { return sought() == n })
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

// A finder plays the DHT: it returns the peers at the rendezvous.
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
	links := new(fakeOverlay)
	d := newTestDirectory(t, Config{Overlay: links}, Options{Closed: true})
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
	// With a link there is no search. After the link ends, the waits begin again.
	links.links = 1
	before := searches
	if d.suggest(ctx); searches != before || !d.seekAt.IsZero() || d.seekWait != 0 {
		t.Errorf("with a link it searches at %v, after %v", d.seekAt, d.seekWait)
	}
}

// TestTheFirstLinkEndsTheSearchOfTheRendezvous checks that a node with a link does not wait for
// peers of the DHT that are gone.
func TestTheFirstLinkEndsTheSearchOfTheRendezvous(t *testing.T) {
	links := new(fakeOverlay)
	d := newTestDirectory(t, Config{Overlay: links}, Options{Closed: true})
	other := nodetest.Listening(t)
	ended := make(chan error, 1)
	d.disc = routingdiscovery.NewRoutingDiscovery(finder(func(ctx context.Context, found chan<- peer.AddrInfo) {
		found <- peer.AddrInfo{ID: other.ID(), Addrs: other.Addrs()}
		<-ctx.Done() // the rest is gone
		ended <- ctx.Err()
	}))
	d.suggest(t.Context())
	if err := nodetest.Receive(t, "end of the search", ended); !errors.Is(err, context.Canceled) {
		t.Errorf("the search was ended by %v, want the link", err)
	}
	if len(links.introduced) != 1 || links.introduced[0].ID != contact.IDOf(other.ID()) {
		t.Errorf("introduced %v, want %v", links.introduced, other.ID())
	}
}

// TestWhoCannotSignIsPublished checks that a node that cannot sign has no record, but is
// announced, and not at every tick.
func TestWhoCannotSignIsPublished(t *testing.T) {
	for _, prefix := range []string{Prefix, "/elsewhere"} {
		for what, keyOf := range map[string]func(crypto.PrivKey) crypto.PrivKey{
			"no key":               func(crypto.PrivKey) crypto.PrivKey { return nil },
			"a key that is locked": func(key crypto.PrivKey) crypto.PrivKey { return lockedKey{key} },
		} {
			h := nodetest.Listening(t)
			server, err := kaddht.New(h, kaddht.Mode(kaddht.ModeServer), kaddht.ProtocolPrefix(libp2pprotocol.ID(prefix)))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { server.Close() })
			own := nodetest.Listening(t)
			d := newTestDirectory(t, Config{Host: own, Key: keyOf(own.Peerstore().PrivKey(own.ID())), Listens: true}, Options{Prefix: prefix, Closed: true})
			nodetest.Connect(t, own, peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()})
			nodetest.Eventually(t, "the server is in the routing table", func() bool { return d.Peers() == 1 })
			for range 3 {
				d.publish(t.Context())
			}
			if got := d.Published(); got != 1 {
				t.Errorf("%s, %s: published %d times, want once", prefix, what, got)
			}
			nodetest.Eventually(t, "the node is announced", func() bool {
				infos, err := server.ProviderStore().GetProviders(t.Context(), cidOf(d.id).Hash())
				return err == nil && len(infos) == 1 && infos[0].ID == own.ID()
			})
		}
	}
}

// A lockedKey cannot sign.
type lockedKey struct{ crypto.PrivKey }

func (lockedKey) Sign([]byte) ([]byte, error) { return nil, errors.ErrUnsupported }

func TestLegacyPeersAreAnnouncedSomeAtATime(t *testing.T) {
	d := newTestDirectory(t, Config{}, Options{Closed: true})
	for i := range maxHeld + 1 {
		d.Hold(protocol.ID{0: byte(i), 1: byte(i >> 8), 2: 1})
	}
	if d.Held() != maxHeld {
		t.Errorf("%d are held, want %d", d.Held(), maxHeld)
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

// TestAnOpenDHTIsToldNobodysPrivateAddresses checks that a server names the peers that it has
// met, but not their private addresses.
func TestAnOpenDHTIsToldNobodysPrivateAddresses(t *testing.T) {
	public, private := ma.StringCast("/ip4/203.0.114.1/tcp/1/ws"), ma.StringCast("/ip4/192.168.1.1/tcp/1/ws")
	for _, closed := range []bool{false, true} {
		server := nodetest.Listening(t)
		newTestDirectory(t, Config{Host: server, Listens: true, Announced: []ma.Multiaddr{ma.StringCast("/dns/relay.example.com/tcp/443/tls/ws")}}, Options{Closed: closed})
		met := nodetest.StockHost(t).ID()
		server.Peerstore().AddAddrs(met, []ma.Multiaddr{public, private}, peerstore.PermanentAddrTTL)

		h := nodetest.StockHost(t)
		d, err := kaddht.New(h, kaddht.Mode(kaddht.ModeClient), kaddht.ProtocolPrefix(Prefix),
			kaddht.AddressFilter(func(addrs []ma.Multiaddr) []ma.Multiaddr { return addrs }))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		nodetest.Connect(t, h, peer.AddrInfo{ID: server.ID(), Addrs: server.Addrs()})
		nodetest.Eventually(t, "the server is in the routing table", func() bool { return d.RoutingTable().Size() == 1 })
		if _, err := d.GetClosestPeers(t.Context(), string(met)); err != nil {
			t.Fatal(err)
		}
		got := h.Peerstore().Addrs(met)
		if !slices.ContainsFunc(got, public.Equal) || slices.ContainsFunc(got, private.Equal) != closed {
			t.Errorf("closed: %v, sent %v", closed, got)
		}
	}
}

func TestAnOpenDHTFiltersAddresses(t *testing.T) {
	public, private := ma.StringCast("/ip4/203.0.114.1/tcp/1/ws"), ma.StringCast("/ip4/192.168.1.1/tcp/1/ws")
	all := append([]ma.Multiaddr{public, private}, ma.StringCast("/ip4/127.0.0.1/tcp/1/ws"), ma.StringCast("/ip4/0.0.0.0/tcp/1/ws"))
	d := newTestDirectory(t, Config{Host: nodetest.Listening(t), Listens: true}, Options{})
	if got := d.filter(all); len(got) != 1 || !got[0].Equal(public) {
		t.Errorf("%v of %v may be sent, want %v", got, all, public)
	}
	if got := d.kad.FilteredAddrs(); len(got) > 0 {
		t.Errorf("the DHT sends %v for a node that listens on loopback", got)
	}
	if got := newTestDirectory(t, Config{}, Options{Closed: true}).filter(all); len(got) != 3 {
		t.Errorf("closed: %v of %v may be sent, want 3", got, all)
	}
}
