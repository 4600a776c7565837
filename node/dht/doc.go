// Package dht is the directory of a node: a kad-dht on its host. It turns ids into addresses,
// and suggests candidates to the overlay. The overlay works without it.
//
//	/pr/<id>               a peer's signed record, in a DHT of our own kind
//	providers of an id     the peer itself, or the nodes that have a link to a legacy peer
//	/peer-relay/1          a rendezvous: all nodes, for those that share a DHT with others
//	/peer-relay/1/gateway  a rendezvous: nodes that accept legacy peers
//
// # Limits
//
// A server keeps at most 16,384 announcements and 4,096 records. At most 16 ids are looked up
// at once, each for 20 s.
//
// # Threats
//
// Anyone can read and write a DHT. So only public addresses are written and dialled, unless the
// options say that the network is closed. A record must be signed by the peer whose id it is
// for.
package dht
