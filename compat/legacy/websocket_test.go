package legacy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// linkPatience is the time that a test waits for an event.
const linkPatience = 30 * time.Second

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), linkPatience)
	t.Cleanup(cancel)
	return ctx
}

func TestGoToGo(t *testing.T) {
	for _, plain := range []bool{false, true} {
		a, b := newWSPeer(t, wsPeerOptions{id: idA}), newWSPeer(t, wsPeerOptions{id: idB, plain: plain})
		done := a.dial(t, protocol.Contact{URL: b.url})
		for _, side := range []struct {
			p, other *wsPeer
			dialed   bool
		}{{a, b, true}, {b, a, false}} {
			i := wait(t, "link", side.p.peers)
			if i.ID != side.other.ID() || i.Kind != protocol.LinkWebSocket || i.Proved || i.Dialed != side.dialed || i.Opener != string(idA[:]) || i.Addr == "" || !i.Local.IsLoopback() {
				t.Errorf("plain %v: %+v", plain, i)
			}
			until(t, "features", func() bool { peers := side.p.Peers(); return len(peers) == 1 && fmt.Sprint(peers[0].Features) == "[x]" })
			if err := side.other.Send(side.p.ID(), wire.FormRaw, []byte("hi")); err != nil {
				t.Error(err)
			}
			if m := wait(t, "message", side.p.messages); m.From != side.other.ID() || m.Form != wire.FormRaw || string(m.Payload) != "hi" || m.Proved {
				t.Errorf("message %+v", m)
			}
		}
		// Only before the end: a message in flight then is lost, and so is an answer to an
		// offer.
		if a.Stats().Dropped.Total()+b.Stats().Dropped.Total() > 0 {
			t.Errorf("drops: %v; %v", a.Stats().Dropped, b.Stats().Dropped)
		}
		a.Disconnect(idB)
		if err := wait(t, "end", done); !errors.Is(err, protocol.ErrDisconnected) {
			t.Errorf("the peer that disconnects: %v", err)
		}
		if err := wait(t, "end", b.accepted); err != nil {
			t.Errorf("the other peer: %v", err)
		}
	}
}

func TestDialJS(t *testing.T) {
	a := newWSPeer(t, wsPeerOptions{id: idA})
	played := make(chan struct{})
	url := serve(t, nil, func(ws *websocket.Conn) {
		j := newJS(t, ws)
		j.send(jsHello(idB))
		if h := j.read(); h != `"`+idA.String()+`"` {
			t.Errorf("our hello is %s", h)
		}
		j.send(jsFind(idB, idA, ""))
		if find := j.readType("findPeers"); !strings.Contains(find, `"v":"1,x"`) || !rawjson.IsFixedPoint([]byte(find)) {
			t.Errorf("our findPeers is %s", find)
		}
		j.readType("foundPeers")
		j.send(jsUser(idB, idA, "77", `{"a":1}`))
		j.readType("user")
		ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
		j.closed()
		close(played)
	})
	done := a.dial(t, protocol.Contact{URL: url})
	if i := wait(t, "link", a.peers); i.ID != idB || i.Opener != "" || !i.Dialed {
		t.Errorf("%+v", i)
	}
	if m := wait(t, "message", a.messages); string(m.Payload) != `{"a":1}` || m.Form != wire.FormJSON {
		t.Errorf("%+v", m)
	}
	if err := a.Send(idB, wire.FormJSON, []byte(`1`)); err != nil {
		t.Error(err)
	}
	if err := wait(t, "end", done); err != nil {
		t.Error(err)
	}
	wait(t, "end of the play", played)
}

func TestAcceptJS(t *testing.T) {
	a := newWSPeer(t, wsPeerOptions{id: idA})
	for n, hello := range []string{string(jsHello(idB)), fmt.Sprint("[", strings.ReplaceAll(strings.Trim(fmt.Sprint(idB[:]), "[]"), " ", ","), "]"), `"` + strings.ToUpper(idB.String()) + `"`} {
		j := dialJS(t, a.url)
		j.send([]byte(hello))
		if h := j.read(); h != `"`+idA.String()+`"` {
			t.Errorf("our hello is %s", h)
		}
		j.send(jsFind(idB, idA, ""))
		if i := wait(t, "link", a.peers); i.ID != idB || (i.Opener != "") != (hello[0] == '"') || i.Dialed {
			t.Errorf("%s: %+v", hello, i)
		}
		j.readType("foundPeers")
		nonce := fmt.Sprint(n)
		j.send(jsUser(idB, idA, nonce, `"x"`))
		if m := wait(t, "message", a.messages); string(m.Payload) != `"x"` {
			t.Errorf("%+v", m)
		}
		j.ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
		if err := wait(t, "end", a.accepted); err != nil {
			t.Error(err)
		}
	}
}

