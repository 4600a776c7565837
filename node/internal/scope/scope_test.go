package scope

import (
	"net/netip"
	"testing"

	ma "github.com/multiformats/go-multiaddr"
)

func TestScopes(t *testing.T) {
	for text, want := range map[string]Scope{
		"8.8.8.8": Public, "2001:db8::1": Public, "::ffff:8.8.8.8": Public,
		"10.1.1.1": Private, "172.16.0.1": Private, "192.168.1.1": Private, "100.64.1.1": Private,
		"fd00::1": Private, "::ffff:10.1.1.1": Private, "169.254.169.254": Private, "fe80::1": Private,
		"127.0.0.1": Loopback, "127.9.9.9": Loopback, "::1": Loopback, "::ffff:127.0.0.1": Loopback,
		"0.0.0.0": None, "::": None, "224.0.0.1": None,
	} {
		if got := Of(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s has scope %d, want %d", text, got, want)
		}
	}
	for text, want := range map[string]Scope{
		"ws://localhost:8001": Loopback, "ws://127.0.0.1:8001": Loopback, "ws://[::1]:8001": Loopback,
		"wss://10.0.0.1": Private, "wss://relay.example.com": Public, "/ip4/10.0.0.1/tcp/1/ws": Private,
		"/ip4/127.0.0.1/udp/1/webrtc-direct": Loopback, "/ip6/fd00::1/udp/1/quic-v1": Private, "/ip4/8.8.8.8/udp/1/webrtc-direct": Public,
		"/dns4/localhost/tcp/1/ws": Loopback, "/dns/relay.example.com/tcp/443/tls/ws": Public, "/nonsense": None,
	} {
		if got := OfContact(text); got != want {
			t.Errorf("%s has scope %d, want %d", text, got, want)
		}
	}
	for text, want := range map[string]Scope{"/ip4/10.0.0.1/udp/1": Private, "127.0.0.1:80": Loopback, "[fd00::1]:80": Private, "ws://8.8.8.8": Public} {
		if got := OfRemote(text); got != want {
			t.Errorf("a link to %s has scope %d, want %d", text, got, want)
		}
	}
}

func TestSubnet(t *testing.T) {
	for ip, want := range map[string]string{
		"203.0.113.7": "203.0.113.0/24", "::ffff:203.0.113.7": "203.0.113.0/24", "2001:db8:1:2::3": "2001:db8:1::/48",
		"10.1.2.3": "", "127.0.0.1": "", "fe80::1%eth0": "", "fd00::1": "", "100.64.0.1": "",
	} {
		got := Subnet(netip.MustParseAddr(ip))
		if want == "" && got.IsValid() || want != "" && got.String() != want {
			t.Errorf("%s is in %v, want %q", ip, got, want)
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
		if got := NewHome(test.listen, test.bootstraps); [4]bool(got) != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
