package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/peer-relay/peer-relay/node/dht"
	"github.com/peer-relay/peer-relay/node/internal/options"
	"github.com/peer-relay/peer-relay/node/internal/port"
	"github.com/peer-relay/peer-relay/node/internal/scope"
	"github.com/peer-relay/peer-relay/node/internal/status"
	"github.com/peer-relay/peer-relay/node/stream"
	"github.com/peer-relay/peer-relay/node/try"
	"github.com/peer-relay/peer-relay/protocol"
)

// A Node is a peer on a libp2p host. All its methods may be called from any goroutine.
type Node struct {
	// Fixed after New.
	opts        Options
	host        host.Host
	own         *port.Host // nil: the host is not this node's to close
	key         crypto.PrivKey
	router      *protocol.Router
	log         *slog.Logger
	started     time.Time
	ctx         context.Context // done when the node closes
	stop        context.CancelFunc
	unsubscribe func() error
	metrics     prometheus.Collector // nil: not exported
	dht         *dht.Directory       // nil: there is none
	streams     *stream.Endpoint
	contact     contactStore
	peerList    peerList
	finder      finder
	closing     sync.Once
	closeErr    error // guarded by closing
	tasks       sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	remotes map[protocol.ID]remote // of the linked peers
	scopes  [scope.Public + 1]int  // how many of them are in each scope
	locals  map[netip.Addr]*ownEnd // the addresses of this end of their links
	boots   map[string]protocol.ID // the bootstraps that answered or are named with their id
	greeted map[peer.ID]int        // handshakes in progress with peers that opened a stream
	linkUp  chan struct{}          // closed with the next link; nil: nothing waits for it
}

// New starts a node on a libp2p host of its own. The error matches ErrOptions when an option
// is wrong, and syscall.EADDRINUSE when another program has the port, in TCP or in UDP.
func New(o Options) (*Node, error) {
	n := newNode(o)
	var err error
	if n.own, err = n.newHost(); err != nil {
		n.stop()
		return nil, err
	}
	if err := n.mount(n.own); err != nil {
		n.stop()
		return nil, errors.Join(err, n.own.Close())
	}
	if err := n.own.Listen(); err != nil {
		n.Close()
		return nil, err
	}
	n.start()
	return n, nil
}

// Attach mounts a node on a host of the caller's: it handles the stream protocol and opens no
// port. Close takes it off again and leaves the host open. The error matches ErrOptions when
// an option is wrong, or is about a host that New makes, and when the host has a node already.
func Attach(h host.Host, o Options) (*Node, error) {
	if err := checkAttach(h, o); err != nil {
		return nil, err
	}
	n := newNode(o)
	if err := n.mount(h); err != nil {
		n.stop()
		return nil, err
	}
	n.start()
	return n, nil
}

// checkAttach reports what keeps a node from being mounted on a host.
func checkAttach(h host.Host, o Options) error {
	if h == nil {
		return options.Wrong("node: attach: there is no host")
	}
	for _, option := range []struct {
		name string
		set  bool
	}{
		{"Listen", o.Listen}, {"Port", o.Port != 0}, {"ListenHost", o.ListenHost != ""}, {"Announce", o.Announce != nil},
		{"Key", o.Key != nil}, {"KeyFile", o.KeyFile != ""}, {"KeyFileGroup", o.KeyFileGroup}, {"TLS", o.TLS != nil}, {"TLSClient", o.TLSClient != nil},
		{"NoWebRTCDirect", o.NoWebRTCDirect}, {"QUIC", o.QUIC}, {"MaxConns", o.MaxConns != 0}, {"Gater", o.Gater != nil},
	} {
		if option.set {
			return options.Wrong("node: attach: %s is set, but the host decides that itself", option.name)
		}
	}
	if slices.Contains(h.Mux().Protocols(), StreamProtocol) {
		return options.Wrong("node: attach: the host has a node already")
	}
	return nil
}

