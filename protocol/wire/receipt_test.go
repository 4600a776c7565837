package wire

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestReceipt(t *testing.T) {
	e2e := bytes.Repeat([]byte{1}, TokenSize)
	for _, r := range []Receipt{
		{E2E: e2e, Nonce: []byte("1")},
		{E2E: e2e, Hash: [HashSize]byte{2}, Nonce: []byte(strings.Repeat("9", MaxNonce)), Hops: MaxPath, Handed: true},
		{E2E: e2e, Nonce: []byte("1"), Hops: 2, Kept: 1<<64 - 1},
	} {
		got, err := ParseReceipt(AppendReceipt(nil, r))
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("got %+v, %v, want %+v", got, err, r)
		}
	}
	whole := AppendReceipt(nil, Receipt{E2E: e2e, Nonce: []byte("1"), Hops: 2})
	for name, b := range map[string][]byte{
		"no fields":      nil,
		"a short id":     AppendReceipt(nil, Receipt{E2E: e2e[1:], Nonce: []byte("1")}),
		"a long nonce":   AppendReceipt(nil, Receipt{E2E: e2e, Nonce: make([]byte, MaxNonce+1)}),
		"an empty nonce": AppendReceipt(nil, Receipt{E2E: e2e}),
		"too many hops":  AppendReceipt(nil, Receipt{E2E: e2e, Nonce: []byte("1"), Hops: MaxPath + 1}),
		"a field twice":  append(bytes.Clone(whole), whole...),
		"its beginning":  whole[:len(whole)-1],
		"a short hash":   appendBytes(appendBytes(appendBytes(nil, 1, e2e), 2, e2e), 3, []byte("1")),
		"handed false":   appendVarint(bytes.Clone(whole), 5, 0),
		"kept until 0":   appendVarint(bytes.Clone(whole), 7, 0),
		"kept as bytes":  appendBytes(bytes.Clone(whole), 7, e2e),
		"kept, handed":   appendVarint(appendVarint(bytes.Clone(whole), 5, 1), 7, 1),
		"without a hash": appendBytes(appendBytes(nil, 1, e2e), 3, []byte("1")),
	} {
		if got, err := ParseReceipt(b); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if _, err := ParseReceipt(appendVarint(bytes.Clone(whole), 9, 1)); err != nil {
		t.Errorf("a field of a later version: %v", err)
	}
}

func TestNotice(t *testing.T) {
	e2e := bytes.Repeat([]byte{1}, TokenSize)
	for _, n := range []Notice{{E2E: e2e, Nonce: []byte("17")}, {E2E: e2e, Nonce: []byte("17"), Silent: true}, {E2E: e2e, Nonce: []byte("17"), Refusal: RefusalFull}} {
		if got, err := ParseNotice(AppendNotice(nil, n)); err != nil || !reflect.DeepEqual(got, n) {
			t.Errorf("got %+v, %v, want %+v", got, err, n)
		}
	}
	for name, b := range map[string][]byte{
		"no fields":       nil,
		"without a nonce": appendBytes(nil, 1, e2e),
		"without an id":   appendBytes(nil, 2, []byte("17")),
		"a long id":       AppendNotice(nil, Notice{E2E: append(e2e, 1), Nonce: []byte("17")}),
		"not silent":      appendVarint(AppendNotice(nil, Notice{E2E: e2e, Nonce: []byte("17")}), 3, 0),
	} {
		if got, err := ParseNotice(b); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestAttempt(t *testing.T) {
	h := NewHop().WithAttempt(3)
	if h.Attempt() != 3 || h.WithAttempt(0) != NewHop() || h.WithAttempt(300).Attempt() != 255 || h.TxLeft() != TxBudget {
		t.Errorf("%08x", uint32(h))
	}
}

// Only a reliable message of an application that is signed and has an end may be kept.
func TestIsKept(t *testing.T) {
	whole := func() *Message {
		return &Message{Sig: []byte{1}, Body: Body{Flags: FlagReceipt | FlagKeep, E2E: []byte{1}, Key: []byte{1}, Expiry: 1}}
	}
	if !whole().IsKept() {
		t.Error("a whole one is not kept")
	}
	for name, change := range map[string]func(*Message){
		"no flag":              func(m *Message) { m.Body.Flags = FlagReceipt },
		"no receipt":           func(m *Message) { m.Body.Flags = FlagKeep },
		"no end-to-end id":     func(m *Message) { m.Body.E2E = nil },
		"no end":               func(m *Message) { m.Body.Expiry = 0 },
		"no key":               func(m *Message) { m.Body.Key = nil },
		"no signature":         func(m *Message) { m.Sig = nil },
		"a ping":               func(m *Message) { m.Body.Kind = KindPing },
		"a message of control": func(m *Message) { m.Body.Kind = KindFind },
	} {
		m := whole()
		if change(m); m.IsKept() {
			t.Errorf("%s: it is kept", name)
		}
	}
}
