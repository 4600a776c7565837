package legacy

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// Heads of Bodies from A to B, in base64url.
const (
	idsHead     = "ChS7u7u7u7u7u7u7u7u7u7u7u7u7uxIUqqqqqqqqqqqqqqqqqqqqqqqqqqo" // to and from
	receiptHead = idsHead + "YBiAC"
	pingHead    = idsHead + "YCSACKAkyEAEjRWeJq83vASNFZ4mrze8"
	reportHead  = idsHead + "YCiACMhABI0VniavN7wEjRWeJq83v"
)

// A prText is a message whose data is {"type":"pr"}.
type prText struct {
	name, more, pr string // other members, with a comma before each, and the member pr
	why            string // part of the error

	data string // instead
}

func (p prText) text() string {
	data := p.data
	if data == "" {
		data = `{"type":"pr"}`
	}
	return envelope(data, p.more+p.pr)
}

var (
	prE2E   = bytes.Repeat([]byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}, 2)
	prOther = bytes.Repeat([]byte{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88}, 2) // of the message received
)

func prReceipt(handed bool) []byte {
	return wire.AppendReceipt(nil, wire.Receipt{E2E: prOther, Hash: [wire.HashSize]byte(bytes.Repeat([]byte{0x99}, wire.HashSize)), Nonce: []byte("7"), Hops: 3, Handed: handed})
}

// prTexts are the texts of prBodies. Their bytes were put together by hand.
var prTexts = []prText{
	{name: "signed receipt", pr: `,"pr":{"h":"` + receiptHead + `MhABI0VniavN7wEjRWeJq83vQgNrZXk","s":"-_8A","p":"ChARIjNEVWZ3iBEiM0RVZneIEiCZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmRoBNyAD"}`},
	{name: "receipt of a gateway", pr: `,"pr":{"h":"` + receiptHead + `","p":"ChARIjNEVWZ3iBEiM0RVZneIEiCZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmRoBNyADKAE"}`},
	{name: "notice", pr: `,"pr":{"h":"` + idsHead + `YByACMhABI0VniavN7wEjRWeJq83v","p":"ChARIjNEVWZ3iBEiM0RVZneIEgE3"}`},
	{name: "ping", pr: `,"pr":{"h":"` + pingHead + `","s":"-_8A","p":""}`},
	{name: "report", pr: `,"pr":{"h":"` + reportHead + `","p":"ChARIjNEVWZ3iBEiM0RVZneIEgE3GAMgAioDeC8x"}`},
	{name: "receipt without bytes", pr: `,"pr":{"h":"` + receiptHead + `","p":""}`},
	{name: "other members", more: `,"x":1`, pr: `,"pr":{"h":"` + receiptHead + `Sgd7IngiOjF9","r":["cccccccccccccccccccccccccccccccccccccccc"],"t":"08010300","p":"AAE"}`},
}

// prBodies are what prTexts mean, by name.
var prBodies = map[string]wire.MessageFields{
	"signed receipt":        {Body: wire.Body{Kind: wire.KindReceipt, E2E: prE2E, Key: []byte("key"), Payload: prReceipt(false)}, Sig: []byte{0xfb, 0xff, 0}},
	"receipt of a gateway":  {Body: wire.Body{Kind: wire.KindReceipt, Payload: prReceipt(true)}},
	"notice":                {Body: wire.Body{Kind: wire.KindNotice, E2E: prE2E, Payload: wire.AppendNotice(nil, wire.Notice{E2E: prOther, Nonce: []byte("7")})}},
	"ping":                  {Body: wire.Body{Kind: wire.KindPing, Flags: wire.FlagReceipt | wire.FlagTrace, E2E: prE2E}, Sig: []byte{0xfb, 0xff, 0}},
	"report":                {Body: wire.Body{Kind: wire.KindReport, E2E: prE2E, Payload: wire.AppendReport(nil, wire.Report{E2E: prOther, Nonce: []byte("7"), Hops: 3, Link: "websocket", Agent: "x/1"})}},
	"receipt without bytes": {Body: wire.Body{Kind: wire.KindReceipt}},
	"other members": {Body: wire.Body{Kind: wire.KindReceipt, Extra: []byte(`{"x":1}`), Payload: []byte{0, 1}},
		Hop: wire.NewHop().WithTx(7).WithDetours(1), Route: []protocol.ID{idC}},
}

