package port

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
)

func TestWhatCostsLessIsDialledFirst(t *testing.T) {
	a, b := startHost(t, Options{QUIC: true}), newTestHost(t, Options{QUIC: true})
	addrs := a.PortAddrs()
	slices.Reverse(addrs)
	nodetest.Connect(t, b, peer.AddrInfo{ID: a.ID(), Addrs: addrs})
	for _, c := range b.Network().ConnsToPeer(a.ID()) {
		if got := c.ConnState().Transport; got != "tcp" {
			t.Errorf("connected over %s", got)
		}
	}

	const hash = "/certhash/uEiCQCALYac4V3LJ2ourLdauXOswIXpIuJ_JNT-8Wavmxyw"
	delays := make(map[string]time.Duration)
	for _, d := range rankDials([]ma.Multiaddr{
		ma.StringCast("/ip4/8.8.8.8/udp/1/webrtc-direct" + hash), ma.StringCast("/ip6/2001:db8::1/udp/1/quic-v1"),
		ma.StringCast("/ip4/8.8.8.8/tcp/1/ws"), ma.StringCast("/ip4/8.8.8.8/tcp/2"), ma.StringCast("/ip6/2001:db8::1/tcp/1/ws"), ma.StringCast("/ip4/8.8.8.8/udp/1/quic-v1"),
	}) {
		proto := "direct"
		if s := d.Addr.String(); strings.HasSuffix(s, "ws") {
			proto = "ws"
		} else if strings.HasSuffix(s, "quic-v1") {
			proto = "quic"
		} else if strings.HasSuffix(s, "tcp/2") {
			proto = "tcp"
		}
		delays["last "+proto] = max(delays["last "+proto], d.Delay)
		if first, ok := delays["first "+proto]; !ok || d.Delay < first {
			delays["first "+proto] = d.Delay
		}
	}
	if delays["first tcp"] != 0 || delays["first ws"] != delays["last tcp"]+dialHeadStart || delays["first quic"] != delays["last ws"]+dialHeadStart || delays["first direct"] != delays["last quic"]+dialHeadStart {
		t.Errorf("delays are %v", delays)
	}
	if only := rankDials([]ma.Multiaddr{ma.StringCast("/ip4/8.8.8.8/udp/1/webrtc-direct" + hash)}); len(only) != 1 || only[0].Delay != 0 {
		t.Errorf("the only address is dialled after %v", only)
	}
}
