package node

import (
	"context"
	cryptorand "crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/packet"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// Options says what a Node is to be. The zero value is a peer with a fresh identity
// that listens nowhere and knows nobody.
type Options struct {
	// Listen opens a TCP port that serves libp2p over WebSocket, legacy peers if there
	// is a Legacy transport, a status page, and a page that makes a visitor's browser a
	// peer; and the UDP port of the same number, that serves libp2p over webrtc-direct.
	// Port is the number, 0 for any that is free in both; ListenHost an IP address or
	// "localhost", "" for every address of the machine. A host that was attached has its
	// own ports, and none is opened.
	Listen     bool
	Port       uint16
	ListenHost string

	// NoWebRTCDirect neither listens to webrtc-direct nor dials it. QUIC listens to
	// quic-v1 also, on the same UDP port, and dials it. An attached host has the
	// transports that it has.
	NoWebRTCDirect bool
	QUIC           bool

	// Announce are the addresses that others are told, multiaddrs or ws:// and wss://
	// URLs, where the node's own are not the ones to dial: behind a reverse proxy. A
	// multiaddr that ends in /webrtc-direct gets the node's /certhash.
	Announce []string

	// Bootstraps are peers of the network to join: multiaddrs that end in /p2p/…, and
	// with a Legacy transport ws:// and wss:// URLs. All are dialled, each until it
	// answers.
	Bootstraps []string

	// Key is the identity. Without it the key in KeyFile is used, which is made if it
	// is missing; without both a fresh Ed25519 key that lives as long as the node.
	// An attached host has its own.
	Key     crypto.PrivKey
	KeyFile string

	// TLS makes the port speak TLS also. TLSClient is for dialling /tls/ws, nil trusts
	// what the system trusts.
	TLS       *tls.Config
	TLSClient *tls.Config

	// Legacy carries the peers that speak legacy JSON. Nil: there are none.
	Legacy LegacyTransport

	// WebRTC makes links to peers that are signalled to over the overlay. Nil: there are
	// none. Close does not close it.
	WebRTC protocol.Signaller

	// DHT puts a kad-dht on the host. Nil: there is none.
	DHT *DHTOptions

	// Role is what the node offers to others. The default relays for all; a node that
	// does not listen can be RoleLeaf.
	Role wire.Role

	// SignMessages signs the application's messages too, so that receivers know them
	// to be this peer's however many hops away.
	SignMessages bool

	// OnMessage, OnPeer and OnPeerDown are called one at a time, as protocol.Options
	// says. They must not close the node.
	OnMessage  func(protocol.Message)
	OnPeer     func(protocol.LinkInfo)
	OnPeerDown func(protocol.ID, error)

	// OnDialError is called likewise when a bootstrap does not answer; it is tried again.
	OnDialError func(protocol.Contact, error)

	// NoOverlay leaves the choice of links to the application, NoDiscovery opens none
	// to peers that the host is connected with for other reasons.
	NoOverlay   bool
	NoDiscovery bool

	// ShowPeers lets the status page tell the ids of linked peers.
	ShowPeers bool

	// Version is what the status page and identify tell, "" is "dev".
	Version string

	// MaxConns is the most inbound connections, 0 is DefaultMaxConns.
	MaxConns int

	// Gater may turn connections away, legacy ones too. Nil lets everybody in.
	Gater connmgr.ConnectionGater

	// Metrics takes libp2p's metrics and the router's counters. Nil: none.
	Metrics prometheus.Registerer

	// Logger hears of links, dials and drops at debug level. Nil: nobody does.
	Logger *slog.Logger
}

// A LegacyTransport makes links to peers that speak legacy JSON.
type LegacyTransport interface {
	protocol.Dialer

	// AcceptText takes a connection that a legacy client opened, until it ends.
	AcceptText(ctx context.Context, r *protocol.Router, c *TextConn)
}

// A Node is a peer on a libp2p host. All its methods may be called from any
// goroutine.
type Node struct {
	// Fixed after New.
	opts        Options
	host        host.Host
	own         *ownHost // nil if the host is not this node's to close
	key         crypto.PrivKey
	router      *protocol.Router
	log         *slog.Logger
	started     time.Time
	ctx         context.Context // done when the node closes
	stop        context.CancelFunc
	unsubscribe func() error
	dht         *directory // nil: there is none
	tasks       sync.WaitGroup
	streams     streams

	mu      sync.Mutex
	closed  bool
	remotes map[protocol.ID]remote // of the linked peers
	linkUp  chan struct{}          // closed with the next link, nil unless somebody waits
}

// A remote is what the node keeps of a linked peer.
type remote struct {
	scope scope
	known bool // the peer proved its id, on a stream of the host
}

// ErrOptions is matched by errors of New and Attach that say which option is wrong.
var ErrOptions = errors.New("node: an option is wrong")

type optionError struct{ error }

func (e optionError) Unwrap() error        { return e.error }
func (e optionError) Is(target error) bool { return target == ErrOptions }

// New starts a node on a libp2p host of its own. The error matches syscall.EADDRINUSE
// when another program has the port, in TCP or in UDP.
func New(o Options) (*Node, error) {
	n := newNode(o)
	key := o.Key
	if key == nil && o.KeyFile != "" {
		var err error
		if key, err = LoadKey(o.KeyFile); err != nil {
			return nil, optionError{err}
		}
	}
	ho := hostOptions{
		Key: key, Listen: o.Listen, ListenHost: o.ListenHost, Port: o.Port, Announce: o.Announce,
		NoWebRTCDirect: o.NoWebRTCDirect, QUIC: o.QUIC,
		TLS: o.TLS, TLSClient: o.TLSClient, Gater: o.Gater, MaxConns: o.MaxConns, TrimIdle: o.DHT != nil, Metrics: o.Metrics,
		UserAgent: "peer-relay/" + n.opts.Version, Log: o.Logger,
	}
	if o.Listen {
		try, err := newTryHandler(tryFiles)
		if err != nil {
			return nil, err
		}
		ho.HTTP = newStatusHandler(n.Status, o.ShowPeers, try)
	}
	if o.Legacy != nil {
		ho.AcceptText = func(c *TextConn) { o.Legacy.AcceptText(n.ctx, n.router, c) }
	}
	own, err := newHost(ho)
	if err != nil {
		return nil, err
	}
	n.own = own
	if err := n.mount(own); err != nil {
		own.Close()
		return nil, err
	}
	if err := own.listen(); err != nil {
		n.Close()
		return nil, err
	}
	n.updateContact()
	n.startDHT()
	return n, nil
}

// Attach mounts a node on a host that is somebody else's: it handles the stream
// protocol and opens no port. Close takes it off again and leaves the host open.
func Attach(h host.Host, o Options) (*Node, error) {
	n := newNode(o)
	if err := n.mount(h); err != nil {
		return nil, err
	}
	n.updateContact()
	n.startDHT()
	return n, nil
}

func newNode(o Options) *Node {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Version == "" {
		o.Version = "dev"
	}
	n := &Node{opts: o, log: o.Logger, started: time.Now(), remotes: make(map[protocol.ID]remote)}
	n.ctx, n.stop = context.WithCancel(context.Background())
	n.streams.node = n
	return n
}

// mount puts the router on the host. After an error nothing is left on it.
func (n *Node) mount(h host.Host) error {
	o := n.opts
	n.host = h
	n.key = h.Peerstore().PrivKey(h.ID())
	mounted := make(chan struct{}) // closed when n has its router, which may have links before
	ro := protocol.Options{
		ID: IDOf(h.ID()), Role: o.Role, Verify: verify, SignMessages: o.SignMessages,
		Dialers: []protocol.Dialer{nativeDialer{n}}, NoOverlay: o.NoOverlay,
		OnMessage: o.OnMessage, OnPeer: func(i protocol.LinkInfo) { <-mounted; n.peerUp(i) }, OnPeerDown: n.peerDown, OnDialError: o.OnDialError, Logger: o.Logger,
	}
	if o.Legacy != nil {
		ro.Dialers = append(ro.Dialers, o.Legacy)
	}
	if o.WebRTC != nil {
		ro.Dialers = append(ro.Dialers, o.WebRTC)
	}
	for _, b := range o.Bootstraps {
		contact, err := parseBootstrap(b, o.Legacy)
		if err != nil {
			n.stop()
			return optionError{err}
		}
		ro.Bootstraps = append(ro.Bootstraps, contact)
	}
	if n.key != nil {
		ro.Sign = n.key.Sign
		var err error
		if ro.Key, err = crypto.MarshalPublicKey(n.key.GetPublic()); err != nil {
			n.stop()
			return fmt.Errorf("node: public key: %w", err)
		}
	}
	if o.DHT != nil {
		var err error
		if n.dht, err = newDirectory(n, *o.DHT); err != nil {
			n.stop()
			return err
		}
	}
	router, err := protocol.NewRouter(ro)
	if err != nil {
		n.stop()
		if n.dht != nil {
			n.dht.close()
		}
		return err
	}
	n.router = router
	close(mounted)
	h.SetStreamHandler(StreamProtocol, n.accept)
	if !o.NoDiscovery {
		if err := n.discover(); err != nil {
			n.Close()
			return fmt.Errorf("node: discovery: %w", err)
		}
	}
	return nil
}

func (n *Node) startDHT() {
	if n.dht != nil {
		n.dht.start()
	}
}

// parseBootstrap checks that a bootstrap can be dialled at all.
func parseBootstrap(s string, legacy LegacyTransport) (protocol.Contact, error) {
	contact := protocol.Contact{URL: s}
	switch {
	case strings.HasPrefix(s, "/"):
		info, err := parseP2P(s)
		if err != nil {
			return contact, err
		}
		contact.ID = IDOf(info.ID)
		return contact, nil
	case !strings.HasPrefix(s, "ws://") && !strings.HasPrefix(s, "wss://"):
		return contact, fmt.Errorf("node: bootstrap %q: want a ws:// or wss:// URL, or a multiaddr", s)
	case legacy == nil || !legacy.CanDial(contact):
		return contact, fmt.Errorf("node: bootstrap %q: cannot be dialled", s)
	}
	return contact, nil
}

// verify checks a signature and gives the id that its key hashes to.
func verify(key, data, sig []byte) (protocol.ID, bool) {
	public, err := crypto.UnmarshalPublicKey(key)
	if err != nil {
		return protocol.ID{}, false
	}
	id, err := peer.IDFromPublicKey(public)
	if err != nil {
		return protocol.ID{}, false
	}
	ok, err := public.Verify(data, sig)
	return IDOf(id), ok && err == nil
}

// accept serves a stream that another peer opened, on the goroutine that libp2p
// gives it; Close waits for it by the router.
func (n *Node) accept(s network.Stream) {
	link, err := n.openStream(n.ctx, s)
	if err != nil {
		n.log.Debug("no link", "err", err)
		return
	}
	n.router.Serve(n.ctx, link) // it logs why the link ended
}

// hello gives the first frame of a new stream.
func (n *Node) hello() wire.Hello {
	var value [8]byte
	cryptorand.Read(value[:])
	return wire.Hello{Role: n.opts.Role, Link: binary.LittleEndian.Uint64(value[:]), Agent: "peer-relay/" + n.opts.Version}
}

// task runs f on a goroutine that ends soon after its context is done; Close waits.
func (n *Node) task(f func(context.Context)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.closed {
		n.tasks.Go(func() { f(n.ctx) })
	}
}

// ID gives the node's address in the overlay.
func (n *Node) ID() protocol.ID { return n.router.ID() }

// Host gives the libp2p host.
func (n *Node) Host() host.Host { return n.host }

// Router gives the router, for what the node has no method of its own for.
func (n *Node) Router() *protocol.Router { return n.router }

// Send sends bytes to a peer, over as many hops as it takes. It never blocks.
func (n *Node) Send(to protocol.ID, payload []byte) error {
	return n.router.Send(to, wire.FormRaw, payload)
}

// ListenPacket opens a datagram socket on a port of this peer, 0 for any that is free.
// Programs that share the node do not see each other's datagrams.
func (n *Node) ListenPacket(port uint16) (*packet.PacketConn, error) {
	return n.router.ListenPacket(port)
}

// Dial opens a datagram socket that is connected to a port of another peer.
func (n *Node) Dial(id protocol.ID, port uint16) (*packet.PacketConn, error) {
	return n.router.DialPacket(id, port)
}

// Close says goodbye to all peers, stops what New or Attach started, and closes the
// host if it is the node's own. It takes at most about a second.
func (n *Node) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		n.tasks.Wait()
		return nil
	}
	n.closed = true
	n.mu.Unlock()

	n.host.RemoveStreamHandler(StreamProtocol)
	var errs []error
	if n.unsubscribe != nil {
		errs = append(errs, n.unsubscribe())
	}
	n.streams.close()
	errs = append(errs, n.router.Close())
	n.stop()
	n.tasks.Wait()
	if n.dht != nil {
		errs = append(errs, n.dht.close())
	}
	if n.own != nil {
		errs = append(errs, n.own.Close())
	}
	return errors.Join(errs...)
}

