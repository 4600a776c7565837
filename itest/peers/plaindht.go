package peers

import (
	"context"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p"
	kaddht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/peer-relay/peer-relay/node/dht"
)

// A PlainDHT is a stock go-libp2p host with a stock go-libp2p-kad-dht in server mode.
type PlainDHT struct {
	Host host.Host
	DHT  *kaddht.IpfsDHT
}

// NewPlainDHT starts one on 127.0.0.1: over TCP, QUIC and webrtc-direct, as by default.
// Only the filter that would keep loopback addresses from others is off.
func NewPlainDHT(ctx context.Context, prefix string, bootstraps ...string) (_ *PlainDHT, err error) {
	if prefix == "" {
		prefix = dht.Prefix
	}
	var boots []peer.AddrInfo
	for _, b := range bootstraps {
		info, err := peer.AddrInfoFromString(b)
		if err != nil {
			return nil, fmt.Errorf("itest: plain DHT: %w", err)
		}
		boots = append(boots, *info)
	}
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/udp/0/webrtc-direct"), libp2p.DisableMetrics())
	if err != nil {
		return nil, fmt.Errorf("itest: plain DHT: %w", err)
	}
	d, err := kaddht.New(h, kaddht.Mode(kaddht.ModeServer), kaddht.ProtocolPrefix(libp2pprotocol.ID(prefix)), kaddht.BootstrapPeers(boots...),
		kaddht.AddressFilter(func(addrs []ma.Multiaddr) []ma.Multiaddr { return addrs }))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("itest: plain DHT: %w", err), h.Close())
	}
	p := &PlainDHT{Host: h, DHT: d}
	if err := d.Bootstrap(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("itest: plain DHT: %w", err), p.Close())
	}
	return p, nil
}

// Addrs returns where it listens, each with /p2p/….
func (p *PlainDHT) Addrs() (addrs []string) {
	all, err := peer.AddrInfoToP2pAddrs(host.InfoFromHost(p.Host))
	if err != nil {
		return nil // it has no peer id, which cannot be
	}
	for _, a := range all {
		addrs = append(addrs, a.String())
	}
	return addrs
}

// Close ends it.
func (p *PlainDHT) Close() error { return errors.Join(p.DHT.Close(), p.Host.Close()) }
