package port

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	basicconnmgr "github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/peer-relay/peer-relay/node/internal/options"
)

// Options are the options of a Host. The zero value is a peer that does not listen, with a
// fresh identity.
type Options struct {
	// Key is the identity. nil makes an Ed25519 key for the lifetime of the host.
	Key crypto.PrivKey

	// Listen means that the host has a port. Number is its number; 0 means any free one.
	// ListenHost is an IP address, or "localhost"; "" means every address of the machine, IPv4
	// and IPv6.
	Listen     bool
	ListenHost string
	Number     uint16

	// NoWebRTCDirect turns webrtc-direct off. Otherwise the host listens to it on the UDP port
	// of the same number, and dials it. QUIC adds quic-v1 on that UDP port.
	NoWebRTCDirect bool
	QUIC           bool

	// Announce are the addresses that are sent to others in place of the host's own:
	// multiaddrs, or ws:// and wss:// URLs without a path.
	Announce []string

	// TLS makes the port accept TLS also (/tls/ws, wss, https), next to plain text.
	TLS *tls.Config
	// TLSClient is for dialling /tls/ws. nil means the system's certificates.
	TLSClient *tls.Config

	// AcceptText serves the WebSockets of legacy peers. It is called on a goroutine of its own
	// for each connection, and owns the connection until it returns. Then the connection is
	// closed. Closing the host closes the connection and waits for AcceptText. So AcceptText
	// must not close the host. nil refuses text.
	AcceptText func(*TextConn)
	// HTTP answers plain requests. nil answers 404.
	HTTP http.Handler

	// Gater may refuse connections, legacy ones too. nil accepts all.
	Gater connmgr.ConnectionGater
	// MaxConns is the largest number of inbound connections. 0 means DefaultMaxConns. More are
	// refused. No connection with a link is closed to make room.
	MaxConns int

	// TrimIdle closes connections without a link when there are many. The lookups of a DHT
	// leave such connections.
	TrimIdle bool

	// Metrics is the registry for libp2p's metrics. nil means that they are not collected.
	Metrics prometheus.Registerer
	// UserAgent is the name that identify sends. "" means "peer-relay".
	UserAgent string
	// Logger gets what is unusual but not an error. nil discards it.
	Logger *slog.Logger

	// HandshakeTimeout and FirstMessageTimeout are the time limits of a client's HTTP request,
	// and of its first message. 0 means 10 s.
	HandshakeTimeout    time.Duration
	FirstMessageTimeout time.Duration
}

// A Host is a libp2p host with one port number: plain TCP and WebSocket on TCP, and webrtc-direct, quic-v1 or
// both on UDP, with TLS 1.3 or noise, yamux, identify and ping. It has no circuit relay, asks no router
// for a port, and closes no connection within its limits, except idle ones with TrimIdle.
type Host struct {
	host.Host

	// Fixed after New.
	opts      Options
	front     *front
	direct    *directTransport // nil means no webrtc-direct
	announced []ma.Multiaddr
	stop      context.CancelFunc // ends what New started
}

// New makes a host that does not listen yet, so that its owner can set stream handlers before
// the first stranger connects. The caller closes it.
func New(o Options) (*Host, error) {
	if o.Key == nil {
		key, _, err := crypto.GenerateEd25519Key(rand.Reader)
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
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	self, err := peer.IDFromPrivateKey(o.Key)
	if err != nil {
		return nil, fmt.Errorf("node: key: %w", err)
	}
	h := &Host{opts: o, front: newFront(o)}
	for _, s := range o.Announce {
		a, err := parseAnnounce(s, self)
		if err != nil {
			return nil, options.Wrong("node: announced address %q: %w", s, err)
		}
		h.announced = append(h.announced, a)
	}
	limits, err := newResourceManager(o.MaxConns)
	if err != nil {
		return nil, fmt.Errorf("node: resource limits: %w", err)
	}
	state, _ := limits.(rcmgr.ResourceManagerState)
	limits = &watchedManager{limits, state, h.front.refused}
	// libp2p's default manager closes connections above 192.
	var manager connmgr.ConnManager = connmgr.NullConnMgr{}
	if o.TrimIdle {
		if manager, err = basicconnmgr.NewConnManager(idleConnsLow, idleConnsHigh, basicconnmgr.WithGracePeriod(idleConnsGrace)); err != nil {
			limits.Close()
			return nil, fmt.Errorf("node: connection manager: %w", err)
		}
	}
	opts := []libp2p.Option{
		libp2p.Identity(o.Key),
		libp2p.NoListenAddrs,
		libp2p.NoTransports,
		libp2p.Transport(h.front.transport),
		libp2p.Transport(newTCP),
		libp2p.Security(libp2ptls.ID, newTLS), // before noise: most processors encrypt for it in hardware
		libp2p.Security(noise.ID, noise.New),
		libp2p.Muxer(yamux.ID, muxer()),
		libp2p.ResourceManager(limits),
		libp2p.ConnectionManager(manager),
		libp2p.DisableRelay(),
		libp2p.AddrsFactory(h.addrsToTell),
		libp2p.UserAgent(o.UserAgent),
		libp2p.SwarmOpts(swarm.WithDialRanker(rankDials), swarm.WithDialTimeout(dialTimeout), swarm.WithDialTimeoutLocal(dialTimeout)),
		// After a hundred failures libp2p takes UDP, or IPv6, for blocked and refuses most dials.
		// Here they are few, and a network that was away for minutes comes back.
		libp2p.UDPBlackHoleSuccessCounter(nil),
		libp2p.IPv6BlackHoleSuccessCounter(nil),
	}
	if !o.NoWebRTCDirect {
		opts = append(opts, libp2p.Transport(h.newDirect))
	}
	if o.QUIC {
		opts = append(opts, libp2p.Transport(newQUIC))
	}
	if o.Gater != nil {
		opts = append(opts, libp2p.ConnectionGater(o.Gater))
	}
	if o.Metrics != nil {
		opts = append(opts, libp2p.PrometheusRegisterer(o.Metrics))
	} else {
		opts = append(opts, libp2p.DisableMetrics())
	}
	// The host closes the resource manager when New fails, and when the host is closed.
	if h.Host, err = libp2p.New(opts...); err != nil {
		return nil, errors.Join(fmt.Errorf("node: libp2p host: %w", err), manager.Close())
	}
	var ctx context.Context
	ctx, h.stop = context.WithCancel(context.Background())
	go h.front.refused.report(ctx, o.Logger) // ends with Close, which does not wait for a log that takes no line
	return h, nil
}

// Close closes the host and all that it has open.
func (h *Host) Close() error {
	h.stop()
	return h.Host.Close()
}
