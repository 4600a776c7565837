package node

import (
	"net/netip"
	"testing"

	ma "github.com/multiformats/go-multiaddr"
)

func TestScopes(t *testing.T) {
	for text, want := range map[string]scope{
		"8.8.8.8": scopePublic, "2001:db8::1": scopePublic, "::ffff:8.8.8.8": scopePublic,
		"10.1.1.1": scopePrivate, "172.16.0.1": scopePrivate, "192.168.1.1": scopePrivate, "100.64.1.1": scopePrivate,
		"fd00::1": scopePrivate, "::ffff:10.1.1.1": scopePrivate, "169.254.169.254": scopePrivate, "fe80::1": scopePrivate,
		"127.0.0.1": scopeLoopback, "127.9.9.9": scopeLoopback, "::1": scopeLoopback, "::ffff:127.0.0.1": scopeLoopback,
		"0.0.0.0": scopeNone, "::": scopeNone, "224.0.0.1": scopeNone,
	} {
		if got := scopeOf(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s has scope %d, want %d", text, got, want)
		}
	}
	for text, want := range map[string]scope{
		"ws://localhost:8001": scopeLoopback, "ws://127.0.0.1:8001": scopeLoopback, "ws://[::1]:8001": scopeLoopback,
		"wss://10.0.0.1": scopePrivate, "wss://relay.example.com": scopePublic, "/ip4/10.0.0.1/tcp/1/ws": scopePrivate,
		"/ip4/127.0.0.1/udp/1/webrtc-direct": scopeLoopback, "/ip6/fd00::1/udp/1/quic-v1": scopePrivate, "/ip4/8.8.8.8/udp/1/webrtc-direct": scopePublic,
		"/dns4/localhost/tcp/1/ws": scopeLoopback, "/dns/relay.example.com/tcp/443/tls/ws": scopePublic, "/nonsense": scopeNone,
	} {
		if got := scopeOfContact(text); got != want {
			t.Errorf("%s has scope %d, want %d", text, got, want)
		}
	}
	for text, want := range map[string]scope{"/ip4/10.0.0.1/udp/1": scopePrivate, "127.0.0.1:80": scopeLoopback, "[fd00::1]:80": scopePrivate, "ws://8.8.8.8": scopePublic} {
		if got := scopeOfRemote(text); got != want {
			t.Errorf("a link to %s has scope %d, want %d", text, got, want)
		}
	}
}

func TestHome(t *testing.T) {
	addrs := func(texts ...string) (out []ma.Multiaddr) {
		for _, text := range texts {
			out = append(out, ma.StringCast(text))
		}
		return out
	}
	for _, test := range []struct {
		name       string
		listen     []ma.Multiaddr
		bootstraps []string
		want       [4]bool // none, loopback, private, public
	}{
		{"a peer without a port", nil, nil, [4]bool{3: true}},
		{"with a bootstrap on this machine", nil, []string{"ws://localhost:8001"}, [4]bool{1: true, 3: true}},
		{"a public server", addrs("/ip4/127.0.0.1/tcp/1/ws", "/ip4/10.0.0.1/tcp/1/ws", "/ip4/8.8.8.8/tcp/1/ws"), nil, [4]bool{3: true}},
		{"a server in a private network", addrs("/ip4/127.0.0.1/tcp/1/ws", "/ip4/10.0.0.1/tcp/1/ws"), nil, [4]bool{1: true, 2: true, 3: true}},
		{"a public server with a private bootstrap", addrs("/ip4/8.8.8.8/tcp/1/ws"), []string{"/ip4/10.0.0.2/tcp/1/ws"}, [4]bool{2: true, 3: true}},
		{"nonsense", addrs("/ip4/0.0.0.0/tcp/1/ws"), []string{"nonsense", ""}, [4]bool{3: true}},
	} {
		if got := newHome(test.listen, test.bootstraps); [4]bool(got) != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
