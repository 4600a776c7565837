// Package ula maps peers to IPv6 addresses, so that programs that require *net.UDPAddr run over
// the overlay unchanged, such as a BitTorrent DHT or a name server.
//
// The address of a peer is a unique local address (RFC 4193): the byte fd and the first 15
// bytes of the peer's id. Ids are hashes or random, as that document requires for its global
// ids. So no two peers of a network have the same address by accident, and every peer computes
// the same address without asking another one. No interface has these addresses, and no IP
// packet is routed by them. Only these sockets use them.
//
//	program ── *net.UDPAddr ── Conn ── packet.Addr ── packet.PacketConn
//	                            │
//	                          Table: fd2e:a99e:4b72:… <-> 2ea99e04b7226e…
//
// An address does not determine an id, since it has only 120 of the 160 bits. A [Table] holds
// the peers that sent datagrams, and those that were added. A program may also have an address
// from another source, such as a payload. Then a [Conn] asks the network for the peer whose id
// begins with these bits, as an IPv6 host asks its link for a neighbour (RFC 4861). In the
// meantime it holds the datagrams to that address. If no peer is found, a write returns an
// error that wraps [ErrUnknown]. So does a write to any address of another kind.
//
// # Limits
//
// A table holds 65,536 peers and evicts the least recently used. A socket asks for 256
// addresses at once. It asks three times for each, a second apart, waits three seconds for an
// answer, and holds the last 8 datagrams. After a failure it does not ask for that address
// again for 10 s. A legacy peer that is linked with none of the peers near it cannot be found.
//
// # Threats
//
// It is not feasible to find a key whose id begins like another id. But a peer without a key
// can claim any id. Of two peers with the same address, the one with a proved id has it, or
// otherwise the one that was added first. The other one has an address that only this table
// knows. A proof that arrives later moves both. Then datagrams to the known address go to the
// proved peer, and those to its former address are refused. A peer can fill the table with ids
// that do not exist and so have others evicted. A reply to an evicted peer may be refused.
package ula
