package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

func FuzzParseFrame(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add([]byte(v.Hex))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		frame, err := ParseFrame(b)
		if !bytes.Equal(b, before) {
			t.Fatal("ParseFrame wrote to its argument")
		}
		if err != nil {
			if !errors.Is(err, ErrMalformed) || frame != nil {
				t.Fatalf("frame %v, error %v", frame, err)
			}
			return
		}
		checkWire(t, frame)
		again, err := ParseFrame(onWire(t, frame))
		if err != nil {
			t.Fatalf("a parsed frame does not parse again: %v", err)
		}
		checkSame(t, again, frame)
		if frame.Type != FrameMessage {
			return
		}
		if have := onWire(t, again); !bytes.Equal(have, onWire(t, frame)) {
			t.Fatal("parsing the canonical form changed it")
		}
		checkForward(t, frame)
	})
}

// FuzzPlain holds the short way to read a message to the long one: what it reads is the same, and what it
// leaves is untouched.
func FuzzPlain(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add([]byte(v.Hex))
	}
	for _, size := range []int{0, 1, 127, 128, 20_000} {
		b, err := testMessage(f, size).AppendTo(nil)
		if err != nil {
			f.Fatal(err)
		}
		_, n := protowire.ConsumeVarint(b)
		f.Add(b[n:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		short, long := &Frame{Message: new(Message)}, &Frame{Message: new(Message)}
		if !short.parsePlain(b) {
			if !reflect.DeepEqual(short, &Frame{Message: new(Message)}) {
				t.Fatalf("a frame that is left to parse was changed: %+v", short)
			}
			return
		}
		if err := long.parse(b); err != nil {
			t.Fatalf("parse refuses it: %v", err)
		}
		if !reflect.DeepEqual(short, long) {
			t.Fatalf("parsePlain made\n%+v\n%+v, parse\n%+v\n%+v", short, short.Message, long, long.Message)
		}
	})
}

// TestPlain checks that common messages take the short way, whatever the size of their payload and path.
func TestPlain(t *testing.T) {
	for _, size := range []int{0, 1, 127, 128, 20_000} {
		for _, hops := range []int{1, 3, MaxPath} {
			f := testMessage(t, size, func(m *MessageFields) { m.Path = testIDs(hops) })
			short := &Frame{Message: new(Message)}
			if !short.parsePlain(f.Bytes()) {
				t.Errorf("a payload of %d bytes and a path of %d: left to parse", size, hops)
			}
		}
	}
	for name, change := range map[string]func(*MessageFields){
		"a route":   func(m *MessageFields) { m.Route = testIDs(1) },
		"a kind":    func(m *MessageFields) { m.Body.Kind = KindPing },
		"flags":     func(m *MessageFields) { m.Body.Flags = FlagNotice },
		"targets":   func(m *MessageFields) { m.Body.To, m.Targets = ID{}, testIDs(1) },
		"an extra":  func(m *MessageFields) { m.Body.Extra = []byte("{}") },
		"signature": func(m *MessageFields) { m.Sig = []byte("sig") },
	} {
		short := &Frame{Message: new(Message)}
		if short.parsePlain(testMessage(t, 10, change).Bytes()) {
			t.Errorf("%s: not left to parse", name)
		}
	}
}

// checkWire checks that ReadFrame returns the frame that AppendTo wrote.
func checkWire(t *testing.T, f *Frame) {
	t.Helper()
	wire, err := f.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	size, n := protowire.ConsumeVarint(wire)
	if n < 1 || n != protowire.SizeVarint(size) || int(size) != len(wire)-n || int(size) != f.Size() {
		t.Fatalf("a prefix of %d bytes says %d, of %d bytes after it; Size says %d", n, size, len(wire)-n, f.Size())
	}
	r := bufio.NewReader(bytes.NewReader(wire))
	read, err := ReadFrame(r, MaxFrame)
	if err != nil {
		t.Fatal(err)
	}
	checkSame(t, read, f)
	if _, err := ReadFrame(r, MaxFrame); err != io.EOF {
		t.Fatalf("after the frame: %v, want io.EOF", err)
	}
}

