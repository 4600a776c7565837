package port

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/quic-go/quic-go"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
)

func newTestHost(t *testing.T, o Options) *Host {
	t.Helper()
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// occupy takes a TCP port as another program does.
func occupy(t *testing.T, network, addr string) (port uint16) {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func haveIPv6() bool {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err == nil {
		l.Close()
	}
	return err == nil
}

func TestPortInUse(t *testing.T) {
	type test struct{ name, network, addr, listenHost string }
	tests := []test{
		{"the same address", "tcp4", "127.0.0.1:0", "127.0.0.1"},
		{"every address", "tcp", ":0", ""}, // as Node.js listens
		{"every IPv4 address", "tcp4", "0.0.0.0:0", ""},
		{"our own", "", "", "127.0.0.1"},
	}
	if haveIPv6() {
		tests = append(tests, test{"IPv6 alone", "tcp6", "[::]:0", ""}, test{"localhost by IPv6", "tcp6", "[::1]:0", "localhost"})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var port uint16
			if test.network == "" {
				port = startHost(t, Options{}).Port()
			} else {
				port = occupy(t, test.network, test.addr)
			}
			h := newTestHost(t, Options{Listen: true, ListenHost: test.listenHost, Number: port})
			err := h.Listen()
			if !errors.Is(err, syscall.EADDRINUSE) {
				t.Fatalf("listen returns %v, want EADDRINUSE", err)
			}
			if !strings.Contains(err.Error(), fmt.Sprintf("port %d is in use", port)) {
				t.Errorf("%q does not name the port", err)
			}
			if got := h.Network().ListenAddresses(); len(got) != 0 {
				t.Errorf("it listens on %v after that", got)
			}
		})
	}
}

