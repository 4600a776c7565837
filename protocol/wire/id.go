package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
)

// IDSize is the length of an ID in bytes.
const IDSize = 20

// IDBits is the length of an ID in bits, and so the number of buckets.
const IDBits = IDSize * 8

// An ID is the 160-bit address of a peer. Nearness between ids is XOR: the
// smaller the exclusive or of two ids, read as a big-endian number, the nearer.
type ID [IDSize]byte

// HashID returns the id of a libp2p peer: the first 20 bytes of the SHA-256 of its
// binary peer id. They are also the head of its key in a Kademlia DHT. Since the peer
// id is made of the public key, a key can prove an id.
func HashID(peerID []byte) ID {
	sum := sha256.Sum256(peerID)
	return ID(sum[:IDSize])
}

// ParseID returns the id that 40 hexadecimal digits of either case spell.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 2*IDSize {
		return ID{}, fmt.Errorf("peer-relay: id %.64q: want %d hexadecimal digits, have %d bytes", s, 2*IDSize, len(s))
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("peer-relay: id %q: %w", s, err)
	}
	return id, nil
}

// String returns the id as 40 lower-case hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Short returns the first four hexadecimal digits, for logs.
func (id ID) Short() string { return hex.EncodeToString(id[:2]) }

// AppendText implements encoding.TextAppender.
func (id ID) AppendText(b []byte) ([]byte, error) { return hex.AppendEncode(b, id[:]), nil }

// MarshalText implements encoding.TextMarshaler.
func (id ID) MarshalText() ([]byte, error) { return id.AppendText(nil) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// Compare returns -1, 0 or 1: the order of two ids as big-endian numbers.
func (id ID) Compare(other ID) int {
	a, b := id.head(), other.head()
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return bytes.Compare(id[headSize:], other[headSize:])
}

// Less reports whether id.Compare(*other) is negative. It is for searches among very many ids.
func (id *ID) Less(other *ID) bool {
	if a, b := id.head(), other.head(); a != b {
		return a < b
	}
	return bytes.Compare(id[headSize:], other[headSize:]) < 0
}

const headSize = 8

// head returns the first headSize bytes of the id, in which most ids differ, as a number.
func (id *ID) head() uint64 { return binary.BigEndian.Uint64(id[:headSize]) }

// Closer reports whether a is strictly nearer to id than b is.
func (id ID) Closer(a, b ID) bool {
	if x, y := id.head()^a.head(), id.head()^b.head(); x != y {
		return x < y
	}
	for i := headSize; i < len(id); i++ {
		if x, y := id[i]^a[i], id[i]^b[i]; x != y {
			return x < y
		}
	}
	return false
}

// CommonPrefixLen returns the number of leading bits that id and other share. It is the
// index of other's bucket, and IDBits if the two are equal.
func (id ID) CommonPrefixLen(other ID) int {
	if x := id.head() ^ other.head(); x != 0 {
		return bits.LeadingZeros64(x)
	}
	for i := headSize; i < len(id); i++ {
		if x := id[i] ^ other[i]; x != 0 {
			return i*8 + bits.LeadingZeros8(x)
		}
	}
	return IDBits
}

// Bit returns the i-th bit of the id, the most significant first.
func (id ID) Bit(i int) byte { return id[i/8] >> (7 - i%8) & 1 }

// FlipBit returns the id with its i-th bit inverted.
func (id ID) FlipBit(i int) ID {
	id[i/8] ^= 1 << (7 - i%8)
	return id
}

// Bucket returns the least and the greatest id of bucket b: of the ids that share b bits with id and
// differ from it in the next one.
func (id ID) Bucket(b int) (first, last ID) {
	first = id.FlipBit(b)
	last = first
	for i := b + 1; i < IDBits && i%8 != 0; i++ {
		if first.Bit(i) == 1 {
			first = first.FlipBit(i)
		}
		if last.Bit(i) == 0 {
			last = last.FlipBit(i)
		}
	}
	for i := b/8 + 1; i < IDSize; i++ {
		first[i], last[i] = 0, 0xff
	}
	return first, last
}
