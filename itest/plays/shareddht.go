package plays

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/peer-relay/peer-relay/itest/peers"
)

// A SharedFigure is the result of ShareDHT.
type SharedFigure struct {
	Linked time.Duration   // from the start of the first of ours until each was linked with every other
	Found  []time.Duration // how long each plain host sought each of ours; all have some in the routing table then
	Beside []time.Duration // how long plain hosts sought each other's records meanwhile
	After  []time.Duration // and after ours had gone
}

// ShareDHT starts plain hosts that have a DHT, and some processes of our binary that know
// nothing but the address of one of them, by --dht. Even ones dial it over webrtc-direct,
// odd ones over QUIC: a stock host has no port for WebSockets.
func ShareDHT(ctx context.Context, binary, prefix string, plain, ours int) (figure SharedFigure, err error) {
	var hosts []*peers.PlainDHT
	var members []*peers.GoPeer
	defer func() {
		for _, p := range members {
			err = errors.Join(err, p.Close())
		}
		for _, h := range hosts {
			err = errors.Join(err, h.Close())
		}
	}()
	var boot []string
	for range plain {
		h, err := peers.NewPlainDHT(ctx, prefix, boot...)
		if err != nil {
			return figure, err
		}
		hosts = append(hosts, h)
		boot = hosts[0].Addrs()[:1]
	}
	start := time.Now()
	for i := range ours {
		transport, flags := "/webrtc-direct/", []string{"--dht", prefix, "--dht-closed"}
		if i%2 == 1 {
			transport, flags = "/quic-v1/", append(flags, "--quic")
		}
		for _, a := range hosts[i%plain].Addrs() {
			if strings.Contains(a, transport) {
				flags = append(flags, "--dht-bootstrap", a)
			}
		}
		p, err := peers.StartGo(ctx, binary, peers.Spec{Name: fmt.Sprintf("in the DHT %d", i+1), Listen: true}, flags...)
		if err != nil {
			return figure, err
		}
		members = append(members, p)
	}
	for _, p := range members {
		for _, other := range members {
			if p == other {
				continue
			}
			if _, err := p.Events().Wait(ctx, peers.IsPeer(other.ID())); err != nil {
				return figure, err
			}
		}
	}
	figure.Linked = time.Since(start)
	for _, h := range hosts {
		var ids []peer.ID
		for _, p := range members {
			info, err := peer.AddrInfoFromString(p.Ready.Addrs[0])
			if err != nil {
				return figure, err
			}
			ids = append(ids, info.ID)
			sought := time.Now()
			// One that is connected and not yet identified is found without an address.
			if err := peers.Until(ctx, fmt.Sprintf("plain host %v to find ours %v", h.Host.ID(), info.ID), func() (bool, error) {
				got, err := h.DHT.FindPeer(ctx, info.ID)
				return err == nil && len(got.Addrs) > 0, nil // it may not know a host yet that knows ours
			}); err != nil {
				return figure, err
			}
			figure.Found = append(figure.Found, time.Since(sought))
		}
		if err := peers.Until(ctx, fmt.Sprintf("one of ours in the routing table of plain host %v", h.Host.ID()), func() (bool, error) {
			return slices.ContainsFunc(h.DHT.RoutingTable().ListPeers(), func(p peer.ID) bool { return slices.Contains(ids, p) }), nil
		}); err != nil {
			return figure, err
		}
	}
	if figure.Beside, err = provideAndFind(ctx, hosts, "beside"); err != nil {
		return figure, err
	}
	for _, p := range members {
		if err := p.Destroy(ctx); err != nil {
			return figure, err
		}
	}
	figure.After, err = provideAndFind(ctx, hosts, "after")
	return figure, err
}

// provideAndFind has each plain host announce something, and another one find it.
func provideAndFind(ctx context.Context, hosts []*peers.PlainDHT, what string) ([]time.Duration, error) {
	took, errs := make([]time.Duration, len(hosts)), make([]error, len(hosts))
	var all sync.WaitGroup // at the same time: a search that asks peers that are gone waits for each
	for i, h := range hosts {
		all.Go(func() { took[i], errs[i] = provideOne(ctx, h, hosts[(i+1)%len(hosts)], fmt.Sprintf("%s %d", what, i)) })
	}
	all.Wait()
	return took, errors.Join(errs...)
}

// provideOne has one host announce something and another one find it, and returns how long
// the search took.
func provideOne(ctx context.Context, from, to *peers.PlainDHT, what string) (time.Duration, error) {
	m, err := multihash.Sum([]byte(what), multihash.SHA2_256, -1)
	if err != nil {
		return 0, err
	}
	c := cid.NewCidV1(cid.Raw, m)
	if err := from.DHT.Provide(ctx, c, true); err != nil {
		return 0, fmt.Errorf("itest: plain host %v announces: %w", from.Host.ID(), err)
	}
	start := time.Now()
	finding, stop := context.WithCancel(ctx)
	defer stop()
	for info := range to.DHT.FindProvidersAsync(finding, c, 1) {
		if info.ID == from.Host.ID() {
			return time.Since(start), nil
		}
	}
	return 0, errors.Join(fmt.Errorf("itest: what plain host %v announced was not found", from.Host.ID()), ctx.Err())
}
