package itest

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
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
func userFrame(t *testing.T, tap *peers.Tap, up bool) envelope {
	t.Helper()
	f, err := tap.Frames.Wait(harness.Context(t), func(f peers.TapFrame) bool { return f.Up == up && strings.Contains(f.Text, `"type":"user"`) })
	harness.Must(t, err)
	var e envelope
	harness.Must(t, json.Unmarshal([]byte(f.Text), &e))
	return e
}

// TestGoThroughJSRelay has two of our peers that know only a JS one: what they say
// beside the message survives it.
func TestGoThroughJSRelay(t *testing.T) {
	d := harness.StartDriver(t)
	ctx := harness.Context(t)
	relay := harness.NPMPeer(t, d, peers.NPMSpec{Spec: peers.Spec{Name: "relay", Listen: true}})
	var taps [2]*peers.Tap
	var ours [2]*peers.GoPeer
	for i, name := range []string{"a", "b"} {
		var err error
		taps[i], err = d.Tap(ctx, name, relay.URL())
		harness.Must(t, err)
		var flags []string
		if name == "a" {
			flags = []string{"--sign"}
		}
		ours[i] = harness.GoPeer(t, peers.Spec{Name: name, Bootstrap: []string{taps[i].URL}}, flags...)
		_, err = ours[i].Events().Wait(ctx, peers.IsPeer(relay.ID()))
		harness.Must(t, err)
		_, err = relay.Events().Wait(ctx, peers.IsPeer(ours[i].ID()))
		harness.Must(t, err)
	}
	a, b := ours[0], ours[1]

	const value = `{"1":[null,true,"\ud800 <&>"],"a":1e+21}`
	harness.Must(t, a.Send(ctx, b.ID(), json.RawMessage(value)))
	got, err := b.Events().Wait(ctx, peers.IsKind(peers.EventMessage))
	harness.Must(t, err)
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
	harness.Must(t, json.Unmarshal(came.PR, &pr))
	if pr.H == "" || pr.S == "" || string(came.PR) != string(sent.PR) || string(came.Data) != string(sent.Data) {
		t.Errorf("behind the relay stand pr %s and data %s, before it pr %s and data %s", came.PR, came.Data, sent.PR, sent.Data)
	}

	// b does not sign.
	harness.Must(t, b.Send(ctx, a.ID(), []byte{0, 255}))
	got, err = a.Events().Wait(ctx, peers.IsKind(peers.EventMessage))
	harness.Must(t, err)
	if got.Node != b.ID() || string(got.Data) != `{"type":"Buffer","data":[0,255]}` || got.Proved {
		t.Errorf("a received %v, proved %v", got, got.Proved)
	}
	for i, p := range ours {
		ids, err := p.Peers(ctx)
		harness.Must(t, err)
		if !slices.Equal(ids, []protocol.ID{relay.ID()}) {
			t.Errorf("peer %d has links to %v, want the relay alone", i, ids)
		}
	}
}

// TestAttachedHost has a libp2p program whose host is not ours, a JS peer that was never
// told about libp2p, and one of our nodes between them.
func TestAttachedHost(t *testing.T) {
	d := harness.StartDriver(t)
	ctx := harness.Context(t)
	relay := harness.GoPeer(t, peers.Spec{Name: "relay", Listen: true})
	js := harness.NPMPeer(t, d, peers.NPMSpec{Spec: peers.Spec{Name: "js", Bootstrap: []string{relay.URL()}}})
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/" + peers.Loopback + "/tcp/0"))
	harness.Must(t, err)
	defer h.Close()
	messages := peers.NewLog[protocol.Message]("attached host")
	n, err := node.Attach(h, node.Options{Bootstraps: relay.Ready.Addrs[:1], OnMessage: messages.Add})
	harness.Must(t, err)
	defer n.Close()
	harness.Must(t, peers.WaitLinks(ctx, relay.URL(), 2))
	_, err = relay.Events().Wait(ctx, peers.IsPeer(n.ID()))
	harness.Must(t, err)
	harness.Must(t, peers.Until(ctx, "the attached host to be linked", func() (bool, error) { return len(n.Router().Peers()) == 1, nil }))

	harness.Must(t, n.Send(js.ID(), []byte("bytes")))
	harness.Must(t, n.Router().Send(js.ID(), protocol.FormJSON, []byte(`{"a":1}`)))
	got, err := js.Events().WaitN(ctx, 2, peers.IsKind(peers.EventMessage))
	harness.Must(t, err)
	for i, want := range []string{string(peers.BufferText([]byte("bytes"))), `{"a":1}`} {
		if got[i].Node != n.ID() || string(got[i].Data) != want {
			t.Errorf("the JS peer received %v, want %s from %v", got[i], want, n.ID())
		}
	}
	harness.Must(t, js.Send(ctx, n.ID(), []byte{1, 2, 3}))
	harness.Must(t, js.Send(ctx, n.ID(), "text"))
	back, err := messages.WaitN(ctx, 2, func(protocol.Message) bool { return true })
	harness.Must(t, err)
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
	d := harness.StartDriver(t)
	ctx := harness.Context(t)
	relay, err := compat.New(compat.Options{Options: node.Options{Listen: true, ListenHost: peers.Loopback}})
	harness.Must(t, err)
	defer relay.Close()
	peer, err := compat.New(compat.Options{Options: node.Options{Bootstraps: []string{relay.URL()}}})
	harness.Must(t, err)
	defer peer.Close()
	js := harness.NPMPeer(t, d, peers.NPMSpec{Spec: peers.Spec{Name: "js", Bootstrap: []string{relay.URL()}}})
	harness.Must(t, peers.WaitLinks(ctx, relay.URL(), 2))
	harness.Must(t, peers.Until(ctx, "the Go peer to be linked", func() (bool, error) { return len(peer.Node().Router().Peers()) == 1, nil }))

	values := []struct {
		data any
		js   peers.JS
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
		messages := peers.NewLog[received](name)
		p.OnMessage(func(data any, from compat.ID) { messages.Add(received{data, from}) })
		for _, v := range values {
			harness.Must(t, p.Send(js.ID(), v.data))
			harness.Must(t, js.Send(ctx, p.ID(), v.js))
		}
		got, err := messages.WaitN(ctx, len(values), func(received) bool { return true })
		harness.Must(t, err)
		came, err := js.Events().WaitN(ctx, len(values), func(e peers.Event) bool { return e.Kind == peers.EventMessage && e.Node == p.ID() })
		harness.Must(t, err)
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
