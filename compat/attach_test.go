package compat_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
)

// newAttached returns a libp2p host with a peer on it, and the URL of an HTTP server that
// serves legacy peers.
func newAttached(t *testing.T, o compat.Options) (h host.Host, p *compat.PeerRelay, url string) {
	t.Helper()
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0/ws"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	s := httptest.NewUnstartedServer(nil)
	url = "ws://" + s.Listener.Addr().String() + "/legacy"
	o.URLs = []string{url}
	if p, err = compat.Attach(h, o); err != nil {
		t.Fatal(err)
	}
	s.Config.Handler = p.Handler()
	s.Start()
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		s.Close()
	})
	return h, p, url
}

// TestAttachDialsByTLS checks that TLSClient of an attached peer is for wss:// URLs.
func TestAttachDialsByTLS(t *testing.T) {
	relay, err := compat.New(compat.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { relay.Close() })
	s := httptest.NewTLSServer(relay.Handler())
	t.Cleanup(s.Close)
	h, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	var o compat.Options
	o.Bootstraps = []string{"wss" + strings.TrimPrefix(s.URL, "https")}
	o.TLSClient = &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	p, err := compat.Attach(h, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	linked := make(chan protocol.ID, 1)
	p.OnPeer(func(id protocol.ID) { linked <- id })
	if id := await(t, "link", linked); id != relay.ID() {
		t.Errorf("linked with %v, want %v", id, relay.ID())
	}
}

// A jsClient is a WebSocket client that sends what the npm package sends.
type jsClient struct {
	t  *testing.T
	id protocol.ID
	ws *websocket.Conn
}

func dialJS(t *testing.T, url string, id protocol.ID) *jsClient {
	t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	ws.SetReadDeadline(time.Now().Add(patience))
	c := &jsClient{t, id, ws}
	c.write(rawjson.AppendBuffer(nil, id[:]))
	return c
}

func (c *jsClient) write(text []byte) {
	c.t.Helper()
	if err := c.ws.WriteMessage(websocket.TextMessage, text); err != nil {
		c.t.Fatal(err)
	}
}

// send sends the text of peer.send(to, value) in the package.
func (c *jsClient) send(to protocol.ID, value string) {
	c.t.Helper()
	c.write(fmt.Appendf(nil, `{"to":"%v","from":"%v","path":["%v"],"nonce":"1","data":{"type":"user","data":%s}}`, to, c.id, c.id, value))
}

// read returns the next message that contains text.
func (c *jsClient) read(text string) string {
	c.t.Helper()
	for {
		_, message, err := c.ws.ReadMessage()
		if err != nil {
			c.t.Fatalf("%s: %v", text, err)
		}
		if strings.Contains(string(message), text) {
			return string(message)
		}
	}
}

// TestAttach checks that the program's own libp2p host serves JS peers and dials them, with the
// exported transports.
func TestAttach(t *testing.T) {
	h, served, url := newAttached(t, compat.Options{})
	if served.ID() != node.IDOf(h.ID()) || served.URL() != url {
		t.Errorf("the peer is %v at %q", served.ID(), served.URL())
	}
	got := make(chan string, 10)
	served.OnMessage(func(data any, from compat.ID) {
		got <- fmt.Sprint(from, " ", data)
		served.Send(from, "you said "+fmt.Sprint(data))
	})
	js := dialJS(t, url, protocol.ID{0xaa})
	js.read(served.ID().String())
	js.send(served.ID(), `"hi"`)
	if s := await(t, "message", got); s != js.id.String()+" hi" {
		t.Errorf("got %q", s)
	}
	js.read(`"data":"you said hi"`)

	// A second such host joins with the URL, and gets the JS peer's messages.
	o := joining(url)
	_, dials, other := newAttached(t, o)
	peers := make(chan compat.ID, 10)
	dials.OnPeer(func(id compat.ID) { peers <- id })
	if id := await(t, "link", peers); id != served.ID() {
		t.Errorf("linked with %v", id)
	}
	dials.OnMessage(func(data any, from compat.ID) { got <- fmt.Sprint(from, " ", data) })
	eventually(t, "the link at both ends", func() bool { return len(served.Node().Router().Peers()) == 2 })
	js.send(dials.ID(), `"over there"`)
	if s := await(t, "message through the relay", got); s != js.id.String()+" over there" {
		t.Errorf("got %q", s)
	}
	// The answer has the URL, not the libp2p port, which speaks no JSON.
	far := dialJS(t, other, protocol.ID{0xbb})
	far.write(fmt.Appendf(nil, `{"to":"%v","from":"%v","path":["%v"],"nonce":"2","data":{"type":"handshake-offer"}}`, served.ID(), far.id, far.id))
	if m := far.read("handshake-answer"); !strings.Contains(m, `"ws":"`+url+`"`) {
		t.Errorf("the answer is %s", m)
	}

	// The host outlives the peer.
	closed := make(chan error, 1)
	go func() { closed <- served.Close() }() // ends when the clients have answered
	for {                                    // what was in flight still arrives
		if _, _, err := js.ws.ReadMessage(); err != nil {
			if !websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway) {
				t.Errorf("the connection of the JS peer ended by %v", err)
			}
			break
		}
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if len(h.Network().ListenAddresses()) == 0 {
		t.Error("the host is closed")
	}
}

func TestAttachSaysWhatIsWrong(t *testing.T) {
	h, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if p, err := compat.Attach(h, joining("localhost:1")); !errors.Is(err, node.ErrOptions) || p != nil {
		t.Errorf("a peer %v, error %v", p, err)
	}
}
