package compat_test

import (
	"encoding/json"
	"errors"
	"math"
	"net"
	"reflect"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/compat/legacy"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// patience is the time that a test waits for an event.
const patience = 30 * time.Second

// listening returns the options of a peer with a port.
func listening() (o compat.Options) {
	o.Listen, o.ListenHost = true, "127.0.0.1"
	return o
}

// joining returns the options of a peer without a port.
func joining(bootstraps ...string) (o compat.Options) {
	o.Bootstraps = bootstraps
	return o
}

func newPeer(t *testing.T, o compat.Options) *compat.PeerRelay {
	t.Helper()
	o.ListenHost = "127.0.0.1"
	p, err := compat.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return p
}

func await[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("not within the time: %s", what)
		panic("unreachable")
	}
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); !cond(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("not within the time: %s", what)
		}
	}
}

// pair returns two linked peers. Only a has a port.
func pair(t *testing.T) (a, b *compat.PeerRelay) {
	t.Helper()
	a = newPeer(t, listening())
	b = newPeer(t, joining(a.URL()))
	peers := make(chan compat.ID, 10)
	a.OnPeer(func(id compat.ID) { peers <- id })
	b.OnPeer(func(id compat.ID) { peers <- id })
	await(t, "peer event", peers)
	await(t, "peer event", peers)
	return a, b
}

func TestValues(t *testing.T) {
	a, b := pair(t)
	got := make(chan compat.Message, 1)
	a.OnReceive(func(m compat.Message) { got <- m })
	for _, test := range []struct {
		sent, data any
		text       string
	}{
		{"text <&> \u2028 ü", "text <&> \u2028 ü", "\"text <&> \u2028 ü\""},
		{"", "", `""`},
		{1.5, 1.5, "1.5"},
		{math.Copysign(0, -1), 0.0, "0"},
		{uint64(1<<63 + 1), float64(1 << 63), "9223372036854776000"},
		{nil, nil, "null"},
		{true, true, "true"},
		{compat.Undefined, compat.Undefined, ""},
		{[]byte{0, 255}, []byte{0, 255}, `{"type":"Buffer","data":[0,255]}`},
		{[]byte{}, []byte{}, `{"type":"Buffer","data":[]}`},
		{[]any{1, "a", nil}, []any{1.0, "a", nil}, `[1,"a",null]`},
		{map[string]any{"b": 1, "10": 2, "9": 3}, map[string]any{"b": 1.0, "10": 2.0, "9": 3.0}, `{"9":3,"10":2,"b":1}`},
		{json.RawMessage(`{"a":1e400,"a":[1.0]}`), map[string]any{"a": []any{1.0}}, `{"a":[1]}`},
		{json.RawMessage(`"\ud800"`), "\ufffd", `"\ud800"`},
		{struct{ A int }{1}, map[string]any{"A": 1.0}, `{"A":1}`},
	} {
		if err := b.Send(a.ID(), test.sent); err != nil {
			t.Errorf("send %v: %v", test.sent, err)
			continue
		}
		m := await(t, "message", got)
		if m.From != b.ID() || !reflect.DeepEqual(m.Data, test.data) || string(m.JSON) != test.text {
			t.Errorf("%#v arrived as %#v, text %q, want %#v, text %q", test.sent, m.Data, m.JSON, test.data, test.text)
		}
	}
}

func TestSendRefuses(t *testing.T) {
	p, err := compat.New(compat.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for name, data := range map[string]any{
		"64,001 bytes":  make([]byte, wire.MaxPayload+1),
		"a long string": strings.Repeat("x", wire.MaxText),
		"no JSON":       json.RawMessage(`{`),
		"a channel":     make(chan int),
		"too deep":      json.RawMessage(strings.Repeat("[", 1001) + strings.Repeat("]", 1001)),
	} {
		if err := p.Send(compat.ID{1}, data); err == nil {
			t.Errorf("%s was sent", name)
		}
	}
	if err := p.Send(compat.ID{1}, make([]byte, wire.MaxPayload+1)); !errors.Is(err, protocol.ErrTooBig) || !strings.Contains(err.Error(), "64000") {
		t.Errorf("the error does not name the limit: %v", err)
	}
	if err := p.Send(compat.ID{1}, make([]byte, wire.MaxPayload)); err != nil {
		t.Errorf("64,000 bytes: %v", err)
	}
	var unsent *protocol.UnsentError
	if err := p.Close(); !errors.As(err, &unsent) || unsent.Messages != 1 { // those that were refused are not counted
		t.Errorf("Close of a peer without a link: %v, want 1 message", err)
	}
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	o := listening()
	o.Port = uint16(busy.Addr().(*net.TCPAddr).Port)
	if p, err := compat.New(o); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a busy port: %v, %v", p, err)
	}
	for _, o := range []node.Options{
		{Port: 8001}, {Bootstraps: []string{"localhost:1"}}, {Bootstraps: []string{"ws://"}},
		{Bootstraps: []string{"/ip4/1.2.3.4/tcp/1/ws"}}, {KeyFile: t.TempDir()}, {WebRTC: new(legacy.WebRTC)},
	} {
		if p, err := compat.New(compat.Options{Options: o}); !errors.Is(err, node.ErrOptions) {
			if err == nil {
				p.Close()
			}
			t.Errorf("compat.New(%+v): error %v", o, err)
		}
	}
}

