package node

import (
	"net/netip"
	"slices"
	"testing"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/node/internal/netif"
	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/protocol"
)

func TestOrderOfToldAddrs(t *testing.T) {
	var addrs []ma.Multiaddr
	for _, a := range []string{
		"/ip4/10.8.0.6/tcp/1/ws", "/ip4/100.101.102.103/tcp/1/ws", "/ip4/169.254.7.7/tcp/1/ws", "/ip4/172.17.0.1/tcp/1/ws",
		"/ip4/192.168.5.2/tcp/1/ws", "/ip4/192.168.9.9/tcp/1/ws", "/ip6/fd00::1/tcp/1/ws", "/dns/relay.example.com/tcp/443/tls/ws",
		"/ip4/192.168.5.2/udp/1/webrtc-direct", "/ip4/192.168.9.9/udp/1/webrtc-direct",
	} {
		addrs = append(addrs, ma.StringCast(a))
	}
	sortTold(addrs, []netip.Addr{netip.MustParseAddr("192.168.9.9"), netip.MustParseAddr("192.168.5.2")})
	for i, want := range []string{
		"/dns/relay.example.com/tcp/443/tls/ws",
		"/ip4/192.168.9.9/tcp/1/ws", "/ip4/192.168.9.9/udp/1/webrtc-direct",
		"/ip4/192.168.5.2/tcp/1/ws", "/ip4/192.168.5.2/udp/1/webrtc-direct",
		"/ip4/10.8.0.6/tcp/1/ws", "/ip4/172.17.0.1/tcp/1/ws", "/ip6/fd00::1/tcp/1/ws",
		"/ip4/100.101.102.103/tcp/1/ws", "/ip4/169.254.7.7/tcp/1/ws",
	} {
		if got := addrs[i].String(); got != want {
			t.Errorf("number %d is %s, want %s", i, got, want)
		}
	}
}

// The address that faces a bootstrap is told before those that face other peers, and these
// before the one of the default route, as long as there is a link.
func TestBestAddrIsThatOfLinks(t *testing.T) {
	const url, named = "ws://192.168.5.1:8001", "/ip4/192.168.7.1/tcp/1/ws/p2p/12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"
	n, err := Attach(nodetest.StockHost(t), Options{Bootstraps: []string{named}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	n.boots[url] = protocol.ID{} // as if there were a transport for it
	defaults := netif.Default()
	for _, step := range []struct {
		do   func()
		want []string
	}{
		{func() {}, nil},
		{func() { n.peerUp(linkFrom(1, "192.168.8.2", "")) }, []string{"192.168.8.2"}},
		{func() { n.peerUp(linkFrom(2, "172.17.0.1", "")) }, []string{"172.17.0.1", "192.168.8.2"}},
		{func() { n.peerUp(linkFrom(3, "192.168.5.2", url)) }, []string{"192.168.5.2", "172.17.0.1", "192.168.8.2"}},
		{func() { n.peerUp(linkFrom(4, "192.168.5.2", "")) }, []string{"192.168.5.2", "172.17.0.1", "192.168.8.2"}},
		{func() { n.peerDown(protocol.ID{3}, nil) }, []string{"172.17.0.1", "192.168.5.2", "192.168.8.2"}},
		// It comes back by another way, and is known by its id.
		{func() { n.peerUp(linkFrom(3, "192.168.5.2", "")) }, []string{"192.168.5.2", "172.17.0.1", "192.168.8.2"}},
		{func() {
			for i := range byte(4) {
				n.peerDown(protocol.ID{i + 1}, nil)
			}
		}, nil},
		{func() {
			i := linkFrom(0, "192.168.7.2", "")
			i.ID = n.boots[named]
			n.peerUp(linkFrom(1, "172.17.0.1", ""))
			n.peerUp(i)
		}, []string{"192.168.7.2", "172.17.0.1"}},
	} {
		step.do()
		var want []netip.Addr
		for _, ip := range step.want {
			want = append(want, netip.MustParseAddr(ip))
		}
		if got := n.ownIPs(); !slices.Equal(got, append(want, defaults...)) {
			t.Errorf("the best addresses are %v, want %v and %v", got, want, defaults)
		}
	}
}

// linkFrom returns a link from an address of this machine, dialled by a URL if there is one.
func linkFrom(id byte, local, url string) protocol.LinkInfo {
	i := protocol.LinkInfo{ID: protocol.ID{id}, Kind: protocol.LinkWebSocket, Addr: url, Dialed: url != "", Local: netip.MustParseAddr(local)}
	if url == "" {
		i.Addr = "192.168.8.9:1"
	}
	return i
}
