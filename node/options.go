package node

import (
	"context"
	"crypto/tls"
	"log/slog"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/peer-relay/peer-relay/node/dht"
	"github.com/peer-relay/peer-relay/node/internal/options"
	"github.com/peer-relay/peer-relay/node/internal/port"
	"github.com/peer-relay/peer-relay/protocol"
)

// ErrOptions is matched by errors of New and Attach that say which option is wrong.
var ErrOptions = options.Err

// DefaultMaxConns is the most inbound connections of a host that New makes, libp2p and
// legacy together, when Options.MaxConns is 0.
const DefaultMaxConns = port.DefaultMaxConns

// Options says what a Node is to be. The zero value is a peer with a fresh identity that
// listens nowhere and knows no other peer.
type Options struct {
	// Listen opens a TCP port that serves libp2p over WebSocket, legacy peers if there
	// is a Legacy transport, a status page, and a page that makes a visitor's browser a
	// peer; and the UDP port of the same number, that serves libp2p over webrtc-direct.
	// Port is the number, 0 for any that is free in both; ListenHost an IP address or
	// "localhost", "" for every address of the machine. Attach refuses all three: a host of
	// the caller's has its own ports.
	Listen     bool
	Port       uint16
	ListenHost string

	// NoWebRTCDirect neither listens to webrtc-direct nor dials it. QUIC listens to
	// quic-v1 also, on the same UDP port, and dials it. Attach refuses both.
	NoWebRTCDirect bool
	QUIC           bool

	// Announce are the addresses that others are told, multiaddrs or ws:// and wss://
	// URLs, where the node's own are not the ones to dial: behind a reverse proxy. A
	// multiaddr that ends in /webrtc-direct gets the node's /certhash. Attach refuses it.
	Announce []string

	// Bootstraps are peers of the network to join: multiaddrs that end in /p2p/…, and
	// with a Legacy transport ws:// and wss:// URLs. All are dialled, each until it
	// answers.
	Bootstraps []string

	// Key is the identity. Without it the key in KeyFile is used, which is made if it
	// is missing; without both a fresh Ed25519 key that lives as long as the node. The
	// group of a KeyFile may not read it unless KeyFileGroup is set, as for a secret that a
	// container gets with mode 0440. Attach refuses all three: a host of the caller's has
	// its own key.
	Key          crypto.PrivKey
	KeyFile      string
	KeyFileGroup bool

	// TLS makes the port speak TLS also. TLSClient is for dialling /tls/ws, nil trusts
	// what the system trusts. Attach refuses both.
	TLS       *tls.Config
	TLSClient *tls.Config

	// Legacy carries the peers that speak legacy JSON. Nil means that there are none.
	Legacy LegacyTransport

	// URLs are the ws:// and wss:// URLs at which legacy peers can dial an attached host:
	// those of an HTTP server that hands WebSockets to Legacy. Nil means none. A node with a
	// host of its own has those of its port, and no use for this field.
	URLs []string

	// WebRTC makes links to peers that are signalled to over the overlay. Nil means that
	// there are none. Close does not close it.
	WebRTC protocol.Signaller

	// DHT puts a kad-dht on the host. Nil means that there is none.
	DHT *dht.Options

	// Role is what the node offers to others. The default relays for all; a node that
	// does not listen can be RoleLeaf.
	Role protocol.Role

	// SignMessages signs the application's messages too. So receivers know that they are
	// this peer's however many hops away.
	SignMessages bool

	// OnMessage, OnPeer and OnPeerDown are called one after the other, as protocol.Options
	// says. They must not close the node.
	OnMessage  func(protocol.Message)
	OnPeer     func(protocol.LinkInfo)
	OnPeerDown func(protocol.ID, error)

	// OnDialError is called likewise when a bootstrap does not answer, which is tried again.
	OnDialError func(protocol.Contact, error)

	// NoOverlay leaves the choice of links to the application, NoDiscovery opens none
	// to peers that the host is connected with for other reasons.
	NoOverlay   bool
	NoDiscovery bool

	// ShowPeers lets the status page tell the ids of linked peers.
	ShowPeers bool

	// Version is what the status page and identify tell, "" means "dev".
	Version string

	// MaxConns is the most inbound connections, 0 means DefaultMaxConns. Attach refuses it.
	MaxConns int

	// Gater may turn connections away, legacy ones too. Nil lets all in. Attach refuses it.
	Gater connmgr.ConnectionGater

	// Metrics takes the node's counters, named peer_relay_… and labelled with its id, and
	// those of libp2p on a host that New makes. Nil means that there are none. Close takes
	// the node's own off again.
	Metrics prometheus.Registerer

	// Logger is told of links, dials and drops at debug level. Nil discards it.
	Logger *slog.Logger
}

// A LegacyTransport makes links to peers that speak legacy JSON.
type LegacyTransport interface {
	protocol.Dialer

	// AcceptText takes a connection that a legacy client opened, until it ends.
	AcceptText(ctx context.Context, r *protocol.Router, c *TextConn)
}

// A TextConn is an inbound WebSocket whose client spoke text first, and so is a legacy peer.
type TextConn = port.TextConn
