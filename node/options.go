package node

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/peer-relay/peer-relay/node/dht"
	"github.com/peer-relay/peer-relay/node/internal/options"
	"github.com/peer-relay/peer-relay/node/internal/port"
	"github.com/peer-relay/peer-relay/node/mailbox"
	"github.com/peer-relay/peer-relay/protocol"
)

// ErrOptions is matched by errors of New and Attach about an invalid option.
var ErrOptions = options.Err

// DefaultMaxConns is the largest number of inbound connections of a host that New makes, libp2p
// and legacy together, when Options.MaxConns is 0.
const DefaultMaxConns = port.DefaultMaxConns

// Options are the options of a Node. The zero value is a peer with a fresh identity that does
// not listen and knows no other peer.
type Options struct {
	// Listen opens a TCP port and the UDP port of the same number. The TCP port serves libp2p
	// over plain TCP and over WebSocket, legacy peers if there is a Legacy transport, a status
	// page, and a page that makes a visitor's browser a peer. The UDP port serves libp2p over webrtc-direct.
	// Port is the number, 0 for any number that is free in both. ListenHost is an IP address or
	// "localhost"; "" means every address of the machine. Attach refuses all three: the
	// caller's host has its own ports.
	Listen     bool
	Port       uint16
	ListenHost string

	// NoWebRTCDirect turns webrtc-direct off, for listening and dialling. QUIC turns quic-v1
	// on, on the same UDP port and for dialling. Attach refuses both.
	NoWebRTCDirect bool
	QUIC           bool

	// Announce are the addresses that are sent to other peers, as multiaddrs or ws:// and
	// wss:// URLs, if the node's own cannot be dialled: behind a reverse proxy. A multiaddr
	// that ends in /webrtc-direct gets the node's /certhash. Attach refuses it.
	Announce []string

	// Bootstraps are peers of the network to join: multiaddrs that end in /p2p/…, and with a
	// Legacy transport ws:// and wss:// URLs. All are dialled, each until it answers.
	Bootstraps []string

	// Key is the identity. If it is nil, the key in KeyFile is used, and made if it is missing.
	// Without both, the node gets a fresh Ed25519 key for its lifetime. The group of a KeyFile
	// may not read it unless KeyFileGroup is set, as for a secret that a container gets with
	// mode 0440. Attach refuses all three: the caller's host has its own key.
	Key          crypto.PrivKey
	KeyFile      string
	KeyFileGroup bool

	// TLS makes the port accept TLS also. TLSClient is for dialling /tls/ws; nil means the
	// system's certificates. Attach refuses both.
	TLS       *tls.Config
	TLSClient *tls.Config

	// Legacy is the transport for peers that speak legacy JSON. nil means none.
	Legacy LegacyTransport

	// URLs are the ws:// and wss:// URLs at which legacy peers can dial an attached host: those
	// of an HTTP server that passes WebSockets to Legacy. nil means none. A node with its own
	// host has the URLs of its port, and ignores this field.
	URLs []string

	// WebRTC makes links to peers with signals over the overlay. nil means none. The node does
	// not close it.
	WebRTC protocol.Signaller

	// DHT puts a kad-dht on the host. nil means none.
	DHT *dht.Options

	// Mailbox makes the node a mailbox: it keeps messages for peers near its id that are offline, if
	// their senders ask for it, and hands them over when they are linked again. nil means that it
	// keeps none. A leaf can be none.
	Mailbox *mailbox.Options

	// Role is what the node offers to others. The default relays for all. A node that does not
	// listen can be RoleLeaf.
	Role protocol.Role

	// SignMessages signs the application's messages too, so receivers know that this peer has
	// sent them, over any number of hops.
	SignMessages bool

	// OnMessage, OnPeer and OnPeerDown are called one after the other, as protocol.Options
	// describes, also what a slow one misses. They must not close the node.
	OnMessage  func(protocol.Message)
	OnPeer     func(protocol.LinkInfo)
	OnPeerDown func(protocol.ID, error)

	// OnDialError is called in the same way when a bootstrap does not answer. The bootstrap is
	// dialled again.
	OnDialError func(protocol.Contact, error)

	// Linger is the longest time for which Close waits for what the application has sent:
	// messages, datagrams, and streams that were closed. 0 means protocol.DefaultLinger, 10 s,
	// and a negative value no time.
	Linger time.Duration

	// NoOverlay leaves the choice of links to the application. NoDiscovery opens no links to
	// peers that the host is connected with for other reasons.
	NoOverlay   bool
	NoDiscovery bool

	// NoTrace keeps the node from telling the origins of traces about itself: the kind of a link and
	// its version. They learn its id from the path of what it relays, like any receiver.
	NoTrace bool

	// ShowPeers shows the ids of linked peers on the status page.
	ShowPeers bool

	// Counters returns counters of the program by name, such as "lines dropped", for the status
	// page and the metrics. Several goroutines call it concurrently. nil means none.
	Counters func() map[string]uint64

	// Version is the version on the status page and in identify. "" means "dev".
	Version string

	// MaxConns is the largest number of inbound connections. 0 means DefaultMaxConns. Attach
	// refuses it.
	MaxConns int

	// Gater may refuse connections, legacy ones too. nil accepts all. Attach refuses it.
	Gater connmgr.ConnectionGater

	// Metrics is the registry for the node's counters, named peer_relay_… and labelled with its
	// id, and for those of libp2p on a host that New makes. nil means none. Close unregisters
	// the node's own.
	Metrics prometheus.Registerer

	// Logger gets links, dials and drops at debug level. nil discards them.
	Logger *slog.Logger
}

// A LegacyTransport makes links to peers that speak legacy JSON.
type LegacyTransport interface {
	protocol.Dialer

	// AcceptText serves a connection that a legacy client has opened, until it ends.
	AcceptText(ctx context.Context, r *protocol.Router, c *TextConn)
}

// A TextConn is an inbound WebSocket whose first message was text. So its client is a legacy
// peer.
type TextConn = port.TextConn
