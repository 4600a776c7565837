package port

import (
	"cmp"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
)

// dialHeadStart is the time between the dials of cheaper addresses and of others. A failed dial
// starts the next at once.
const dialHeadStart = time.Second

// The ranks of transports by the cost of a message: over a WebSocket it costs a third more than over plain
// TCP, over QUIC half as much again, over webrtc-direct 15 times as much.
const (
	costTCP = iota
	costWS
	costQUIC
	costDirect
)

// CostOf returns a rank of an address by the cost of a message over its transport.
func CostOf(a ma.Multiaddr) int {
	cost := costDirect
	for _, c := range a {
		switch c.Protocol().Code {
		case ma.P_TCP:
			cost = costTCP
		case ma.P_WS, ma.P_WSS:
			return costWS
		case ma.P_QUIC_V1:
			return costQUIC
		}
	}
	return cost
}

// rankDials returns the dials with those of cheaper transports first. Among the addresses of
// one transport it keeps go-libp2p's own order.
func rankDials(addrs []ma.Multiaddr) (ranked []network.AddrDelay) {
	addrs = slices.Clone(addrs)
	slices.SortStableFunc(addrs, func(a, b ma.Multiaddr) int { return CostOf(a) - CostOf(b) })
	var start time.Duration
	for len(addrs) > 0 {
		n := 1
		for n < len(addrs) && CostOf(addrs[n]) == CostOf(addrs[0]) {
			n++
		}
		group := swarm.DefaultDialRanker(addrs[:n:n])
		slices.SortStableFunc(group, func(a, b network.AddrDelay) int { return cmp.Compare(a.Delay, b.Delay) })
		first := group[0].Delay // not 0 for webrtc-direct, also by itself
		for i := range group {
			group[i].Delay += start - first
		}
		ranked = append(ranked, group...)
		start, addrs = ranked[len(ranked)-1].Delay+dialHeadStart, addrs[n:]
	}
	return ranked
}
