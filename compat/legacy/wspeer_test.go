package legacy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
	"github.com/peer-relay/peer-relay/protocol"
)

// A testConn is a connection that a listener passes to AcceptText.
type testConn struct {
	ws   *websocket.Conn
	once sync.Once
}

func (c *testConn) WebSocket() *websocket.Conn { return c.ws }

func (c *testConn) CloseWith(code int, reason string) (err error) {
	c.once.Do(func() {
		c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(closeTimeout))
		err = c.ws.Close()
	})
	return err
}

// A wsPeer is a router with a WebSocket and a port.
type wsPeer struct {
	*protocol.Router
	ws       *WebSocket
	url      string
	messages chan protocol.Message
	peers    chan protocol.LinkInfo
	accepted chan error // results of AcceptText
}

type wsPeerOptions struct {
	id     protocol.ID
	ws     *WebSocket
	plain  bool // the answer to an upgrade lacks goHeader
	router protocol.Options
}

func newWSPeer(t testing.TB, o wsPeerOptions) *wsPeer {
	t.Helper()
	if o.ws == nil {
		o.ws = &WebSocket{features: []string{"x"}}
	}
	p := &wsPeer{ws: o.ws, messages: make(chan protocol.Message, 100), peers: make(chan protocol.LinkInfo, 100), accepted: make(chan error, 1000)}
	ro := o.router
	ro.ID, ro.NoOverlay, ro.Dialers = o.id, true, []protocol.Dialer{o.ws}
	ro.OnMessage = func(m protocol.Message) { p.messages <- m }
	ro.OnPeer = func(i protocol.LinkInfo) { p.peers <- i }
	r, err := protocol.NewRouter(ro)
	if err != nil {
		t.Fatal(err)
	}
	p.Router = r
	header := http.Header{}
	if !o.plain {
		header.Set(goHeader, "1")
	}
	p.url = serve(t, header, func(ws *websocket.Conn) {
		_, first, err := ws.ReadMessage()
		if err != nil {
			return
		}
		p.accepted <- p.ws.AcceptText(context.Background(), r, &testConn{ws: ws}, first)
	})
	t.Cleanup(func() { r.Close() })
	return p
}

// serve upgrades connections and passes them on. The cleanup waits for them.
func serve(t testing.TB, header http.Header, handle func(*websocket.Conn)) (url string) {
	t.Helper()
	up := websocket.Upgrader{EnableCompression: header.Get("test-deflate") != "", CheckOrigin: func(*http.Request) bool { return true }}
	var all sync.WaitGroup
	var mu sync.Mutex
	var conns []*websocket.Conn
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := up.Upgrade(w, r, header)
		if err != nil {
			return
		}
		mu.Lock()
		conns = append(conns, ws)
		mu.Unlock()
		all.Go(func() { handle(ws); ws.Close() }) // ends with the connection; the cleanup waits
	}))
	t.Cleanup(func() {
		s.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return "ws" + strings.TrimPrefix(s.URL, "http")
}

// dial opens a link and serves it. The channel gets the error of either.
func (p *wsPeer) dial(t testing.TB, c protocol.Contact) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() { // ends with the link, which ends with the router
		l, err := p.ws.Dial(testContext(t), p.Router, c)
		if err == nil {
			err = p.Serve(context.Background(), l)
		}
		done <- err
	}()
	return done
}

// wait returns the next value of a channel.
func wait[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case x := <-c:
		return x
	case <-time.After(linkPatience):
		t.Fatalf("no %s within %v", what, linkPatience)
		panic("unreachable")
	}
}

// until waits for a condition that no channel reports.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(linkPatience); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", linkPatience, what)
		}
		<-time.After(time.Millisecond)
	}
}

// jsHello is the first frame of a JS peer.
func jsHello(id protocol.ID) []byte { return rawjson.AppendBuffer(nil, id[:]) }

// jsFind is the second frame of a JS peer.
func jsFind(from, to protocol.ID, pr string) []byte {
	return fmt.Appendf(nil, `{"to":"%v","from":"%v","path":["%v"],"nonce":"%d","data":{"type":"findPeers","data":"%v"}%s}`, to, from, from, time.Now().UnixNano(), from, pr)
}

func jsFound(from, to protocol.ID) []byte {
	return fmt.Appendf(nil, `{"to":"%v","from":"%v","path":["%v"],"nonce":"%d","data":{"type":"foundPeers","data":[]}}`, to, from, from, time.Now().UnixNano())
}

func jsUser(from, to protocol.ID, nonce, value string) []byte {
	return fmt.Appendf(nil, `{"to":"%v","from":"%v","path":["%v"],"nonce":"%s","data":{"type":"user","data":%s}}`, to, from, from, nonce, value)
}

// A jsPeer is a WebSocket that plays a JS peer.
type jsPeer struct {
	t  testing.TB
	ws *websocket.Conn
}

func dialJS(t testing.TB, url string) *jsPeer {
	t.Helper()
	ws, _, err := websocket.DefaultDialer.DialContext(testContext(t), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	return newJS(t, ws)
}

func newJS(t testing.TB, ws *websocket.Conn) *jsPeer {
	ws.SetReadDeadline(time.Now().Add(linkPatience))
	return &jsPeer{t, ws}
}

func (j *jsPeer) send(texts ...[]byte) {
	j.t.Helper()
	for _, text := range texts {
		if err := j.ws.WriteMessage(websocket.TextMessage, text); err != nil {
			j.t.Error(err)
		}
	}
}

func (j *jsPeer) read() string {
	j.t.Helper()
	kind, text, err := j.ws.ReadMessage()
	if err != nil || kind != websocket.TextMessage {
		j.t.Errorf("want a text, got kind %d, %v", kind, err)
	}
	return string(text)
}

// readType returns the next message whose data is of this type.
func (j *jsPeer) readType(typ string) string {
	j.t.Helper()
	for {
		text := j.read()
		if j.t.Failed() || strings.Contains(text, `"data":{"type":"`+typ+`"`) {
			return text
		}
	}
}

// closed reads the close frame, which must be the next message.
func (j *jsPeer) closed() (code int, text string) {
	j.t.Helper()
	_, message, err := j.ws.ReadMessage()
	var c *websocket.CloseError
	if !errors.As(err, &c) {
		j.t.Errorf("want a close frame, got %q, %v", message, err)
		return 0, ""
	}
	return c.Code, c.Text
}
