package plays

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/libp2p/go-libp2p"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	dhtrecord "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/record"
	ma "github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/encoding/protodelim"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/node/dht"
	"github.com/peer-relay/peer-relay/protocol"
)

// A Forgery is a record that no server of our DHT may keep, and no peer believe.
type Forgery struct {
	Name  string
	ID    protocol.ID // of the peer whose record it pretends to be, where it can be asked for
	Peer  peer.ID     // of the peer that the record names, if it can be read
	Key   string
	Value []byte
}

// Forgeries returns records of a victim that the holder of another key can make, and a valid
// one, the forger's own. All contain addr.
func Forgeries(victim peers.FleetHost, addr ma.Multiaddr) (forged []Forgery, right Forgery, err error) {
	key, err := node.NewKey()
	if err != nil {
		return nil, right, err
	}
	forger, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, right, err
	}
	seal := func(of peer.ID) []byte {
		rec := peer.PeerRecordFromAddrInfo(peer.AddrInfo{ID: of, Addrs: []ma.Multiaddr{addr}})
		envelope, serr := record.Seal(rec, key)
		if serr != nil {
			err = serr
			return nil
		}
		raw, serr := envelope.Marshal()
		if serr != nil {
			err = serr
		}
		return raw
	}
	under := func(id protocol.ID) string { return "/pr/" + string(id[:]) }
	own, others := seal(forger), seal(victim.Peer)
	if err != nil {
		return nil, right, fmt.Errorf("itest: forge: %w", err)
	}
	broken := slices.Clone(own)
	broken[len(broken)-1] ^= 1
	return []Forgery{
		{"another's record, under the id of the victim", victim.ID, forger, under(victim.ID), own},
		{"the victim's record, signed by another", victim.ID, victim.Peer, under(victim.ID), others},
		{"no record", victim.ID, "", under(victim.ID), []byte("forged")},
		{"changed after it was signed", node.IDOf(forger), "", under(node.IDOf(forger)), broken},
		{"under the whole hash", protocol.ID{}, forger, "/pr/" + string(hashOf(forger)), own},
		{"in another namespace", protocol.ID{}, forger, "/pk/" + string(forger), own},
	}, Forgery{"the forger's own", node.IDOf(forger), forger, under(node.IDOf(forger)), own}, nil
}

func hashOf(p peer.ID) []byte {
	sum := sha256.Sum256([]byte(p))
	return sum[:]
}

// A KadClient asks servers of our DHT one by one, in the protocol of kad-dht, and validates
// neither what it sends nor what it receives.
type KadClient struct {
	host  host.Host
	proto libp2pprotocol.ID
}

// NewKadClient makes one on a stock host.
func NewKadClient() (*KadClient, error) {
	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics())
	if err != nil {
		return nil, fmt.Errorf("itest: kad client: %w", err)
	}
	return &KadClient{host: h, proto: dht.Prefix + "/kad/1.0.0"}, nil
}

// Close ends it.
func (c *KadClient) Close() error { return c.host.Close() }

func (c *KadClient) ask(ctx context.Context, at peers.FleetHost, m *pb.Message) (*pb.Message, error) {
	info, err := at.Info()
	if err != nil {
		return nil, err
	}
	if err := c.host.Connect(ctx, *info); err != nil {
		return nil, err
	}
	s, err := c.host.NewStream(ctx, info.ID, c.proto)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if deadline, ok := ctx.Deadline(); ok {
		s.SetDeadline(deadline)
	}
	if _, err := protodelim.MarshalTo(s, m); err != nil {
		return nil, err
	}
	var answer pb.Message
	if err := protodelim.UnmarshalFrom(bufio.NewReader(s), &answer); err != nil {
		return nil, err
	}
	return &answer, nil
}

// Closer asks a server for the record of an id, and returns the number of nearer peers in the
// answer, and how many of them have an address there.
func (c *KadClient) Closer(ctx context.Context, at peers.FleetHost, id protocol.ID) (nearer, addressed int, err error) {
	answer, err := c.ask(ctx, at, pb.NewMessage(pb.Message_GET_VALUE, []byte("/pr/"+string(id[:])), 0))
	if err != nil {
		return 0, 0, err
	}
	for _, p := range answer.GetCloserPeers() {
		if nearer++; len(p.GetAddrs()) > 0 {
			addressed++
		}
	}
	return nearer, addressed, nil
}

// Put offers a record to a server, and reports whether it takes it.
func (c *KadClient) Put(ctx context.Context, at peers.FleetHost, f Forgery) (taken bool, err error) {
	m := pb.NewMessage(pb.Message_PUT_VALUE, []byte(f.Key), 0)
	m.Record = dhtrecord.MakePutRecord(f.Key, f.Value)
	_, err = c.ask(ctx, at, m)
	if errors.Is(err, network.ErrReset) {
		return false, nil
	}
	return err == nil, err
}

// Kept returns what a server has under a key, nil for nothing.
func (c *KadClient) Kept(ctx context.Context, at peers.FleetHost, key string) ([]byte, error) {
	answer, err := c.ask(ctx, at, pb.NewMessage(pb.Message_GET_VALUE, []byte(key), 0))
	if errors.Is(err, network.ErrReset) {
		return nil, nil // it never has a value under such a key
	}
	if err != nil {
		return nil, err
	}
	return answer.GetRecord().GetValue(), nil
}

// A LiarFigure is the effect of a lie.
type LiarFigure struct {
	Asked int // how often the liar was asked for the record
	Found int // how often the newcomer thought that it had found a peer
	Dials int // of the address in the lie
}

// Lie has a newcomer Connect to the id of a forged record. It knows one server of the DHT,
// which answers every question for a record with f.
func Lie(ctx context.Context, f Forgery, decoy *Decoy) (figure LiarFigure, err error) {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0/ws"), libp2p.DisableMetrics())
	if err != nil {
		return figure, fmt.Errorf("itest: liar: %w", err)
	}
	defer h.Close()
	var asked atomic.Int64
	h.SetStreamHandler(dht.Prefix+"/kad/1.0.0", func(s network.Stream) { // ends with the stream, which ends with the host
		defer s.Close()
		r := bufio.NewReader(s)
		for {
			var m pb.Message
			if protodelim.UnmarshalFrom(r, &m) != nil {
				return
			}
			answer := pb.NewMessage(m.GetType(), m.GetKey(), 0)
			if m.GetType() == pb.Message_GET_VALUE && string(m.GetKey()) == f.Key {
				asked.Add(1)
				answer.Record = dhtrecord.MakePutRecord(f.Key, f.Value)
			}
			if _, err := protodelim.MarshalTo(s, answer); err != nil {
				return
			}
		}
	})
	addrs, err := peer.AddrInfoToP2pAddrs(host.InfoFromHost(h))
	if err != nil {
		return figure, fmt.Errorf("itest: liar: %w", err)
	}
	lines := newLogLines("newcomer")
	o := Newcomer{DHT: true}.options(peers.FleetHost{Addr: addrs[0].String()})
	o.Logger = slog.New(lines)
	n, err := node.New(o)
	if err != nil {
		return figure, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	before := decoy.Dials()
	n.Connect(f.ID)
	if err := lines.await(ctx, 1, lineEnded, f.ID); err != nil {
		return figure, err
	}
	return LiarFigure{Asked: int(asked.Load()), Found: lines.Count(func(l logLine) bool { return l.message == lineFound }), Dials: decoy.Dials() - before}, nil
}
