package node

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	basicconnmgr "github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/prometheus/client_golang/prometheus"
)

// portAttempts is how often a host that may take any port looks for one that is free
// in TCP and in UDP, in IPv4 and in IPv6.
const portAttempts = 16

// hostOptions are what a host of our own needs. The zero value is a peer that
// listens nowhere, with a fresh identity.
type hostOptions struct {
	// Key is the identity. Nil makes an Ed25519 key that lives as long as the host.
	Key crypto.PrivKey

	// Listen says that the host has a port. Port is its number; 0 takes one that is
	// free. ListenHost is an IP address, or "localhost"; "" listens on every address
	// of the machine, IPv4 and IPv6.
	Listen     bool
	ListenHost string
	Port       uint16

	// NoWebRTCDirect leaves webrtc-direct away, which else is listened to on the UDP port
	// of the same number, and dialled. QUIC does the same with quic-v1, on that UDP port.
	NoWebRTCDirect bool
	QUIC           bool

	// Announce are the addresses that others are told in place of the host's own:
	// multiaddrs, or ws:// and wss:// URLs without a path.
	Announce []string

	// TLS makes the port speak TLS also (/tls/ws, wss, https), next to plain text.
	TLS *tls.Config
	// TLSClient is for dialling /tls/ws. Nil trusts what the system trusts.
	TLSClient *tls.Config

	// AcceptText takes the WebSockets of legacy peers. It is called on a goroutine
	// of its own for each, and owns the connection until it returns; the connection
	// is closed then. Closing the host closes the connection and waits for
	// AcceptText, which therefore must not close the host. Nil refuses text.
	AcceptText func(*TextConn)
	// HTTP answers plain requests. Nil answers 404.
	HTTP http.Handler

	// Gater may turn connections away, legacy ones too. Nil lets everybody in.
	Gater connmgr.ConnectionGater
	// MaxConns is the most inbound connections. 0 is DefaultMaxConns. Connections
	// beyond are refused; none that carries a link is cut to make room.
	MaxConns int

	// TrimIdle cuts connections that carry no link when there are many, as a DHT's
	// lookups leave behind.
	TrimIdle bool

	// Metrics takes libp2p's metrics. Nil: they are not collected.
	Metrics prometheus.Registerer
	// UserAgent is what identify tells others. "" is "peer-relay".
	UserAgent string
	// Log hears what is odd but no error. Nil: nobody does.
	Log *slog.Logger

	// HandshakeTimeout and FirstMessageTimeout replace the 10 s that a client has
	// for its HTTP request, and for its first message, when they are not 0.
	HandshakeTimeout    time.Duration
	FirstMessageTimeout time.Duration
}

// An ownHost is a libp2p host with one port number and nothing else: WebSocket on TCP
// and webrtc-direct, quic-v1 or both on UDP; noise, yamux, identify and ping. It has no
// circuit relay, asks no router for a port, and cuts no connection that is within its
// limits, but for idle ones with TrimIdle.
type ownHost struct {
	host.Host

	// Fixed after newHost.
	opts      hostOptions
	front     *front
	direct    *directTransport // nil: no webrtc-direct
	announced []ma.Multiaddr
	log       *slog.Logger
}