func checkSame(t *testing.T, have, want *Frame) {
	t.Helper()
	if h, w := describe(have), describe(want); !reflect.DeepEqual(h, w) {
		t.Fatalf("have\n%s\nwant\n%s", asJSON(t, h), asJSON(t, w))
	}
	if have.Type == FrameMessage && !bytes.Equal(have.Body.Raw(), want.Body.Raw()) {
		t.Fatal("the body changed")
	}
}

// checkForward checks that a relay changes only hop and the path. It relays f.
func checkForward(t *testing.T, f *Frame) {
	t.Helper()
	old := bytes.Clone(onWire(t, f))
	path := f.Path()
	relay := HashID([]byte("a relay"))
	f.Relay(relay)
	f.Hop = f.Hop.WithTx(f.Hop.TxLeft() - 1)
	if f.Size() > MaxFrame || len(path) == MaxPath {
		if _, err := f.AppendTo(nil); !errors.Is(err, ErrTooBig) {
			t.Fatalf("%d bytes, path of %d: error %v, want ErrTooBig", f.Size(), f.PathLen(), err)
		}
		return
	}
	checkWire(t, f)
	now := onWire(t, f)
	if !bytes.Equal(afterHop(f, now), appendBytes(afterHop(f, old), fieldPath, relay[:])) {
		t.Fatalf("%x became %x", old, now)
	}
	if have, want := f.Path(), append(path, relay); !reflect.DeepEqual(have, want) {
		t.Fatalf("path %v, want %v", have, want)
	}
	again, err := ParseFrame(now)
	if err != nil {
		t.Fatal(err)
	}
	checkSame(t, again, f)
}

// afterHop returns the bytes b of f without the hop field.
func afterHop(f *Frame, b []byte) []byte {
	if f.noHop {
		return b
	}
	return b[hopSize:]
}

func FuzzParseBody(f *testing.F) {
	bodies := 0
	for _, v := range readVectors(f) {
		// Field 10 of malformed frames is a seed too.
		for rest := []byte(v.Hex); len(rest) > 0; {
			x, next, err := nextField(rest)
			if err != nil {
				break
			}
			if x.number == fieldBody && x.typ == protowire.BytesType {
				f.Add(bytes.Clone(x.val))
				bodies++
			}
			rest = next
		}
	}
	if bodies == 0 {
		f.Fatal("no body in testdata/frames")
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := ParseBody(raw)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(b.Raw(), raw) {
			t.Fatal("a parsed body has other bytes")
		}
		joined, err := JoinBody(b.Head(), b.Form, b.Payload)
		if err != nil || !bytes.Equal(joined.Raw(), raw) {
			t.Fatalf("head and payload make %x, error %v", joined.Raw(), err)
		}
		ours := b
		if err := ours.Encode(); err != nil {
			t.Fatalf("the fields of a body cannot be encoded: %v", err)
		}
		again, err := ParseBody(ours.Raw())
		if err != nil {
			t.Fatal(err)
		}
		if again.unknown {
			t.Fatal("we encode a field that we do not know")
		}
		again.unknown, again.raw, again.head = b.unknown, b.raw, b.head
		if !reflect.DeepEqual(normal(again), normal(b)) {
			t.Fatalf("fields %+v, want %+v", again, b)
		}
	})
}

// payloads calls add for the payload of every vector of these kinds.
func payloads(f *testing.F, add func([]byte), kinds ...Kind) {
	n := 0
	for _, v := range readVectors(f) {
		frame, err := ParseFrame(v.Hex)
		if err == nil && frame.Type == FrameMessage && slices.Contains(kinds, frame.Body.Kind) {
			add(bytes.Clone(frame.Body.Payload))
			n++
		}
	}
	if n == 0 {
		f.Fatalf("no message of %v in testdata/frames", kinds)
	}
}

