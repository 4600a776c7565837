package protocol

import "github.com/peer-relay/peer-relay/protocol/wire"

// An ID is the 160-bit address of a peer: [20]byte. Of two ids the nearer one to a third is
// the one whose exclusive or with it is smaller, as a big-endian number. [wire.ID] has its
// methods.
type ID = wire.ID

// ParseID reads 40 hexadecimal digits of either case.
func ParseID(s string) (ID, error) { return wire.ParseID(s) }

// HashID returns the id of a libp2p peer: the first 20 bytes of the SHA-256 of the bytes of
// its peer id, the head of its key in a Kademlia DHT. That is why a key can prove an id.
func HashID(peerID []byte) ID { return wire.HashID(peerID) }