// newHost makes a host that does not listen yet, so that its owner can set stream
// handlers before the first stranger comes in. The caller closes it.
func newHost(o hostOptions) (*ownHost, error) {
	if o.Key == nil {
		key, err := NewKey()
		if err != nil {
			return nil, fmt.Errorf("node: making a key: %w", err)
		}
		o.Key = key
	}
	if o.MaxConns <= 0 {
		o.MaxConns = DefaultMaxConns
	}
	if o.UserAgent == "" {
		o.UserAgent = "peer-relay"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	self, err := peer.IDFromPrivateKey(o.Key)
	if err != nil {
		return nil, fmt.Errorf("node: key: %w", err)
	}
	h := &ownHost{opts: o, log: o.Log, front: newFront(frontOptions{
		tls:                 o.TLS,
		tlsClient:           o.TLSClient,
		gater:               o.Gater,
		acceptText:          o.AcceptText,
		http:                o.HTTP,
		handshakeTimeout:    o.HandshakeTimeout,
		firstMessageTimeout: o.FirstMessageTimeout,
	})}
	for _, s := range o.Announce {
		a, err := parseAnnounce(s, self)
		if err != nil {
			return nil, optionError{fmt.Errorf("node: announced address %q: %w", s, err)}
		}
		h.announced = append(h.announced, a)
	}
	limits, err := newResourceManager(o.MaxConns)
	if err != nil {
		return nil, fmt.Errorf("node: resource limits: %w", err)
	}
	// libp2p's default one cuts connections above 192.
	var manager connmgr.ConnManager = connmgr.NullConnMgr{}
	if o.TrimIdle {
		if manager, err = basicconnmgr.NewConnManager(dhtConnsLow, dhtConnsHigh, basicconnmgr.WithGracePeriod(dhtConnsGrace)); err != nil {
			limits.Close()
			return nil, fmt.Errorf("node: connection manager: %w", err)
		}
	}
	opts := []libp2p.Option{
		libp2p.Identity(o.Key),
		libp2p.NoListenAddrs,
		libp2p.NoTransports,
		libp2p.Transport(h.front.transport),
		libp2p.Security(noise.ID, noise.New),
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport),
		libp2p.ResourceManager(limits),
		libp2p.ConnectionManager(manager),
		libp2p.DisableRelay(),
		libp2p.AddrsFactory(h.addrsToTell),
		libp2p.UserAgent(o.UserAgent),
		libp2p.SwarmOpts(swarm.WithDialRanker(rankDials)),
	}
	if !o.NoWebRTCDirect {
		opts = append(opts, libp2p.Transport(h.newDirect))
	}
	if o.QUIC {
		opts = append(opts, libp2p.Transport(libp2pquic.NewTransport))
	}
	if o.Gater != nil {
		opts = append(opts, libp2p.ConnectionGater(o.Gater))
	}
	if o.Metrics != nil {
		opts = append(opts, libp2p.PrometheusRegisterer(o.Metrics))
	} else {
		opts = append(opts, libp2p.DisableMetrics())
	}
	// It closes the resource manager when it fails, and when it is closed.
	if h.Host, err = libp2p.New(opts...); err != nil {
		return nil, errors.Join(fmt.Errorf("node: libp2p host: %w", err), manager.Close())
	}
	return h, nil
}

// addrsToTell decides which addresses identify tells others.
func (h *ownHost) addrsToTell(addrs []ma.Multiaddr) []ma.Multiaddr {
	if len(h.announced) > 0 {
		return slices.Clone(h.announced)
	}
	return h.withTLS(addrs)
}

// withTLS adds a /tls/ws address for each /ws one, if the port speaks TLS: go-libp2p
// knows of one listener only.
func (h *ownHost) withTLS(addrs []ma.Multiaddr) []ma.Multiaddr {
	if h.opts.TLS == nil {
		return addrs
	}
	all := slices.Clone(addrs)
	for _, a := range addrs {
		if s := securedAddr(a); !s.Equal(a) {
			all = append(all, s)
		}
	}
	return all
}

// listener is the part of a swarm that network.Network hides: its Listen is content
// with one address of many, and gives errors as text.
type swarmListener interface {
	AddListenAddr(ma.Multiaddr) error
	ListenClose(...ma.Multiaddr)
	ListenAddresses() []ma.Multiaddr
}

// listen opens the port, if the options ask for one: TCP, and UDP of the same number. A
// port that another program has, be it in UDP alone, is an error that matches
// syscall.EADDRINUSE: a relay that lacks what it is thought to have would be found out
// late. A machine without IPv6, or without IPv4, is none. It is called at most once.
func (h *ownHost) listen() error {
	if !h.opts.Listen {
		return nil
	}
	ips, err := listenIPs(h.opts.ListenHost)
	if err != nil {
		return err
	}
	attempts := 1
	if h.opts.Port == 0 {
		attempts = portAttempts
	}
	return whileInUse(attempts, func() error { return h.listenAt(ips, h.opts.Port) })
}

// whileInUse listens again with another number as long as the one that TCP gave in IPv4 is
// taken in UDP, or in IPv6.
func whileInUse(attempts int, listen func() error) (err error) {
	for range attempts {
		if err = listen(); !errors.Is(err, syscall.EADDRINUSE) {
			return err
		}
	}
	return err
}