// --- addresses

// Port gives the number of the node's own port, in TCP and in UDP, 0 if it has none.
func (n *Node) Port() uint16 {
	if n.own == nil {
		return 0
	}
	return n.own.port()
}

// Addrs gives the multiaddrs at which the node listens, each with /p2p/….
func (n *Node) Addrs() []ma.Multiaddr {
	suffix, err := ma.NewComponent("p2p", n.host.ID().String())
	if err != nil {
		return nil
	}
	var addrs []ma.Multiaddr
	for _, a := range n.listenAddrs() {
		addrs = append(addrs, a.AppendComponent(suffix))
	}
	return addrs
}

func (n *Node) listenAddrs() []ma.Multiaddr {
	if n.own != nil {
		return n.own.addrs()
	}
	return n.host.Addrs()
}

// URLs gives the ws:// and wss:// URLs at which legacy peers can dial the node.
func (n *Node) URLs() (urls []string) {
	if n.opts.Legacy == nil || n.own == nil {
		return nil
	}
	for _, a := range n.own.addrs() {
		if u, ok := webSocketURL(a); ok {
			urls = append(urls, u)
		}
	}
	return urls
}

func (n *Node) home() home {
	bootstraps := n.opts.Bootstraps
	if d := n.opts.DHT; d != nil {
		if d.Closed {
			return home{scopeLoopback: true, scopePrivate: true, scopePublic: true}
		}
		bootstraps = slices.Concat(bootstraps, d.Bootstraps)
	}
	return newHome(n.listenAddrs(), bootstraps)
}

