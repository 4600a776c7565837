package wire

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

func testBody() Body {
	return Body{To: testID("target"), From: testID("origin"), Kind: KindOther, Form: FormWholeJSON, Flags: math.MaxUint32,
		E2E: []byte("0123456789abcdef"), Expiry: math.MaxUint64, Key: []byte("key"), Extra: []byte(`{"x":1}`),
		Record: []byte("record"), Token: []byte("fedcba9876543210"), Payload: []byte(`[1]`)}
}

func TestBodyLimits(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(b *Body, n int)
		most int
	}{
		{"key", func(b *Body, n int) { b.Key = make([]byte, n) }, MaxKey},
		{"record", func(b *Body, n int) { b.Record = make([]byte, n) }, MaxRecord},
		{"e2e", func(b *Body, n int) { b.E2E = make([]byte, n) }, TokenSize},
		{"token", func(b *Body, n int) { b.Token = make([]byte, n) }, TokenSize},
	} {
		b := testBody()
		if c.set(&b, c.most); b.Encode() != nil {
			t.Errorf("%s of %d: %v", c.name, c.most, b.Encode())
		}
		old := b
		c.set(&b, c.most+1)
		if err := b.Encode(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s of %d: error %v, want ErrMalformed", c.name, c.most+1, err)
		}
		if !bytes.Equal(b.Raw(), old.Raw()) {
			t.Errorf("%s: a failed Encode changed the bytes", c.name)
		}
	}

	// The largest body, with each of the two fields that may fill it.
	for name, set := range map[string]func(b *Body, n int){
		"payload": func(b *Body, n int) { b.Payload = make([]byte, n) },
		"extra":   func(b *Body, n int) { b.Extra = make([]byte, n) },
	} {
		b := testBody()
		if set(&b, MaxPayload); b.Encode() != nil {
			t.Fatal(b.Encode())
		}
		rest := len(b.Raw()) - MaxPayload // every length from 16,384 takes 3 bytes
		if set(&b, MaxBody-rest); b.Encode() != nil || len(b.Raw()) != MaxBody {
			t.Errorf("%s: a body of %d bytes, error %v", name, len(b.Raw()), b.Encode())
		}
		set(&b, MaxBody-rest+1)
		if err := b.Encode(); !errors.Is(err, ErrTooBig) {
			t.Errorf("%s: error %v, want ErrTooBig", name, err)
		}
	}
	b := testBody()
	if err := b.Encode(); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{MaxBody, MaxBody + 1} {
		raw := appendBytes(bytes.Clone(b.Head()), fieldPayload, make([]byte, size-len(b.Head())-4))
		if len(raw) != size {
			t.Fatalf("%d bytes, want %d", len(raw), size)
		}
		if _, err := ParseBody(raw); (err == nil) != (size == MaxBody) || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("a body of %d bytes: error %v", size, err)
		}
	}

	for name, set := range map[string]func(b *Body){
		"no from":                  func(b *Body) { b.From = ID{} },
		"kind of 2^31":             func(b *Body) { b.Kind = 1 << 31 },
		"form of 2^31":             func(b *Body) { b.Form = 1 << 31 },
		"a payload without a form": func(b *Body) { b.Form = FormNone },
	} {
		b := testBody()
		set(&b)
		if err := b.Encode(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v, want ErrMalformed", name, err)
		}
	}
}

func TestBodyEncode(t *testing.T) {
	b := testBody()
	if err := b.Encode(); err != nil {
		t.Fatal(err)
	}
	again, err := ParseBody(b.Raw())
	if err != nil || !reflect.DeepEqual(again, b) {
		t.Errorf("%+v became %+v, error %v", b, again, err)
	}
	if have := append(bytes.Clone(b.Head()), appendBytes(nil, fieldPayload, b.Payload)...); !bytes.Equal(have, b.Raw()) {
		t.Error("head and payload are not the body")
	}
	again.Payload[0] ^= 1 // aliases the body
	if !bytes.Contains(b.Raw(), again.Payload) {
		t.Error("ParseBody copied the payload")
	}
}

func TestBodySlicesHaveNoSpareCapacity(t *testing.T) {
	b := testBody()
	if err := b.Encode(); err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(b.Raw())
	for _, part := range [][]byte{b.E2E, b.Key, b.Extra, b.Record, b.Token, b.Payload} {
		_ = append(part, 0xff)
	}
	if !bytes.Equal(b.Raw(), before) {
		t.Error("appending to a field wrote over the next one")
	}
}

func TestJoinBody(t *testing.T) {
	b := testBody()
	if err := b.Encode(); err != nil {
		t.Fatal(err)
	}
	later := append(bytes.Clone(b.Head()), appendVarint(nil, 99, 5)...)
	joined, err := JoinBody(later, b.Form, b.Payload)
	if err != nil || !joined.unknown || !bytes.Equal(joined.Head(), later) || !bytes.Equal(joined.Payload, b.Payload) {
		t.Errorf("joined %+v, error %v", joined, err)
	}
	for name, c := range map[string]struct {
		head    []byte
		form    Form
		payload string
		want    error
	}{
		"another form":              {b.Head(), FormJSON, "1", ErrMalformed},
		"no form":                   {b.Head(), FormNone, "", ErrMalformed},
		"no form but a payload":     {b.Head(), FormNone, "1", ErrMalformed},
		"a payload in the head too": {b.Raw(), b.Form, "1", ErrMalformed},
		"no head":                   {nil, FormJSON, "1", ErrMalformed},
		"too much":                  {b.Head(), b.Form, strings.Repeat("1", MaxBody), ErrTooBig},
	} {
		if joined, err := JoinBody(c.head, c.form, []byte(c.payload)); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, error %v, want %v", name, joined, err, c.want)
		}
	}
}

func TestHeadIsNotWrittenTo(t *testing.T) {
	b := testBody()
	if err := b.Encode(); err != nil {
		t.Fatal(err)
	}
	room := append(make([]byte, 0, 1000), b.Head()...)
	behind := room[len(room) : len(room)+10]
	if _, err := JoinBody(room, b.Form, []byte("xxxxxxxx")); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(behind, make([]byte, 10)) {
		t.Error("JoinBody wrote to the bytes after its argument")
	}
}

func TestKind(t *testing.T) {
	for k := KindUser; k <= KindReport+1; k++ {
		if k.String() == "" || strings.HasPrefix(k.String(), "kind(") != (k > KindReport) {
			t.Errorf("kind %d has the name %q", uint32(k), k)
		}
		if k.IsControl() == (k == KindUser || k == KindOther) {
			t.Errorf("IsControl of %v = %v", k, k.IsControl())
		}
	}
}
