package port

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2pws "github.com/libp2p/go-libp2p/p2p/transport/websocket"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
)

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// TestTLS checks that a port with a certificate accepts TLS and plain text, from all three
// kinds of client.
func TestTLS(t *testing.T) {
	cert, pool := selfSigned(t)
	remote := make(chan ma.Multiaddr, 2)
	h := startHost(t, Options{
		TLS:  &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}},
		HTTP: http.HandlerFunc(hello),
		AcceptText: func(c *TextConn) {
			remote <- c.RemoteMultiaddr()
			echo(c)
		},
	})
	client := &tls.Config{RootCAs: pool}

	var plain, secure []ma.Multiaddr
	for _, a := range h.PortAddrs() {
		if CostOf(a) != costWS {
			continue
		}
		if _, err := a.ValueForProtocol(ma.P_TLS); err == nil {
			secure = append(secure, a)
		} else {
			plain = append(plain, a)
		}
	}
	if len(plain) != 1 || len(secure) != 1 || !h.PortAddrs()[0].Equal(plain[0]) {
		t.Fatalf("addresses are %v", h.PortAddrs())
	}
	for _, addrs := range [][]ma.Multiaddr{plain, secure} {
		stock := nodetest.StockHost(t, libp2p.NoTransports, libp2p.Transport(libp2pws.New, libp2pws.WithTLSClientConfig(client)))
		nodetest.Connect(t, stock, peer.AddrInfo{ID: h.ID(), Addrs: addrs})
		c := h.Network().ConnsToPeer(stock.ID())[0]
		if got := c.LocalMultiaddr(); !got.Equal(addrs[0]) {
			t.Errorf("the connection arrived at %s, want %s", got, addrs[0])
		}
		stock.Close()
	}
	own, err := New(Options{TLSClient: client})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	nodetest.Connect(t, own, peer.AddrInfo{ID: h.ID(), Addrs: secure})

	dialer := websocket.Dialer{TLSClientConfig: client}
	for _, scheme := range []string{"ws", "wss"} {
		c, resp, err := dialer.Dial(scheme+"://"+h.hostport(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := resp.Header.Get(relayHeader); got != "1" {
			t.Errorf("%s: %s is %q", scheme, relayHeader, got)
		}
		echoes(t, c, legacyHello, strings.Repeat("x", 100_000))
		a := nodetest.Receive(t, "AcceptText", remote)
		if _, err := a.ValueForProtocol(ma.P_TLS); (err == nil) != (scheme == "wss") {
			t.Errorf("%s: the remote address is %s", scheme, a)
		}
	}
	transport := &http.Transport{TLSClientConfig: client.Clone(), ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	for _, scheme := range []string{"http", "https"} {
		resp, body := get(t, &http.Client{Transport: transport}, scheme+"://"+h.hostport()+"/")
		if resp.StatusCode != 200 || body != "hello" || resp.ProtoMajor != 1 {
			t.Errorf("%s: %s %s %q", scheme, resp.Proto, resp.Status, body)
		}
	}
}