func FuzzParseReport(f *testing.F) {
	payloads(f, func(b []byte) { f.Add(b) }, KindReport)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseReport(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if r.Hops < 1 || r.Hops > MaxPath || len(r.Agent) > maxReported || strings.ContainsFunc(r.Agent, func(c rune) bool { return c < 0x20 || c > 0x7e }) {
			t.Fatalf("%+v is accepted", r)
		}
		again, err := ParseReport(AppendReport(nil, r))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v becomes %+v, %v", r, again, err)
		}
	})
}

func FuzzParseReceipt(f *testing.F) {
	payloads(f, func(b []byte) { f.Add(b) }, KindReceipt)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseReceipt(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		again, err := ParseReceipt(AppendReceipt(nil, r))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v becomes %+v, %v", r, again, err)
		}
	})
}

// normal returns b with a nil payload if it is empty.
func normal(b Body) Body {
	if len(b.Payload) == 0 {
		b.Payload = nil
	}
	return b
}

func FuzzReadFrame(f *testing.F) {
	all := []byte{}
	for _, v := range readVectors(f) {
		one := append(protowire.AppendVarint(nil, uint64(len(v.Hex))), v.Hex...)
		f.Add(one, MaxFrame)
		if v.Frame != nil {
			all = append(all, one...)
		}
	}
	f.Add(all, MaxHello)
	f.Add([]byte{0xff, 0xff, 0xff}, MaxFrame)
	f.Add([]byte{0x80, 0x00}, MaxFrame)
	f.Add([]byte{0x05, 0x10}, 4)
	f.Add([]byte{0x01, 0x10}, -1)
	f.Fuzz(func(t *testing.T, stream []byte, most int) {
		r := bufio.NewReader(bytes.NewReader(stream))
		at := 0 // where the next frame should begin
		for {
			frame, err := ReadFrame(r, most)
			if err == nil || errors.Is(err, ErrMalformed) {
				size, n := protowire.ConsumeVarint(stream[at:])
				at += n + int(size)
				if n < 0 || int(size) > most || at > len(stream) {
					t.Fatalf("a frame of %d bytes where at most %d of %d are left", size, most, len(stream))
				}
				if have := len(stream) - at - r.Buffered(); have < 0 {
					t.Fatalf("%d bytes read beyond the frame", -have)
				}
				if err == nil && frame.Type != FrameUnknown {
					checkWire(t, frame)
				}
				continue
			}
			switch {
			case err == io.EOF:
				if at != len(stream) {
					t.Fatalf("an orderly end %d bytes before the end", len(stream)-at)
				}
			case err != io.ErrUnexpectedEOF && !errors.Is(err, ErrFraming):
				t.Fatal(err)
			}
			return
		}
	})
}

func FuzzParseID(f *testing.F) {
	for _, v := range readVectors(f) {
		if v.Frame != nil && v.Frame.Body != nil {
			f.Add(v.Frame.Body.From.String())
		}
	}
	f.Add("")
	f.Add("0123456789ABCDEFabcdef0123456789ABCDEFab")
	f.Add("0123456789ABCDEFabcdef0123456789ABCDEFag")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		var text ID
		if textErr := text.UnmarshalText([]byte(s)); (textErr == nil) != (err == nil) || text != id {
			t.Fatalf("UnmarshalText returns %v, %v; ParseID %v, %v", text, textErr, id, err)
		}
		if err != nil {
			if id != (ID{}) {
				t.Fatalf("an error and the id %v", id)
			}
			return
		}
		if again, err := ParseID(id.String()); err != nil || again != id || len(s) != 2*IDSize {
			t.Fatalf("%q is %v, which is %v, error %v", s, id, again, err)
		}
	})
}
