package port

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
)

const legacyHello = `{"type":"Buffer","data":[225,167,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}`

// startHost starts a host that listens on a free port of 127.0.0.1.
func startHost(t *testing.T, o Options) *Host {
	t.Helper()
	o.Listen, o.ListenHost = true, "127.0.0.1"
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	if err := h.Listen(); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *Host) hostport() string { return fmt.Sprintf("127.0.0.1:%d", h.Port()) }

// dialText opens a WebSocket as a legacy peer does. It is closed with the test.
func dialText(t *testing.T, h *Host) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.DefaultDialer.Dial("ws://"+h.hostport()+"/any/path", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(nodetest.Patience))
	return c
}

func send(t *testing.T, c *websocket.Conn, text string) {
	t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// closeCode reads the close frame and returns its code. Any message is a failure.
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

// echo is an AcceptText that sends every message back, also the first.
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
func released(t *testing.T, h *Host) {
	t.Helper()
	state := h.Network().ResourceManager().(rcmgr.ResourceManagerState)
	nodetest.Eventually(t, "all scopes released", func() bool {
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
	h := startHost(t, Options{AcceptText: echo, HTTP: http.HandlerFunc(hello)})

	stock := nodetest.StockHost(t)
	nodetest.Connect(t, stock, peer.AddrInfo{ID: h.ID(), Addrs: h.PortAddrs()})
	text := dialText(t, h)
	echoes(t, text, legacyHello, "not JSON any more: that is the link's business")
	resp, body := get(t, http.DefaultClient, "http://"+h.hostport()+"/")
	if resp.StatusCode != 200 || body != "hello" {
		t.Errorf("GET: %s %q", resp.Status, body)
	}
	if resp.Header.Get(relayHeader) != "" {
		t.Error("the answer to a plain GET has the relay header")
	}
	// All at once, and each still works.
	nodetest.Connect(t, stock, peer.AddrInfo{ID: h.ID()})
	echoes(t, text, "again")

	if got, want := h.Stats(), (Stats{LibP2P: 1, Text: 1, HTTP: 1}); got != want {
		t.Errorf("stats are %+v, want %+v", got, want)
	}
	// The connection of the GET is released some time later, when the server has closed it.
	nodetest.Eventually(t, "two connections are counted", func() bool {
		state := h.Network().ResourceManager().(rcmgr.ResourceManagerState).Stat()
		return state.System.NumConnsInbound == 2 && state.Transient.NumConnsInbound == 0
	})
	stock.Close()
	text.Close()
	released(t, h)
}

func TestOwnHostsConnect(t *testing.T) {
	a := startHost(t, Options{})
	b, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Listen(); err != nil || b.Port() != 0 {
		t.Errorf("a host without a port: listen returns %v, port %d", err, b.Port())
	}
	nodetest.Connect(t, b, peer.AddrInfo{ID: a.ID(), Addrs: a.PortAddrs()})
}

// TestSilentTCPIsCut checks that a client that stops within its request is disconnected.
func TestSilentTCPIsCut(t *testing.T) {
	cert, _ := selfSigned(t)
	for name, o := range map[string]Options{
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
				c.SetReadDeadline(time.Now().Add(nodetest.Patience))
				// The server may send the reason in HTTP or TLS.
				if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatal("not disconnected")
				}
				released(t, h)
			})
		}
	}
}

// TestBinaryInManyMessages checks that libp2p may split its first bytes into any messages.
func TestBinaryInManyMessages(t *testing.T) {
	h := startHost(t, Options{})
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

func TestMaxConns(t *testing.T) {
	h := startHost(t, Options{MaxConns: 2, AcceptText: echo})
	a, b := dialText(t, h), (*websocket.Conn)(nil)
	echoes(t, a, legacyHello)
	b = dialText(t, h)
	echoes(t, b, legacyHello)
	if c, _, err := websocket.DefaultDialer.Dial("ws://"+h.hostport(), nil); err == nil {
		c.Close()
		t.Error("a third connection was accepted")
	}
	// The others are still served, and a freed place is used again.
	echoes(t, a, "a")
	b.Close()
	nodetest.Eventually(t, "a free place", func() bool {
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
	h := startHost(t, Options{})
	c, resp, err := websocket.DefaultDialer.Dial("ws://"+h.hostport(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := resp.Header.Values(relayHeader); len(got) != 1 || got[0] != "1" {
		t.Errorf("%s is %q", relayHeader, got)
	}
}

// A recorder is a TCP connection that keeps what is written.
type recorder struct {
	manet.Conn
	bytes.Buffer
	room int // bytes that it accepts before it fails
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
	c := newPortConn(r, nil)
	for _, s := range []string{"HTTP/1.1 100 Continue\r\n\r\n", switchingProtocols + rest, switchingProtocols, "x"} {
		if n, err := c.Write([]byte(s)); n != len(s) || err != nil {
			t.Errorf("writing %q returns %d, %v", s, n, err)
		}
	}
	want := "HTTP/1.1 100 Continue\r\n\r\n" + switchingProtocols + "Peer-Relay: 1\r\n" + rest + switchingProtocols + "x"
	if got := r.String(); got != want {
		t.Errorf("on the wire: %q, want %q", got, want)
	}

	const whole = len(switchingProtocols) + len(relayHeaderLine) + len(rest)
	for room := range whole {
		c := newPortConn(&recorder{room: room}, nil)
		n, err := c.Write([]byte(switchingProtocols + rest))
		if err == nil || n < 0 || n >= len(switchingProtocols+rest) || n > room {
			t.Errorf("with room for %d of %d bytes: %d, %v", room, whole, n, err)
		}
	}
}
