package peers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// TestNPMValues sends every kind of value in every form that the harness has.
func TestNPMValues(t *testing.T) {
	d := harness.StartDriver(t)
	ctx := harness.Context(t)
	a := harness.NPMPeer(t, d, peers.NPMSpec{Spec: peers.Spec{Name: "a", Listen: true}})
	b := harness.NPMPeer(t, d, peers.NPMSpec{Spec: peers.Spec{Name: "b", Bootstrap: []string{a.URL()}}})
	_, err := b.Events().Wait(ctx, peers.IsPeer(a.ID()))
	harness.Must(t, err)
	values := []struct {
		send any
		want string
	}{
		{"text", `"text"`},
		{7, `7`},
		{nil, `null`},
		{map[string]any{"a": []bool{true}}, `{"a":[true]}`},
		{[]byte{0, 255}, `{"type":"Buffer","data":[0,255]}`},
		{json.RawMessage(`{"2":1,"1":2,"a":1.0,"s":"\ud800"}`), `{"1":2,"2":1,"a":1,"s":"\ud800"}`},
		{peers.JS(`[new Date(0), undefined, -0, Buffer.from("a")]`), `["1970-01-01T00:00:00.000Z",null,0,{"type":"Buffer","data":[97]}]`},
		{peers.Undefined{}, ``},
		{peers.JS(`undefined`), ``},
	}
	for _, v := range values {
		harness.Must(t, b.Send(ctx, a.ID(), v.send))
	}
	got, err := a.Events().WaitN(ctx, len(values), peers.IsKind(peers.EventMessage))
	harness.Must(t, err)
	for i, v := range values {
		if got[i].Node != b.ID() || string(got[i].Data) != v.want {
			t.Errorf("%#v came as %s from %s, want %s", v.send, got[i].Data, got[i].Node, v.want)
		}
		if (got[i].Data == nil) != (v.want == "") {
			t.Errorf("%#v: undefined and null are not told apart", v.send)
		}
	}
	if err := b.Send(ctx, a.ID(), peers.JS("[")); err == nil || !strings.Contains(err.Error(), "Unexpected") {
		t.Errorf("a bad expression gives %v", err)
	}
}

// TestNPMSpec checks what a test can ask of an npm peer.
func TestNPMSpec(t *testing.T) {
	d := harness.StartDriver(t)
	ctx := harness.Context(t)
	hub := harness.NPMPeer(t, d, peers.NPMSpec{Spec: peers.Spec{Name: "hub", Listen: true}, ID: protocol.ID{1, 2, 3}})
	if hub.ID() != (protocol.ID{1, 2, 3}) {
		t.Errorf("id %s was not taken", hub.ID())
	}
	if !strings.HasPrefix(hub.URL(), "ws://localhost:") {
		t.Errorf("url is %q", hub.URL())
	}
	var held []*peers.NPMPeer
	for _, name := range []string{"x", "y"} {
		p := harness.NPMPeer(t, d, peers.NPMSpec{Spec: peers.Spec{Name: name, Listen: true, Bootstrap: []string{hub.URL()}, Seed: [32]byte{name[0]}}, Hold: true})
		_, err := p.Events().Wait(ctx, peers.IsPeer(hub.ID()))
		harness.Must(t, err)
		held = append(held, p)
	}
	x, y := held[0], held[1]
	if x.ID() == y.ID() {
		t.Error("two seeds gave one id")
	}
	// Relayed, because they do not link by themselves.
	_, err := hub.Events().WaitN(ctx, 2, peers.IsKind(peers.EventPeer))
	harness.Must(t, err)
	harness.Must(t, x.Send(ctx, y.ID(), "over the hub"))
	_, err = y.Events().Wait(ctx, peers.IsKind(peers.EventMessage))
	harness.Must(t, err)
	stats, err := y.Stats(ctx)
	harness.Must(t, err)
	if stats.Count != 1 || !slices.Equal(stats.Peers, []protocol.ID{hub.ID()}) || stats.Candidates == 0 {
		t.Errorf("a held peer has %+v", stats)
	}
	harness.Must(t, y.Disconnect(ctx, hub.ID()))
	_, err = y.Events().Wait(ctx, peers.IsDisconnect(hub.ID()))
	harness.Must(t, err)
	_, err = hub.Events().Wait(ctx, peers.IsDisconnect(y.ID()))
	harness.Must(t, err)
	harness.Must(t, y.Destroy(ctx))
	harness.Must(t, y.Destroy(ctx))
	if err := y.Send(ctx, hub.ID(), "x"); err == nil {
		t.Error("a destroyed peer sends")
	}
}

