package port

import (
	"math"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/x/rate"
)

// libp2p's default limits suit a peer with few others: 252 inbound connections, 8 of them from
// one address, and a new one every 5 s. A relay has thousands, and many may come from one
// address: a company's NAT, a reverse proxy, a test on this machine.
const (
	// DefaultMaxConns is the largest number of inbound connections of a host, libp2p and legacy
	// together, if the options set none.
	DefaultMaxConns = 8192
	// maxConnsOutbound is the largest number of connections that a host dials.
	maxConnsOutbound = 1024
	// transientShare is the inverse of the part of the connections that may be in their
	// handshakes.
	transientShare = 4
	// streamsPerConn is the largest number of streams, averaged over all connections. One
	// stream carries messages. identify, ping and DHT queries open short ones.
	streamsPerConn = 8
	// memoryPerConn is the number of bytes that all connections together may reserve, divided
	// by their number. yamux reserves 256 KiB for a stream whether it is used or not. So this
	// is a figure of accounting and not of use.
	memoryPerConn = 1 << 20

	// directShare is the inverse of the part of the inbound connections that may run over
	// webrtc-direct. Each takes 26 goroutines and 330 KiB, so those of the default take 340
	// MiB.
	directShare = 8

	// addrShare is the inverse of the part of the connections that may come from one public
	// IPv4 address, IPv6 /56 or /64.
	addrShare = 4
	// addrConnsPerSecond and addrConnsBurst are the limits of new connections from one such
	// address. The burst lets all peers behind a NAT return after a restart.
	addrConnsPerSecond = 64
	addrConnsBurst     = 1024
	// addrLimiterGrace is the time for which a full bucket is remembered.
	addrLimiterGrace = time.Minute

	// With TrimIdle, connections older than idleConnsGrace are closed once there are more than
	// idleConnsHigh in all, until idleConnsLow are left beside those with a link and those to
	// one of the 16 peers that kad-dht protects.
	idleConnsLow   = 8
	idleConnsHigh  = 32
	idleConnsGrace = 20 * time.Second
)

// The local networks have no limit by address: their connections come from this machine, its
// reverse proxy or its own network.
var (
	localNetworks4 = []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"),
		netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"),
	}
	localNetworks6 = []netip.Prefix{
		netip.MustParsePrefix("::1/128"),
		netip.MustParsePrefix("fc00::/7"),
		netip.MustParsePrefix("fe80::/10"),
	}
)

// newResourceManager returns the limits for maxConns inbound connections, or for fewer if the
// process may not open that many files.
func newResourceManager(maxConns int) (network.ResourceManager, error) {
	var opts []rcmgr.Option

	perAddr := max(1, maxConns/addrShare)
	opts = append(opts,
		rcmgr.WithNetworkPrefixLimit(unlimited(localNetworks4), unlimited(localNetworks6)),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: perAddr}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 64, ConnCount: perAddr}, {PrefixLength: 56, ConnCount: perAddr}},
		),
		rcmgr.WithConnRateLimiters(newConnRateLimiter()),
	)
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(relayLimits(maxConns)), opts...)
}

func relayLimits(maxConns int) rcmgr.ConcreteLimitConfig {
	auto := rcmgr.DefaultLimits.AutoScale()
	// libp2p takes half of the files that the process may open. A relay may take all except a
	// reserve.
	files := int(auto.ToPartialLimitConfig().System.FD) / 4 * 7

	all := maxConns + maxConnsOutbound
	streams := rcmgr.LimitVal(all * streamsPerConn)
	memory := rcmgr.LimitVal64(int64(all) * memoryPerConn)
	total := func(in, out int) rcmgr.ResourceLimits {
		return rcmgr.ResourceLimits{
			Conns:           rcmgr.LimitVal(in + out),
			ConnsInbound:    rcmgr.LimitVal(in),
			ConnsOutbound:   rcmgr.LimitVal(out),
			FD:              rcmgr.LimitVal(min(in+out, files)),
			Streams:         streams,
			StreamsInbound:  streams,
			StreamsOutbound: streams,
			Memory:          memory,
		}
	}
	// Every connection opens the same few protocols, so the limit of one protocol must be the
	// limit of all connections.
	shared := rcmgr.ResourceLimits{
		Streams:         streams,
		StreamsInbound:  streams,
		StreamsOutbound: streams,
		Memory:          memory,
	}
	return rcmgr.PartialLimitConfig{
		System:          total(maxConns, maxConnsOutbound),
		Transient:       total(max(1, maxConns/transientShare), maxConnsOutbound),
		ServiceDefault:  shared,
		ProtocolDefault: shared,
		// The limits of one peer stay libp2p's defaults.
	}.Build(auto)
}

func newConnRateLimiter() *rate.Limiter {
	limit := rate.Limit{RPS: addrConnsPerSecond, Burst: addrConnsBurst}
	l := &rate.Limiter{
		SubnetRateLimiter: rate.SubnetLimiter{
			IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: limit}},
			IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 64, Limit: limit}, {PrefixLength: 56, Limit: limit}},
			GracePeriod:      addrLimiterGrace,
		},
	}
	for _, networks := range [][]netip.Prefix{localNetworks4, localNetworks6} {
		for _, p := range networks {
			l.NetworkPrefixLimits = append(l.NetworkPrefixLimits, rate.PrefixLimit{Prefix: p}) // no limit
		}
	}
	return l
}

func unlimited(networks []netip.Prefix) []rcmgr.NetworkPrefixLimit {
	limits := make([]rcmgr.NetworkPrefixLimit, len(networks))
	for i, p := range networks {
		limits[i] = rcmgr.NetworkPrefixLimit{Network: p, ConnCount: math.MaxInt}
	}
	return limits
}