func newNode(o Options) *Node {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Version == "" {
		o.Version = "dev"
	}
	n := &Node{opts: o, log: o.Logger, started: time.Now(), remotes: make(map[protocol.ID]remote),
		locals: make(map[netip.Addr]*ownEnd), boots: make(map[string]protocol.ID), greeted: make(map[peer.ID]int)}
	n.ctx, n.stop = context.WithCancel(context.Background())
	return n
}

// newHost makes the host that New starts the node on.
func (n *Node) newHost() (*port.Host, error) {
	o := n.opts
	key := o.Key
	if key == nil && o.KeyFile != "" {
		var err error
		refused := ownerOnly
		if o.KeyFileGroup {
			refused = groupReads
		}
		if key, err = loadKey(o.KeyFile, refused); err != nil {
			return nil, options.Wrong("%w", err)
		}
	}
	po := port.Options{
		Key: key, Listen: o.Listen, ListenHost: o.ListenHost, Number: o.Port, Announce: o.Announce,
		NoWebRTCDirect: o.NoWebRTCDirect, QUIC: o.QUIC,
		TLS: o.TLS, TLSClient: o.TLSClient, Gater: o.Gater, MaxConns: o.MaxConns, TrimIdle: o.DHT != nil, Metrics: o.Metrics,
		UserAgent: n.agent(), Logger: o.Logger,
	}
	if o.Listen {
		page, err := try.NewHandler()
		if err != nil {
			return nil, err
		}
		po.HTTP = status.NewHandler(status.Options{Data: n.status, Try: page, TryWorks: page.Works()})
	}
	if o.Legacy != nil {
		po.AcceptText = func(c *TextConn) { o.Legacy.AcceptText(n.ctx, n.router, c) }
	}
	return port.New(po)
}

// agent returns the name that others are told.
func (n *Node) agent() string { return "peer-relay/" + n.opts.Version }

// mount puts the router on the host. After an error nothing is left on it.
func (n *Node) mount(h host.Host) error {
	n.host = h
	n.key = h.Peerstore().PrivKey(h.ID())
	mounted := make(chan struct{}) // closed when n has its router, which may have links before
	ro, err := n.routerOptions()
	if err != nil {
		return err
	}
	ro.OnPeer = func(i protocol.LinkInfo) { <-mounted; n.peerUp(i) }
	if n.opts.DHT != nil {
		if n.dht, err = n.newDirectory(); err != nil {
			return err
		}
	}
	if n.router, err = protocol.NewRouter(ro); err != nil {
		if n.dht != nil {
			n.dht.Close()
		}
		return err
	}
	n.streams = n.newStreams()
	close(mounted)
	if err := n.exportMetrics(); err != nil {
		n.Close()
		return err
	}
	h.SetStreamHandler(StreamProtocol, n.accept)
	if !n.opts.NoDiscovery {
		if err := n.discover(); err != nil {
			n.Close()
			return fmt.Errorf("node: discovery: %w", err)
		}
	}
	return nil
}

// routerOptions returns what the router is to be, but for OnPeer.
func (n *Node) routerOptions() (protocol.Options, error) {
	o := n.opts
	ro := protocol.Options{
		ID: IDOf(n.host.ID()), Role: o.Role, Verify: verify, SignMessages: o.SignMessages,
		Dialers: []protocol.Dialer{nativeDialer{n}}, NoOverlay: o.NoOverlay,
		OnMessage: o.OnMessage, OnPeerDown: n.peerDown, OnDialError: o.OnDialError, Logger: o.Logger,
	}
	if o.Legacy != nil {
		ro.Dialers = append(ro.Dialers, o.Legacy)
	}
	if o.WebRTC != nil {
		ro.Dialers = append(ro.Dialers, o.WebRTC)
	}
	for _, b := range o.Bootstraps {
		c, err := parseBootstrap(b, o.Legacy)
		if err != nil {
			return ro, options.Wrong("%w", err)
		}
		ro.Bootstraps = append(ro.Bootstraps, c)
		n.boots[b] = c.ID
	}
	if n.key != nil {
		ro.Sign = n.key.Sign
		var err error
		if ro.Key, err = crypto.MarshalPublicKey(n.key.GetPublic()); err != nil {
			return ro, fmt.Errorf("node: public key: %w", err)
		}
	}
	return ro, nil
}