func prFrame(t testing.TB, name string) *wire.Frame {
	t.Helper()
	m, ok := prBodies[name]
	if !ok {
		t.Fatalf("no body %q", name)
	}
	m.Body.To, m.Body.From, m.Body.Form = idB, idA, wire.FormRaw
	if err := m.Body.Encode(); err != nil {
		t.Fatal(err)
	}
	if m.Hop == 0 {
		m.Hop = wire.NewHop().WithTx(wire.NewHop().TxLeft() - 1)
	}
	m.Nonce, m.Path = []byte("1"), []protocol.ID{idA}
	f, err := wire.NewMessageFrame(m)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestReceiptsAsText(t *testing.T) {
	if len(prTexts) != len(prBodies) {
		t.Errorf("%d texts of %d bodies", len(prTexts), len(prBodies))
	}
	for _, v := range prTexts {
		want, text := prFrame(t, v.name), v.text()
		if got := emit(t, want); got != text {
			t.Errorf("%s\n got %s\nwant %s", v.name, got, text)
		}
		for _, self := range []protocol.ID{noPeer, idB} { // for another peer, and for this one
			got, _, err := parseMessage([]byte(text), self, new([]byte))
			if err == nil {
				err = same(got, want)
			}
			if err != nil {
				t.Errorf("%s for %v: %v", v.name, self.Short(), err)
			}
		}
		hopped := parse(t, asJSHop(t, text, idC))
		if !bytes.Equal(hopped.Body.Raw(), want.Body.Raw()) || !bytes.Equal(hopped.Sig, want.Sig) || hopped.PathLen() != 2 {
			t.Errorf("%s: a JS hop makes %s", v.name, asJSHop(t, text, idC))
		}
	}
}

// badPRTexts returns messages that are refused, since a reader cannot know their kind or payload.
func badPRTexts() []prText {
	const p = `,"p":"AAE"}`
	const good = `,"pr":{"h":"` + receiptHead + `"`
	head := func(change func(*wire.Body)) string {
		b := wire.Body{To: idB, From: idA, Kind: wire.KindReceipt, Form: wire.FormRaw, Payload: []byte{0, 1}}
		change(&b)
		if err := b.Encode(); err != nil {
			panic(err)
		}
		return `,"pr":{"h":"` + base64url.EncodeToString(b.Head()) + `"`
	}
	kind := func(k wire.Kind) string { return head(func(b *wire.Body) { b.Kind = k }) + p }
	form := func(f wire.Form) string { return head(func(b *wire.Body) { b.Form = f }) + p }
	return []prText{
		{name: "alone", why: "without pr.h"},
		{name: "an empty pr", pr: `,"pr":{}`, why: "without pr.h"},
		{name: "only the payload", pr: `,"pr":{"p":"AAE"}`, why: "without pr.h"},
		{name: "only the head", pr: good + `}`, why: "without pr.p"},
		{name: "an empty head", pr: `,"pr":{"h":""` + p, why: "pr.h"},
		{name: "a head that is none", pr: `,"pr":{"h":"AAECAw"` + p, why: "pr.h"},
		{name: "a head with a payload", pr: `,"pr":{"h":"` + receiptHead + `egA"` + p, why: "pr.h"},
		{name: "a user message", pr: kind(wire.KindUser), why: "pr.h says user"},
		{name: "a findPeers", pr: kind(wire.KindFind), why: "pr.h says findPeers"},
		{name: "an answer", pr: kind(wire.KindAnswer), why: "pr.h says handshake-answer"},
		{name: "another kind", pr: kind(wire.KindOther), why: "pr.h says other"},
		{name: "an unknown kind", pr: kind(11), why: "pr.h says kind(11)"},
		{name: "text", pr: form(wire.FormJSON), why: "form 1"},
		{name: "a whole data", pr: form(wire.FormWholeJSON), why: "form 3"},
		{name: "sealed", pr: form(wire.FormSealed), why: "form 4"},
		{name: "no form", pr: head(func(b *wire.Body) { b.Form, b.Payload = wire.FormNone, nil }) + p, why: "form"},
		{name: "another receiver", pr: head(func(b *wire.Body) { b.To = idC }) + p, why: "pr.h says"},
		{name: "another origin", pr: head(func(b *wire.Body) { b.From = idC }) + p, why: "pr.h says"},
		{name: "extra with a data", pr: head(func(b *wire.Body) { b.Extra = []byte(`{"data":1}`) }) + p, why: "extra has"},
		{name: "a payload that is no string", pr: good + `,"p":5}`, why: "pr.p is not a string"},
		{name: "a payload that is null", pr: good + `,"p":null}`, why: "pr.p is not a string"},
		{name: "a payload with padding", pr: good + `,"p":"AAE="}`, why: "pr.p"},
		{name: "a payload in another alphabet", pr: good + `,"p":"+/8A"}`, why: "pr.p"},
		{name: "a payload with bits left over", pr: good + `,"p":"AAF"}`, why: "pr.p"},
		{name: "a payload with a line break", pr: good + `,"p":"AA\nE"}`, why: "pr.p"},
		{name: "a payload of too many bytes", pr: good + `,"p":"` + strings.Repeat("A", wire.MaxBody/3*4+8) + `"}`, why: "pr.p has"},
		{name: "a body of too many bytes", pr: good + `,"p":"` + strings.Repeat("A", wire.MaxBody/3*4) + `"}`, why: "body has"},
		{name: "the last payload counts", pr: good + `,"p":"AAE","p":"!"}`, why: "pr.p"},
		{name: "a signature that is none", pr: good + `,"s":"!"` + p, why: "pr.s"},
		{name: "a receipt beside bytes", data: `{"type":"user","data":{"type":"Buffer","data":[0,1]}}`, pr: good + `}`, why: "pr.h says receipt"},
		{name: "a payload beside bytes", data: `{"type":"user","data":{"type":"Buffer","data":[0,1]}}`, pr: good + p, why: "pr.p stands beside"},
		{name: "a payload beside another spelling", data: `{ "type":"pr"}`, pr: good + p, why: "pr.p stands beside"},
		{name: "a payload beside more", data: `{"type":"pr","data":1}`, pr: good + p, why: "pr.p stands beside"},
		{name: "a payload beside a string", data: `"{\"type\":\"pr\"}"`, pr: good + p, why: "pr.p stands beside"},
		{name: "a receipt beside another spelling", data: `{ "type":"pr"}`, pr: good + `}`, why: "pr.h"},
	}
}

// TestReceiptsRefused checks that a gateway does not pass on what it cannot read, and does not blame
// the JS peer that did.
func TestReceiptsRefused(t *testing.T) {
	for _, v := range badPRTexts() {
		for _, self := range []protocol.ID{noPeer, idB} {
			f, _, err := parseMessage([]byte(v.text()), self, new([]byte))
			if f != nil || !errors.Is(err, wire.ErrPassedOn) || !strings.Contains(err.Error(), v.why) {
				t.Errorf("%s for %v: %v, want %q", v.name, self.Short(), err, v.why)
			}
		}
	}
}

// TestReceiptCountsInTheLimit checks that pr.p counts in the limit of a link.
func TestReceiptCountsInTheLimit(t *testing.T) {
	f := prFrame(t, "signed receipt")
	text := emit(t, f)
	if _, err := appendMessage(nil, f, "", len(text)); err != nil {
		t.Error(err)
	}
	if b, err := appendMessage([]byte("x"), f, "", len(text)-1); !errors.Is(err, protocol.ErrTooBig) || string(b) != "x" {
		t.Errorf("one byte more than the limit: %q, %v", b, err)
	}
}

// TestSignedAcrossJS checks that messages that ask for a receipt, and receipts, are the same bytes
// behind JS peers, and proved if they are signed.
func TestSignedAcrossJS(t *testing.T) {
	who := protocoltest.NewIdentity(1)
	wishes := wire.FlagReceipt | wire.FlagNotice
	for name, b := range map[string]wire.Body{
		"text":                {Form: wire.FormJSON, Payload: []byte(`{"a":[1,"ü"]}`), Flags: wishes, E2E: prE2E},
		"text like a Buffer":  {Form: wire.FormJSON, Payload: []byte(`{"type":"Buffer","data":[1]}`), Flags: wishes, E2E: prE2E},
		"bytes":               {Form: wire.FormRaw, Payload: []byte{0, 255}, Flags: wishes, E2E: prE2E},
		"nothing":             {Flags: wishes, E2E: prE2E},
		"only a receipt":      {Form: wire.FormRaw, Flags: wire.FlagReceipt, E2E: prE2E},
		"only a notice":       {Form: wire.FormRaw, Flags: wire.FlagNotice, E2E: prE2E},
		"a datagram":          {Form: wire.FormRaw, Payload: []byte("ping"), Flags: wishes, E2E: prE2E, Extra: []byte(`{"dgram":"49152,53"}`)},
		"whole data":          {Kind: wire.KindOther, Form: wire.FormWholeJSON, Payload: []byte(`{"type":"x"}`), Flags: wishes, E2E: prE2E},
		"receipt":             {Kind: wire.KindReceipt, Form: wire.FormRaw, Payload: prReceipt(false), E2E: prE2E},
		"notice":              {Kind: wire.KindNotice, Form: wire.FormRaw, Payload: []byte{1}, E2E: prE2E},
		"receipt with a date": {Kind: wire.KindReceipt, Form: wire.FormRaw, Payload: prReceipt(true), E2E: prE2E, Expiry: 7},
	} {
		for _, signed := range []bool{false, true} {
			m := wire.MessageFields{Hop: wire.NewHop().WithTx(39), Nonce: []byte("1"), Body: b, Path: []protocol.ID{who.ID}}
			m.Body.To, m.Body.From = idB, who.ID
			if signed {
				m.Body.Key = who.Key
			}
			if err := m.Body.Encode(); err != nil {
				t.Fatal(err)
			}
			if signed {
				m.Sig, _ = who.Sign(m.Body.SignedBytes())
			}
			f, err := wire.NewMessageFrame(m)
			if err != nil {
				t.Fatal(err)
			}
			text := emit(t, f)
			for range 2 { // JS peer and gateway, twice
				text = asJSHop(t, text, idC)
				got := parse(t, text)
				if !bytes.Equal(got.Body.Raw(), f.Body.Raw()) || got.Body.Flags != b.Flags || !bytes.Equal(got.Body.E2E, prE2E) || got.Verify(protocoltest.Verify) != signed {
					t.Errorf("%s, signed %v: %s", name, signed, text)
				}
				text = emit(t, got)
			}
		}
	}
}

// TestWhatTheNPMPackageMakesOfReceipts reads receipts before and behind a relay of the npm package.
func TestWhatTheNPMPackageMakesOfReceipts(t *testing.T) {
	receipts := 0
	for _, v := range readVectors(t, "carried") {
		if !strings.HasPrefix(v.Name, "a receipt") {
			continue
		}
		receipts++
		sent, carried := parse(t, v.Sent), parse(t, v.Frame)
		if sent.Body.Kind != wire.KindReceipt || !bytes.Equal(carried.Body.Raw(), sent.Body.Raw()) || !bytes.Equal(carried.Sig, sent.Sig) ||
			len(carried.Route) != len(sent.Route) || carried.Hop.TxLeft() != sent.Hop.TxLeft()-1 {
			t.Errorf("%s: %s became %s", v.Name, v.Sent, v.Frame)
		}
	}
	if receipts != 2 {
		t.Errorf("%d receipts, want 2", receipts)
	}
}
