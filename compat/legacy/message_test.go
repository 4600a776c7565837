package legacy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

func testID(c byte) (id protocol.ID) {
	for i := range id {
		id[i] = c
	}
	return id
}

var (
	idA, idB, idC = testID(0xaa), testID(0xbb), testID(0xcc)
	noPeer        = testID(0xee)
)

func parse(t testing.TB, text string) *wire.Frame {
	t.Helper()
	f, _, err := parseMessage([]byte(text), noPeer, new([]byte))
	if err != nil {
		t.Fatalf("%.400s\n%v", text, err)
	}
	return f
}

func emit(t testing.TB, f *wire.Frame) string {
	t.Helper()
	b, err := appendMessage(nil, f, "", maxText)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// envelope returns a message from A to B with this data, and with more after it.
func envelope(data, more string) string {
	return fmt.Sprintf(`{"to":"%v","from":"%v","path":["%v"],"nonce":"1","data":%s%s}`, idB, idA, idA, data, more)
}

// asJSHop returns what a JS relay makes of a message: to and from as Buffers, its own id at the
// end of the path, all written again by JSON.stringify.
func asJSHop(t testing.TB, text string, relay protocol.ID) string {
	t.Helper()
	ms, err := rawjson.AppendMembers(nil, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	b := []byte{'{'}
	for i, m := range rawjson.LastWins(ms) {
		switch string(m.Key) {
		case "to", "from":
			id, ok := rawjson.ParseID(m.Value)
			if !ok {
				t.Fatalf("%s: %s", m.Key, m.Value)
			}
			m.Value = rawjson.AppendBuffer(nil, id[:])
		case "path":
			m.Value = fmt.Appendf(nil, `%s,"%v"]`, m.Value[:len(m.Value)-1], relay)
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = appendMember(b, m)
	}
	b, err = rawjson.Canonical(nil, append(b, '}'))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// same returns an error that describes how two frames of messages differ in meaning, or nil.
func same(a, b *wire.Frame) error {
	switch {
	case !bytes.Equal(a.Body.Raw(), b.Body.Raw()):
		return fmt.Errorf("body\n%x\n%x", a.Body.Raw(), b.Body.Raw())
	case !bytes.Equal(a.Nonce, b.Nonce):
		return fmt.Errorf("nonce %q, %q", a.Nonce, b.Nonce)
	case !bytes.Equal(a.Sig, b.Sig):
		return fmt.Errorf("signature %x, %x", a.Sig, b.Sig)
	case a.Hop != b.Hop:
		return fmt.Errorf("hop %x, %x", a.Hop, b.Hop)
	case !reflect.DeepEqual(a.Path(), b.Path()):
		return fmt.Errorf("path %v, %v", a.Path(), b.Path())
	case len(a.Route)+len(b.Route) > 0 && !reflect.DeepEqual(a.Route, b.Route):
		return fmt.Errorf("route %v, %v", a.Route, b.Route)
	}
	return nil
}

// A vector was recorded from the npm package.
type vector struct{ Name, Sent, Frame string }

func readVectors(t testing.TB, names ...string) (vectors []vector) {
	t.Helper()
	for _, name := range names {
		file, err := os.Open(filepath.Join("testdata", "legacy", name+".jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		s := bufio.NewScanner(file)
		n := len(vectors)
		for s.Scan() {
			var v vector
			if err := json.Unmarshal(s.Bytes(), &v); err != nil {
				t.Fatal(err)
			}
			vectors = append(vectors, v)
		}
		if s.Err() != nil || len(vectors) == n {
			t.Fatalf("%s: no vectors, %v", name, s.Err())
		}
	}
	return vectors
}

// withHexIDs writes to and from as hex, as they are sent.
func withHexIDs(t testing.TB, text string) string {
	t.Helper()
	ms, err := rawjson.AppendMembers(nil, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range ms {
		if key := string(m.Key); key == "to" || key == "from" {
			id, _ := rawjson.ParseID(m.Value)
			text = strings.Replace(text, string(m.RawKey)+":"+string(m.Value), fmt.Sprintf(`%s:"%x"`, m.RawKey, id), 1)
		}
	}
	return text
}

func TestWhatJSWritesComesBackAsItWas(t *testing.T) {
	for _, v := range readVectors(t, "control", "relayed", "user") {
		f := parse(t, v.Frame)
		if got, want := emit(t, f), withHexIDs(t, v.Frame); got != want {
			t.Errorf("%s\n got %s\nwant %s", v.Name, got, want)
		}
		if control := strings.HasPrefix(v.Name, "find") || strings.HasPrefix(v.Name, "found") || strings.HasPrefix(v.Name, "handshake"); control == (f.Body.Kind == wire.KindUser) {
			t.Errorf("%s is of kind %v", v.Name, f.Body.Kind)
		}
		if f.Body.Kind == wire.KindOther {
			t.Errorf("%s was not understood", v.Name)
		}
	}
}

func TestWhatJSCarriesCrossesAGoRelay(t *testing.T) {
	refused := map[string]string{"pr": "pr.h", "an empty path": "path is empty"}
	for _, v := range readVectors(t, "carried") {
		for _, text := range []string{v.Sent, v.Frame} {
			f, _, err := parseMessage([]byte(text), noPeer, new([]byte))
			if why := refused[v.Name]; err != nil {
				if why == "" || !strings.Contains(err.Error(), why) || !errors.Is(err, wire.ErrPassedOn) {
					t.Errorf("%s: %v", v.Name, err)
				}
				continue
			}
			got := emit(t, f)
			// JS must make the same of the forwarded message as of the original.
			if got, want := asJSHop(t, got, idC), asJSHop(t, inOrder(t, text), idC); got != want {
				t.Errorf("%s\n got %s\nwant %s", v.Name, got, want)
			}
			if err := same(parse(t, got), f); err != nil {
				t.Errorf("%s: %v", v.Name, err)
			}
		}
	}
}

// inOrder puts the members of a message into the order in which they are written.
func inOrder(t *testing.T, text string) string {
	t.Helper()
	ms, err := rawjson.AppendMembers(nil, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var known, other []string
	for _, name := range []string{"to", "from", "path", "nonce", "data"} {
		for _, m := range ms {
			if string(m.Key) == name {
				known = append(known, string(appendMember(nil, m)))
			}
		}
	}
	for _, m := range ms {
		if topLevel(m.RawKey) == 0 {
			other = append(other, string(appendMember(nil, m)))
		}
	}
	for _, m := range ms {
		if string(m.Key) == "pr" && !bytes.HasPrefix(m.Value, []byte(`{"v"`)) { // that is for one link
			other = append(other, string(appendMember(nil, m)))
		}
	}
	return "{" + strings.Join(append(known, other...), ",") + "}"
}

func TestData(t *testing.T) {
	hexA, hexB := idA.String(), idB.String()
	bufferA := string(rawjson.AppendBuffer(nil, idA[:]))
	const user, other = wire.KindUser, wire.KindOther
	const none, text, raw, whole = wire.FormNone, wire.FormJSON, wire.FormRaw, wire.FormWholeJSON
	answer := func(a wire.Answer) string { return string(wire.AppendAnswer(nil, a)) }
	type meaning struct {
		kind    wire.Kind
		form    wire.Form
		payload string
	}
	for _, test := range []struct {
		data   string
		passed meaning // when it is for another peer
		mine   *meaning
	}{
		{`{"type":"user"}`, meaning{user, none, ""}, nil},
		{`{"type":"user","data":null}`, meaning{user, text, "null"}, nil},
		{`{"type":"user","data":"x"}`, meaning{user, text, `"x"`}, nil},
		{`{"type":"user","data":{"type":"Buffer","data":[]}}`, meaning{user, raw, ""}, nil},
		{`{"type":"user","data":{"type":"Buffer","data":[0,255]}}`, meaning{user, raw, "\x00\xff"}, nil},
		{`{"type":"user","data":{"type":"Buffer","data":[256]}}`, meaning{user, text, `{"type":"Buffer","data":[256]}`}, nil},
		{`{"type":"user","data":{"type":"Buffer","data":[1] }}`, meaning{user, text, `{"type":"Buffer","data":[1] }`}, nil},
		{`{"type":"user","data":{"data":[1],"type":"Buffer"}}`, meaning{user, text, `{"data":[1],"type":"Buffer"}`}, nil},
		{`{"data":"x","type":"user"}`, meaning{other, whole, `{"data":"x","type":"user"}`}, &meaning{user, text, `"x"`}},
		{`{ "type":"user"}`, meaning{other, whole, `{ "type":"user"}`}, &meaning{user, none, ""}},
		{`{"type":"user","data":1,"x":2}`, meaning{other, whole, `{"type":"user","data":1,"x":2}`}, &meaning{user, text, `1`}},
		{`{"type":"user","data":1,"data":2}`, meaning{other, whole, `{"type":"user","data":1,"data":2}`}, &meaning{user, text, `2`}},
		{`{"type":"user","data":1,"type":"x"}`, meaning{other, whole, `{"type":"user","data":1,"type":"x"}`}, nil},
		{`{"\u0074ype":"user"}`, meaning{other, whole, `{"\u0074ype":"user"}`}, &meaning{user, none, ""}},
		{`{"type":"us\u0065r"}`, meaning{other, whole, `{"type":"us\u0065r"}`}, &meaning{user, none, ""}},
		{`{ "type":"pr"}`, meaning{other, whole, `{ "type":"pr"}`}, nil},
		{`{"type":"pr","data":null}`, meaning{other, whole, `{"type":"pr","data":null}`}, nil},
		{`{"type":"pr","type":"pr"}`, meaning{other, whole, `{"type":"pr","type":"pr"}`}, nil},
		{`{"type":"p\u0072"}`, meaning{other, whole, `{"type":"p\u0072"}`}, nil},
		{`{"type":1}`, meaning{other, whole, `{"type":1}`}, nil},
		{`{}`, meaning{other, whole, `{}`}, nil},
		{`"x"`, meaning{other, whole, `"x"`}, nil},
		{`[1]`, meaning{other, whole, `[1]`}, nil},
		{`0`, meaning{other, whole, `0`}, nil},

		{`{"type":"findPeers","data":"` + hexA + `"}`, meaning{wire.KindFind, raw, string(idA[:])}, nil},
		{`{"type":"findPeers","data":"` + strings.ToUpper(hexA) + `"}`, meaning{wire.KindFind, raw, string(idA[:])}, nil},
		{`{"data":` + bufferA + `, "type":"findPeers"}`, meaning{wire.KindFind, raw, string(idA[:])}, nil},
		{`{"type":"findPeers","data":"` + hexA + `","x":1}`,
			meaning{other, whole, `{"type":"findPeers","data":"` + hexA + `","x":1}`}, &meaning{wire.KindFind, raw, string(idA[:])}},
		{`{"type":"foundPeers","data":[]}`, meaning{wire.KindFound, raw, ""}, nil},
		{`{"type":"foundPeers","data":["` + hexB + `",` + bufferA + `]}`, meaning{wire.KindFound, raw, string(idB[:]) + string(idA[:])}, nil},
		{`{"type":"handshake-offer"}`, meaning{wire.KindOffer, none, ""}, nil},
		{`{"type":"handshake-offer","data":1}`, meaning{other, whole, `{"type":"handshake-offer","data":1}`}, &meaning{wire.KindOffer, none, ""}},
		{`{"type":"handshake-answer","data":{"ws":"ws://localhost:8001","wrtc":false}}`,
			meaning{wire.KindAnswer, raw, answer(wire.Answer{WS: "ws://localhost:8001"})}, nil},
		{`{"type":"handshake-answer","data":{"ws":null,"wrtc":true}}`,
			meaning{wire.KindAnswer, raw, answer(wire.Answer{NoWS: true, WRTC: true})}, nil},
		{`{"type":"handshake-answer","data":{"ws":"","wrtc":false}}`, meaning{wire.KindAnswer, raw, answer(wire.Answer{})}, nil},
		{`{"type":"handshake-answer","data":null}`, meaning{wire.KindAnswer, none, ""}, nil},
		{`{"type":"handshake-answer"}`, meaning{other, whole, `{"type":"handshake-answer"}`}, &meaning{wire.KindAnswer, none, ""}},
		{`{"type":"handshake-answer","data":5}`, meaning{other, whole, `{"type":"handshake-answer","data":5}`}, nil},
		{`{"type":"handshake-answer","data":{"wrtc":1,"ws":"wss:\/\/h","x":0}}`,
			meaning{other, whole, `{"type":"handshake-answer","data":{"wrtc":1,"ws":"wss:\/\/h","x":0}}`},
			&meaning{wire.KindAnswer, raw, answer(wire.Answer{WS: "wss://h", WRTC: true})}},
		{`{"type":"handshake-answer","data":{}}`, meaning{other, whole, `{"type":"handshake-answer","data":{}}`},
			&meaning{wire.KindAnswer, raw, answer(wire.Answer{NoWS: true})}},
		{`{"type":"signal","data":{"type":"offer","sdp":"v=0"}}`, meaning{wire.KindSignal, text, `{"type":"offer","sdp":"v=0"}`}, nil},
		{`{"type":"signal","data":{"candidate":{}}}`, meaning{wire.KindSignal, text, `{"candidate":{}}`}, nil},
		{`{"data":{"candidate":{}},"type":"signal"}`, meaning{other, whole, `{"data":{"candidate":{}},"type":"signal"}`},
			&meaning{wire.KindSignal, text, `{"candidate":{}}`}},
	} {
		mine := test.passed
		if test.mine != nil {
			mine = *test.mine
		}
		for self, want := range map[protocol.ID]meaning{noPeer: test.passed, idB: mine} {
			f, _, err := parseMessage([]byte(envelope(test.data, "")), self, new([]byte))
			if err != nil {
				t.Errorf("%s: %v", test.data, err)
				continue
			}
			if got := (meaning{f.Body.Kind, f.Body.Form, string(f.Body.Payload)}); got != want {
				t.Errorf("%s for %v is %v, want %v", test.data, self.Short(), got, want)
			}
		}
		again := parse(t, emit(t, parse(t, envelope(test.data, ""))))
		if err := same(again, parse(t, envelope(test.data, ""))); err != nil {
			t.Errorf("%s: %v", test.data, err)
		}
	}
}

func TestManyFoundPeers(t *testing.T) {
	id := `"` + idA.String() + `"`
	list := func(n int) string { return `{"type":"foundPeers","data":[` + strings.Join(slicesOf(id, n), ",") + `]}` }
	if f := parse(t, envelope(list(wire.MaxFound), "")); f.Body.Kind != wire.KindFound {
		t.Errorf("a full foundPeers is of kind %v", f.Body.Kind)
	}
	if f := parse(t, envelope(list(wire.MaxFound+1), "")); f.Body.Kind != wire.KindOther {
		t.Errorf("a foundPeers of too many for another is of kind %v", f.Body.Kind)
	}
	f, _, err := parseMessage([]byte(envelope(list(wire.MaxFound+1), "")), idB, new([]byte))
	if err != nil || f.Body.Kind != wire.KindFound || len(f.Body.Payload) != wire.MaxFound*wire.IDSize {
		t.Errorf("a foundPeers of too many for this peer: %v, %v", f, err)
	}
}

func slicesOf(s string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = s
	}
	return all
}

func TestRefused(t *testing.T) {
	good := envelope(`{"type":"user","data":1}`, "")
	parse(t, good)
	to, from, path := fmt.Sprintf(`"to":"%v",`, idB), fmt.Sprintf(`"from":"%v",`, idA), fmt.Sprintf(`"path":["%v"]`, idA)
	swap := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q does not occur", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	signed := func(change func(*wire.Body)) string {
		b := wire.Body{To: idB, From: idA, Form: wire.FormJSON, Payload: []byte("1")}
		change(&b)
		if err := b.Encode(); err != nil {
			t.Fatal(err)
		}
		return swap(`:1}}`, `:1},"pr":{"h":"`+base64url.EncodeToString(b.Head())+`"}}`)
	}
	if _, _, err := parseMessage([]byte(signed(func(b *wire.Body) { b.Expiry = 7 })), noPeer, new([]byte)); err != nil {
		t.Fatal(err)
	}
	deep := strings.Repeat("[", rawjson.MaxDepth) + strings.Repeat("]", rawjson.MaxDepth)
	for _, test := range []struct{ text, why string }{
		{swap(to, ``), "no to"},
		{swap(from, ``), "no from"},
		{swap(path+`,`, ``), "no path"},
		{swap(`"nonce":"1",`, ``), "no nonce"},
		{swap(`,"data":{"type":"user","data":1}`, ``), "no data"},
		{swap(to, `"to":null,`), "to is not an id"},
		{swap(to, `"to":"0000000000000000000000000000000000000000",`), "zero id"},
		{swap(from, `"from":"0000000000000000000000000000000000000000",`), "zero id"},
		{swap(from, `"from":"aa",`), "from is not an id"},
		{swap(path, `"path":[]`), "path is empty"},
		{swap(path, `"path":{}`), "path is not an array"},
		{swap(path, `"path":["x"]`), "path has an entry"},
		{swap(path, `"path":[`+strings.Join(slicesOf(`"`+idC.String()+`"`, wire.MaxPath+1), ",")+`]`), "more than 20"},
		{swap(`"nonce":"1"`, `"nonce":1`), "nonce is not a string"},
		{swap(`"nonce":"1"`, `"nonce":null`), "nonce is not a string"},
		{swap(`"nonce":"1"`, `"nonce":""`), "the nonce has 0 bytes"},
		{swap(`"nonce":"1"`, `"nonce":"`+strings.Repeat("1", 33)+`"`), "the nonce has 33 bytes"},
		{swap(`"nonce":"1"`, `"nonce":"\n"`), "not printable"},
		{swap(`{"type":"user","data":1}`, `null`), "data is null"},
		{swap(`{"type":"user","data":1}`, `{"type":"user","data":`+deep+`}`), "nested too deeply"},
		{swap(`{"type":"user","data":1}`, `"`+strings.Repeat("x", wire.MaxBody)+`"`), "body has"},
		{swap(`{"type":"user","data":1}`, `"`+strings.Repeat("x", maxText)+`"`), "bytes of text"},
		{swap(`{"type":"user","data":1}`, `{"type":"findPeers","data":"zz"}`), "findPeers without an id"},
		{swap(`{"type":"user","data":1}`, `{"type":"findPeers"}`), "findPeers without an id"},
		{swap(`{"type":"user","data":1}`, `{"x":1,"type":"find\u0050eers","data":5}`), "findPeers without an id"},
		{swap(`{"type":"user","data":1}`, `{"type":"foundPeers"}`), "foundPeers without ids"},
		{swap(`{"type":"user","data":1}`, `{"type":"foundPeers","data":5}`), "foundPeers without ids"},
		{swap(`{"type":"user","data":1}`, `{"type":"foundPeers","data":[1]}`), "foundPeers with an invalid id"},
		{swap(`{"type":"user","data":1}`, `{"type":"handshake-answer","data":{"ws":5}}`), "ws is not a string"},
		{swap(`{"type":"user","data":1}`, `{"type":"handshake-answer","data":{"ws":"x"}}`), "URL"},
		{swap(`{"type":"user","data":1}`, `{"type":"handshake-answer","data":{"ws":"ws://h:99999","wrtc":true}}`), "port"},
		{swap(`{"type":"user","data":1}`, `{"type":"signal"}`), "signal that is not an object"},
		{swap(`{"type":"user","data":1}`, `{"type":"signal","data":"null"}`), "signal that is not an object"},
		{swap(`{"type":"user","data":1}`, `{"type":"signal","data":{"sdp":1,"type":"offer"}}`), "session description"},
		{swap(`{"type":"user","data":1}`, `{"type":"signal","data":{"sdp":"x"}}`), "session description"},
		{swap(`:1}}`, `:1},"pr":5}`), "pr is not an object"},
		{swap(`:1}}`, `:1},"pr":{"t":5}}`), "pr.t is not a string"},
		{swap(`:1}}`, `:1},"pr":{"t":"280203"}}`), "pr.t has 6 digits"},
		{swap(`:1}}`, `:1},"pr":{"t":"2802030x"}}`), "pr.t"},
		{swap(`:1}}`, `:1},"pr":{"r":[1]}}`), "pr.r"},
		{swap(`:1}}`, `:1},"pr":{"r":[`+strings.Join(slicesOf(`"`+idC.String()+`"`, wire.MaxRoute+1), ",")+`]}}`), "more than 20"},
		{swap(`:1}}`, `:1},"pr":{"a":"+"}}`), "pr.a"},
		{swap(`:1}}`, `:1},"pr":{"a":"`+strings.Repeat("A", 4096)+`"}}`), "pr.a has"},
		{swap(`:1}}`, `:1},"pr":{"h":"AAECAw"}}`), "pr.h"},
		{swap(`:1}}`, `:1},"pr":{"p":"AAECAw"}}`), "pr.p stands beside"},
		{signed(func(b *wire.Body) { b.To = idC }), "pr.h says"},
		{signed(func(b *wire.Body) { b.From = idC }), "pr.h says"},
		{signed(func(b *wire.Body) { b.Kind = wire.KindOther }), "pr.h says"},
		{signed(func(b *wire.Body) { b.Form = wire.FormRaw }), "form"},
		{signed(func(b *wire.Body) { b.Form, b.Payload = wire.FormNone, nil }), "form"},
	} {
		f, _, err := parseMessage([]byte(test.text), noPeer, new([]byte))
		if f != nil || !errors.Is(err, wire.ErrPassedOn) || !errors.Is(err, wire.ErrMalformed) || !strings.Contains(err.Error(), test.why) {
			t.Errorf("%.300s\n%v, want %q", test.text, err, test.why)
		}
	}
}

// TestNoJSON checks that a text that no JSON.stringify writes is the fault of the neighbour.
func TestNoJSON(t *testing.T) {
	for _, text := range []string{``, `x`, `{`, `5`, `[]`, `null`, `"x"`, `{"to":}`, "{\"to\":\"\xff\"}", envelope(`1`, `,`), envelope(`1`, ``) + `,`} {
		f, _, err := parseMessage([]byte(text), noPeer, new([]byte))
		if f != nil || !errors.Is(err, wire.ErrMalformed) || errors.Is(err, wire.ErrPassedOn) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestTheLastOfEqualMembersCounts(t *testing.T) {
	text := fmt.Sprintf(`{"to":5,"data":null,"x":1,"path":"","pr":7,"y":2,"nonce":0,"\u0074o":"%v","from":"%v","path":["%v"],"nonce":"9","data":{"type":"user"},"x":[3],"pr":{}}`, idB, idA, idA)
	_, _, err := parseMessage([]byte(text), noPeer, new([]byte))
	if err == nil {
		t.Fatal("a message with an invalid member was accepted because a valid one follows")
	}
	text = fmt.Sprintf(`{"to":"%v","data":null,"x":1,"y":2,"from":"%v","path":["%v","%v"],"\u0074o":"%v","path":["%v"],"nonce":"8","nonce":"9","data":{"type":"user"},"x":[3]}`, idC, idA, idB, idB, idB, idA)
	want := fmt.Sprintf(`{"to":"%v","from":"%v","path":["%v"],"nonce":"9","data":{"type":"user"},"x":[3],"y":2}`, idB, idA, idA)
	if got := emit(t, parse(t, text)); got != want {
		t.Errorf(" got %s\nwant %s", got, want)
	}
}

func TestPathIsCharged(t *testing.T) {
	f := parse(t, envelope(`{"type":"user"}`, ""))
	if f.Hop != wire.NewHop().WithTx(wire.NewHop().TxLeft()-1) {
		t.Errorf("without pr.t: %x", f.Hop)
	}
	if text := emit(t, f); strings.Contains(text, "pr") {
		t.Errorf("budgets that are implied were written: %s", text)
	}
	hop := f.Hop.WithTx(7).WithDetours(1)
	f, err := wire.NewMessageFrame(wire.MessageFields{Hop: hop, Nonce: f.Nonce, Body: f.Body, Path: f.Path()})
	if err != nil {
		t.Fatal(err)
	}
	text := emit(t, f)
	if !strings.HasSuffix(text, `"pr":{"t":"08010300"}}`) {
		t.Errorf("budgets: %s", text)
	}
	if got := parse(t, text); got.Hop != hop {
		t.Errorf("%x came back as %x", hop, got.Hop)
	}
	for n := 1; n <= 8; n++ {
		text = asJSHop(t, text, idC)
		if got := parse(t, text); got.Hop.TxLeft() != max(0, 7-n) {
			t.Errorf("%d transmissions left after %d JS hops", got.Hop.TxLeft(), n)
		}
	}
}

func TestShown(t *testing.T) {
	for _, test := range []struct {
		shown    string
		ok       bool
		features string
	}{
		{"1", true, "[]"},
		{"1,a,b=c", true, "[a b=c]"},
		{"1,a,,b c,d", true, "[a d]"},
		{"", false, "[]"},
		{"2,a", false, "[]"},
		{"11", false, "[]"},
		{"1," + strings.Repeat("x", maxShown), false, "[]"},
	} {
		features, ok := parseShown([]byte(test.shown))
		if ok != test.ok || fmt.Sprint(features) != test.features {
			t.Errorf("%.20q: %v, %v", test.shown, features, ok)
		}
	}
	f := parse(t, envelope(`{"type":"findPeers","data":"`+idA.String()+`"}`, ""))
	b, err := appendMessage(nil, f, `1,a"b`, maxText)
	if err != nil || !bytes.HasSuffix(b, []byte(`,"pr":{"v":"1,a\"b"}}`)) {
		t.Errorf("%s, %v", b, err)
	}
	if _, shown, err := parseMessage(b, noPeer, new([]byte)); err != nil || string(shown) != `1,a"b` {
		t.Errorf("%q, %v", shown, err)
	}
}

func TestURL(t *testing.T) {
	for _, good := range []string{"ws://localhost:8001", "wss://relay.example.com", "ws://[::1]:80/x?y=%20", "WS://1.2.3.4/"} {
		if _, err := parseURL(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "x", "http://h", "ws:h", "ws://", "ws://:80", "ws://h:", "ws://h:0", "ws://h:65536", "ws://h:8x", "ws://u@h", "ws://h/#f",
		"ws://h /", "ws://h/\n", "ws://ü", "ws://h%41", "ws://[::1", "ws://[1.2.3.4]", "ws://[fe80::1%25lo]", "ws://h/%zz", "ws://h/" + strings.Repeat("x", maxURL), "//h"} {
		if _, err := parseURL(bad); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}
