package node

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// maxRecordAddrs is how many addresses of a peer record are told, and dialled.
const maxRecordAddrs = 16

// A nativeDialer opens /peer-relay/1 streams: to the peer of a signed record, or of a
// multiaddr that ends in /p2p/….
type nativeDialer struct{ n *Node }

func (d nativeDialer) CanDial(c protocol.Contact) bool {
	return len(c.Record) > 0 || strings.HasPrefix(c.URL, "/")
}

func (d nativeDialer) Dial(ctx context.Context, _ *protocol.Router, c protocol.Contact) (protocol.Link, error) {
	var to *peer.AddrInfo
	var err error
	if len(c.Record) > 0 {
		to, err = d.n.openRecord(c)
	} else {
		to, err = parseP2P(c.URL)
	}
	if err != nil {
		return nil, err
	}
	if s, ok := d.n.host.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(to.ID) // the router has a back-off of its own
	}
	if err := d.n.host.Connect(ctx, *to); err != nil {
		return nil, fmt.Errorf("node: connect to %v: %w", to.ID, err)
	}
	return d.n.openTo(ctx, to.ID)
}

// openTo opens a stream to a peer that the host is connected with.
func (n *Node) openTo(ctx context.Context, p peer.ID) (protocol.Link, error) {
	s, err := n.host.NewStream(network.WithNoDial(ctx, "only over the connection there is"), p, StreamProtocol)
	if err != nil {
		return nil, fmt.Errorf("node: open a stream to %v: %w", p, err)
	}
	return n.openStream(ctx, s)
}

// parseP2P reads a multiaddr that ends in /p2p/….
func parseP2P(s string) (*peer.AddrInfo, error) {
	a, err := ma.NewMultiaddr(s)
	if err != nil {
		return nil, fmt.Errorf("node: multiaddr %q: %w", s, err)
	}
	info, err := peer.AddrInfoFromP2pAddr(a)
	if err != nil || len(info.Addrs) == 0 {
		return nil, fmt.Errorf("node: multiaddr %q: want /…/p2p/PEER-ID, so that the peer can prove who it is", s)
	}
	return info, nil
}

var errNoAddrs = errors.New("node: the record has no address that may be dialled")

// openRecord checks a signed peer record against the id that it came with.
func (n *Node) openRecord(c protocol.Contact) (*peer.AddrInfo, error) {
	rec, err := checkRecord(c.Record, c.ID)
	if err != nil {
		return nil, err
	}
	info := &peer.AddrInfo{ID: rec.PeerID}
	home := n.home()
	for _, a := range rec.Addrs {
		if home.has(a) && len(info.Addrs) < maxRecordAddrs {
			info.Addrs = append(info.Addrs, a)
		}
	}
	if len(info.Addrs) == 0 {
		return nil, errNoAddrs
	}
	return info, nil
}

// checkRecord opens a signed peer record, which must be that of the peer with an id.
func checkRecord(raw []byte, id protocol.ID) (*peer.PeerRecord, error) {
	var rec peer.PeerRecord
	envelope, err := record.ConsumeTypedEnvelope(raw, &rec)
	if err != nil {
		return nil, fmt.Errorf("node: peer record: %w", err)
	}
	if !rec.PeerID.MatchesPublicKey(envelope.PublicKey) || IDOf(rec.PeerID) != id {
		return nil, errors.New("node: peer record: it is another peer's")
	}
	return &rec, nil
}

// makeRecord signs addresses of this peer, as many as there is room for; nil if there are none.
func (n *Node) makeRecord(addrs []ma.Multiaddr) ([]byte, error) {
	key := n.key
	addrs = addrs[:min(len(addrs), maxRecordAddrs)]
	if key == nil || len(addrs) == 0 {
		return nil, nil
	}
	rec := peer.PeerRecordFromAddrInfo(peer.AddrInfo{ID: n.host.ID(), Addrs: addrs})
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
