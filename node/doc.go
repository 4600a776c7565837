// Package node is a peer of the network on a libp2p host: one that [New] makes, with one port
// for everything, or one of the caller's, on which [Attach] mounts the protocol.
//
//	ListenPacket, DialPacket   ListenStream, DialStream   Send, OnMessage
//	         │                   stream: QUIC sessions           │
//	         └─────────────────────────┬─────────────────────────┘
//	                            protocol.Router
//	                                   │
//	link.go       a link on a /peer-relay/1 stream
//	dialer.go     made by address           dht: the address that an id has
//	discovery.go  made to peers that the host knows
//	                                   │
//	             internal/port: a libp2p host with one port, or the caller's host
//	                                   │
//	             try, internal/status: the pages that a browser gets there
//
// A libp2p peer's id in the network is the first 20 bytes of the SHA-256 of its peer id
// ([IDOf]), so that the secure channel proves it.
//
// # Your own host
//
// Attach sets a stream handler and listens to the host's event bus, and nothing else: the
// transports, the limits, the gater and the addresses are the host's. The node links to
// those connected peers of which identify says that they speak [StreamProtocol] and that the
// overlay wants, dials others by what it is told, and protects the connections of its links
// from the host's connection manager. Close takes all that off again. Without a private key
// in the host's peerstore nothing is signed.
//
// # Limits
//
// A host that New makes takes [DefaultMaxConns] inbound connections, or MaxConns. Of these a
// quarter may be in their handshakes, a quarter may come from one public address (IPv6: from
// one /64 or /56), and an eighth may run over webrtc-direct. From one public address come 64
// new ones a second after the first 1,024. Private and loopback addresses count as our own.
// A stranger at the TCP port has 10 s for TLS and HTTP, and 10 s more for its first message.
// The host dials at most 1,024. An attached node has the limits of its host. The limits of
// streams stand in package stream, those of the DHT in package dht, and what a link or a
// datagram socket may hold in package protocol.
//
// # Threats
//
// A linked peer is as hostile as package protocol says. Here it is about addresses: which
// ones a stranger can make this machine dial. An address that strangers tell is dialled only in the scopes
// where this peer is at home: public always; private and loopback if it has a bootstrap
// there, or listens there and nowhere in public. A signed record must be of the peer whose
// id it is for. In a DHT, which anybody can read and write, only public addresses are told
// and dialled, unless the network is said to be closed. A name counts as public: what it
// resolves to is checked where a URL is dialled, but not where libp2p dials a /dns
// multiaddr.
package node

// Users build the JavaScript of the page at /try with go generate ./node.
//
//go:generate go generate ./try
