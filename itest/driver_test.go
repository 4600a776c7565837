package itest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// TestLockFileNamesNoAddress keeps download addresses out of the lock file.
func TestLockFileNamesNoAddress(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("js", "package-lock.json"))
	must(t, err)
	var lock struct {
		Packages map[string]map[string]any
	}
	must(t, json.Unmarshal(b, &lock))
	for name, p := range lock.Packages {
		if _, has := p["resolved"]; has {
			t.Errorf("%s has an address", name)
		}
		if _, has := p["integrity"]; !has && name != "" {
			t.Errorf("%s has no hash", name)
		}
	}
	if len(lock.Packages) < 2 {
		t.Error("the lock file names no package")
	}
}

// TestNPMValues sends every kind of value in every form that the harness has.
func TestNPMValues(t *testing.T) {
	d := startDriver(t)
	ctx := testContext(t)
	a := npmPeer(t, d, NPMSpec{Spec: Spec{Name: "a", Listen: true}})
	b := npmPeer(t, d, NPMSpec{Spec: Spec{Name: "b", Bootstrap: []string{a.URL()}}})
	_, err := b.Events().Wait(ctx, IsPeer(a.ID()))
	must(t, err)
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
		{JS(`[new Date(0), undefined, -0, Buffer.from("a")]`), `["1970-01-01T00:00:00.000Z",null,0,{"type":"Buffer","data":[97]}]`},
		{Undefined{}, ``},
		{JS(`undefined`), ``},
	}
	for _, v := range values {
		must(t, b.Send(ctx, a.ID(), v.send))
	}
	got, err := a.Events().WaitN(ctx, len(values), IsKind(EventMessage))
	must(t, err)
	for i, v := range values {
		if got[i].Node != b.ID() || string(got[i].Data) != v.want {
			t.Errorf("%#v came as %s from %s, want %s", v.send, got[i].Data, got[i].Node, v.want)
		}
		if (got[i].Data == nil) != (v.want == "") {
			t.Errorf("%#v: undefined and null are not told apart", v.send)
		}
	}
	if err := b.Send(ctx, a.ID(), JS("[")); err == nil || !strings.Contains(err.Error(), "Unexpected") {
		t.Errorf("a bad expression gives %v", err)
	}
}

// TestNPMSpec checks what a test can ask of an npm peer.
func TestNPMSpec(t *testing.T) {
	d := startDriver(t)
	ctx := testContext(t)
	hub := npmPeer(t, d, NPMSpec{Spec: Spec{Name: "hub", Listen: true}, ID: protocol.ID{1, 2, 3}})
	if hub.ID() != (protocol.ID{1, 2, 3}) {
		t.Errorf("id %s was not taken", hub.ID())
	}
	if !strings.HasPrefix(hub.URL(), "ws://localhost:") {
		t.Errorf("url is %q", hub.URL())
	}
	var held []*NPMPeer
	for _, name := range []string{"x", "y"} {
		p := npmPeer(t, d, NPMSpec{Spec: Spec{Name: name, Listen: true, Bootstrap: []string{hub.URL()}, Seed: [32]byte{name[0]}}, Hold: true})
		_, err := p.Events().Wait(ctx, IsPeer(hub.ID()))
		must(t, err)
		held = append(held, p)
	}
	x, y := held[0], held[1]
	if x.ID() == y.ID() {
		t.Error("two seeds gave one id")
	}
	// Relayed, because they do not link by themselves.
	_, err := hub.Events().WaitN(ctx, 2, IsKind(EventPeer))
	must(t, err)
	must(t, x.Send(ctx, y.ID(), "over the hub"))
	_, err = y.Events().Wait(ctx, IsKind(EventMessage))
	must(t, err)
	stats, err := y.Stats(ctx)
	must(t, err)
	if stats.Count != 1 || !slices.Equal(stats.Peers, []protocol.ID{hub.ID()}) || stats.Candidates == 0 {
		t.Errorf("a held peer has %+v", stats)
	}
	must(t, y.Disconnect(ctx, hub.ID()))
	_, err = y.Events().Wait(ctx, IsDisconnect(hub.ID()))
	must(t, err)
	_, err = hub.Events().Wait(ctx, IsDisconnect(y.ID()))
	must(t, err)
	must(t, y.Destroy(ctx))
	must(t, y.Destroy(ctx))
	if err := y.Send(ctx, hub.ID(), "x"); err == nil {
		t.Error("a destroyed peer sends")
	}
}

