// Package packet provides datagram sockets over the overlay. A [PacketConn] is a net.PacketConn
// whose addresses are a peer's id and a port. Code for a net.PacketConn runs over it unchanged.
// Package ula is for code that requires *net.UDPAddr.
//
//	program ── PacketConn ── Sockets ── protocol.Router ── … ── Sockets ── PacketConn ── program
//
// A program gets a PacketConn from ListenPacket or DialPacket of a router. The router has
// [Sockets], the table of the peer's ports.
//
// # Limits
//
// The limits are constants in datagram.go. A datagram has at most [MaxDatagram] bytes. A socket
// holds 2,048 datagrams or 4 MiB for its reader, and all sockets of a peer together 64 MiB. If
// these are used up, each socket may still hold 64 KiB. Beyond that a new datagram evicts the
// oldest ones of its socket.
//
// # Threats
//
// Any peer may send to any port, in the name of any id that is not the hash of a key.
// [PacketConn.ReadMsg] reports whether the sender is proved. An ephemeral port is random, so
// that a forger of answers has to guess it.
package packet
