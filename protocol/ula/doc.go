// Package ula gives peers IPv6 addresses, so that programs that insist on *net.UDPAddr run
// over the overlay unchanged: a BitTorrent DHT, a name server.
//
// The address of a peer is a unique local one (RFC 4193): the byte fd and the first 15
// bytes of the peer's id. Ids are hashes or random, so that each peer has a global id of
// its own, drawn as that document asks for; no two of a network meet by chance, and every
// peer computes the same address without asking another. Nothing is routed by it: it
// means something to these sockets only, and no interface has it.
//
//	program ── *net.UDPAddr ── Conn ── packet.Addr ── packet.PacketConn
//	                            │
//	                          Table: fd2e:a99e:4b72:… <-> 2ea99e04b7226e…
//
// An id cannot be told from its address, whose 120 bits are fewer than 160. A [Table]
// remembers whose datagrams came, and what it was told of. An address that a program has
// from elsewhere, say out of a payload, is the beginning of the id: a [Conn] asks the
// network for the peer whose id goes on from there, as an IPv6 host asks its link for a
// neighbour (RFC 4861). Meanwhile it holds what was sent there. If no peer is found, and
// for every other address, a write is an error that matches [ErrUnknown].
//
// # Limits
//
// A table holds 65,536 peers and forgets those that were not used for the longest time.
// A socket asks for 256 addresses at once, three times each, a second apart, and takes
// an answer for three seconds; it holds the last 8 datagrams for each. For 10 s after that
// it does not ask for that address again. A legacy peer that is linked with none of the
// peers near it is not found.
//
// # Threats
//
// A key whose id begins as another one's does cannot be found. But a peer without a key
// claims any id, also one that begins so. Of two peers with one address that one
// has it whose id is proved, otherwise the one that came first; the other has an address of
// the same kind that only this table knows. A proof that comes late moves both: what a
// program then writes to the address that it knew goes to the proved one, or nowhere. A peer
// that fills the table with ids that do not exist makes it forget others: a reply to those may
// be refused.
package ula
