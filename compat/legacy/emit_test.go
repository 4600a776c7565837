package legacy

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// randomFrame returns a message of which every part is random or absent.
func randomFrame(t testing.TB, r *rand.Rand) *wire.Frame {
	t.Helper()
	some := func(most int) []byte {
		if r.IntN(2) == 0 {
			return nil
		}
		b := make([]byte, 1+r.IntN(most))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	id := func() (id protocol.ID) {
		for i := range id {
			id[i] = byte(r.Uint32())
		}
		return id
	}
	ids := func(n int) (list []protocol.ID) {
		for range n {
			list = append(list, id())
		}
		return list
	}
	token := func() []byte {
		if r.IntN(3) > 0 {
			return nil
		}
		return append(some(1)[:0:0], bytes.Repeat([]byte{byte(r.Uint32())}, 16)...)
	}
	b := wire.Body{To: id(), From: id(), E2E: token(), Token: token(), Key: some(40), Record: some(200), Expiry: r.Uint64N(3)}
	if r.IntN(3) == 0 {
		b.Flags = wire.Flags(r.IntN(16))
	}
	b.Extra = [][]byte{nil, nil, []byte(`{"x":1}`), []byte(`{"a":{"to":1},"b":"ü\ud800"}`), []byte(`{ "x" : 1 }`), []byte(`{"x":1,"x":2}`), []byte(`{}`)}[r.IntN(7)]
	values := []string{`1`, `"x"`, `null`, `{"type":"Buffer","data":[1,2]}`, `[1.0,-0,1e400]`, `{"b":1,"a":{"c":"\ud800<"}}`}
	switch r.IntN(10) {
	case 0:
	case 1:
		b.Form, b.Payload = wire.FormJSON, []byte(values[r.IntN(len(values))])
	case 2:
		b.Form, b.Payload = wire.FormRaw, some(400)
	case 3:
		find := id()
		b.Kind, b.Form, b.Payload = wire.KindFind, wire.FormRaw, find[:]
	case 4:
		b.Kind, b.Form, b.Payload = wire.KindFound, wire.FormRaw, wire.AppendFound(nil, ids(r.IntN(wire.MaxFound+1)))
	case 5:
		b.Kind = wire.KindOffer
	case 6:
		b.Kind = wire.KindAnswer
		if r.IntN(3) > 0 {
			b.Form = wire.FormRaw
			b.Payload = wire.AppendAnswer(nil, wire.Answer{WS: "wss://a.example/x", NoWS: r.IntN(2) == 0, WRTC: r.IntN(2) == 0})
		}
	case 7:
		b.Kind, b.Form = wire.KindOther, wire.FormWholeJSON
		b.Payload = []byte([]string{`{"type":"x"}`, `"x"`, `{ "type":"user"}`, `{"type":"handshake-offer","data":1}`, `{"type":"pr","data":1}`}[r.IntN(5)])
	case 8:
		b.Kind, b.Form, b.Payload = wire.KindReceipt, wire.FormRaw, some(100)
	case 9:
		b.Kind, b.Form, b.Payload = wire.KindNotice, wire.FormRaw, some(60)
	}
	if err := b.Encode(); err != nil {
		t.Fatal(err)
	}
	hop := wire.NewHop()
	if r.IntN(2) == 0 {
		hop = wire.Hop(r.Uint32()).WithTx(r.IntN(100))
	}
	nonce := []string{"1", "370139348282462", `a"b\c d`, "toString"}[r.IntN(4)]
	f, err := wire.NewMessageFrame(wire.MessageFields{Hop: hop, Nonce: []byte(nonce), Body: b, Sig: some(100),
		Route: ids(r.IntN(3) * r.IntN(8)), Path: ids(1 + r.IntN(wire.MaxPath))})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRoundTrip(t *testing.T) {
	const count, seed = 5000, 20160712
	r := rand.New(rand.NewPCG(seed, 1))
	for range count {
		f := randomFrame(t, r)
		text := emit(t, f)
		if !rawjson.Valid([]byte(text)) {
			t.Fatalf("not JSON: %s", text)
		}
		if err := same(parse(t, text), f); err != nil {
			t.Fatalf("seed %d: %s\n%v", seed, text, err)
		}
		// Over a JS hop a Body that is a fixed point of JSON is unchanged. So is one beside any extra,
		// if its head is in pr.
		if f.PathLen() < wire.MaxPath && (f.Body.Form != wire.FormJSON || rawjson.IsFixedPoint(f.Body.Payload)) && f.Body.Kind != wire.KindOther {
			after := parse(t, asJSHop(t, text, idC))
			head := strings.Contains(text, `"pr":{"h"`)
			if !bytes.Equal(after.Body.Raw(), f.Body.Raw()) && (head || len(f.Body.Extra) == 0) || !bytes.Equal(after.Sig, f.Sig) {
				t.Fatalf("seed %d: a JS hop changed\n%s\n%s", seed, text, asJSHop(t, text, idC))
			}
		}
	}
}

// TestHeadIsCarriedOnlyIfNeeded checks that pr.h is absent if the other members express the
// whole head.
func TestHeadIsCarriedOnlyIfNeeded(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*wire.Body)
		pr     string
	}{
		{"plain", func(*wire.Body) {}, ``},
		{"extra", func(b *wire.Body) { b.Extra = []byte(`{"x":1}`) }, ``},
		{"record", func(b *wire.Body) { b.Record = []byte("rec") }, `"pr":{"a":"cmVj"}`},
		{"raw", func(b *wire.Body) { b.Form = wire.FormRaw }, ``},
		{"extra with white space", func(b *wire.Body) { b.Extra = []byte(`{ }`) }, `"pr":{"h":"`},
		{"token", func(b *wire.Body) { b.Token = make([]byte, 16) }, `"pr":{"h":"`},
		{"flags", func(b *wire.Body) { b.Flags = wire.FlagClosest }, `"pr":{"h":"`},
		{"the wish for a receipt", func(b *wire.Body) { b.Flags = wire.FlagReceipt }, `"pr":{"h":"`},
		{"the wish for a notice", func(b *wire.Body) { b.Flags = wire.FlagNotice }, `"pr":{"h":"`},
		{"end-to-end id", func(b *wire.Body) { b.E2E = make([]byte, 16) }, `"pr":{"h":"`},
		{"key", func(b *wire.Body) { b.Key = []byte("k") }, `"pr":{"h":"`},
		{"like a Buffer", func(b *wire.Body) { b.Payload = []byte(`{"type":"Buffer","data":[]}`) }, `"pr":{"h":"`},
	} {
		b := wire.Body{To: idB, From: idA, Form: wire.FormJSON, Payload: []byte("1")}
		test.change(&b)
		if err := b.Encode(); err != nil {
			t.Fatal(err)
		}
		f, err := wire.NewMessageFrame(wire.MessageFields{Hop: wire.NewHop().WithTx(39), Nonce: []byte("1"), Body: b, Path: []protocol.ID{idA}})
		if err != nil {
			t.Fatal(err)
		}
		text := emit(t, f)
		if has := strings.Contains(text, `"pr"`); has != (test.pr != "") || !strings.Contains(text, test.pr) {
			t.Errorf("%s: %s", test.name, text)
		}
		if err := same(parse(t, text), f); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	// Unknown fields, and fields in another order.
	order := func(parts ...string) []byte {
		var raw []byte
		for _, p := range parts {
			b, err := hex.DecodeString(p)
			if err != nil {
				t.Fatal(err)
			}
			raw = append(raw, b...)
		}
		return raw
	}
	to, from := fmt.Sprintf("0a14%v", idB), fmt.Sprintf("1214%v", idA)
	for _, raw := range [][]byte{order(from, to), order(to, from, "a80107"), order(to, from, "1800")} {
		b, err := wire.ParseBody(raw)
		if err != nil {
			t.Fatal(err)
		}
		f, err := wire.NewMessageFrame(wire.MessageFields{Hop: wire.NewHop(), Nonce: []byte("1"), Body: b, Path: []protocol.ID{idA}})
		if err != nil {
			t.Fatal(err)
		}
		if err := same(parse(t, emit(t, f)), f); err != nil {
			t.Errorf("%x: %v", raw, err)
		}
	}
}

func TestUnencodable(t *testing.T) {
	deep := strings.Repeat("[", rawjson.MaxDepth-1) + strings.Repeat("]", rawjson.MaxDepth-1)
	for _, test := range []struct {
		name string
		body wire.Body
	}{
		{"sealed", wire.Body{Form: wire.FormSealed, Payload: []byte("x")}},
		{"unknown form", wire.Body{Form: 99, Payload: []byte("x")}},
		{"unknown kind", wire.Body{Kind: 99}},
		{"receipt of text", wire.Body{Kind: wire.KindReceipt, Form: wire.FormJSON, Payload: []byte("1")}},
		{"receipt without a payload", wire.Body{Kind: wire.KindReceipt}},
		{"sealed receipt", wire.Body{Kind: wire.KindReceipt, Form: wire.FormSealed, Payload: []byte("x")}},
		{"notice of a whole data", wire.Body{Kind: wire.KindNotice, Form: wire.FormWholeJSON, Payload: []byte(`{"type":"pr"}`)}},
		{"receipt in disguise", wire.Body{Kind: wire.KindOther, Form: wire.FormWholeJSON, Payload: []byte(`{"type":"pr"}`)}},
		{"no JSON", wire.Body{Form: wire.FormJSON, Payload: []byte(`1},"x":{`)}},
		{"white space", wire.Body{Form: wire.FormJSON, Payload: []byte(` 1`)}},
		{"empty", wire.Body{Form: wire.FormJSON}},
		{"too deep", wire.Body{Form: wire.FormJSON, Payload: []byte(deep)}},
		{"null", wire.Body{Kind: wire.KindOther, Form: wire.FormWholeJSON, Payload: []byte(`null`)}},
		{"user in disguise", wire.Body{Kind: wire.KindOther, Form: wire.FormWholeJSON, Payload: []byte(`{"type":"user"}`)}},
		{"findPeers in disguise", wire.Body{Kind: wire.KindOther, Form: wire.FormWholeJSON, Payload: []byte(`{"type":"findPeers","data":"zz"}`)}},
		{"find", wire.Body{Kind: wire.KindFind, Form: wire.FormRaw, Payload: []byte("short")}},
		{"found", wire.Body{Kind: wire.KindFound, Form: wire.FormRaw, Payload: []byte("short")}},
		{"answer", wire.Body{Kind: wire.KindAnswer, Form: wire.FormRaw, Payload: []byte("short")}},
		{"answer with more fields", wire.Body{Kind: wire.KindAnswer, Form: wire.FormRaw, Payload: []byte{0x10, 1, 0x18, 1}}},
		{"answer with a bad URL", wire.Body{Kind: wire.KindAnswer, Form: wire.FormRaw, Payload: wire.AppendAnswer(nil, wire.Answer{WS: "x"})}},
		{"signal", wire.Body{Kind: wire.KindSignal, Form: wire.FormJSON, Payload: []byte(`null`)}},
		{"extra that is not an object", wire.Body{Extra: []byte(`[]`)}},
		{"extra with a data", wire.Body{Extra: []byte(`{"d\u0061ta":1}`)}},
		{"extra with a pr", wire.Body{Extra: []byte(`{"pr":1}`)}},
	} {
		b := test.body
		b.To, b.From = idB, idA
		if err := b.Encode(); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		f, err := wire.NewMessageFrame(wire.MessageFields{Hop: wire.NewHop(), Nonce: []byte("1"), Body: b, Path: []protocol.ID{idA}})
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		dst := []byte("before")
		got, err := appendMessage(dst, f, "", maxText)
		if !errors.Is(err, wire.ErrUnencodable) || string(got) != "before" {
			t.Errorf("%s: %q, %v", test.name, got, err)
		}
	}
	b := wire.Body{From: idA}
	if err := b.Encode(); err != nil {
		t.Fatal(err)
	}
	f, err := wire.NewMessageFrame(wire.MessageFields{Hop: wire.NewHop(), Nonce: []byte("1"), Body: b, Targets: []protocol.ID{idB}, Path: []protocol.ID{idA}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := appendMessage(nil, f, "", maxText); !errors.Is(err, wire.ErrUnencodable) {
		t.Errorf("targets: %v", err)
	}
	if _, err := appendMessage(nil, wire.NewPing(1), "", maxText); !errors.Is(err, wire.ErrUnencodable) {
		t.Errorf("a ping: %v", err)
	}
}

// TestEveryBodyFits checks that the largest Body fits, in every form that holds bytes, with the
// longest path.
func TestEveryBodyFits(t *testing.T) {
	for _, kind := range []wire.Kind{wire.KindUser, wire.KindReceipt, wire.KindNotice} {
		t.Run(kind.String(), func(t *testing.T) { testLargestBody(t, kind) })
	}
}

func testLargestBody(t *testing.T, kind wire.Kind) {
	b := wire.Body{To: idB, From: idA, Kind: kind, Form: wire.FormRaw, Payload: bytes.Repeat([]byte{255}, wire.MaxBody-100)}
	if err := b.Encode(); err != nil {
		t.Fatal(err)
	}
	path := make([]protocol.ID, wire.MaxPath)
	f, err := wire.NewMessageFrame(wire.MessageFields{Hop: wire.NewHop(), Nonce: bytes.Repeat([]byte{'"'}, wire.MaxNonce), Body: b,
		Sig: make([]byte, wire.MaxSig), Route: path, Path: path})
	if err != nil {
		t.Fatal(err)
	}
	text := emit(t, f)
	if err := same(parse(t, text), f); err != nil {
		t.Error(err)
	}
	const webRTC = 262144
	if b, err := appendMessage([]byte("x"), f, "", webRTC); !errors.Is(err, protocol.ErrTooBig) || string(b) != "x" {
		t.Errorf("on a link with a smaller limit: %v", err)
	}
	if over := asJSHop(t, text, idC); len(over) <= maxText {
		t.Logf("%d bytes, after a JS hop %d, limit %d", len(text), len(over), maxText)
	} else {
		t.Errorf("%d bytes, after a JS hop %d, limit %d", len(text), len(over), maxText)
	}
}