// TestNoSecondHello checks that a linked JS peer does not get a second hello.
func TestNoSecondHello(t *testing.T) {
	a := newWSPeer(t, wsPeerOptions{id: idA})
	first := dialJS(t, a.url)
	first.send(jsHello(idB))
	first.read()
	first.send(jsFind(idB, idA, ""))
	wait(t, "link", a.peers)
	go func() { // ends with the connection: it answers our pings
		for {
			if _, _, err := first.ws.ReadMessage(); err != nil {
				return
			}
		}
	}()

	second := dialJS(t, a.url)
	second.send(jsHello(idB))
	if code, text := second.closed(); code != websocket.CloseNormalClosure || byeReason(text) != wire.ByeDuplicate {
		t.Errorf("as acceptor: %d %q", code, text)
	}
	if err := wait(t, "end", a.accepted); !errors.Is(err, protocol.ErrDuplicate) {
		t.Errorf("as acceptor: %v", err)
	}

	played := make(chan struct{})
	url := serve(t, nil, func(ws *websocket.Conn) {
		j := newJS(t, ws)
		j.send(jsHello(idB))
		j.closed()
		close(played)
	})
	if err := wait(t, "end", a.dial(t, protocol.Contact{URL: url})); !errors.Is(err, protocol.ErrDuplicate) {
		t.Errorf("as dialler: %v", err)
	}
	wait(t, "end of the play", played)
	if peers := a.Peers(); len(peers) != 1 || peers[0].ID != idB {
		t.Errorf("peers %v", peers)
	}
	if _, err := a.ws.Dial(testContext(t), a.Router, protocol.Contact{URL: a.url}); !errors.Is(err, protocol.ErrSelf) {
		t.Errorf("dialled itself: %v", err)
	}
}

// TestDialSilentServer checks a server that has no goHeader and is silent at first, as no JS
// peer is.
func TestDialSilentServer(t *testing.T) {
	a := newWSPeer(t, wsPeerOptions{id: idA})
	played := make(chan struct{})
	url := serve(t, nil, func(ws *websocket.Conn) {
		j := newJS(t, ws)
		if h := j.read(); h != `"`+idA.String()+`"` {
			t.Errorf("our hello is %s", h)
		}
		j.send(jsHello(idB), jsFind(idB, idA, ""))
		j.readType("foundPeers")
		close(played)
	})
	a.dial(t, protocol.Contact{URL: url})
	if i := wait(t, "link", a.peers); i.ID != idB {
		t.Errorf("%+v", i)
	}
	wait(t, "end of the play", played)
}

func TestWrongPeerAnswers(t *testing.T) {
	a, b := newWSPeer(t, wsPeerOptions{id: idA}), newWSPeer(t, wsPeerOptions{id: idB})
	a.ws.MayDial = func(netip.Addr) bool { return true }
	if _, err := a.ws.Dial(testContext(t), a.Router, protocol.Contact{ID: idC, URL: b.url}); err == nil || !strings.Contains(err.Error(), "answered") {
		t.Errorf("dialled %v, %v answered: %v", idC.Short(), idB.Short(), err)
	}
	wait(t, "end", b.accepted)
	if len(a.Peers())+len(b.Peers()) > 0 {
		t.Error("there is a link")
	}
	done := a.dial(t, protocol.Contact{ID: idB, URL: b.url})
	wait(t, "link", a.peers)
	wait(t, "link", b.peers)
	b.Disconnect(idA)
	wait(t, "end", done)
}

func TestBadHello(t *testing.T) {
	a := newWSPeer(t, wsPeerOptions{id: idA})
	for _, text := range []string{`{}`, `5`, `"aa"`, `x`, `"` + strings.Repeat("0", 40) + `"`} {
		j := dialJS(t, a.url)
		j.send([]byte(text))
		if code, _ := j.closed(); code != websocket.CloseProtocolError {
			t.Errorf("%s: closed with %d", text, code)
		}
		if err := wait(t, "end", a.accepted); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{`{}`, `"` + strings.Repeat("a", maxHello) + `"`} {
		played := make(chan struct{})
		url := serve(t, nil, func(ws *websocket.Conn) {
			j := newJS(t, ws)
			j.send([]byte(text))
			j.closed()
			close(played)
		})
		if _, err := a.ws.Dial(testContext(t), a.Router, protocol.Contact{URL: url}); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%.9s: %v", text, err)
		}
		wait(t, "end of the play", played)
	}
}

