// Package packet is datagram sockets over the overlay: a [PacketConn] is a net.PacketConn whose
// addresses are a peer's id and a port. Program text that takes a net.PacketConn runs over it
// unchanged; package ula is for text that insists on *net.UDPAddr.
//
//	program ── PacketConn ── Sockets ── protocol.Router ── … ── Sockets ── PacketConn ── program
//
// A program gets a PacketConn from ListenPacket or DialPacket of a router. [Sockets] is the side
// of the router: one table of ports a peer.
//
// # Limits
//
// They are constants in datagram.go. A datagram has at most [MaxDatagram] bytes. A socket
// holds 2,048 datagrams or 4 MiB for its reader, and all sockets of a peer together 64 MiB, of
// which each has 64 KiB whatever the others hold. What comes then takes the place of the
// oldest datagram of that socket.
//
// # Threats
//
// Any peer may send to any port, in the name of any id that is not the hash of a key.
// [PacketConn.ReadMsg] tells whether the sender is proved. An ephemeral port is random, so that
// a forger of answers has to guess it.
package packet
