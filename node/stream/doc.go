// Package stream carries streams between two peers over a datagram socket: net.Conns that
// arrive whole and in order, whose other end is proved, and that no relay can read.
//
//	Listener    Conn               what a program holds
//	     └── Endpoint ──┘
//	            │
//	         session               one QUIC connection for each pair of peers
//	            │
//	         socket                packs QUIC packets into larger datagrams
//	            │
//	      net.PacketConn           whose addresses are packet.Addr
//
// Both peers present the certificate of libp2p's TLS handshake. So each knows the key of the
// other one, and with it its id. SPEC.md describes the rest under "Streams": the header of a
// stream, its answer, and the question whether a session is idle.
//
// # Limits
//
// A peer may have 256 streams open here on a session. It may have three sessions, or eight
// with those that it is opening. All peers may have 512 together. 1,024 streams wait for
// Accept. A stream holds at most 4 MiB in flight or unread, all streams of a session 8 MiB.
//
// # Threats
//
// Anybody can send datagrams that claim to come from another id. From 64 sessions on, or two
// of one id, the opener must first show that it receives what is sent to its id. A session
// whose key does not hash to the id that it comes from is closed.
package stream
