package legacy

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A jsRelay is a peer that passes messages from each of two WebSockets to the other one, as a JS
// peer does. It makes no links.
type jsRelay struct {
	t   testing.TB
	id  protocol.ID
	url string

	mu     sync.Mutex
	ends   []*websocket.Conn
	passed []string
}

func newJSRelay(t testing.TB, id protocol.ID) *jsRelay {
	r := &jsRelay{t: t, id: id}
	r.url = serve(t, http.Header{}, r.handle)
	return r
}

func (r *jsRelay) handle(ws *websocket.Conn) {
	ws.WriteMessage(websocket.TextMessage, jsHello(r.id))
	_, hello, err := ws.ReadMessage()
	if err != nil {
		return
	}
	other, err := protocol.ParseID(strings.Trim(string(hello), `"`))
	if err != nil {
		r.t.Errorf("hello %s: %v", hello, err)
		return
	}
	ws.WriteMessage(websocket.TextMessage, jsFind(r.id, other, ""))
	r.mu.Lock()
	r.ends = append(r.ends, ws)
	r.mu.Unlock()
	for {
		_, text, err := ws.ReadMessage()
		if err != nil {
			return
		}
		if !strings.Contains(string(text), `"to":"`+r.id.String()) {
			r.pass(ws, string(text))
		}
	}
}

func (r *jsRelay) pass(from *websocket.Conn, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.passed = append(r.passed, text)
	for _, to := range r.ends {
		if to != from {
			to.WriteMessage(websocket.TextMessage, []byte(asJSHop(r.t, text, r.id)))
		}
	}
}

// of returns the messages with this part that the relay has passed.
func (r *jsRelay) of(part string) (texts []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, text := range r.passed {
		if strings.Contains(text, part) {
			texts = append(texts, text)
		}
	}
	return texts
}

// A bridge is two native peers, each linked to a gateway, and a JS peer between the gateways.
type bridge struct {
	ends     [2]*protocol.Router
	gateways [2]*protocol.Router
	js       *jsRelay
	messages [2]chan protocol.Message // of the ends
}

func newBridge(t testing.TB) *bridge {
	t.Helper()
	b := &bridge{js: newJSRelay(t, idC)}
	n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
	router := func(seed int, onMessage func(protocol.Message)) *protocol.Router {
		o := protocoltest.NewIdentity(uint64(seed)).Options()
		o.NoOverlay, o.OnMessage = true, onMessage
		return n.Router(o)
	}
	for i := range b.ends {
		messages := make(chan protocol.Message, 10)
		b.messages[i] = messages
		b.ends[i], b.gateways[i] = router(i, func(m protocol.Message) { messages <- m }), router(2+i, nil)
		n.Link(b.ends[i], b.gateways[i])
		l, err := new(WebSocket).Dial(testContext(t), b.gateways[i], protocol.Contact{URL: b.js.url})
		if err != nil {
			t.Fatal(err)
		}
		n.Serve(b.gateways[i], l)
	}
	until(t, "the links", func() bool {
		return len(b.ends[0].Peers()) == 1 && len(b.ends[1].Peers()) == 1 && len(b.gateways[0].Peers()) == 2 && len(b.gateways[1].Peers()) == 2
	})
	return b
}

// TestReceiptAcrossJS checks that a receiver's signed receipt comes back by the JS peer that the
// message came by.
func TestReceiptAcrossJS(t *testing.T) {
	b := newBridge(t)
	for i, from := range b.ends {
		to := b.ends[1-i]
		for form, payload := range map[protocol.Form]string{protocol.FormRaw: "\x00\xff", protocol.FormJSON: `{"a":1}`} {
			got, err := from.SendReliable(testContext(t), to.ID(), form, []byte(payload))
			if err != nil || !got.Proved || got.Handed || got.Hops != 4 {
				t.Errorf("form %d: %+v, %v", form, got, err)
			}
			if m := wait(t, "message", b.messages[1-i]); m.From != from.ID() || string(m.Payload) != payload {
				t.Errorf("form %d: arrived %+v", form, m)
			}
		}
	}
	if n := len(b.js.of(dataPR)); n < 4 {
		t.Errorf("%d receipts went by the JS peer, want 4", n)
	}
	for _, text := range b.js.of(dataPR) {
		if f := parse(t, text); f.Body.Kind != wire.KindReceipt || !f.Verify(protocoltest.Verify) {
			t.Errorf("%s is no signed receipt", text)
		}
	}
}

// TestNoNoticeAcrossJS checks that no peer behind a JS peer tells a sender that no peer has an id: the JS
// peer may have passed the message to another one too.
func TestNoNoticeAcrossJS(t *testing.T) {
	b := newBridge(t)
	for i, from := range b.ends {
		near := b.ends[1-i].ID() // the message goes as far as there
		near[len(near)-1] ^= 1
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		got, err := from.SendReliable(ctx, near, protocol.FormRaw, nil)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for _, text := range b.js.of(dataPR) {
		t.Errorf("by the JS peer came %s", text)
	}
}

// TestHandedToJS checks that a sender is told that a JS peer, which makes no receipts, was handed its
// message: over a link of its own, and by a gateway.
func TestHandedToJS(t *testing.T) {
	b := newBridge(t)
	for hops, from := range map[int]*protocol.Router{1: b.gateways[0], 2: b.ends[0]} {
		ctx, cancel := context.WithTimeout(t.Context(), linkPatience)
		got, err := from.SendReliable(ctx, b.js.id, protocol.FormJSON, []byte(`"x"`))
		cancel()
		if err != nil || got.Proved || !got.Handed || got.Hops != hops {
			t.Errorf("%d hops: %+v, %v", hops, got, err)
		}
	}
}

// TestReceiptFromTheOtherEnd checks that a Go peer at the other end of a WebSocket makes its receipts
// itself, and that they come back over it.
func TestReceiptFromTheOtherEnd(t *testing.T) {
	peer := func(seed uint64) *wsPeer {
		who := protocoltest.NewIdentity(seed)
		return newWSPeer(t, wsPeerOptions{id: who.ID, router: who.Options()})
	}
	a, b := peer(1), peer(2)
	a.dial(t, protocol.Contact{URL: b.url})
	for _, p := range []*wsPeer{a, b} {
		until(t, "features", func() bool { peers := p.Peers(); return len(peers) == 1 && len(peers[0].Features) == 1 })
	}
	got, err := a.SendReliable(testContext(t), b.ID(), protocol.FormRaw, []byte("x"))
	if err != nil || !got.Proved || got.Handed || got.Hops != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	wait(t, "message", b.messages)
}
