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
	"github.com/peer-relay/peer-relay/node/mailbox"
	"github.com/peer-relay/peer-relay/node/stream"
	"github.com/peer-relay/peer-relay/node/try"
	"github.com/peer-relay/peer-relay/protocol"
)

// A Node is a peer on a libp2p host. All its methods may be called from any goroutine.
type Node struct {
	// Fixed after New.
	opts        Options
	host        host.Host
	own         *port.Host // nil means that the host is the caller's
	idleConn    time.Duration
	key         crypto.PrivKey
	router      *protocol.Router
	log         *slog.Logger
	begun       time.Time
	started     chan struct{}   // closed when the node is mounted and listens
	ctx         context.Context // done when the node closes
	stop        context.CancelFunc
	unsubscribe func() error
	metrics     prometheus.Collector // nil means not exported
	dht         *dht.Directory       // nil means no DHT
	mailbox     *mailbox.Store       // nil means that nothing is kept
	streams     *stream.Endpoint
	contact     contactStore
	peerList    peerList
	finder      finder
	dials       dials
	ends        ends
	unwatch     func() // ends the watch of the host's connections
	closing     sync.Once
	closeErr    error // guarded by closing
	tasks       sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	remotes map[protocol.ID]remote // of the linked peers
	scopes  [scope.Public + 1]int  // number of linked peers in each scope
	locals  map[netip.Addr]*ownEnd // by the address of this end of a link
	former  []protocol.ID          // linked once, the latest last
	lost    []netip.Addr           // the addresses that this machine lost last
	boots   map[string]protocol.ID // ids of the bootstraps that answered or are named with their id
	greeted map[peer.ID]int        // handshakes in progress with peers that opened a stream
	tidied  map[peer.ID]*tidying   // peers with connections that may be closed
	linkUp  chan struct{}          // closed with the next link; nil means that nothing waits for it
}