// toldAddrs gives the addresses to tell other peers: those that were announced, else
// those of the widest scope in which this node has peers. A node all of whose peers
// are on this machine tells its loopback address; one with a peer elsewhere does not.
func (n *Node) toldAddrs() []ma.Multiaddr {
	if n.own != nil && len(n.own.announced) > 0 {
		return n.own.announced
	}
	widest := scopeLoopback
	for _, b := range n.opts.Bootstraps {
		widest = max(widest, scopeOfContact(b))
	}
	n.mu.Lock()
	for _, r := range n.remotes {
		widest = max(widest, r.scope)
	}
	n.mu.Unlock()
	addrs := append(n.host.Addrs(), n.listenAddrs()...)
	addrs = ma.Unique(addrs)
	// There may be no room for all.
	slices.SortStableFunc(addrs, func(a, b ma.Multiaddr) int { return costOf(a) - costOf(b) })
	for s := widest; s > scopeNone; s-- {
		var told []ma.Multiaddr
		for _, a := range addrs {
			if scopeOfAddr(a) >= s {
				told = append(told, a)
			}
		}
		if len(told) > 0 {
			return told
		}
	}
	return nil
}

// updateContact tells the router how others can reach this node.
func (n *Node) updateContact() {
	contact := protocol.Contact{ID: n.ID(), WebRTC: n.opts.WebRTC != nil}
	var err error
	if contact.Record, err = n.makeRecord(n.toldAddrs()); err != nil {
		n.log.Debug("no peer record", "err", err)
	}
	if n.opts.Legacy != nil {
		for _, a := range n.toldAddrs() {
			if u, ok := webSocketURL(a); ok {
				contact.URL = u
				break
			}
		}
	}
	n.router.SetContact(contact)
}

