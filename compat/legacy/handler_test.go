package legacy

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/peer-relay/peer-relay/protocol"
)

// newHandled returns a router whose links come from a Handler, and the Handler's URL.
func newHandled(t *testing.T) (*wsPeer, *Handler, string) {
	t.Helper()
	p := newWSPeer(t, wsPeerOptions{id: idA})
	h := p.ws.NewHandler(p.Router)
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		h.Close()
		s.Close()
	})
	return p, h, "ws" + strings.TrimPrefix(s.URL, "http")
}

// TestHandler checks that another program's HTTP server serves a JS peer and a Go peer.
func TestHandler(t *testing.T) {
	p, _, url := newHandled(t)
	js := dialJS(t, url+"/any/path")
	js.send(jsHello(idB), jsFind(idB, idA, ""))
	if got := js.read(); got != `"`+idA.String()+`"` {
		t.Errorf("the hello is %s", got)
	}
	if i := wait(t, "link", p.peers); i.ID != idB || i.Dialed || i.Kind != protocol.LinkWebSocket {
		t.Errorf("the link is %+v", i)
	}
	js.send(jsUser(idB, idA, "1", `"hi"`))
	if m := wait(t, "message", p.messages); string(m.Payload) != `"hi"` {
		t.Errorf("got %s", m.Payload)
	}
	ours := newWSPeer(t, wsPeerOptions{id: idC})
	ended := ours.dial(t, protocol.Contact{URL: url})
	if i := wait(t, "link of ours", p.peers); i.ID != idC || i.Opener == "" {
		t.Errorf("the link is %+v", i)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	wait(t, "end of the link", ended)
}

func TestHandlerRefuses(t *testing.T) {
	p, h, url := newHandled(t)
	plain := httptest.NewRecorder()
	if h.ServeHTTP(plain, httptest.NewRequest(http.MethodGet, "/", nil)); plain.Code != http.StatusBadRequest {
		t.Errorf("a plain request is answered by %d", plain.Code)
	}
	for hello, want := range map[string]int{
		`"hello"`:                       websocket.CloseProtocolError,
		strings.Repeat(" ", maxHello+1): websocket.CloseMessageTooBig,
	} {
		js := dialJS(t, url)
		js.send([]byte(hello))
		if code, text := js.closed(); code != want {
			t.Errorf("%.10q is answered by %d %q, want %d", hello, code, text, want)
		}
	}
	// A connection without a hello ends with the handler, which stays closed.
	js := dialJS(t, url)
	until(t, "a place taken", func() bool { return len(h.places) == 1 })
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if code, _ := js.closed(); code != websocket.CloseGoingAway {
		t.Errorf("the handler closes a connection with code %d", code)
	}
	if ws, resp, err := websocket.DefaultDialer.DialContext(testContext(t), url, nil); err == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a closed handler answers %v, %v, %v", ws, resp, err)
	}
	if len(p.Peers()) > 0 {
		t.Errorf("links %v", p.Peers())
	}
}

// TestHandlerPlaces checks that a full handler refuses a connection, and that one that ends
// frees its place.
func TestHandlerPlaces(t *testing.T) {
	_, h, url := newHandled(t)
	for range maxHandled - 1 {
		h.places <- struct{}{}
	}
	js := dialJS(t, url)
	until(t, "the last place taken", func() bool { return len(h.places) == maxHandled })
	if _, resp, err := websocket.DefaultDialer.DialContext(testContext(t), url, nil); err == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one too many is answered by %v, %v", resp, err)
	}
	js.ws.Close()
	until(t, "a place given back", func() bool { return len(h.places) == maxHandled-1 })
	dialJS(t, url)
}