// TestManyNPMPeers holds many peers in one process, as the acceptance runs do.
func TestManyNPMPeers(t *testing.T) {
	const clients = 500
	d := harness.StartDriver(t)
	ctx := harness.Context(t)
	hub, err := d.ListenRaw(ctx, "hub", peers.RawOptions{})
	harness.Must(t, err)
	ids := make(map[protocol.ID]bool)
	for i := range clients {
		p := harness.NPMPeer(t, d, peers.NPMSpec{Spec: peers.Spec{Name: fmt.Sprintf("c%d", i), Bootstrap: []string{hub.URL}}, Hold: true})
		ids[p.ID()] = true
	}
	conns, err := hub.Accepted.WaitN(ctx, clients, func(*peers.Raw) bool { return true })
	harness.Must(t, err)
	for _, c := range conns {
		hello, err := c.Frames.Wait(ctx, func(peers.RawFrame) bool { return true })
		harness.Must(t, err)
		var id struct{ Data []int }
		harness.Must(t, json.Unmarshal([]byte(hello.Text), &id))
		raw := make([]byte, 0, wire.IDSize)
		for _, b := range id.Data {
			raw = append(raw, byte(b))
		}
		if len(raw) != wire.IDSize {
			t.Fatalf("hello is %s", hello.Text)
		}
		if hello.Text != peers.HelloText(protocol.ID(raw)) {
			t.Errorf("HelloText gives %s, the package %s", peers.HelloText(protocol.ID(raw)), hello.Text)
		}
		delete(ids, protocol.ID(raw))
	}
	if len(ids) != 0 {
		t.Errorf("%d peers did not say hello", len(ids))
	}
	if _, cpu, err := d.Usage(ctx); err != nil || cpu == 0 {
		t.Errorf("usage is %d µs, %v", cpu, err)
	}
}

// TestCrashIsSeen has the driver throw what nothing catches.
func TestCrashIsSeen(t *testing.T) {
	harness.NeedNPM(t)
	ctx := harness.Context(t)
	d, err := peers.StartDriver(ctx)
	harness.Must(t, err)
	defer d.Close()
	p := harness.NPMPeer(t, d, peers.NPMSpec{Spec: peers.Spec{Name: "bystander", Listen: true}})
	harness.Must(t, d.CrashOnPurpose(ctx))

	const reason = "a crash on purpose"
	if e, err := p.Events().Wait(ctx, peers.IsKind("never")); err == nil || !strings.Contains(err.Error(), reason) {
		t.Errorf("waiting for a peer of a crashed process gives %v, %v", e, err)
	}
	if err := d.Close(); err == nil {
		t.Error("Close does not report the crash")
	}
	if !strings.Contains(d.Crash(), reason) {
		t.Errorf("the crash is reported as %q", d.Crash())
	}
	if err := p.Send(ctx, protocol.ID{9}, "x"); err == nil {
		t.Error("a peer of a crashed process sends")
	}
}

// TestRaw passes every kind of frame between two bare WebSockets.
func TestRaw(t *testing.T) {
	d := harness.StartDriver(t)
	ctx := harness.Context(t)
	server, err := d.ListenRaw(ctx, "server", peers.RawOptions{Deflate: true})
	harness.Must(t, err)
	client, err := d.DialRaw(ctx, "client", server.URL, peers.RawOptions{Deflate: true, Headers: map[string]string{"X-Test": "1"}})
	harness.Must(t, err)
	if !strings.Contains(client.Extensions, "permessage-deflate") {
		t.Errorf("extensions are %q", client.Extensions)
	}
	other, err := server.Accepted.Wait(ctx, func(*peers.Raw) bool { return true })
	harness.Must(t, err)
	if other.Headers["x-test"] != "1" {
		t.Errorf("headers are %v", other.Headers)
	}
	texts := []string{"", `{"not":"changed" , "1.0":1.0}`, "\u2028 <&> é 😀", `"\ud800"`}
	harness.Must(t, client.SendText(ctx, texts...))
	harness.Must(t, client.SendFragmented(ctx, "in pieces", 4))
	harness.Must(t, client.SendBinary(ctx, []byte{0, 255}))
	harness.Must(t, client.Ping(ctx))
	got, err := other.Frames.WaitN(ctx, len(texts)+2, func(peers.RawFrame) bool { return true })
	harness.Must(t, err)
	for i, want := range append(texts, "in pieces") {
		if got[i].Text != want || got[i].Binary != nil {
			t.Errorf("frame %d is %+v, want %q", i, got[i], want)
		}
	}
	if b := got[len(texts)+1].Binary; string(b) != "\x00\xff" {
		t.Errorf("binary frame is %x", b)
	}
	harness.Must(t, client.Close(ctx, 4001))
	var closed *peers.RawClosed
	if _, err := other.Frames.Wait(ctx, func(f peers.RawFrame) bool { return false }); !errors.As(err, &closed) || closed.Code != 4001 {
		t.Errorf("after a close: %v", err)
	}
	if _, err := client.Frames.Wait(ctx, func(f peers.RawFrame) bool { return false }); !errors.As(err, &closed) || closed.Code != 4001 {
		t.Errorf("after a close: %v", err)
	}
	harness.Must(t, server.Close(ctx))
	if _, err := d.DialRaw(ctx, "late", server.URL, peers.RawOptions{}); err == nil {
		t.Error("a closed server accepts")
	}
}

// TestCanon compares with what JavaScript is known to do.
func TestCanon(t *testing.T) {
	d := harness.StartDriver(t)
	got, err := d.Canon(harness.Context(t), []string{` [1.0, -0, 1e400, "\ud800\/"] `, `{"b":1,"1":2,"b":3}`, `{`})
	harness.Must(t, err)
	want := []peers.Canon{{Text: `[1,0,null,"\ud800/"]`}, {Text: `{"1":2,"b":3}`}}
	if len(got) != 3 || !slices.Equal(got[:2], want) || got[2].Error == "" {
		t.Errorf("canon is %+v", got)
	}
}
