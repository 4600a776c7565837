// Package node is a peer of the network on a libp2p host: one that [New] makes, with one
// port for everything, or one that is yours, on which [Attach] mounts the protocol.
//
//	ListenPacket, Dial     Listen, DialStream: streams.go     Send, OnMessage
//	        └───────────────────────────┬────────────────────────────┘
//	                             protocol.Router
//	                                    │
//	stream.go     a link on a /peer-relay/1 stream      dialer.go  made by address,
//	discovery.go  made to whom the host knows           dht.go     which an id has
//	                                    │               dhtstore.go  what the DHT keeps
//	host.go  a libp2p host, or yours    │    limits.go  what strangers may take of it
//	                     ┌──────────────┴───────────────┐
//	             listener.go: TCP port       direct.go: UDP port of the same number
//	               HTTP: status.go, try.go     webrtc-direct
//	               WebSocket, binary: libp2p   quic-v1
//	               WebSocket, text: legacy JSON, to a LegacyTransport (package compat)
//
// A libp2p peer's id in the network is the first 20 bytes of the SHA-256 of its peer id
// ([IDOf]), so that the secure channel proves it.
//
// # Your own host
//
// Attach sets a stream handler and listens to the host's event bus, and nothing else: the
// transports, the limits, the gater and the addresses are the host's. The node links to
// those connected peers of which identify says that they speak [StreamProtocol] and for
// which the overlay has a use, dials others by what it is told, and protects the
// connections of its links from the host's connection manager. Close takes all that off
// again. Without a private key in the host's peerstore nothing is signed.
//
// # Limits
//
// A host that New makes takes [DefaultMaxConns] inbound connections, or MaxConns, of which
// a quarter may be in their handshakes, a quarter come from one public address (IPv6: from
// one /64 or /56), and an eighth run over webrtc-direct; from one public address come 64
// new ones a second after the first 1,024. Private and loopback addresses count as
// our own. A stranger at the TCP port has 10 s for TLS and HTTP, and 10 s more for its first
// message. The host dials at most 1,024. An attached node has the limits of its host.
//
// 256 streams of a peer may be open to us on a connection, of which it has three at most, or
// eight with those that are opening, and all peers 512, and 1,024 wait for Accept; a stream
// has 4 MiB on its way or unread at most, all streams of a connection 8 MiB. What a link or
// a datagram socket may hold stands in package protocol.
//
// A server of the DHT keeps 16,384 announcements and 4,096 records. 16 ids are looked up in
// the DHT at a time, each for 20 s at most; for further ones the overlay is asked alone.
//
// # Threats
//
// A linked peer is as hostile as package protocol says. Here it is about addresses: who
// may have this machine dial what. An address that strangers tell is dialled only in the
// scopes where this peer is at home: public always; private and loopback if it has a
// bootstrap there, or listens there and nowhere in public. A signed record must be of the
// peer whose id it is for. In a DHT, which anybody can read and write, only public
// addresses are told and dialled, unless the network is said to be closed. A name counts
// as public: what it resolves to is looked at where a URL is dialled, but not where libp2p
// dials a /dns multiaddr.
package node
