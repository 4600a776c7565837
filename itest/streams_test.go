package itest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/peer-relay/peer-relay/compat/legacy"
	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/node/stream"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/packet"
)

// A jsAndGo is two nodes with two relays between: near, a JS relay, our binary, far.
// There is no other link.
type jsAndGo struct {
	near, far *node.Node
	relay     *peers.GoPeer // our binary
	tap       *peers.Tap    // between near and the JS relay; nil: there is none
}

// dialThis dials legacy peers at one address only.
type dialThis struct {
	peers.DialOnly
	url string
}

func (d dialThis) CanDial(c protocol.Contact) bool { return c.URL == d.url && d.DialOnly.CanDial(c) }

func startJSAndGo(t *testing.T, tapped bool) (ends jsAndGo) {
	t.Helper()
	d := harness.StartDriver(t)
	ctx := harness.Context(t)
	js := harness.NPMPeer(t, d, peers.NPMSpec{Spec: peers.Spec{Name: "js relay", Listen: true}, Hold: true})
	relay := harness.GoPeer(t, peers.Spec{Name: "go relay", Listen: true, Bootstrap: []string{js.URL()}})
	ends.relay = relay
	url := js.URL()
	if tapped {
		var err error
		ends.tap, err = d.Tap(ctx, "tap", url)
		harness.Must(t, err)
		url = ends.tap.URL
	}
	linked := func(n *node.Node, to peers.Peer) {
		_, err := to.Events().Wait(ctx, peers.IsPeer(n.ID()))
		harness.Must(t, err)
		harness.Must(t, peers.Until(ctx, "the relay to be linked", func() (bool, error) { return len(n.Router().Peers()) == 1, nil }))
		t.Cleanup(func() {
			if links := n.Router().Peers(); len(links) != 1 || links[0].ID != to.ID() {
				t.Errorf("a node has %d links, want one, to its relay", len(links))
			}
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	// The host has no transport by which it could dial our relay past the JS one.
	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.Transport(libp2pquic.NewTransport))
	harness.Must(t, err)
	t.Cleanup(func() { h.Close() })
	ends.near, err = node.Attach(h, node.Options{Bootstraps: []string{url}, NoOverlay: true,
		Legacy: dialThis{peers.DialOnly{WebSocket: &legacy.WebSocket{}}, url}})
	harness.Must(t, err)
	linked(ends.near, js)
	ends.far, err = node.New(node.Options{Bootstraps: relay.Ready.Addrs[:1], NoOverlay: true, NoDiscovery: true})
	harness.Must(t, err)
	linked(ends.far, relay)
	return ends
}

// A lossy socket drops some of what is sent.
type lossy struct {
	*packet.PacketConn
	percent int

	mu            sync.Mutex
	random        *rand.Rand
	sent, dropped int
}

func (c *lossy) WriteTo(p []byte, addr net.Addr) (int, error) {
	c.mu.Lock()
	drop := c.random.IntN(100) < c.percent
	c.sent++
	if drop {
		c.dropped++
	}
	c.mu.Unlock()
	if drop {
		return len(p), nil
	}
	return c.PacketConn.WriteTo(p, addr)
}

// There are no buffers to be set; without these methods quic-go logs about that.
func (*lossy) SetReadBuffer(int) error  { return nil }
func (*lossy) SetWriteBuffer(int) error { return nil }

// TestHTTP3 has quic-go's HTTP/3 server and client on two sockets.
func TestHTTP3(t *testing.T) {
	ends := startJSAndGo(t, false)
	for _, percent := range []int{0, 1} {
		t.Run(strconv.Itoa(percent)+" percent lost", func(t *testing.T) { fetchHTTP3(t, ends, percent) })
	}
}

func fetchHTTP3(t *testing.T, ends jsAndGo, percent int) {
	const size = 10_000_000
	serverSocket, err := ends.far.ListenPacket(443)
	harness.Must(t, err)
	defer serverSocket.Close()
	clientSocket, err := ends.near.ListenPacket(0)
	harness.Must(t, err)
	defer clientSocket.Close()
	ctx := harness.Context(t)
	before, err := peers.FetchStatus(ctx, ends.relay.URL())
	harness.Must(t, err)
	server := &lossy{PacketConn: serverSocket, percent: percent, random: rand.New(rand.NewPCG(1, uint64(percent)))}
	client := &lossy{PacketConn: clientSocket, percent: percent, random: rand.New(rand.NewPCG(2, uint64(percent)))}

	cert, pool := selfSigned(t, "far.example")
	config := &quic.Config{DisablePathMTUDiscovery: true, MaxIdleTimeout: harness.Patience}
	serverTransport := &quic.Transport{Conn: server}
	defer serverTransport.Close()
	listener, err := serverTransport.ListenEarly(http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{cert}}), config)
	harness.Must(t, err)
	h3 := &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(size))
		io.CopyN(w, peers.SeedSource(10), size) // the client misses what does not arrive
	})}
	served := make(chan error, 1)
	go func() { served <- h3.ServeListener(listener) }() // until the server is closed
	defer func() {
		h3.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the server ended: %v", err)
		}
	}()

	clientTransport := &quic.Transport{Conn: client}
	defer clientTransport.Close()
	tripper := &http3.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool}, QUICConfig: config,
		Dial: func(ctx context.Context, _ string, tc *tls.Config, qc *quic.Config) (*quic.Conn, error) {
			return clientTransport.DialEarly(ctx, server.LocalAddr(), tc, qc)
		},
	}
	defer tripper.Close()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://far.example/", nil)
	harness.Must(t, err)
	response, err := tripper.RoundTrip(request)
	harness.Must(t, err)
	defer response.Body.Close()
	got, want := sha256.New(), sha256.New()
	n, err := io.Copy(got, response.Body)
	harness.Must(t, err)
	io.CopyN(want, peers.SeedSource(10), size)
	if n != size || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		t.Errorf("%d bytes came of %d, or others", n, size)
	}
	t.Logf("%d bytes came, SHA-256 %x, of what was sent %x", n, got.Sum(nil), want.Sum(nil))
	after, err := peers.FetchStatus(ctx, ends.relay.URL())
	harness.Must(t, err)
	passed := after.Counters["forwarded"] - before.Counters["forwarded"]
	t.Logf("our relay, between the JS one and the server, passed %d messages on", passed)
	if came := client.Stats().Received; passed < came {
		t.Errorf("%d datagrams came to the client, and the relay passed %d messages on", came, passed)
	}
	for i, c := range []*lossy{server, client} {
		c.mu.Lock()
		t.Logf("%s: %d datagrams sent, %d dropped on purpose; socket: %+v", []string{"server", "client"}[i], c.sent, c.dropped, c.Stats())
		if (c.dropped > 0) != (percent > 0) {
			t.Errorf("%d datagrams of %d were dropped on purpose", c.dropped, c.sent)
		}
		c.mu.Unlock()
	}
}