func TestAnyPortIsOneForAll(t *testing.T) {
	h := newTestHost(t, Options{Listen: true, QUIC: true})
	if err := h.Listen(); err != nil {
		t.Fatal(err)
	}
	if h.Port() == 0 {
		t.Fatal("no port")
	}
	var got []string
	for _, a := range h.Network().ListenAddresses() {
		a, _ = ma.SplitFunc(a, func(c ma.Component) bool { return c.Protocol().Code == ma.P_CERTHASH })
		got = append(got, a.String())
	}
	slices.Sort(got)
	var want []string
	for _, ip := range []string{"/ip4/0.0.0.0", "/ip6/::"} {
		if ip == "/ip4/0.0.0.0" || haveIPv6() {
			want = append(want, fmt.Sprintf("%s/tcp/%d/ws", ip, h.Port()), fmt.Sprintf("%s/udp/%d/quic-v1", ip, h.Port()), fmt.Sprintf("%s/udp/%d/webrtc-direct", ip, h.Port()))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("it listens on %v, want %v", got, want)
	}
	loopback := ma.StringCast(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/ws", h.Port()))
	if got := h.PortAddrs(); len(got) == 0 || !got[0].Equal(loopback) {
		t.Errorf("addresses are %v, want %s first", got, loopback)
	}
	if !haveIPv6() {
		t.Log("no IPv6 on this machine, so it is not dialled")
		return
	}
	stock := nodetest.StockHost(t)
	nodetest.Connect(t, stock, peer.AddrInfo{ID: h.ID(), Addrs: []ma.Multiaddr{ma.StringCast(fmt.Sprintf("/ip6/::1/tcp/%d/ws", h.Port()))}})
}

// TestMissingFamily checks that listening succeeds without an address family that the machine
// lacks, if there is another one. 192.0.2.1 (for documentation) plays the missing one, since no
// machine has it.
func TestMissingFamily(t *testing.T) {
	here, missing := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.1")
	for _, ips := range [][]netip.Addr{{here, missing}, {missing, here}} {
		h := newTestHost(t, Options{NoWebRTCDirect: true})
		if err := h.listenAt(ips, 0); err != nil {
			t.Errorf("listening on %v: %v", ips, err)
		}
		if got := h.Network().ListenAddresses(); len(got) != 1 {
			t.Errorf("it listens on %v", got)
		}
	}
	h := newTestHost(t, Options{Listen: true, ListenHost: missing.String()})
	if err := h.Listen(); err == nil || !strings.Contains(err.Error(), missing.String()) {
		t.Errorf("listening on %v returns %v", missing, err)
	}
}

func TestListenHost(t *testing.T) {
	h := newTestHost(t, Options{Listen: true, ListenHost: "relay.example.com"})
	if err := h.Listen(); err == nil || !strings.Contains(err.Error(), "relay.example.com") {
		t.Errorf("listening on a name returns %v", err)
	}
	h = newTestHost(t, Options{Listen: true, ListenHost: "localhost"})
	if err := h.Listen(); err != nil {
		t.Error(err)
	}
	for _, a := range h.Network().ListenAddresses() {
		if remoteness(a) != 0 {
			t.Errorf("localhost is %s", a)
		}
	}
}

func TestAnnounce(t *testing.T) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	self, _ := peer.IDFromPrivateKey(key)
	for in, want := range map[string]string{
		"wss://relay.example.com":                        "/dns/relay.example.com/tcp/443/tls/ws",
		"wss://relay.example.com:8443/":                  "/dns/relay.example.com/tcp/8443/tls/ws",
		"ws://relay.example.com":                         "/dns/relay.example.com/tcp/80/ws",
		"ws://203.0.113.7:8001":                          "/ip4/203.0.113.7/tcp/8001/ws",
		"ws://[2001:db8::1]:8001":                        "/ip6/2001:db8::1/tcp/8001/ws",
		"/dns4/relay.example.com/tcp/443/wss":            "/dns4/relay.example.com/tcp/443/wss",
		"/ip4/203.0.113.7/tcp/1/ws/p2p/" + self.String(): "/ip4/203.0.113.7/tcp/1/ws",
	} {
		h := newTestHost(t, Options{Key: key, Announce: []string{in}})
		if got := h.PortAddrs(); len(got) != 1 || got[0].String() != want {
			t.Errorf("announcing %s yields %v, want %s", in, got, want)
		}
		if got := h.addrsToTell([]ma.Multiaddr{ma.StringCast("/ip4/10.0.0.1/tcp/1/ws")}); len(got) != 1 || got[0].String() != want {
			t.Errorf("announcing %s sends others %v, want %s", in, got, want)
		}
	}
	stranger := "12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"
	for _, in := range []string{
		"", "relay.example.com", "http://relay.example.com", "wss://", "wss://relay.example.com/path", "ws://u@h", "ws://h?q", "ws://h:99999", "ws://h:x",
		"/", "/ip4/1.2.3", "/p2p/" + self.String(), "/ip4/203.0.113.7/tcp/1/ws/p2p/" + stranger,
	} {
		h, err := New(Options{Key: key, Announce: []string{in}})
		if err == nil {
			h.Close()
			t.Errorf("announcing %q is allowed", in)
		} else if !strings.Contains(err.Error(), fmt.Sprintf("%q", in)) {
			t.Errorf("announcing %q: %v does not name it", in, err)
		}
	}
}

func TestWebSocketURL(t *testing.T) {
	for in, want := range map[string]string{
		"/ip4/127.0.0.1/tcp/8001/ws":                   "ws://127.0.0.1:8001",
		"/ip4/127.0.0.1/tcp/80/ws":                     "ws://127.0.0.1",
		"/ip4/127.0.0.1/tcp/443/ws":                    "ws://127.0.0.1:443",
		"/ip6/::1/tcp/8001/ws":                         "ws://[::1]:8001",
		"/ip6/::1/tcp/443/tls/ws":                      "wss://[::1]",
		"/dns4/relay.example.com/tcp/443/wss":          "wss://relay.example.com",
		"/dns/relay.example.com/tcp/8443/tls/sni/x/ws": "wss://relay.example.com:8443",
		"/ip4/127.0.0.1/tcp/8001":                      "",
		"/ip4/127.0.0.1/udp/8001/quic-v1":              "",
		"/ip4/127.0.0.1/tcp/8001/ws/p2p-circuit":       "",
		"/ip4/127.0.0.1/tcp/8001/ws/p2p/12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo": "ws://127.0.0.1:8001",
	} {
		if got, ok := WebSocketURL(ma.StringCast(in)); got != want || ok != (want != "") {
			t.Errorf("%s is %q, %v, want %q", in, got, ok, want)
		}
	}
}

// A peer takes the certificate of a host over QUIC whatever its clock shows.
func TestQUICCertificateHoldsAtAllTimes(t *testing.T) {
	h := startHost(t, Options{QUIC: true, NoWebRTCDirect: true})
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	identity, err := libp2ptls.NewIdentity(key)
	if err != nil {
		t.Fatal(err)
	}
	conf, _ := identity.ConfigForPeer(h.ID())
	conn, err := quic.DialAddr(t.Context(), h.hostport(), conf, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseWithError(0, "")
	cert := conn.ConnectionState().TLS.PeerCertificates[0]
	if from, to := cert.NotBefore.Year(), cert.NotAfter.Year(); from > 1970 || to < 9999 {
		t.Errorf("the certificate is valid from %d to %d", from, to)
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	a := startHost(t, Options{Metrics: registry})
	b := startHost(t, Options{Metrics: registry}) // two hosts may share one
	nodetest.Connect(t, b, peer.AddrInfo{ID: a.ID(), Addrs: a.PortAddrs()})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "libp2p_swarm_connections_opened_total" {
			return
		}
	}
	t.Errorf("no swarm metrics among %d families", len(families))
}

// TestNothingOnStderr checks that a host writes nothing to stderr, whatever strangers do.
// stderr belongs to the program that uses the host.
func TestNothingOnStderr(t *testing.T) {
	const child = "PEER_RELAY_TEST_STDERR"
	if os.Getenv(child) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNothingOnStderr$")
		cmd.Env = append(os.Environ(), child+"=1", "GOLOG_LOG_LEVEL=")
		var stderr, stdout bytes.Buffer
		cmd.Stderr, cmd.Stdout = &stderr, &stdout
		if err := cmd.Run(); err != nil {
			t.Errorf("%v\n%s", err, &stdout)
		}
		if stderr.Len() > 0 {
			t.Errorf("on stderr:\n%s", &stderr)
		}
		return
	}
	h := startHost(t, Options{AcceptText: echo})
	overUDP := nodetest.StockHost(t)
	nodetest.Connect(t, overUDP, peer.AddrInfo{ID: h.ID(), Addrs: []ma.Multiaddr{nodetest.AddrOf(t, h.PortAddrs(), ma.P_WEBRTC_DIRECT)}})
	udp, err := net.Dial("udp", h.hostport())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(udp, "junk")
	udp.Close()
	overUDP.Close()
	taken := newTestHost(t, Options{Listen: true, ListenHost: "127.0.0.1", Number: h.Port()})
	if err := taken.Listen(); err == nil {
		t.Error("two hosts on one port")
	}
	stock := nodetest.StockHost(t)
	nodetest.Connect(t, stock, peer.AddrInfo{ID: h.ID(), Addrs: h.PortAddrs()})
	echoes(t, dialText(t, h), legacyHello)
	send(t, dialText(t, h), "{")
	for _, junk := range []string{"\x16\x03\x01", "GET / HTTP/9.9\r\n\r\n", "\x00"} {
		c, err := net.Dial("tcp", h.hostport())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, junk)
		c.Close()
	}
	c := dialText(t, h)
	if err := c.WriteMessage(2, []byte("no multistream")); err != nil {
		t.Error(err)
	}
	stock.Close()
	h.Close()
}
