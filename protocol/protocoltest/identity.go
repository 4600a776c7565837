package protocoltest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"

	"github.com/peer-relay/peer-relay/protocol"
)

// An Identity is a key and its id. The id is the hash of the key, as with libp2p keys.
type Identity struct {
	ID  protocol.ID
	Key []byte

	private ed25519.PrivateKey
}

// NewIdentity returns the identity of a seed.
func NewIdentity(seed uint64) Identity {
	s := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("protocoltest"), seed))
	private := ed25519.NewKeyFromSeed(s[:])
	public := private.Public().(ed25519.PublicKey)
	return Identity{ID: protocol.HashID(public), Key: public, private: private}
}

// Sign returns the signature of data with the identity's key.
func (i Identity) Sign(data []byte) ([]byte, error) { return ed25519.Sign(i.private, data), nil }

// Verify returns the id of a key, and whether sig is its signature of data.
func Verify(key, data, sig []byte) (protocol.ID, bool) {
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, data, sig) {
		return protocol.ID{}, false
	}
	return protocol.HashID(key), true
}

// Options returns the options of a router with this identity.
func (i Identity) Options() protocol.Options {
	return protocol.Options{ID: i.ID, Key: i.Key, Sign: i.Sign, Verify: Verify}
}