// listenAt opens one port for all of ips, or none.
func (h *ownHost) listenAt(ips []netip.Addr, port uint16) error {
	swarm, ok := h.Network().(swarmListener)
	if !ok {
		return fmt.Errorf("node: listening: a %T cannot", h.Network())
	}
	var failed []error
	for _, ip := range ips {
		err := h.listenOn(swarm, ip, port)
		var inUse *portInUseError
		if errors.As(err, &inUse) {
			swarm.ListenClose(swarm.ListenAddresses()...)
			return err
		} else if err != nil {
			failed = append(failed, err)
			continue
		}
		port = h.port()
	}
	err := errors.Join(failed...)
	if len(failed) == len(ips) {
		return err
	}
	if err != nil {
		h.log.Info("listening on a part of the machine's addresses", "err", err)
	}
	return nil
}

// listenOn opens the TCP port of one address, and then the UDP port of that number.
func (h *ownHost) listenOn(swarm swarmListener, ip netip.Addr, port uint16) error {
	a, err := listenAddr(net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, port)), plainWS)
	if err != nil {
		return err
	}
	if err := swarm.AddListenAddr(a); isInUse(err) {
		return &portInUseError{network: "TCP", port: port, err: err}
	} else if err != nil {
		return fmt.Errorf("node: listening on %s: %w", netip.AddrPortFrom(ip, port), err)
	}
	if port == 0 {
		port = h.port()
	}
	var over []ma.Multiaddr
	if h.opts.QUIC {
		over = append(over, overQUIC) // the first, for webrtc-direct can share its socket
	}
	if !h.opts.NoWebRTCDirect {
		over = append(over, overWebRTC)
	}
	for _, suffix := range over {
		a, err := listenAddr(net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, port)), suffix)
		if err != nil {
			return err
		}
		if err := swarm.AddListenAddr(a); isInUse(err) {
			return &portInUseError{network: "UDP", port: port, err: err}
		} else if err != nil {
			return fmt.Errorf("node: listening on %s: %w", a, err)
		}
	}
	return nil
}

// port gives the number of the TCP port, 0 when the host does not listen.
func (h *ownHost) port() uint16 {
	for _, a := range h.Network().ListenAddresses() {
		if s, err := a.ValueForProtocol(ma.P_TCP); err == nil {
			n, _ := strconv.ParseUint(s, 10, 16)
			return uint16(n)
		}
	}
	return 0
}

// addrs gives every address of the port, without /p2p: the announced ones, then the
// machine's own, TCP before UDP, loopback first, IPv4 before IPv6, TLS last. Unlike Addrs
// it is up to date at once.
func (h *ownHost) addrs() []ma.Multiaddr {
	own, err := h.Network().InterfaceListenAddresses()
	if err != nil {
		own = h.Network().ListenAddresses()
	}
	slices.SortFunc(own, func(a, b ma.Multiaddr) int {
		return cmp.Or(costOf(a)-costOf(b), remoteness(a)-remoteness(b), strings.Compare(a.String(), b.String()))
	})
	return append(slices.Clone(h.announced), h.withTLS(own)...)
}

// remoteness is 0 for a loopback address and 1 for any other.
func remoteness(a ma.Multiaddr) int {
	if manet.IsIPLoopback(a) {
		return 0
	}
	return 1
}

// stats tells what came in at the port.
func (h *ownHost) stats() ListenerStats { return h.front.stats() }

// A portInUseError matches syscall.EADDRINUSE on every system; Windows has a number
// of its own for it.
type portInUseError struct {
	network string
	port    uint16
	err     error
}

func (e *portInUseError) Error() string {
	return fmt.Sprintf("node: %s port %d is in use by another program: %v", e.network, e.port, e.err)
}
func (e *portInUseError) Unwrap() error        { return e.err }
func (e *portInUseError) Is(target error) bool { return target == syscall.EADDRINUSE }

// wsaeaddrinuse is what Windows calls EADDRINUSE.
const wsaeaddrinuse = syscall.Errno(10048)