// start tells of the node, which is mounted and listens.
func (n *Node) start() {
	n.updateContact()
	n.task(n.watchNetwork)
	if n.dht != nil {
		n.task(n.dht.Run)
	}
}

// verify checks a signature and returns the id that its key hashes to.
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

// accept serves a stream that another peer opened, on the goroutine that libp2p starts for
// it. Close waits for it, also for one whose link is refused.
func (n *Node) accept(s network.Stream) {
	if !n.enter() {
		s.Reset()
		return
	}
	defer n.tasks.Done()
	link, err := n.greetOne(s)
	if err != nil {
		n.log.Debug("no link", "err", err)
		return
	}
	n.router.Serve(n.ctx, link) // it logs why the link ended
}

// maxGreeted is the most handshakes that one peer may have in progress here. It needs one; two
// peers that dial each other have two.
const maxGreeted = 4

var errGreeted = errors.New("node: the peer has too many handshakes in progress")

// greetOne makes a link of a stream that a peer opened, unless the peer has too many.
func (n *Node) greetOne(s network.Stream) (*streamLink, error) {
	p := s.Conn().RemotePeer()
	n.mu.Lock()
	if n.greeted[p] >= maxGreeted {
		n.mu.Unlock()
		s.Reset()
		return nil, fmt.Errorf("%w: %v", errGreeted, p)
	}
	n.greeted[p]++
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.greeted[p]--; n.greeted[p] == 0 {
			delete(n.greeted, p)
		}
	}()
	return n.openStream(n.ctx, s)
}

// task runs f on a goroutine that ends soon after its context is done. Close waits for it.
func (n *Node) task(f func(context.Context)) {
	if n.enter() {
		go func() {
			defer n.tasks.Done()
			f(n.ctx)
		}()
	}
}

// enter counts what Close waits for, unless the node is closed.
func (n *Node) enter() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	n.tasks.Add(1)
	return true
}

// ID returns the node's address in the overlay.
func (n *Node) ID() protocol.ID { return n.router.ID() }

// Host returns the libp2p host.
func (n *Node) Host() host.Host { return n.host }

// Router returns the router, for what the node has no method of its own for.
func (n *Node) Router() *protocol.Router { return n.router }

// Send sends bytes to a peer, over as many hops as it takes. It never blocks.
func (n *Node) Send(to protocol.ID, payload []byte) error {
	return n.router.Send(to, protocol.FormRaw, payload)
}

// Receive waits for the next message and returns it, in a node whose Options have no
// OnMessage. See Router.Receive of package protocol for its bounds and errors.
func (n *Node) Receive(ctx context.Context) (protocol.Message, error) { return n.router.Receive(ctx) }

// Close says goodbye to all peers, stops what New or Attach started, and closes the host if
// it is the node's own. It takes at most about a second. Nothing of the node runs after it. A
// second call waits for the first one and returns its error.
func (n *Node) Close() error {
	n.closing.Do(func() { n.closeErr = n.close() })
	return n.closeErr
}

func (n *Node) close() error {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()

	n.host.RemoveStreamHandler(StreamProtocol)
	if n.metrics != nil {
		n.opts.Metrics.Unregister(n.metrics)
	}
	var errs []error
	if n.unsubscribe != nil {
		errs = append(errs, n.unsubscribe())
	}
	errs = append(errs, n.streams.Close(), n.router.Close())
	n.stop()
	n.tasks.Wait()
	if n.dht != nil {
		errs = append(errs, n.dht.Close())
	}
	if n.own != nil {
		errs = append(errs, n.own.Close())
	}
	return errors.Join(errs...)
}
