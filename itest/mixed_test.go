package itest

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
)

// An envelope is a legacy message on the wire, as far as the tests look at it.
type envelope struct {
	To   json.RawMessage
	Path []string
	Data json.RawMessage
	PR   json.RawMessage
}

// userFrame waits for the first user message that passes a tap.
func userFrame(t *testing.T, tap *Tap, up bool) envelope {
	t.Helper()
	f, err := tap.Frames.Wait(testContext(t), func(f TapFrame) bool { return f.Up == up && strings.Contains(f.Text, `"type":"user"`) })
	must(t, err)
	var e envelope
	must(t, json.Unmarshal([]byte(f.Text), &e))
	return e
}

// TestGoThroughJSRelay has two of our peers that know only a JS one: what they say
// beside the message survives it.
func TestGoThroughJSRelay(t *testing.T) {
	d := startDriver(t)
	ctx := testContext(t)
	relay := npmPeer(t, d, NPMSpec{Spec: Spec{Name: "relay", Listen: true}})
	var taps [2]*Tap
	var peers [2]*GoPeer
	for i, name := range []string{"a", "b"} {
		var err error
		taps[i], err = d.Tap(ctx, name, relay.URL())
		must(t, err)
		var flags []string
		if name == "a" {
			flags = []string{"--sign"}
		}
		peers[i] = goPeer(t, Spec{Name: name, Bootstrap: []string{taps[i].URL}}, flags...)
		_, err = peers[i].Events().Wait(ctx, IsPeer(relay.ID()))
		must(t, err)
		_, err = relay.Events().Wait(ctx, IsPeer(peers[i].ID()))
		must(t, err)
	}
	a, b := peers[0], peers[1]

	const value = `{"1":[null,true,"\ud800 <&>"],"a":1e+21}`
	must(t, a.Send(ctx, b.ID(), json.RawMessage(value)))
	got, err := b.Events().Wait(ctx, IsKind(EventMessage))
	must(t, err)
	if got.Node != a.ID() || string(got.Data) != value || !got.Proved {
		t.Errorf("b received %v, proved %v", got, got.Proved)
	}
	sent, came := userFrame(t, taps[0], true), userFrame(t, taps[1], false)
	var to string
	if json.Unmarshal(came.To, &to) == nil {
		t.Errorf("the relay did not encode the message again: to is %s", came.To)
	}
	if want := []string{a.ID().String(), relay.ID().String()}; !slices.Equal(came.Path, want) {
		t.Errorf("the path is %v, want %v", came.Path, want)
	}
	var pr struct{ H, S string }
	must(t, json.Unmarshal(came.PR, &pr))
	if pr.H == "" || pr.S == "" || string(came.PR) != string(sent.PR) || string(came.Data) != string(sent.Data) {
		t.Errorf("behind the relay stand pr %s and data %s, before it pr %s and data %s", came.PR, came.Data, sent.PR, sent.Data)
	}

	// b does not sign.
	must(t, b.Send(ctx, a.ID(), []byte{0, 255}))
	got, err = a.Events().Wait(ctx, IsKind(EventMessage))
	must(t, err)
	if got.Node != b.ID() || string(got.Data) != `{"type":"Buffer","data":[0,255]}` || got.Proved {
		t.Errorf("a received %v, proved %v", got, got.Proved)
	}
	for i, p := range peers {
		ids, err := p.Peers(ctx)
		must(t, err)
		if !slices.Equal(ids, []protocol.ID{relay.ID()}) {
			t.Errorf("peer %d has links to %v, want the relay alone", i, ids)
		}
	}
}

