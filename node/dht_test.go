package node

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	kaddht "github.com/libp2p/go-libp2p-kad-dht"
	dhtrecord "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"

	"github.com/peer-relay/peer-relay/node/dht"
	"github.com/peer-relay/peer-relay/node/internal/contact"
	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/node/internal/scope"
	"github.com/peer-relay/peer-relay/protocol"
)

// anyRecord lets a client of the DHT read what the servers keep.
type anyRecord struct{}

func (anyRecord) Validate(string, []byte) error        { return nil }
func (anyRecord) Select(string, [][]byte) (int, error) { return 0, nil }

// askDHT returns a client of the DHT that knows one of its servers.
func askDHT(t *testing.T, server *Node) *kaddht.IpfsDHT {
	t.Helper()
	h := nodetest.StockHost(t)
	d, err := kaddht.New(h, kaddht.Mode(kaddht.ModeClient), kaddht.ProtocolPrefix(dht.Prefix),
		kaddht.Validator(dhtrecord.NamespacedValidator{"pr": anyRecord{}}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	nodetest.Connect(t, h, peer.AddrInfo{ID: server.Host().ID(), Addrs: server.listenAddrs()})
	nodetest.Eventually(t, "the server is in the routing table", func() bool { return d.RoutingTable().Size() > 0 })
	return d
}

// hasRecord reports whether the DHT holds a valid record of a peer.
func hasRecord(t *testing.T, d *kaddht.IpfsDHT, id protocol.ID) bool {
	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	defer cancel()
	v, err := d.GetValue(ctx, "/pr/"+string(id[:]))
	if err != nil {
		return false
	}
	_, err = contact.OpenRecord(v, id)
	return err == nil
}

func closedDHT(o Options) Options {
	o = local(o)
	o.DHT = &dht.Options{Closed: true}
	return o
}

func TestConnectFindsARecordInTheDHT(t *testing.T) {
	hub := start(t, closedDHT(Options{NoOverlay: true, NoDiscovery: true}))
	boot := []string{hub.Addrs()[0].String()}
	// Without an overlay no peer offers a link.
	far := start(t, closedDHT(Options{NoOverlay: true, NoDiscovery: true, Bootstraps: boot}))
	o, _, peers := inboxOf(closedDHT(Options{NoOverlay: true, NoDiscovery: true}))
	o.DHT.Bootstraps = boot
	n := start(t, o)

	asked := askDHT(t, hub)
	nodetest.Eventually(t, "the record of the far node in the DHT", func() bool { return hasRecord(t, asked, far.ID()) })
	n.Connect(far.ID())
	if got := nodetest.Receive(t, "peer", peers); got.ID != far.ID() || !got.Proved {
		t.Errorf("linked to %+v, want %v", got, far.ID())
	}
}

// TestConnectWaitsForTheDHT checks that a newcomer that asks before it knows a peer of the DHT
// still gets its answer.
func TestConnectWaitsForTheDHT(t *testing.T) {
	hub := start(t, closedDHT(Options{NoOverlay: true, NoDiscovery: true}))
	boot := []string{hub.Addrs()[0].String()}
	far := start(t, closedDHT(Options{NoOverlay: true, NoDiscovery: true, Bootstraps: boot}))
	asked := askDHT(t, hub)
	nodetest.Eventually(t, "the record of the far node at the hub", func() bool { return hasRecord(t, asked, far.ID()) })
	o, _, peers := inboxOf(closedDHT(Options{NoOverlay: true, NoDiscovery: true}))
	o.DHT.Bootstraps = boot
	n := start(t, o)
	n.Connect(far.ID())
	if got := nodetest.Receive(t, "peer", peers); got.ID != far.ID() {
		t.Errorf("linked to %v, want %v", got.ID, far.ID())
	}
}

// mounted returns a node with a DHT that does not run, on a host that does not listen.
func mounted(t *testing.T, o Options) *Node {
	t.Helper()
	n := newNode(o)
	var err error
	if n.own, err = n.newHost(); err != nil {
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
		dht  dht.Options
		want bool // whether it is a server from the start
	}{
		{"public", Options{Listen: true, ListenHost: public}, dht.Options{}, true},
		{"public, another DHT", Options{Listen: true, ListenHost: public}, dht.Options{Prefix: "/acme"}, false},
		{"announced", Options{Listen: true, ListenHost: "127.0.0.1", Announce: []string{wss}}, dht.Options{}, true},
		{"announced, another DHT", Options{Listen: true, ListenHost: "127.0.0.1", Announce: []string{wss}}, dht.Options{Prefix: "/acme"}, true},
		{"announced in private", Options{Listen: true, ListenHost: "127.0.0.1", Announce: []string{"ws://192.168.1.1:8001"}}, dht.Options{}, false},
		{"private", Options{Listen: true, ListenHost: "127.0.0.1"}, dht.Options{}, false},
		{"private and closed", Options{Listen: true, ListenHost: "127.0.0.1"}, dht.Options{Closed: true}, true},
		{"no port", Options{}, dht.Options{Closed: true}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.o.DHT = &test.dht
			prefix := test.dht.Prefix
			if prefix == "" {
				prefix = dht.Prefix
			}
			served := mounted(t, test.o).host.Mux().Protocols()
			if got := slices.Contains(served, libp2pprotocol.ID(prefix+"/kad/1.0.0")); got != test.want {
				t.Errorf("a server: %v, want %v", got, test.want)
			}
		})
	}
}

// noLegacy is a legacy transport without peers.
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
	nodetest.Eventually(t, "the gateway has announced itself", func() bool {
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
	// A DHT whose hosts do not know the protocol.
	var plain []peer.AddrInfo
	for range 3 {
		h := nodetest.Listening(t)
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
		o.DHT = &dht.Options{Prefix: "/elsewhere", Bootstraps: []string{addrs[0].String()}, Closed: true}
		return o, peers
	}
	ao, aPeers := join(plain[0])
	a := start(t, ao)
	bo, bPeers := join(plain[2])
	b := start(t, bo)
	if got := nodetest.Receive(t, "peer at a", aPeers); got.ID != b.ID() {
		t.Errorf("a is linked to %v, want %v", got.ID, b.ID())
	}
	if got := nodetest.Receive(t, "peer at b", bPeers); got.ID != a.ID() {
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
	digest, err := multihash.Encode(legacy[:], multihash.IDENTITY)
	if err != nil {
		t.Fatal(err)
	}
	asked := askDHT(t, hub)
	nodetest.Eventually(t, "the holder is a provider of the legacy id", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
		defer cancel()
		infos, err := asked.FindProviders(ctx, cid.NewCidV1(cid.Raw, digest))
		return err == nil && len(infos) == 1
	})
	n.Connect(legacy)
	if got := nodetest.Receive(t, "peer", peers); got.ID != holder.ID() {
		t.Errorf("linked to %v, want the holder %v", got.ID, holder.ID())
	}
	holder.peerDown(legacy, nil)
	if holder.dht.Held() != 0 {
		t.Error("the holder still announces a disconnected peer")
	}
}

func TestAWrongDHTOptionIsSaid(t *testing.T) {
	for _, o := range []dht.Options{{Prefix: "peer-relay"}, {Bootstraps: []string{"/ip4/127.0.0.1/tcp/1/ws"}}, {Bootstraps: []string{"ws://127.0.0.1:1"}}} {
		n, err := New(Options{DHT: &o})
		if err == nil {
			n.Close()
		}
		if !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v, want ErrOptions", o, err)
		}
	}
}

func TestHomeOfANodeInADHT(t *testing.T) {
	o := local(Options{})
	o.DHT = &dht.Options{}
	if start(t, o).home()[scope.Private] {
		t.Error("a node without private addresses is at home in private networks")
	}
	if got := start(t, closedDHT(Options{})).home(); got != scope.Everywhere {
		t.Errorf("closed: at home in %v", got)
	}
}

func TestTheDHTLeavesAnAttachedHost(t *testing.T) {
	h := nodetest.Listening(t)
	before := len(h.Mux().Protocols())
	for range 2 {
		n, err := Attach(h, Options{DHT: &dht.Options{Closed: true}})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(h.Mux().Protocols(), dht.Prefix+"/kad/1.0.0") {
			t.Errorf("protocols %v: want that of the DHT", h.Mux().Protocols())
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		if after := h.Mux().Protocols(); len(after) != before {
			t.Errorf("protocols left: %v", after)
		}
	}
}

func TestAHostHasOneDHTOfAPrefix(t *testing.T) {
	h := nodetest.Listening(t)
	d, err := kaddht.New(h, kaddht.Mode(kaddht.ModeServer), kaddht.ProtocolPrefix(dht.Prefix))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if _, err := Attach(h, Options{DHT: &dht.Options{}}); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), "already has a DHT with it") {
		t.Errorf("a second DHT on the host: %v, want ErrOptions", err)
	}
}
