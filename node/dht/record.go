package dht

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/peer-relay/peer-relay/node/internal/contact"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

const (
	// recordNamespace is the first part of the key under which a peer's signed record is
	// kept. The second part is the 20 bytes of its id.
	recordNamespace = "pr"
	recordPrefix    = "/" + recordNamespace + "/"
)

// recordKey returns the key of a peer's record.
func recordKey(id protocol.ID) string { return recordPrefix + string(id[:]) }

// cidOf returns the CID under which providers of an id are found. The id is the digest of an
// identity multihash.
func cidOf(id protocol.ID) cid.Cid {
	m, err := multihash.Encode(id[:], multihash.IDENTITY)
	if err != nil {
		panic(err) // 20 bytes are never too long
	}
	return cid.NewCidV1(cid.Raw, m)
}

// A recordValidator lets the DHT keep signed peer records, each under the id that its signer's
// key hashes to. It prefers the newer of two records.
type recordValidator struct{}

// Validate implements record.Validator of kad-dht.
func (recordValidator) Validate(key string, value []byte) error {
	_, err := openKept(key, value)
	return err
}

// Select implements record.Validator of kad-dht.
func (recordValidator) Select(key string, values [][]byte) (int, error) {
	best, at := uint64(0), -1
	for i, v := range values {
		if rec, err := openKept(key, v); err == nil && (at < 0 || rec.Seq > best) {
			best, at = rec.Seq, i
		}
	}
	if at < 0 {
		return 0, errors.New("node: DHT: no valid record")
	}
	return at, nil
}

// openKept returns the record that the DHT keeps under a key.
func openKept(key string, value []byte) (*peer.PeerRecord, error) {
	if len(value) > wire.MaxRecord {
		return nil, fmt.Errorf("node: DHT: a record of %d bytes, at most %d", len(value), wire.MaxRecord)
	}
	id, ok := strings.CutPrefix(key, recordPrefix)
	if !ok || len(id) != wire.IDSize {
		return nil, errors.New("node: DHT: the key of a record is not an id")
	}
	return contact.OpenRecord(value, protocol.ID([]byte(id)))
}
