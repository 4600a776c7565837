package wire

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	e2e := bytes.Repeat([]byte{1}, TokenSize)
	for _, r := range []Report{
		{E2E: e2e, Nonce: []byte("1"), Hops: 1},
		{E2E: e2e, Nonce: []byte(strings.Repeat("9", MaxNonce)), Hops: MaxPath, Link: "native", Agent: strings.Repeat("~", maxReported)},
		{E2E: e2e, Nonce: []byte("1"), Hops: 2, Link: "websocket"},
		{E2E: e2e, Nonce: []byte("1"), Hops: 2, Link: "webrtc", Agent: "x/1"},
	} {
		got, err := ParseReport(AppendReport(nil, r))
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("got %+v, %v, want %+v", got, err, r)
		}
	}
	whole := AppendReport(nil, Report{E2E: e2e, Nonce: []byte("1"), Hops: 2, Agent: "x"})
	for name, b := range map[string][]byte{
		"no fields":         nil,
		"a short id":        AppendReport(nil, Report{E2E: e2e[1:], Nonce: []byte("1"), Hops: 1}),
		"a long nonce":      AppendReport(nil, Report{E2E: e2e, Nonce: make([]byte, MaxNonce+1), Hops: 1}),
		"no place":          AppendReport(nil, Report{E2E: e2e, Nonce: []byte("1")}),
		"a place too far":   AppendReport(nil, Report{E2E: e2e, Nonce: []byte("1"), Hops: MaxPath + 1}),
		"a field twice":     append(bytes.Clone(whole), whole...),
		"its beginning":     whole[:len(whole)-1],
		"a long agent":      AppendReport(nil, Report{E2E: e2e, Nonce: []byte("1"), Hops: 1, Agent: strings.Repeat("x", maxReported+1)}),
		"an empty agent":    appendBytes(AppendReport(nil, Report{E2E: e2e, Nonce: []byte("1"), Hops: 1}), 5, nil),
		"an escape":         AppendReport(nil, Report{E2E: e2e, Nonce: []byte("1"), Hops: 1, Agent: "\x1b[2J"}),
		"an agent in UTF-8": AppendReport(nil, Report{E2E: e2e, Nonce: []byte("1"), Hops: 1, Agent: "ü"}),
		"a link of bytes":   appendBytes(AppendReport(nil, Report{E2E: e2e, Nonce: []byte("1"), Hops: 1}), 4, e2e),
	} {
		if got, err := ParseReport(b); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	later := appendVarint(appendVarint(AppendReport(nil, Report{E2E: e2e, Nonce: []byte("1"), Hops: 2}), 4, 99), 9, 1)
	if got, err := ParseReport(later); err != nil || got.Link != "" {
		t.Errorf("a kind of link and a field of a later version: %+v, %v", got, err)
	}
}

// A report has only characters that a terminal can show.
func TestNewReport(t *testing.T) {
	f := tracedPing(t, FlagReceipt|FlagTrace)
	f.Relay(testID("relay"))
	r := NewReport(f, LinkWebSocket, "peer-relay/1 \x1b[2Jü"+strings.Repeat("x", maxReported))
	if r.Hops != 2 || r.Link != "websocket" || r.Agent != "peer-relay/1 ?[2J??"+strings.Repeat("x", maxReported-19) {
		t.Errorf("%+v", r)
	}
	if _, err := ParseReport(AppendReport(nil, r)); err != nil {
		t.Error(err)
	}
}

func tracedPing(t *testing.T, flags Flags) *Frame {
	t.Helper()
	b := Body{To: testID("target"), From: testID("origin"), Kind: KindPing, Form: FormRaw, Flags: flags, E2E: bytes.Repeat([]byte{1}, TokenSize), Payload: []byte{}}
	if err := b.Encode(); err != nil {
		t.Fatal(err)
	}
	f, err := NewMessageFrame(MessageFields{Hop: NewHop(), Nonce: []byte("7"), Body: b, Path: []ID{b.From}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Only the receipt of a trace has the path.
func TestReceiptOfAPing(t *testing.T) {
	if r := ReceiptFor(tracedPing(t, FlagReceipt), false); r.Path != nil || r.Hops != 1 {
		t.Errorf("of a ping: %+v", r)
	}
	f := tracedPing(t, FlagReceipt|FlagTrace)
	f.Relay(testID("relay"))
	r := ReceiptFor(f, true)
	if want := []ID{testID("origin"), testID("relay")}; !reflect.DeepEqual(r.Path, want) || !r.Handed {
		t.Errorf("of a trace: %+v", r)
	}
	if got, err := ParseReceipt(AppendReceipt(nil, r)); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("got %+v, %v, want %+v", got, err, r)
	}
	r.Path = make([]ID, MaxPath+1)
	if _, err := ParseReceipt(AppendReceipt(nil, r)); err == nil {
		t.Error("a path of 21 entries")
	}
}

func TestWants(t *testing.T) {
	f := tracedPing(t, FlagReceipt|FlagNotice)
	if !f.Wants(FlagReceipt) || !f.Wants(FlagNotice) || f.IsTraced() || !tracedPing(t, FlagTrace).IsTraced() {
		t.Error("the flags of a ping are read wrongly")
	}
	f.Body.E2E = nil
	if f.Wants(FlagReceipt) {
		t.Error("a ping without an end-to-end id wants a receipt")
	}
	f = tracedPing(t, FlagTrace|FlagReceipt)
	f.Body.Kind = KindUser
	if f.IsTraced() {
		t.Error("a message of an application is traced")
	}
}