// TestManyNPMPeers holds many peers in one process, as the acceptance runs do.
func TestManyNPMPeers(t *testing.T) {
	const clients = 500
	d := startDriver(t)
	ctx := testContext(t)
	hub, err := d.ListenRaw(ctx, "hub", RawOptions{})
	must(t, err)
	ids := make(map[protocol.ID]bool)
	for i := range clients {
		p := npmPeer(t, d, NPMSpec{Spec: Spec{Name: fmt.Sprintf("c%d", i), Bootstrap: []string{hub.URL}}, Hold: true})
		ids[p.ID()] = true
	}
	conns, err := hub.Accepted.WaitN(ctx, clients, func(*Raw) bool { return true })
	must(t, err)
	for _, c := range conns {
		hello, err := c.Frames.Wait(ctx, func(RawFrame) bool { return true })
		must(t, err)
		var id struct{ Data []int }
		must(t, json.Unmarshal([]byte(hello.Text), &id))
		raw := make([]byte, 0, wire.IDSize)
		for _, b := range id.Data {
			raw = append(raw, byte(b))
		}
		if len(raw) != wire.IDSize {
			t.Fatalf("hello is %s", hello.Text)
		}
		if hello.Text != HelloText(protocol.ID(raw)) {
			t.Errorf("HelloText gives %s, the package %s", HelloText(protocol.ID(raw)), hello.Text)
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

// TestCrashIsSeen sends a frame that kills the npm package.
func TestCrashIsSeen(t *testing.T) {
	needNPM(t)
	ctx := testContext(t)
	victim, err := StartDriver(ctx)
	must(t, err)
	defer victim.Close()
	p := npmPeer(t, victim, NPMSpec{Spec: Spec{Name: "victim", Listen: true}})
	d := startDriver(t)
	raw, err := d.DialRaw(ctx, "attacker", p.URL(), RawOptions{})
	must(t, err)
	id := protocol.ID{9}
	must(t, raw.SendText(ctx, HelloText(id), `{"to":"`+p.ID().String()+`","from":"`+id.String()+`","path":[],"nonce":1,"data":{}}`))

	if e, err := p.Events().Wait(ctx, IsKind("never")); err == nil || !strings.Contains(err.Error(), "TypeError") {
		t.Errorf("who waits for a dead peer gets %v, %v", e, err)
	}
	if err := victim.Close(); err == nil {
		t.Error("Close does not report the crash")
	}
	if !strings.Contains(victim.Crash(), "substr") {
		t.Errorf("crash is %q", victim.Crash())
	}
	if err := p.Send(ctx, id, "x"); err == nil {
		t.Error("a dead peer sends")
	}
}

// TestRaw passes every kind of frame between two bare WebSockets.
func TestRaw(t *testing.T) {
	d := startDriver(t)
	ctx := testContext(t)
	server, err := d.ListenRaw(ctx, "server", RawOptions{Deflate: true})
	must(t, err)
	client, err := d.DialRaw(ctx, "client", server.URL, RawOptions{Deflate: true, Headers: map[string]string{"X-Test": "1"}})
	must(t, err)
	if !strings.Contains(client.Extensions, "permessage-deflate") {
		t.Errorf("extensions are %q", client.Extensions)
	}
	other, err := server.Accepted.Wait(ctx, func(*Raw) bool { return true })
	must(t, err)
	if other.Headers["x-test"] != "1" {
		t.Errorf("headers are %v", other.Headers)
	}
	texts := []string{"", `{"not":"changed" , "1.0":1.0}`, "\u2028 <&> é 😀", `"\ud800"`}
	must(t, client.SendText(ctx, texts...))
	must(t, client.SendFragmented(ctx, "in pieces", 4))
	must(t, client.SendBinary(ctx, []byte{0, 255}))
	must(t, client.Ping(ctx))
	got, err := other.Frames.WaitN(ctx, len(texts)+2, func(RawFrame) bool { return true })
	must(t, err)
	for i, want := range append(texts, "in pieces") {
		if got[i].Text != want || got[i].Binary != nil {
			t.Errorf("frame %d is %+v, want %q", i, got[i], want)
		}
	}
	if b := got[len(texts)+1].Binary; string(b) != "\x00\xff" {
		t.Errorf("binary frame is %x", b)
	}
	must(t, client.Close(ctx, 4001))
	var closed *RawClosed
	if _, err := other.Frames.Wait(ctx, func(f RawFrame) bool { return false }); !errors.As(err, &closed) || closed.Code != 4001 {
		t.Errorf("after a close: %v", err)
	}
	if _, err := client.Frames.Wait(ctx, func(f RawFrame) bool { return false }); !errors.As(err, &closed) || closed.Code != 4001 {
		t.Errorf("after a close: %v", err)
	}
	must(t, server.Close(ctx))
	if _, err := d.DialRaw(ctx, "late", server.URL, RawOptions{}); err == nil {
		t.Error("a closed server accepts")
	}
}

// TestCanon compares with what JavaScript is known to do.
func TestCanon(t *testing.T) {
	d := startDriver(t)
	got, err := d.Canon(testContext(t), []string{` [1.0, -0, 1e400, "\ud800\/"] `, `{"b":1,"1":2,"b":3}`, `{`})
	must(t, err)
	want := []Canon{{Text: `[1,0,null,"\ud800/"]`}, {Text: `{"1":2,"b":3}`}}
	if len(got) != 3 || !slices.Equal(got[:2], want) || got[2].Error == "" {
		t.Errorf("canon is %+v", got)
	}
}
