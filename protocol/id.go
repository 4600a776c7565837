package protocol

import "github.com/peer-relay/peer-relay/protocol/wire"

// An ID is the 160-bit address of a peer: [20]byte. Nearness between ids is XOR: the smaller
// the exclusive or of two ids, read as a big-endian number, the nearer. [wire.ID] has the
// methods.
type ID = wire.ID

// ParseID returns the id that 40 hexadecimal digits of either case spell.
func ParseID(s string) (ID, error) { return wire.ParseID(s) }

// HashID returns the id of a libp2p peer: the first 20 bytes of the SHA-256 of its binary peer
// id. They are also the head of its key in a Kademlia DHT. Since the peer id is made of the
// public key, a key can prove an id.
func HashID(peerID []byte) ID { return wire.HashID(peerID) }