func TestBothDialAtOnce(t *testing.T) {
	const times = 100
	a, b := newWSPeer(t, wsPeerOptions{id: idA}), newWSPeer(t, wsPeerOptions{id: idB})
	for n := range times {
		start := make(chan struct{})
		ends := make(chan error, 2)
		for _, side := range [][2]*wsPeer{{a, b}, {b, a}} {
			go func() { // ends with the link, which is awaited below
				<-start
				l, err := side[0].ws.Dial(testContext(t), side[0].Router, protocol.Contact{URL: side[1].url})
				if err == nil {
					err = side[0].Serve(context.Background(), l)
				}
				ends <- err
			}()
		}
		close(start)
		wait(t, "end of one of two links", ends)
		wait(t, "end of one of two links at the other end", merged(a.accepted, b.accepted))
		// The old link is listed until the one that replaces it is up.
		until(t, "the same link at both ends", func() bool {
			i, j := a.Peers(), b.Peers()
			return len(i) == 1 && len(j) == 1 && i[0].Dialed != j[0].Dialed && i[0].Opener == j[0].Opener
		})
		for _, side := range [][2]*wsPeer{{a, b}, {b, a}} {
			if err := side[0].Send(side[1].ID(), wire.FormJSON, []byte(fmt.Sprint(n))); err != nil {
				t.Fatal(err)
			}
			if m := wait(t, "message", side[1].messages); string(m.Payload) != fmt.Sprint(n) {
				t.Fatalf("%s in round %d", m.Payload, n)
			}
		}
		a.Disconnect(idB)
		wait(t, "end of the link", ends)
		wait(t, "end of the link at the other end", merged(a.accepted, b.accepted))
		until(t, "no link", func() bool { return len(a.Peers())+len(b.Peers()) == 0 })
		for len(a.peers) > 0 {
			<-a.peers
		}
		for len(b.peers) > 0 {
			<-b.peers
		}
	}
}

// merged returns the next error of two channels.
func merged(a, b <-chan error) <-chan error {
	c := make(chan error, 1)
	go func() { // ends with the first of the two, for which the test waits
		select {
		case err := <-a:
			c <- err
		case err := <-b:
			c <- err
		case <-time.After(linkPatience):
		}
	}()
	return c
}

// TestBothDialAtOnceWithJS checks a JS peer that dials while it is dialled. It would end both
// connections.
func TestBothDialAtOnceWithJS(t *testing.T) {
	a := newWSPeer(t, wsPeerOptions{id: idA})
	dialed := make(chan *jsPeer)
	url := serve(t, nil, func(ws *websocket.Conn) {
		j := newJS(t, ws)
		j.send(jsHello(idB))
		dialed <- j
		<-dialed
	})
	done := a.dial(t, protocol.Contact{URL: url})
	server := wait(t, "connection", dialed)
	if h := server.read(); h != `"`+idA.String()+`"` {
		t.Errorf("our hello is %s", h)
	}
	client := dialJS(t, a.url)
	client.send(jsHello(idB))
	go func() { // ends with the connection
		server.send(jsFind(idB, idA, ""))
		for {
			if _, _, err := server.ws.ReadMessage(); err != nil {
				return
			}
		}
	}()
	client.closed()
	if i := wait(t, "link", a.peers); !i.Dialed {
		t.Errorf("%+v", i)
	}
	close(dialed)
	wait(t, "end", done)
}

func TestDialEndsWithItsContext(t *testing.T) {
	a := newWSPeer(t, wsPeerOptions{id: idA})
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	silent := make(chan struct{})
	open := make(chan struct{})
	deaf := serve(t, http.Header{goHeader: {"1"}}, func(ws *websocket.Conn) {
		close(open)
		<-silent
	})
	defer close(silent)

	ctx, cancel := context.WithCancel(testContext(t))
	go func() { // ends when the connection is accepted, or mute is closed
		if c, err := mute.Accept(); err == nil {
			cancel()
			c.Read(make([]byte, 1<<10))
			c.Read(make([]byte, 1<<10)) // until it is closed
			c.Close()
		}
	}()
	if _, err := a.ws.Dial(ctx, a.Router, protocol.Contact{URL: "ws://" + mute.Addr().String()}); err == nil {
		t.Error("no error while the upgrade waits")
	}
	ctx, cancel = context.WithCancel(testContext(t))
	go func() { // ends when the connection is open
		<-open
		cancel()
	}()
	if _, err := a.ws.Dial(ctx, a.Router, protocol.Contact{URL: deaf}); err == nil {
		t.Error("no error while it waits for the hello")
	}
}

func TestDialErrors(t *testing.T) {
	a := newWSPeer(t, wsPeerOptions{id: idA})
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for url, why := range map[string]string{
		"ws" + strings.TrimPrefix(plain.URL, "http"): "404",
		"ws://127.0.0.1:1":                           "refused",
		"ws://u@h":                                   "URL",
	} {
		if _, err := a.ws.Dial(testContext(t), a.Router, protocol.Contact{URL: url}); err == nil || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), url) {
			t.Errorf("%s: %v", url, err)
		}
	}
	for url, want := range map[string]bool{"ws://h": true, "WSS://h": true, "": false, "http://h": false, "/ip4/1.2.3.4/tcp/1/ws": false} {
		if a.ws.CanDial(protocol.Contact{URL: url}) != want {
			t.Errorf("%q: want %v", url, want)
		}
	}
}

