package node

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	libp2pws "github.com/libp2p/go-libp2p/p2p/transport/websocket"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const legacyHello = `{"type":"Buffer","data":[225,167,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}`

// startHost makes a host that listens on a free port of 127.0.0.1.
func startHost(t *testing.T, o hostOptions) *ownHost {
	t.Helper()
	o.Listen, o.ListenHost = true, "127.0.0.1"
	h, err := newHost(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	if err := h.listen(); err != nil {
		t.Fatal(err)
	}
	return h
}

// stockHost is a libp2p host as its users make it.
func stockHost(t *testing.T, opts ...libp2p.Option) host.Host {
	t.Helper()
	h, err := libp2p.New(append(opts, libp2p.NoListenAddrs, libp2p.DisableMetrics())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func connect(t *testing.T, from host.Host, to peer.AddrInfo) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := from.Connect(ctx, to); err != nil {
		t.Fatal(err)
	}
	if r := receive(t, "ping", ping.Ping(ctx, from, to.ID)); r.Error != nil {
		t.Fatal(r.Error)
	}
}

func (h *ownHost) hostport() string { return fmt.Sprintf("127.0.0.1:%d", h.port()) }

// dialText opens a WebSocket as a legacy peer does. It is closed with the test.
func dialText(t *testing.T, h *ownHost) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.DefaultDialer.Dial("ws://"+h.hostport()+"/any/path", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(patience))
	return c
}

func send(t *testing.T, c *websocket.Conn, text string) {
	t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// closeCode reads to the close frame and gives its code. Any message is a failure.
func closeCode(t *testing.T, c *websocket.Conn) int {
	t.Helper()
	_, got, err := c.ReadMessage()
	if err == nil {
		t.Fatalf("got the message %q, want a close frame", got)
	}
	var ce *websocket.CloseError
	if !errors.As(err, &ce) {
		t.Fatalf("got %v, want a close frame", err)
	}
	return ce.Code
}

// echo is an AcceptText that sends every message back, the first too.
func echo(c *TextConn) {
	ws := c.WebSocket()
	for msg, kind := c.First(), websocket.TextMessage; ; {
		if err := ws.WriteMessage(kind, msg); err != nil {
			return
		}
		var err error
		if kind, msg, err = ws.ReadMessage(); err != nil {
			return
		}
	}
}

func echoes(t *testing.T, c *websocket.Conn, texts ...string) {
	t.Helper()
	for _, text := range texts {
		send(t, c, text)
		if _, got, err := c.ReadMessage(); err != nil || string(got) != text {
			t.Fatalf("echo of %q: %q, %v", text, got, err)
		}
	}
}

// released waits until the resource manager counts no inbound connection.
func released(t *testing.T, h *ownHost) {
	t.Helper()
	state := h.Network().ResourceManager().(rcmgr.ResourceManagerState)
	eventually(t, "all scopes released", func() bool {
		s := state.Stat()
		return s.System.NumConnsInbound == 0 && s.Transient.NumConnsInbound == 0 && s.System.NumFD == 0
	})
}

func get(t *testing.T, client *http.Client, url string) (*http.Response, string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func hello(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }

func TestOnePortServesAllThree(t *testing.T) {
	h := startHost(t, hostOptions{AcceptText: echo, HTTP: http.HandlerFunc(hello)})

	stock := stockHost(t)
	connect(t, stock, peer.AddrInfo{ID: h.ID(), Addrs: h.addrs()})
	text := dialText(t, h)
	echoes(t, text, legacyHello, "not JSON any more: that is the link's business")
	resp, body := get(t, http.DefaultClient, "http://"+h.hostport()+"/")
	if resp.StatusCode != 200 || body != "hello" {
		t.Errorf("GET: %s %q", resp.Status, body)
	}
	if resp.Header.Get(RelayHeader) != "" {
		t.Error("the relay header stands in the answer to a plain GET")
	}
	// All at the same time, and each still works.
	connect(t, stock, peer.AddrInfo{ID: h.ID()})
	echoes(t, text, "again")

	if got, want := h.stats(), (ListenerStats{LibP2P: 1, Text: 1, HTTP: 1}); got != want {
		t.Errorf("stats are %+v, want %+v", got, want)
	}
	// That of the GET is let go of when the server has closed it, which nobody waits for.
	eventually(t, "two connections are counted", func() bool {
		state := h.Network().ResourceManager().(rcmgr.ResourceManagerState).Stat()
		return state.System.NumConnsInbound == 2 && state.Transient.NumConnsInbound == 0
	})
	stock.Close()
	text.Close()
	released(t, h)
}

func TestOwnHostsConnect(t *testing.T) {
	a := startHost(t, hostOptions{})
	b, err := newHost(hostOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.listen(); err != nil || b.port() != 0 {
		t.Errorf("a host without a port: listen gives %v, port %d", err, b.port())
	}
	connect(t, b, peer.AddrInfo{ID: a.ID(), Addrs: a.addrs()})
}

// A refused text connection hears why, is counted, and is never handed to libp2p,
// which would answer it in multistream.
func TestTextIsRefused(t *testing.T) {
	frame := func(head byte, size int, payload string) func(*testing.T, *websocket.Conn) {
		return func(t *testing.T, c *websocket.Conn) {
			b := append([]byte{head, 0x80 | byte(size), 0, 0, 0, 0}, payload...)
			if _, err := c.NetConn().Write(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	text := func(s string) func(*testing.T, *websocket.Conn) {
		return func(t *testing.T, c *websocket.Conn) { send(t, c, s) }
	}
	for _, test := range []struct {
		name  string
		noone bool // nobody takes text
		do    func(*testing.T, *websocket.Conn)
		code  int
		want  ListenerStats
	}{
		{"not JSON", false, text("{"), websocket.CloseProtocolError, ListenerStats{RefusedNotJSON: 1}},
		{"empty", false, text(""), websocket.CloseProtocolError, ListenerStats{RefusedNotJSON: 1}},
		{"multistream as text", false, text("\x13/multistream/1.0.0\n"), websocket.CloseProtocolError, ListenerStats{RefusedNotJSON: 1}},
		{"too big", false, text(`"` + strings.Repeat("x", maxFirstMessage-1) + `"`), websocket.CloseMessageTooBig, ListenerStats{RefusedTooBig: 1}},
		{"far too big", false, text(`"` + strings.Repeat("x", 300<<10) + `"`), websocket.CloseMessageTooBig, ListenerStats{RefusedTooBig: 1}},
		{"silent", false, func(*testing.T, *websocket.Conn) {}, websocket.ClosePolicyViolation, ListenerStats{RefusedSilent: 1}},
		{"half a frame", false, frame(0x81, 20, `{"`), websocket.ClosePolicyViolation, ListenerStats{RefusedSilent: 1}},
		{"half a message", false, frame(0x01, 2, `{"`), websocket.ClosePolicyViolation, ListenerStats{RefusedSilent: 1}},
		{"pings only", false, frame(0x89, 0, ""), websocket.ClosePolicyViolation, ListenerStats{RefusedSilent: 1}},
		{"reserved bits", false, frame(0xf1, 0, ""), websocket.CloseProtocolError, ListenerStats{Left: 1}},
		{"nobody takes text", true, text(legacyHello), websocket.CloseUnsupportedData, ListenerStats{RefusedNoText: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := hostOptions{FirstMessageTimeout: patience}
			if test.want.RefusedSilent > 0 {
				o.FirstMessageTimeout = 50 * time.Millisecond
			}
			if !test.noone {
				o.AcceptText = func(*TextConn) { t.Error("accepted") }
			}
			h := startHost(t, o)
			c := dialText(t, h)
			test.do(t, c)
			if got := closeCode(t, c); got != test.code {
				t.Errorf("close code is %d, want %d", got, test.code)
			}
			c.Close()
			released(t, h)
			if got := h.stats(); got != test.want {
				t.Errorf("stats are %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestLargestFirstMessage(t *testing.T) {
	h := startHost(t, hostOptions{AcceptText: echo})
	echoes(t, dialText(t, h), `"`+strings.Repeat("x", maxFirstMessage-2)+`"`, strings.Repeat("y", maxTextMessage))
}

// The deadline is for the first message alone.
func TestLaterMessagesHaveTime(t *testing.T) {
	h := startHost(t, hostOptions{AcceptText: echo, FirstMessageTimeout: 500 * time.Millisecond})
	stock := stockHost(t)
	connect(t, stock, peer.AddrInfo{ID: h.ID(), Addrs: h.addrs()})
	text := dialText(t, h)
	echoes(t, text, legacyHello)
	// A silent client that came later tells when the others' time is over too.
	if got := closeCode(t, dialText(t, h)); got != websocket.ClosePolicyViolation {
		t.Errorf("close code of the silent one is %d", got)
	}
	echoes(t, text, "still here")
	if len(stock.Network().ConnsToPeer(h.ID())) != 1 {
		t.Fatal("the libp2p connection was cut")
	}
	connect(t, stock, peer.AddrInfo{ID: h.ID()})
}

// A client that stops before its request is whole is cut.
func TestSilentTCPIsCut(t *testing.T) {
	cert, _ := selfSigned(t)
	for name, o := range map[string]hostOptions{
		"plain": {HandshakeTimeout: 50 * time.Millisecond},
		"TLS":   {HandshakeTimeout: 50 * time.Millisecond, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}},
	} {
		for _, said := range []string{"", "GET / HTTP/1.1\r\nHost: x\r\n", "\x16\x03\x01\x02\x00\x01"} {
			t.Run(fmt.Sprintf("%s %.3q", name, said), func(t *testing.T) {
				t.Parallel()
				h := startHost(t, o)
				c, err := net.Dial("tcp", h.hostport())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if _, err := io.WriteString(c, said); err != nil {
					t.Fatal(err)
				}
				c.SetReadDeadline(time.Now().Add(patience))
				// It may say why in HTTP or TLS.
				if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatal("not cut")
				}
				released(t, h)
			})
		}
	}
}

// libp2p may cut its first bytes into messages as it likes.
func TestBinaryInManyMessages(t *testing.T) {
	h := startHost(t, hostOptions{})
	c := dialText(t, h)
	const multistream = "\x13/multistream/1.0.0\n"
	for _, part := range []string{"", multistream[:1], "", multistream[1:5], multistream[5:]} {
		if err := c.WriteMessage(websocket.BinaryMessage, []byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	var got bytes.Buffer
	for got.Len() < len(multistream) {
		_, msg, err := c.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		got.Write(msg)
	}
	if got.String() != multistream {
		t.Errorf("got %q", got.String())
	}
	c.Close()
	released(t, h)
}

// Every legacy connection counts as a peer of its own, and there may be many more
// than libp2p's defaults allow.
func TestManyTextConns(t *testing.T) {
	const n = 300
	h := startHost(t, hostOptions{AcceptText: echo})
	var clients []*websocket.Conn
	for range n {
		clients = append(clients, dialText(t, h))
	}
	for _, c := range clients {
		send(t, c, legacyHello)
	}
	for i, c := range clients {
		if _, got, err := c.ReadMessage(); err != nil || string(got) != legacyHello {
			t.Fatalf("client %d: %q, %v", i, got, err)
		}
	}
	if got, want := h.stats(), (ListenerStats{Text: n}); got != want {
		t.Errorf("stats are %+v, want %+v", got, want)
	}
	for _, c := range clients {
		c.Close()
	}
	released(t, h)
}

func TestTextConn(t *testing.T) {
	conns := make(chan *TextConn, 1)
	closed := make(chan struct{})
	h := startHost(t, hostOptions{AcceptText: func(c *TextConn) {
		conns <- c
		<-closed
	}})
	client := dialText(t, h)
	send(t, client, legacyHello)
	c := receive(t, "AcceptText", conns)
	if string(c.First()) != legacyHello {
		t.Errorf("First is %q", c.First())
	}
	if got, want := c.RemoteAddr().String(), client.LocalAddr().String(); got != want {
		t.Errorf("RemoteAddr is %s, want %s", got, want)
	}
	want, _ := manet.FromNetAddr(client.LocalAddr())
	if got, want := c.RemoteMultiaddr(), want.Encapsulate(ma.StringCast("/ws")); !got.Equal(want) {
		t.Errorf("RemoteMultiaddr is %s, want %s", got, want)
	}

	read := make(chan error, 1)
	go func() {
		_, _, err := c.WebSocket().ReadMessage()
		read <- err
	}()
	// Any number of times, from anywhere; the first one counts.
	if err := c.CloseWith(websocket.ClosePolicyViolation, "enough"); err != nil {
		t.Error(err)
	}
	var closers sync.WaitGroup
	for range 4 {
		closers.Go(func() { c.Close() })
	}
	closers.Wait()
	if err := receive(t, "the blocked read returns", read); err == nil {
		t.Error("a read after Close succeeded")
	}
	if got := closeCode(t, client); got != websocket.ClosePolicyViolation {
		t.Errorf("close code is %d", got)
	}
	released(t, h) // by Close, not by the return of AcceptText
	close(closed)
}

func TestReturningClosesTextConn(t *testing.T) {
	h := startHost(t, hostOptions{AcceptText: func(*TextConn) {}})
	c := dialText(t, h)
	send(t, c, legacyHello)
	if got := closeCode(t, c); got != websocket.CloseNormalClosure {
		t.Errorf("close code is %d", got)
	}
	released(t, h)
}

// Close closes what libp2p does not know of, and waits for it.
func TestCloseEndsTextConns(t *testing.T) {
	closed := make(chan struct{})
	h := startHost(t, hostOptions{AcceptText: func(c *TextConn) {
		echo(c)
		select { // dawdle
		case <-closed:
			t.Error("Close returned before AcceptText did")
		case <-time.After(100 * time.Millisecond):
		}
	}})
	var clients []*websocket.Conn
	for range 20 {
		c := dialText(t, h)
		echoes(t, c, legacyHello) // so that AcceptText has begun
		clients = append(clients, c)
	}
	silent := dialText(t, h) // has not said anything yet

	go func() {
		h.Close()
		close(closed)
	}()
	receive(t, "Close returns", closed)
	for i, c := range append(clients, silent) {
		got := closeCode(t, c)
		if c == silent && got == websocket.CloseNormalClosure {
			continue // go-libp2p had not handed it to us yet
		}
		if got != websocket.CloseGoingAway {
			t.Errorf("client %d: close code is %d", i, got)
		}
	}
}

// A peer that does not read cannot hold up Close.
func TestCloseWithStalledPeer(t *testing.T) {
	stalled := make(chan struct{})
	h := startHost(t, hostOptions{AcceptText: func(c *TextConn) {
		junk := bytes.Repeat([]byte("x"), 1<<20)
		// Fill the socket until a write does not end.
		var once sync.Once
		for {
			timer := time.AfterFunc(200*time.Millisecond, func() { once.Do(func() { close(stalled) }) })
			err := c.WebSocket().WriteMessage(websocket.TextMessage, junk)
			timer.Stop()
			if err != nil {
				return
			}
		}
	}})
	send(t, dialText(t, h), legacyHello)
	receive(t, "a write blocks", stalled)
	closed := make(chan struct{})
	go func() {
		h.Close()
		close(closed)
	}()
	receive(t, "Close returns", closed)
}

// refuseAll lets connections in and refuses them when their peer is known.
type refuseAll struct{ secured atomic.Int32 }

func (*refuseAll) InterceptPeerDial(peer.ID) bool               { return true }
func (*refuseAll) InterceptAddrDial(peer.ID, ma.Multiaddr) bool { return true }
func (*refuseAll) InterceptAccept(network.ConnMultiaddrs) bool  { return true }
func (*refuseAll) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) {
	return true, 0
}
func (g *refuseAll) InterceptSecured(dir network.Direction, _ peer.ID, c network.ConnMultiaddrs) bool {
	if dir == network.DirInbound && c.RemoteMultiaddr() != nil {
		g.secured.Add(1)
	}
	return false
}

func TestGaterRefusesText(t *testing.T) {
	gater := new(refuseAll)
	h := startHost(t, hostOptions{Gater: gater, AcceptText: func(*TextConn) { t.Error("accepted") }})
	c := dialText(t, h)
	send(t, c, legacyHello)
	if got := closeCode(t, c); got != websocket.CloseTryAgainLater {
		t.Errorf("close code is %d", got)
	}
	if gater.secured.Load() != 1 {
		t.Error("the gater was not asked")
	}
	if got, want := h.stats(), (ListenerStats{RefusedLimit: 1}); got != want {
		t.Errorf("stats are %+v, want %+v", got, want)
	}
	c.Close()
	released(t, h)
}

func TestMaxConns(t *testing.T) {
	h := startHost(t, hostOptions{MaxConns: 2, AcceptText: echo})
	a, b := dialText(t, h), (*websocket.Conn)(nil)
	echoes(t, a, legacyHello)
	b = dialText(t, h)
	echoes(t, b, legacyHello)
	if c, _, err := websocket.DefaultDialer.Dial("ws://"+h.hostport(), nil); err == nil {
		c.Close()
		t.Error("a third connection came in")
	}
	// The others do not suffer, and a free place is given again.
	echoes(t, a, "a")
	b.Close()
	eventually(t, "a free place", func() bool {
		c, _, err := websocket.DefaultDialer.Dial("ws://"+h.hostport(), nil)
		if err != nil {
			return false
		}
		defer c.Close()
		echoes(t, c, legacyHello)
		return true
	})
}

func TestRelayHeader(t *testing.T) {
	h := startHost(t, hostOptions{})
	c, resp, err := websocket.DefaultDialer.Dial("ws://"+h.hostport(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := resp.Header.Values(RelayHeader); len(got) != 1 || got[0] != "1" {
		t.Errorf("%s is %q", RelayHeader, got)
	}
}

// recorder is a TCP connection that keeps what is written.
type recorder struct {
	manet.Conn
	bytes.Buffer
	room int // bytes that it takes before it fails
}

func (r *recorder) Write(b []byte) (int, error) {
	n, err := min(len(b), r.room), error(nil)
	if n < len(b) {
		err = io.ErrShortWrite
	}
	r.room -= n
	r.Buffer.Write(b[:n])
	return n, err
}
func (r *recorder) Read(b []byte) (int, error) { return r.Buffer.Read(b) }
func (r *recorder) Close() error               { return nil }

func TestHeaderIsInsertedOnce(t *testing.T) {
	const rest = "Upgrade: websocket\r\n\r\n"
	r := &recorder{room: 1 << 20}
	c := &portConn{Conn: r}
	for _, s := range []string{"HTTP/1.1 100 Continue\r\n\r\n", switchingProtocols + rest, switchingProtocols, "x"} {
		if n, err := c.Write([]byte(s)); n != len(s) || err != nil {
			t.Errorf("writing %q gives %d, %v", s, n, err)
		}
	}
	want := "HTTP/1.1 100 Continue\r\n\r\n" + switchingProtocols + "Peer-Relay: 1\r\n" + rest + switchingProtocols + "x"
	if got := r.String(); got != want {
		t.Errorf("on the wire: %q, want %q", got, want)
	}

	const whole = len(switchingProtocols) + len(relayHeaderLine) + len(rest)
	for room := range whole {
		c := &portConn{Conn: &recorder{room: room}}
		n, err := c.Write([]byte(switchingProtocols + rest))
		if err == nil || n < 0 || n >= len(switchingProtocols+rest) || n > room {
			t.Errorf("with room for %d of %d bytes: %d, %v", room, whole, n, err)
		}
	}
}

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

// With a certificate the port speaks TLS and plain text, to all three kinds.
func TestTLS(t *testing.T) {
	cert, pool := selfSigned(t)
	remote := make(chan ma.Multiaddr, 2)
	h := startHost(t, hostOptions{
		TLS:  &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}},
		HTTP: http.HandlerFunc(hello),
		AcceptText: func(c *TextConn) {
			remote <- c.RemoteMultiaddr()
			echo(c)
		},
	})
	client := &tls.Config{RootCAs: pool}

	var plain, secure []ma.Multiaddr
	for _, a := range h.addrs() {
		if _, err := a.ValueForProtocol(ma.P_TCP); err != nil {
			continue
		}
		if _, err := a.ValueForProtocol(ma.P_TLS); err == nil {
			secure = append(secure, a)
		} else {
			plain = append(plain, a)
		}
	}
	if len(plain) != 1 || len(secure) != 1 || !h.addrs()[0].Equal(plain[0]) {
		t.Fatalf("addresses are %v", h.addrs())
	}
	for _, addrs := range [][]ma.Multiaddr{plain, secure} {
		stock := stockHost(t, libp2p.NoTransports, libp2p.Transport(libp2pws.New, libp2pws.WithTLSClientConfig(client)))
		connect(t, stock, peer.AddrInfo{ID: h.ID(), Addrs: addrs})
		c := h.Network().ConnsToPeer(stock.ID())[0]
		if got := c.LocalMultiaddr(); !got.Equal(addrs[0]) {
			t.Errorf("the connection came in at %s, want %s", got, addrs[0])
		}
		stock.Close()
	}
	own, err := newHost(hostOptions{TLSClient: client})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	connect(t, own, peer.AddrInfo{ID: h.ID(), Addrs: secure})

	dialer := websocket.Dialer{TLSClientConfig: client}
	for _, scheme := range []string{"ws", "wss"} {
		c, resp, err := dialer.Dial(scheme+"://"+h.hostport(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := resp.Header.Get(RelayHeader); got != "1" {
			t.Errorf("%s: %s is %q", scheme, RelayHeader, got)
		}
		echoes(t, c, legacyHello, strings.Repeat("x", 100_000))
		a := receive(t, "AcceptText", remote)
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
