// Package contact reads and writes the contacts that peers send each other: multiaddrs with a
// peer id, and signed peer records.
package contact

import (
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// MaxAddrs is the largest number of addresses of a peer record that are sent, and that are
// dialled.
const MaxAddrs = 16

// IDOf returns the id of a libp2p peer: the first 20 bytes of the SHA-256 of its peer id.
func IDOf(p peer.ID) protocol.ID { return protocol.HashID([]byte(p)) }

// ParseP2P returns the peer in a multiaddr that ends in /p2p/….
func ParseP2P(s string) (*peer.AddrInfo, error) {
	a, err := ma.NewMultiaddr(s)
	if err != nil {
		return nil, fmt.Errorf("node: multiaddr %q: %w", s, err)
	}
	info, err := peer.AddrInfoFromP2pAddr(a)
	if err != nil || len(info.Addrs) == 0 {
		return nil, fmt.Errorf("node: multiaddr %q: want /…/p2p/PEER-ID, so that the peer can prove its id", s)
	}
	return info, nil
}

// OpenRecord returns the content of a signed peer record. The record must be from the peer with
// this id.
func OpenRecord(raw []byte, id protocol.ID) (*peer.PeerRecord, error) {
	var rec peer.PeerRecord
	envelope, err := record.ConsumeTypedEnvelope(raw, &rec)
	if err != nil {
		return nil, fmt.Errorf("node: peer record: %w", err)
	}
	if !rec.PeerID.MatchesPublicKey(envelope.PublicKey) || IDOf(rec.PeerID) != id {
		return nil, errors.New("node: peer record of another peer")
	}
	return &rec, nil
}

// SealRecord returns a signed record with the first addresses of a peer, as many as fit. It
// returns nil if there are no addresses, or no key.
func SealRecord(self peer.ID, key crypto.PrivKey, addrs []ma.Multiaddr) ([]byte, error) {
	addrs = addrs[:min(len(addrs), MaxAddrs)]
	if key == nil || len(addrs) == 0 {
		return nil, nil
	}
	rec := peer.PeerRecordFromAddrInfo(peer.AddrInfo{ID: self, Addrs: addrs})
	for {
		envelope, err := record.Seal(rec, key)
		if err != nil {
			return nil, fmt.Errorf("node: peer record: %w", err)
		}
		raw, err := envelope.Marshal()
		if err != nil {
			return nil, fmt.Errorf("node: peer record: %w", err)
		}
		if len(raw) <= wire.MaxRecord {
			return raw, nil
		}
		if rec.Addrs = rec.Addrs[:len(rec.Addrs)-1]; len(rec.Addrs) == 0 {
			return nil, nil
		}
	}
}