func TestWhatOthersNameIsDialledWithCare(t *testing.T) {
	b := newWSPeer(t, wsPeerOptions{id: idB})
	byName := strings.Replace(b.url, "127.0.0.1", "localhost", 1)
	try := func(w *WebSocket, c protocol.Contact) error {
		a := newWSPeer(t, wsPeerOptions{ws: w})
		l, err := w.Dial(testContext(t), a.Router, c)
		if err == nil {
			l.Close()
			wait(t, "end", b.accepted)
		}
		return err
	}
	for _, url := range []string{b.url, byName} {
		var asked netip.Addr
		allow := func(answer bool) *WebSocket {
			asked = netip.Addr{}
			return &WebSocket{MayDial: func(a netip.Addr) bool { asked = a; return answer }}
		}
		if err := try(allow(false), protocol.Contact{ID: idB, URL: url}); err == nil || !strings.Contains(err.Error(), "not in a network of this peer") {
			t.Errorf("%s, which another peer named: %v", url, err)
		}
		if err := try(allow(true), protocol.Contact{ID: idB, URL: url}); err != nil || !asked.IsLoopback() {
			t.Errorf("%s, which is allowed: %v, asked about %v", url, err, asked)
		}
		if err := try(allow(false), protocol.Contact{URL: url}); err != nil || asked.IsValid() {
			t.Errorf("%s, a bootstrap: %v, asked about %v", url, err, asked)
		}
	}
}

func TestTLS(t *testing.T) {
	a, b := newWSPeer(t, wsPeerOptions{id: idA}), newWSPeer(t, wsPeerOptions{id: idB})
	up := websocket.Upgrader{}
	var all sync.WaitGroup
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := up.Upgrade(w, r, http.Header{goHeader: {"1"}})
		if err != nil {
			t.Error(err)
			return
		}
		all.Go(func() { // ends with the link; awaited below
			_, first, err := ws.ReadMessage()
			if err == nil {
				err = b.ws.AcceptText(context.Background(), b.Router, &testConn{ws: ws}, first)
			}
			b.accepted <- err
		})
	}))
	defer s.Close()
	url := "wss" + strings.TrimPrefix(s.URL, "https")
	if _, err := a.ws.Dial(testContext(t), a.Router, protocol.Contact{URL: url}); err == nil {
		t.Error("a certificate of an unknown authority was trusted")
	}
	a.ws = &WebSocket{TLSClient: &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}}
	done := a.dial(t, protocol.Contact{URL: url})
	wait(t, "link", a.peers)
	wait(t, "link", b.peers)
	payload := bytes.Repeat([]byte("x"), 60000)
	if err := b.Send(idA, wire.FormRaw, payload); err != nil {
		t.Error(err)
	}
	if m := wait(t, "message", a.messages); !bytes.Equal(m.Payload, payload) {
		t.Errorf("%d bytes", len(m.Payload))
	}
	b.Disconnect(idA)
	wait(t, "end", done)
	all.Wait()
}

func TestDeflate(t *testing.T) {
	b := newWSPeer(t, wsPeerOptions{id: idB})
	got := make(chan string, 1)
	url := serve(t, http.Header{"test-deflate": {"1"}}, func(ws *websocket.Conn) {
		_, first, err := ws.ReadMessage()
		if err != nil {
			return
		}
		got <- string(first)
		b.accepted <- b.ws.AcceptText(context.Background(), b.Router, &testConn{ws: ws}, first)
	})
	a := newWSPeer(t, wsPeerOptions{id: idA, ws: &WebSocket{Deflate: true}})
	done := a.dial(t, protocol.Contact{URL: url})
	if h := wait(t, "hello", got); h != `"`+idA.String()+`"` {
		t.Errorf("hello %s", h)
	}
	wait(t, "link", a.peers)
	wait(t, "link", b.peers)
	payload := bytes.Repeat([]byte("x"), 60000)
	if err := a.Send(idB, wire.FormRaw, payload); err != nil {
		t.Error(err)
	}
	if m := wait(t, "message", b.messages); !bytes.Equal(m.Payload, payload) {
		t.Errorf("%d bytes", len(m.Payload))
	}
	if err := b.Send(idA, wire.FormRaw, payload); err != nil {
		t.Error(err)
	}
	if m := wait(t, "message", a.messages); !bytes.Equal(m.Payload, payload) {
		t.Errorf("%d bytes", len(m.Payload))
	}
	b.Disconnect(idA)
	if err := wait(t, "end", done); err != nil && !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}