// TestAttachedHost has a libp2p program whose host is not ours, a JS peer that was never
// told about libp2p, and one of our nodes between them.
func TestAttachedHost(t *testing.T) {
	d := startDriver(t)
	ctx := testContext(t)
	relay := goPeer(t, Spec{Name: "relay", Listen: true})
	js := npmPeer(t, d, NPMSpec{Spec: Spec{Name: "js", Bootstrap: []string{relay.URL()}}})
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/" + loopback + "/tcp/0"))
	must(t, err)
	defer h.Close()
	messages := NewLog[protocol.Message]("attached host")
	n, err := node.Attach(h, node.Options{Bootstraps: relay.Ready.Addrs[:1], OnMessage: messages.Add})
	must(t, err)
	defer n.Close()
	must(t, WaitLinks(ctx, relay.URL(), 2))
	_, err = relay.Events().Wait(ctx, IsPeer(n.ID()))
	must(t, err)
	must(t, Until(ctx, "the attached host to be linked", func() (bool, error) { return len(n.Router().Peers()) == 1, nil }))

	must(t, n.Send(js.ID(), []byte("bytes")))
	must(t, n.Router().Send(js.ID(), protocol.FormJSON, []byte(`{"a":1}`)))
	got, err := js.Events().WaitN(ctx, 2, IsKind(EventMessage))
	must(t, err)
	for i, want := range []string{string(BufferText([]byte("bytes"))), `{"a":1}`} {
		if got[i].Node != n.ID() || string(got[i].Data) != want {
			t.Errorf("the JS peer received %v, want %s from %v", got[i], want, n.ID())
		}
	}
	must(t, js.Send(ctx, n.ID(), []byte{1, 2, 3}))
	must(t, js.Send(ctx, n.ID(), "text"))
	back, err := messages.WaitN(ctx, 2, func(protocol.Message) bool { return true })
	must(t, err)
	for i, want := range []struct {
		form    protocol.Form
		payload string
	}{{protocol.FormRaw, "\x01\x02\x03"}, {protocol.FormJSON, `"text"`}} {
		m := back[i]
		if m.From != js.ID() || m.Form != want.form || string(m.Payload) != want.payload || m.Proved {
			t.Errorf("the attached host received %+v, want %q", m, want.payload)
		}
	}
}

// TestBytesAreBuffers uses the Go API: a []byte is a Buffer in JS, and the reverse.
func TestBytesAreBuffers(t *testing.T) {
	d := startDriver(t)
	ctx := testContext(t)
	relay, err := compat.New(compat.Options{Options: node.Options{Listen: true, ListenHost: loopback}})
	must(t, err)
	defer relay.Close()
	peer, err := compat.New(compat.Options{Options: node.Options{Bootstraps: []string{relay.URL()}}})
	must(t, err)
	defer peer.Close()
	js := npmPeer(t, d, NPMSpec{Spec: Spec{Name: "js", Bootstrap: []string{relay.URL()}}})
	must(t, WaitLinks(ctx, relay.URL(), 2))
	must(t, Until(ctx, "the Go peer to be linked", func() (bool, error) { return len(peer.Node().Router().Peers()) == 1, nil }))

	values := []struct {
		data any
		js   JS
		text string
	}{
		{[]byte{0, 1, 255}, `Buffer.from([0, 1, 255])`, `{"type":"Buffer","data":[0,1,255]}`},
		{[]byte{}, `Buffer.alloc(0)`, `{"type":"Buffer","data":[]}`},
		{"text", `"text"`, `"text"`},
		{1.5, `1.5`, `1.5`},
		{true, `true`, `true`},
		{nil, `null`, `null`},
		{compat.Undefined, `undefined`, ``},
		{[]any{nil, map[string]any{"b": 1.0, "a": "x"}}, `[null, {a: "x", b: 1}]`, `[null,{"a":"x","b":1}]`},
	}
	type received struct {
		data any
		from protocol.ID
	}
	for name, p := range map[string]*compat.PeerRelay{"direct": relay, "relayed": peer} {
		messages := NewLog[received](name)
		p.OnMessage(func(data any, from compat.ID) { messages.Add(received{data, from}) })
		for _, v := range values {
			must(t, p.Send(js.ID(), v.data))
			must(t, js.Send(ctx, p.ID(), v.js))
		}
		got, err := messages.WaitN(ctx, len(values), func(received) bool { return true })
		must(t, err)
		came, err := js.Events().WaitN(ctx, len(values), func(e Event) bool { return e.Kind == EventMessage && e.Node == p.ID() })
		must(t, err)
		for i, v := range values {
			if got[i].from != js.ID() || !reflect.DeepEqual(got[i].data, v.data) {
				t.Errorf("%s: %s came to Go as %#v, want %#v", name, v.js, got[i].data, v.data)
			}
			if string(came[i].Data) != v.text || (came[i].Data == nil) != (v.text == "") {
				t.Errorf("%s: %#v came to JS as %s, want %s", name, v.data, came[i].Data, v.text)
			}
		}
	}
}
