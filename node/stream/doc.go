// Package stream carries streams between two peers over a datagram socket. A stream is a
// net.Conn: all bytes arrive, in order. The other end is proved, and no relay can read the
// stream.
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
// Both peers present the certificate of libp2p's TLS handshake. So each knows the other's key,
// and with it the other's id. SPEC.md describes the rest under "Streams": the header of a
// stream, its answer, and the question whether a session is idle.
//
// # Limits
//
// A peer may have 256 streams open here on a session. It may have three sessions, or eight with
// those that it is opening. All peers together may have 512. At most 1,024 streams wait for
// Accept. A stream holds at most 4 MiB in flight or unread, and all streams of a session 8 MiB.
//
// # Threats
//
// Anyone can send datagrams that claim to come from another id. From 64 sessions on, or from
// two of the same id on, the opener must first show that it receives what is sent to its id. A
// session is closed if its key does not hash to the id in its address.
package stream