func isInUse(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || runtime.GOOS == "windows" && errors.Is(err, wsaeaddrinuse)
}

// listenIPs gives the addresses to listen on, in an order that tries IPv4 first.
func listenIPs(host string) ([]netip.Addr, error) {
	switch host {
	case "":
		return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}, nil
	case "localhost":
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return nil, optionError{fmt.Errorf("node: host to listen on: %q is neither an IP address nor localhost", host)}
	}
	return []netip.Addr{ip.Unmap()}, nil
}

// listensPublicly reports whether an address at which the host is to listen is public.
func (h *ownHost) listensPublicly() bool {
	ips, err := listenIPs(h.opts.ListenHost)
	if err != nil {
		return false // listen says so
	}
	for _, ip := range ips {
		if scopeOf(ip) == scopePublic {
			return true
		}
		if !ip.IsUnspecified() {
			continue
		}
		addrs, err := net.InterfaceAddrs()
		if err != nil {
			return false
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap().Is4() == ip.Is4() && scopeOf(p.Addr()) == scopePublic {
				return true
			}
		}
	}
	return false
}

func listenAddr(addr net.Addr, over ma.Multiaddr) (ma.Multiaddr, error) {
	a, err := manet.FromNetAddr(addr)
	if err != nil {
		return nil, fmt.Errorf("node: address to listen on: %w", err)
	}
	return a.Encapsulate(over), nil
}

var (
	plainWS    = ma.StringCast("/ws")
	overQUIC   = ma.StringCast("/quic-v1")
	overWebRTC = ma.StringCast("/webrtc-direct")
)

// parseAnnounce reads an address that others shall dial: a multiaddr, with or
// without our own /p2p, or a ws:// or wss:// URL.
func parseAnnounce(s string, self peer.ID) (ma.Multiaddr, error) {
	if !strings.HasPrefix(s, "/") {
		return parseWebSocketURL(s)
	}
	a, err := ma.NewMultiaddr(s)
	if err != nil {
		return nil, err
	}
	a, id := peer.SplitAddr(a)
	switch {
	case id != "" && id != self:
		return nil, fmt.Errorf("names another peer: this one is %s", self)
	case len(a) == 0:
		return nil, errors.New("has no transport")
	}
	return a, nil
}

// parseWebSocketURL turns ws://host:port into a multiaddr.
func parseWebSocketURL(s string) (ma.Multiaddr, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, err
	}
	var port, suffix string
	switch u.Scheme {
	case "ws":
		port, suffix = "80", "/ws"
	case "wss":
		port, suffix = "443", "/tls/ws"
	default:
		return nil, errors.New("want a multiaddr, or a ws:// or wss:// URL")
	}
	switch {
	case u.Hostname() == "":
		return nil, errors.New("has no host")
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "":
		return nil, errors.New("has a path: libp2p dials none")
	case u.User != nil:
		return nil, errors.New("has a user")
	case u.Port() != "":
		port = u.Port()
	}
	kind := "/dns/"
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		if kind = "/ip6/"; ip.Is4() {
			kind = "/ip4/"
		}
	}
	return ma.NewMultiaddr(kind + u.Hostname() + "/tcp/" + port + suffix)
}

// webSocketURL is the URL by which a legacy peer dials a, if there is one.
func webSocketURL(a ma.Multiaddr) (string, bool) {
	a, _ = peer.SplitAddr(a)
	var host, port, scheme string
	var secure bool
	for _, c := range a {
		switch c.Protocol().Code {
		case ma.P_IP4, ma.P_IP6, ma.P_DNS, ma.P_DNS4, ma.P_DNS6:
			host = c.Value()
		case ma.P_TCP:
			port = c.Value()
		case ma.P_TLS:
			secure = true
		case ma.P_WS:
			scheme = "ws"
		case ma.P_WSS:
			scheme, secure = "ws", true
		case ma.P_SNI:
		default:
			return "", false // a relayed address, another transport, a zone
		}
	}
	if host == "" || port == "" || scheme == "" {
		return "", false
	}
	std := "80"
	if secure {
		scheme, std = "wss", "443"
	}
	if port != std {
		return scheme + "://" + net.JoinHostPort(host, port), true
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return scheme + "://" + host, true
}