// selfSigned makes a certificate for a name.
func selfSigned(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	harness.Must(t, err)
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(cryptorand.Reader, template, template, key.Public(), key)
	harness.Must(t, err)
	leaf, err := x509.ParseCertificate(der)
	harness.Must(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// TestStreamThroughJSRelay has an echo over a stream, and reads on the way what a relay
// can: of a datagram all, of a stream nothing.
func TestStreamThroughJSRelay(t *testing.T) {
	ends := startJSAndGo(t, true)
	ctx := harness.Context(t)
	const plain = "whoever reads this may know it"
	digits := strings.Trim(peers.BytesText([]byte(plain)), "[]") // as JSON writes a Buffer
	says := func(f peers.TapFrame) bool {
		return strings.Contains(f.Text, digits) || strings.Contains(f.Text, plain)
	}
	read := func() int { return ends.tap.Frames.Count(says) }

	server, err := ends.far.ListenPacket(7)
	harness.Must(t, err)
	defer server.Close()
	client, err := ends.near.DialPacket(ends.far.ID(), 7)
	harness.Must(t, err)
	defer client.Close()
	_, err = client.Write([]byte(plain))
	harness.Must(t, err)
	harness.Must(t, server.SetReadDeadline(time.Now().Add(harness.Patience)))
	_, _, err = server.ReadFrom(make([]byte, 100))
	harness.Must(t, err)
	_, err = ends.tap.Frames.Wait(ctx, says) // the tap reports a frame after it has passed it on
	harness.Must(t, err)
	if n := read(); n != 1 {
		t.Fatalf("the relay could read %d frames with what one datagram says", n)
	}

	l, err := ends.far.ListenStream(7)
	harness.Must(t, err)
	echoed := make(chan error, 1)
	go func() { // ends with the stream, or the node
		c, err := l.AcceptStream()
		if err == nil {
			_, err = io.Copy(c, c)
			err = errors.Join(err, c.Close())
		}
		echoed <- err
	}()
	c, err := ends.near.DialStream(ctx, ends.far.ID(), 7)
	harness.Must(t, err)
	defer c.Close()
	harness.Must(t, c.SetDeadline(time.Now().Add(harness.Patience)))
	want := []byte(strings.Repeat(plain, 5000))
	wrote := make(chan error, 1)
	go func() { // ends with the stream
		_, err := c.Write(want)
		wrote <- errors.Join(err, c.CloseWrite())
	}()
	got, err := io.ReadAll(c)
	harness.Must(t, err)
	harness.Must(t, <-wrote)
	harness.Must(t, <-echoed)
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes came back of %d, or others", len(got), len(want))
	}
	if n := read(); n != 1 {
		t.Errorf("the relay could read %d frames with what a stream says", n-1)
	}
	if frames := ends.tap.Frames.Count(func(f peers.TapFrame) bool {
		return strings.Contains(f.Text, `"dgram":"`+strconv.Itoa(stream.Port)+",")
	}); frames < len(want)/packet.MaxDatagram {
		t.Errorf("only %d frames went by the relay", frames)
	}
}