// New starts a node on its own libp2p host. The error matches ErrOptions if an option is
// invalid, and syscall.EADDRINUSE if another program has the port, in TCP or in UDP.
func New(o Options) (*Node, error) {
	if err := checkNew(o); err != nil {
		return nil, err
	}
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

// attaching is held from the look at a host to the handler that is mounted on it. Otherwise
// two concurrent calls could both find the host free.
var attaching sync.Mutex

// Attach mounts a node on the caller's host: it handles the stream protocol and opens no port.
// Close unmounts the node and leaves the host open. The error matches ErrOptions if an option
// is invalid or only for a host that New makes, or if the host already has a node.
func Attach(h host.Host, o Options) (*Node, error) {
	attaching.Lock()
	defer attaching.Unlock()
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

// checkAttach returns the reason why a node cannot be mounted on a host, or nil.
// checkNew returns an error about options that make no sense together, or for a host that New
// makes.
func checkNew(o Options) error {
	switch {
	case o.Port != 0 && !o.Listen:
		return options.Wrong("node: port %d: want Listen as well", o.Port)
	case o.Listen && o.Role == protocol.RoleLeaf:
		return options.Wrong("node: a leaf has no port: Listen is set")
	case o.MaxConns < 0:
		return options.Wrong("node: MaxConns is %d, want at least 0", o.MaxConns)
	case len(o.URLs) > 0:
		return options.Wrong("node: URLs are those of an attached host")
	}
	return checkRole(o)
}

func checkRole(o Options) error {
	if o.Role > protocol.RoleServer {
		return options.Wrong("node: role %d is not known", o.Role)
	}
	if o.Mailbox != nil && o.Role == protocol.RoleLeaf {
		return options.Wrong("node: a leaf keeps no messages: Mailbox is set")
	}
	return nil
}

func checkAttach(h host.Host, o Options) error {
	if h == nil {
		return options.Wrong("node: attach: the host is nil")
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
		return options.Wrong("node: attach: the host already has a node")
	}
	return checkRole(o)
}

func newNode(o Options) *Node {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Version == "" {
		o.Version = "dev"
	}
	n := &Node{opts: o, log: o.Logger, begun: time.Now(), idleConn: idleConn, started: make(chan struct{}), remotes: make(map[protocol.ID]remote),
		locals: make(map[netip.Addr]*ownEnd), boots: make(map[string]protocol.ID), greeted: make(map[peer.ID]int), tidied: make(map[peer.ID]*tidying)}
	n.ctx, n.stop = context.WithCancel(context.Background())
	return n
}

// newHost makes the host of a node that New starts.
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

// agent returns the name that is sent to other peers.
func (n *Node) agent() string { return "peer-relay/" + n.opts.Version }

// mount puts the router on the host. If it fails, it leaves nothing on the host.
func (n *Node) mount(h host.Host) error {
	n.host = h
	n.key = h.Peerstore().PrivKey(h.ID())
	mounted := make(chan struct{}) // closed when n has its router, which may have links before
	ro, err := n.routerOptions()
	if err != nil {
		return err
	}
	ro.OnLinkUp = func(i protocol.LinkInfo) { <-mounted; n.peerUp(i) }
	if n.opts.DHT != nil {
		if n.dht, err = n.newDirectory(); err != nil {
			return err
		}
	}
	if n.opts.Mailbox != nil {
		if n.mailbox, err = mailbox.Open(*n.opts.Mailbox); err != nil {
			return errors.Join(options.Wrong("node: %w", err), n.closeParts())
		}
		ro.Store = n.mailbox
	}
	if n.router, err = protocol.NewRouter(ro); err != nil {
		return errors.Join(err, n.closeParts())
	}
	n.streams = n.newStreams()
	close(mounted)
	if err := n.exportMetrics(); err != nil {
		n.Close()
		return err
	}
	n.unwatch = n.watchConns()
	h.SetStreamHandler(StreamProtocol, n.accept)
	if !n.opts.NoDiscovery {
		if err := n.discover(); err != nil {
			n.Close()
			return fmt.Errorf("node: discovery: %w", err)
		}
	}
	return nil
}

// routerOptions returns the options of the router, without OnLinkUp.
func (n *Node) routerOptions() (protocol.Options, error) {
	o := n.opts
	ro := protocol.Options{
		ID: IDOf(n.host.ID()), Role: o.Role, Verify: verify, SignMessages: o.SignMessages,
		Dialers: []protocol.Dialer{startedDialer{n, nativeDialer{n}}}, NoOverlay: o.NoOverlay, Linger: o.Linger, Seeks: o.DHT != nil,
		OnMessage: o.OnMessage, OnPeer: o.OnPeer, OnPeerDown: o.OnPeerDown, OnDialError: n.dialError,
		OnLinkDown: n.peerDown, NoTrace: o.NoTrace, Agent: n.agent(), Logger: o.Logger,
	}
	if o.Legacy != nil {
		ro.Dialers = append(ro.Dialers, startedDialer{n, o.Legacy})
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

// dialError is the router's OnDialError. It names the key file of an id that is in use.
func (n *Node) dialError(c protocol.Contact, err error) {
	if n.opts.OnDialError == nil {
		return
	}
	if n.opts.KeyFile != "" && (errors.Is(err, protocol.ErrIDInUse) || errors.Is(err, protocol.ErrSelf)) {
		err = fmt.Errorf("%w (key file %s)", err, n.opts.KeyFile)
	}
	n.opts.OnDialError(c, err)
}

// start announces the node, which is mounted and listens.
func (n *Node) start() {
	close(n.started)
	n.updateContact()
	n.task(n.watchNetwork)
	if !n.opts.NoOverlay {
		n.task(n.rejoin)
	}
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

// accept serves a stream that another peer has opened, on the goroutine that libp2p starts for
// it. Close waits for it, also if the link is refused.
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

// maxGreeted is the largest number of handshakes in progress with one peer. A peer needs one,
// or two if both sides dial each other.
const maxGreeted = 4

var errGreeted = errors.New("node: the peer has too many handshakes in progress")

// greetOne makes a link of a stream that a peer has opened, unless the peer has too many
// handshakes.
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
	return n.openStream(n.ctx, n.router, s)
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

// enter counts a task that Close waits for, unless the node is closed.
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

// Router returns the router, whose other methods the node does not repeat.
func (n *Node) Router() *protocol.Router { return n.router }

// Send sends bytes to a peer, over any number of hops. It never blocks.
func (n *Node) Send(to protocol.ID, payload []byte) error {
	return n.router.Send(to, protocol.FormRaw, payload)
}

// SendReliable sends bytes to a peer until the peer's receipt arrives. Its bounds and errors are
// those of Router.SendReliable in package protocol.
func (n *Node) SendReliable(ctx context.Context, to protocol.ID, payload []byte) (protocol.Receipt, error) {
	return n.router.SendReliable(ctx, to, protocol.FormRaw, payload)
}

// SendKept is SendReliable, and has mailboxes near the receiver keep the message for a time if that one
// is offline. Its bounds and errors are those of Router.SendKept in package protocol.
func (n *Node) SendKept(ctx context.Context, to protocol.ID, payload []byte, keep time.Duration) (protocol.Receipt, error) {
	return n.router.SendKept(ctx, to, protocol.FormRaw, payload, keep)
}

// Ping asks a peer whether it is there, and Trace finds the peers on the way. Their results and errors
// are those of Router.Ping and Router.Trace in package protocol.
func (n *Node) Ping(ctx context.Context, id protocol.ID) (protocol.Receipt, error) {
	return n.router.Ping(ctx, id)
}

// Trace is described at Ping.
func (n *Node) Trace(ctx context.Context, id protocol.ID) ([]protocol.Hop, protocol.Receipt, error) {
	return n.router.Trace(ctx, id)
}

// Receive waits for the next message and returns it, if Options.OnMessage is nil. Its bounds
// and errors are those of Router.Receive in package protocol.
func (n *Node) Receive(ctx context.Context) (protocol.Message, error) { return n.router.Receive(ctx) }

// Close waits until what the application has sent has left the node, for at most
// Options.Linger: first until the other sides have read the streams that were closed, and then
// for messages and datagrams, as Router.Close in package protocol does. Then it sends a bye to
// all peers, stops what New or Attach started, and closes the host if it is the node's own. If
// nothing waits, it takes at most about a second. It waits up to 10 s for a handler that runs.
// Nothing else of the node runs after it.
//
// The error wraps a *protocol.UnsentError if messages may be lost, a *stream.UnreadError if
// streams may not have arrived whole, and protocol.ErrHandlerRuns if a handler still runs. A
// second call waits for the first one and returns its error.
func (n *Node) Close() error {
	n.closing.Do(func() { n.closeErr = n.close() })
	return n.closeErr
}

// closeParts closes what the router uses, after it.
func (n *Node) closeParts() error {
	var errs []error
	if n.dht != nil {
		errs = append(errs, n.dht.Close())
	}
	if n.mailbox != nil {
		errs = append(errs, n.mailbox.Close())
	}
	return errors.Join(errs...)
}

func (n *Node) close() error {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()

	n.host.RemoveStreamHandler(StreamProtocol)
	if n.metrics != nil {
		n.opts.Metrics.Unregister(n.metrics)
	}
	if n.unwatch != nil {
		n.unwatch()
	}
	var errs []error
	if n.unsubscribe != nil {
		errs = append(errs, n.unsubscribe())
	}
	linger := n.opts.Linger
	if linger == 0 {
		linger = protocol.DefaultLinger
	}
	ctx, cancel := context.WithTimeout(context.Background(), max(linger, 0))
	defer cancel()
	errs = append(errs, n.streams.Shutdown(ctx), n.router.Shutdown(ctx))
	n.stop()
	n.tasks.Wait()
	errs = append(errs, n.closeParts())
	if n.own != nil {
		errs = append(errs, n.own.Close())
	}
	return errors.Join(errs...)
}