func (n *Node) peerUp(info protocol.LinkInfo) {
	n.mu.Lock()
	n.remotes[info.ID] = remote{scope: scopeOfRemote(info.Addr), known: info.Proved && info.Kind == protocol.LinkNative}
	if n.linkUp != nil {
		close(n.linkUp)
		n.linkUp = nil
	}
	n.mu.Unlock()
	n.updateContact()
	if n.dht != nil && !info.Proved {
		n.dht.hold(info.ID, true)
	}
	if n.opts.OnPeer != nil {
		n.opts.OnPeer(info)
	}
}

func (n *Node) peerDown(id protocol.ID, err error) {
	n.mu.Lock()
	known := n.remotes[id].known
	delete(n.remotes, id)
	n.mu.Unlock()
	// Who merely claimed the id and fell silent must not cost the peer its connections.
	if n.own != nil && known && errors.Is(err, protocol.ErrSilent) {
		n.task(func(context.Context) { n.hangUp(id) })
	}
	if n.dht != nil {
		n.dht.hold(id, false)
	}
	if n.opts.OnPeerDown != nil {
		n.opts.OnPeerDown(id, err)
	}
}

// linked reports whether there is a link to a peer.
func (n *Node) linked(id protocol.ID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, yes := n.remotes[id]
	return yes
}

