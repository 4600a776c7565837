package legacy

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// FuzzMessage reads its input as a text and as a native frame. An accepted message must survive
// being written and read again, and what is written must be JSON.
func FuzzMessage(f *testing.F) {
	for _, v := range readVectors(f, "control", "relayed", "user", "carried") {
		f.Add([]byte(v.Frame))
		if v.Sent != "" {
			f.Add([]byte(v.Sent))
		}
	}
	for _, v := range prTexts {
		f.Add([]byte(v.text()))
	}
	for _, v := range badPRTexts() {
		f.Add([]byte(v.text()))
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		frame := randomFrame(f, r)
		text, err := appendMessage(nil, frame, "1,x", maxText)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		raw, err := frame.AppendTo(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(raw[len(raw)-frame.Size():]))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		before := bytes.Clone(input)
		for _, self := range []protocol.ID{noPeer, idB} {
			frame, shown, err := parseMessage(input, self, new([]byte))
			if !bytes.Equal(input, before) {
				t.Fatal("the text was written to")
			}
			if err != nil {
				if frame != nil || !errors.Is(err, wire.ErrMalformed) {
					t.Fatalf("frame %v, error %v", frame, err)
				}
				continue
			}
			parseShown(shown)
			if self == noPeer || frame.Body.To != idB {
				checkWritten(t, frame)
			}
			// A message that crosses a JS peer is read by a Go peer behind it.
			if text := string(input); frame.PathLen() < wire.MaxPath && rawjson.IsFixedPoint(input) {
				after := parse(t, asJSHop(t, emit(t, frame), idC))
				if after.Body.Kind != frame.Body.Kind || after.Body.Form != frame.Body.Form {
					t.Fatalf("%s is of kind %v, after a JS hop of kind %v", text, frame.Body.Kind, after.Body.Kind)
				}
				if isInPR(frame.Body.Kind, frame.Body.Form) && !(bytes.Equal(after.Body.Raw(), frame.Body.Raw()) && bytes.Equal(after.Sig, frame.Sig)) {
					t.Fatalf("%s is another %v after a JS hop", text, frame.Body.Kind)
				}
			}
		}
		if frame, err := wire.ParseFrame(input); err == nil {
			if _, err := appendMessage(nil, frame, "", maxText); err == nil {
				checkWritten(t, frame)
			} else if !errors.Is(err, wire.ErrUnencodable) && !errors.Is(err, protocol.ErrTooBig) {
				t.Fatal(err)
			}
		}
	})
}

// checkWritten writes a frame, if it has a legacy form, and reads it again.
func checkWritten(t *testing.T, frame *wire.Frame) {
	t.Helper()
	text := emit(t, frame)
	if !rawjson.Valid([]byte(text)) {
		t.Fatalf("not JSON: %s", text)
	}
	again := parse(t, text)
	// The budget of transmissions is one byte with the length of the path on top.
	if most := 255 - frame.PathLen(); frame.Hop.TxLeft() > most {
		frame = withHop(t, frame, frame.Hop.WithTx(most))
	}
	if err := same(again, frame); err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
}

func withHop(t *testing.T, f *wire.Frame, hop wire.Hop) *wire.Frame {
	t.Helper()
	f, err := wire.NewMessageFrame(wire.MessageFields{Hop: hop, Nonce: f.Nonce, Body: f.Body, Route: f.Route, Sig: f.Sig, Path: f.Path()})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// BenchmarkRelay measures a relay between two legacy links with the text of a message: it reads
// the text, and writes it again.
func BenchmarkRelay(b *testing.B) {
	for _, bench := range []struct {
		name string
		data string
	}{
		{"string64", `"` + strings.Repeat("x", 64) + `"`},
		{"string1k", `"` + strings.Repeat("x", 1024) + `"`},
		{"string16k", `"` + strings.Repeat("x", 16384) + `"`},
		{"buffer64", string(rawjson.AppendBuffer(nil, randomBytes(64)))},
		{"buffer1k", string(rawjson.AppendBuffer(nil, randomBytes(1024)))},
		{"buffer16k", string(rawjson.AppendBuffer(nil, randomBytes(16384)))},
	} {
		b.Run(bench.name, func(b *testing.B) {
			text := []byte(envelope(`{"type":"user","data":`+bench.data+`}`, ""))
			var out, scratch []byte
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				f, _, err := parseMessage(text, noPeer, &scratch)
				if err != nil {
					b.Fatal(err)
				}
				if out, err = appendMessage(out[:0], f, "", maxText); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func randomBytes(n int) []byte {
	r := rand.New(rand.NewPCG(3, 4))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}