func TestEventsBeforeTheFirstListenerAreKept(t *testing.T) {
	a, b := pair(t)
	for i := range 3 {
		if err := b.Send(a.ID(), i); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "delivery", func() bool { return a.Node().Router().Stats().Delivered == 3 })
	gone := make(chan compat.ID, 10)
	b.OnDisconnect(func(id compat.ID) { gone <- id })
	a.Disconnect(b.ID())
	if id := await(t, "disconnect", gone); id != a.ID() {
		t.Errorf("lost %v", id)
	}
	got := make(chan any, 3)
	a.OnMessage(func(data any, from compat.ID) { got <- data })
	for i := range 3 {
		if data := await(t, "kept message", got); data != float64(i) {
			t.Errorf("message %d is %v", i, data)
		}
	}
}

func TestHandlersMayCallThePeer(t *testing.T) {
	a, b := pair(t)
	done := make(chan struct{})
	a.OnMessage(func(data any, from compat.ID) {
		a.OnPeer(func(compat.ID) {})
		a.Connect(from)
		if err := a.Send(from, data); err != nil {
			t.Error(err)
		}
	})
	b.OnMessage(func(any, compat.ID) { b.Destroy(func() { close(done) }) })
	if err := b.Send(a.ID(), "ping"); err != nil {
		t.Fatal(err)
	}
	await(t, "destroyed from a handler", done)
}

func TestDestroyCallsBackEveryTime(t *testing.T) {
	p := newPeer(t, compat.Options{}) // without a port JS throws here
	var calls atomic.Int32
	done := make(chan struct{}, 3)
	for range 2 {
		p.Destroy(func() { calls.Add(1); done <- struct{}{} })
	}
	await(t, "callback", done)
	await(t, "callback", done)
	p.Destroy(func() { done <- struct{}{} })
	await(t, "callback after the end", done)
	if err := p.Send(compat.ID{1}, "late"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("send after destroy: %v", err)
	}
	p.Connect(compat.ID{1})
	p.Disconnect(compat.ID{1})
}

func TestKeyFileKeepsTheID(t *testing.T) {
	file := t.TempDir() + "/key"
	var ids [2]compat.ID
	for i := range ids {
		p, err := compat.New(compat.Options{Options: node.Options{KeyFile: file}})
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = p.ID()
		p.Close()
	}
	if ids[0] != ids[1] {
		t.Errorf("ids %v", ids)
	}
}

func TestDeadBootstrapIsToldAndTriedAgain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	url := "ws://" + l.Addr().String()
	l.Close()
	b := newPeer(t, joining(url))
	failed, peers := make(chan error, 100), make(chan compat.ID, 1)
	b.OnError(func(err error) { failed <- err })
	b.OnPeer(func(id compat.ID) { peers <- id })
	if err := await(t, "error", failed); !strings.Contains(err.Error(), url) {
		t.Errorf("the error does not name the bootstrap: %v", err)
	}
	o := listening()
	o.Port = uint16(port)
	a := newPeer(t, o)
	if id := await(t, "peer", peers); id != a.ID() {
		t.Errorf("linked to %v", id)
	}
}

// TestCloseWithAStuckHandler checks that a listener that does not return holds up neither other
// peers nor, for ever, Close.
func TestCloseWithAStuckHandler(t *testing.T) {
	t.Parallel()
	o := listening()
	p, err := compat.New(o)
	if err != nil {
		t.Fatal(err)
	}
	stuck, release := make(chan compat.ID, 1), make(chan struct{})
	defer close(release)
	p.OnPeer(func(id compat.ID) {
		stuck <- id
		<-release
	})
	for range 2 {
		linked := make(chan compat.ID, 10)
		newPeer(t, joining(p.URL())).OnPeer(func(id compat.ID) { linked <- id })
		await(t, "a newcomer is linked", linked)
	}
	await(t, "the listener is called", stuck)
	begun := time.Now()
	if err := p.Close(); !errors.Is(err, protocol.ErrHandlerRuns) {
		t.Errorf("Close: %v", err)
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("Close took %v", took)
	}
}