// nextLink gives a channel that is closed with the next link.
func (n *Node) nextLink() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.linkUp == nil {
		n.linkUp = make(chan struct{})
	}
	return n.linkUp
}

// hangUp closes the connections to a peer that is gone. libp2p would take one for good for
// as long as most of a minute, over webrtc-direct, and try every new stream on it.
func (n *Node) hangUp(id protocol.ID) {
	for _, p := range n.host.Network().Peers() {
		if IDOf(p) == id {
			n.host.Network().ClosePeer(p)
		}
	}
}

// Status gives what the status page shows.
func (n *Node) Status() StatusData {
	stats := n.router.Stats()
	d := StatusData{
		ID: n.ID(), PeerID: n.host.ID().String(), Version: n.opts.Version, Started: n.started,
		WebSocket: n.URLs(), Links: stats.Links,
		Counters: []Counter{
			{"received", stats.Received}, {"sent", stats.Sent}, {"delivered", stats.Delivered},
			{"forwarded", stats.Forwarded}, {"control", stats.Control}, {"control forwarded", stats.ControlPassed},
			{"copies", stats.Copies}, {"links opened", stats.LinksOpened}, {"links refused", stats.LinksRefused},
			{"bad signatures", stats.BadSignatures}, {"goroutines", uint64(runtime.NumGoroutine())},
		},
	}
	if n.dht != nil {
		d.Counters = append(d.Counters, n.dht.counters()...)
	}
	for _, a := range n.Addrs() {
		d.Addrs = append(d.Addrs, a.String())
	}
	for reason, count := range stats.Dropped {
		if count > 0 {
			d.Counters = append(d.Counters, Counter{"dropped: " + protocol.DropReason(reason).String(), count})
		}
	}
	for _, p := range n.router.Peers() {
		d.Peers = append(d.Peers, p.ID)
	}
	return d
}
