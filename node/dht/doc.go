// Package dht is the directory of a node: a kad-dht on its host that turns ids into
// addresses, and names candidates to the overlay, which works without it.
//
//	/pr/<id>               a peer's signed record, in a DHT of our own kind
//	providers of an id     the peer itself, or the nodes that have a link to a legacy peer
//	/peer-relay/1          a rendezvous: all nodes, for those that share a DHT with others
//	/peer-relay/1/gateway  a rendezvous: nodes that take legacy peers
//
// # Limits
//
// A server keeps at most 16,384 announcements and 4,096 records. At most 16 ids are looked up
// at once, each for 20 s.
//
// # Threats
//
// Anybody can read and write a DHT. So only public addresses are told and dialled, unless
// the network is said to be closed. A record must be signed by the peer whose id it is for.
package dht
