// Package node is a peer of the network on a libp2p host. [New] makes the host, with one port
// for everything. [Attach] mounts the protocol on the caller's host.
//
//	ListenPacket, DialPacket   ListenStream, DialStream   Send, OnMessage
//	         │                   stream: QUIC sessions           │
//	         └─────────────────────────┬─────────────────────────┘
//	                            protocol.Router
//	                                   │
//	link.go       a link on a /peer-relay/1 stream
//	dialer.go     made by address           dht: the address of an id
//	discovery.go  made to peers that the host knows
//	network.go    tried again when the network changes
//	rejoin.go     made to former peers when none is left
//	                                   │
//	             internal/port: a libp2p host with one port, or the caller's host
//	                                   │
//	             try, internal/status: the pages that a browser gets there
//
// The id of a libp2p peer in the network is the first 20 bytes of the SHA-256 of its peer id
// ([IDOf]), so the secure channel proves it.
//
// # Your own host
//
// Attach sets a stream handler and listens to the host's event bus, and nothing else. The
// transports, the limits, the gater and the addresses are the host's. The node opens links to
// connected peers that speak [StreamProtocol] according to identify, if the overlay wants them.
// It dials other peers by their contacts. It protects the connections of its links from the
// host's connection manager. Close undoes all that. Without a private key in the host's
// peerstore nothing is signed. A connection over a circuit relay with limits carries no link.
//
// # Networks that change
//
// A node looks at the addresses of the machine once a second. When they change, it asks its
// links whether they are alive, and dials its bootstraps again as at the start. It closes the
// connections from an address that the machine has lost, also on the host of the caller: they
// are dead.
//
// A node without any link dials its bootstraps, and some of the peers that it had links with, at
// the addresses that libp2p still has of them: for 15 minutes. So a peer whose network was away
// comes back even if its bootstraps are gone for good.
//
// Other peers get the addresses of this machine in an order: first those of the node's links
// with its bootstraps, then those of its other links, then those of the default routes. A legacy
// peer learns only the first.
//
// # Messages for peers that are offline
//
// With Options.Mailbox a node keeps messages for peers near its id that are offline, and hands them over
// when these have a link to it: see package mailbox. It seeks no such link. Peers seek links to those
// that are nearest to their ids. A peer of the npm package may be linked with others only, and then its
// messages stay until their time is over.
//
// # Limits
//
// A host that New makes accepts [DefaultMaxConns] inbound connections, or MaxConns. A quarter
// of them may be in their handshakes, a quarter may come from one public address (IPv6: from
// one /64 or /56), and an eighth may run over webrtc-direct. A public address may open 64 new
// ones a second after the first 1,024. The limits of one address do not apply to private and
// loopback addresses. A stranger at the TCP port has 10 s for TLS and HTTP, and 10 s more for
// its first message. The host dials at most 1,024 connections. An attached node has the limits
// of its host. The documentation of package stream has the limits of streams, that of package
// dht those of the DHT, and that of package protocol those of links and datagram sockets.
//
// A TCP client that is refused for a limit gets the status 429 or 503 in HTTP, with
// Retry-After. Each limit has a counter, peer_relay_port_requests_total{outcome="refused_…"},
// and a line in the log at level Warn, at most every 10 s. The limits are rate, address,
// handshakes, connections, webrtc_direct, and files (the process may open no more).
//
// # Threats
//
// Package protocol describes what a hostile linked peer can do. The threat here is about
// addresses: which ones a stranger can make this machine dial. The address of a stranger is
// dialled only in the scopes where this peer is at home. Public addresses always are. Private
// and loopback addresses are if the peer has a bootstrap there, or listens there and nowhere in
// public. A signed record must be from the peer whose id it is for. Anyone can read and write a
// DHT. So only public addresses are written there and dialled from there, unless the options
// say that the network is closed. A name counts as public: its addresses are checked where a
// URL is dialled, but not where libp2p dials a /dns multiaddr.
package node

// Users build the JavaScript of the page at /try with go generate ./node.
//
//go:generate go generate ./try
