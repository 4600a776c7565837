package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// A vector is a frame of testdata/frames, without its length prefix. The wire is frozen, so
// no test writes those files. The author of a new vector makes it by hand or with another
// implementation.
type vector struct {
	Name      string       `json:"name"`
	Hex       hexBytes     `json:"hex"`
	Canonical hexBytes     `json:"canonical"` // the bytes that a relay makes of it, if different
	Ours      bool         `json:"ours"`      // our encoder makes the same bytes of the fields
	Error     string       `json:"error"`     // part of the error for a malformed frame
	Frame     *vectorFrame `json:"frame"`
}

type vectorFrame struct {
	Type    string       `json:"type"`
	Num     uint64       `json:"num,string"`
	Hello   *vectorHello `json:"hello"`
	Nack    *vectorNack  `json:"nack"`
	Peers   *vectorPeers `json:"neighbours"`
	Bye     uint32       `json:"bye"`
	Hop     string       `json:"hop"` // 8 hexadecimal digits
	Nonce   string       `json:"nonce"`
	Body    *vectorBody  `json:"body"`
	Route   []ID         `json:"route"`
	Sig     hexBytes     `json:"sig"`
	Targets []ID         `json:"targets"`
	Path    []ID         `json:"path"`
}

type vectorHello struct {
	Features []string `json:"features"`
	Role     uint32   `json:"role"`
	Link     string   `json:"link"` // 16 hexadecimal digits
	MaxFrame uint32   `json:"maxFrame"`
	Agent    string   `json:"agent"`
}

type vectorPeers struct {
	Reset bool       `json:"reset"`
	Named []hexBytes `json:"named"`
	Gone  []ID       `json:"gone"`
	Lost  []ID       `json:"lost"`
}

type vectorNack struct {
	Seq    uint64   `json:"seq,string"`
	Reason uint32   `json:"reason"`
	Frame  hexBytes `json:"frame"`
}

type vectorBody struct {
	To      *ID      `json:"to"`
	From    ID       `json:"from"`
	Kind    string   `json:"kind"`
	Form    uint32   `json:"form"`
	Flags   uint32   `json:"flags"`
	E2E     hexBytes `json:"e2e"`
	Expiry  uint64   `json:"expiry,string"`
	Key     hexBytes `json:"key"`
	Extra   hexBytes `json:"extra"`
	Record  hexBytes `json:"record"`
	Token   hexBytes `json:"token"`
	Payload hexBytes `json:"payload"`
	Unknown bool     `json:"unknown"`
	Head    int      `json:"head"` // bytes before the payload
}

// hexBytes is nil for no bytes, so that vectors compare with reflect.DeepEqual.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err == nil && len(b) > 0 {
		*h = b
	}
	return err
}

func (h hexBytes) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

func hexOf(b []byte) hexBytes {
	if len(b) == 0 {
		return nil
	}
	return b
}

// readVectors returns every vector. It fails the test if a file has none.
func readVectors(tb testing.TB) (all []vector) {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join("..", "testdata", "frames", "*.json"))
	if err != nil || len(files) == 0 {
		tb.Fatalf("testdata/frames: %d files, error %v", len(files), err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		var some []vector
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&some); err != nil || len(some) == 0 {
			tb.Fatalf("%s: %d vectors, error %v", name, len(some), err)
		}
		for _, v := range some {
			if (v.Frame == nil) == (v.Error == "") {
				tb.Fatalf("%s: %s: want either a frame or an error", name, v.Name)
			}
			if v.Canonical == nil {
				v.Canonical = v.Hex
			}
			all = append(all, v)
		}
	}
	return all
}

// describe returns the fields of a frame in the form of a vector.
func describe(f *Frame) *vectorFrame {
	v := &vectorFrame{Type: f.Type.String(), Num: f.Num, Bye: uint32(f.Bye)}
	if h := f.Hello; h != nil {
		v.Hello = &vectorHello{Features: h.Features, Role: uint32(h.Role), Link: fmt.Sprintf("%016x", h.Link),
			MaxFrame: h.MaxFrame, Agent: h.Agent}
	}
	if n := f.Nack; n != nil {
		v.Nack = &vectorNack{Seq: n.Seq, Reason: uint32(n.Reason), Frame: hexOf(n.Frame)}
	}
	if p := f.Peers; p != nil {
		v.Peers = &vectorPeers{Reset: p.Reset, Gone: p.Gone, Lost: p.Lost}
		for _, n := range p.Named {
			v.Peers.Named = append(v.Peers.Named, append(n.ID[:], byte(n.Time)))
		}
	}
	if f.Type != FrameMessage {
		return v
	}
	v.Nonce, v.Route, v.Sig, v.Targets = string(f.Nonce), f.Route, hexOf(f.Sig), f.Targets
	v.Hop = fmt.Sprintf("%08x", uint32(f.Hop))
	v.Path = f.Path()
	b := &f.Body
	v.Body = &vectorBody{From: b.From, Kind: b.Kind.String(), Form: uint32(b.Form), Flags: uint32(b.Flags), E2E: hexOf(b.E2E),
		Expiry: b.Expiry, Key: hexOf(b.Key), Extra: hexOf(b.Extra), Record: hexOf(b.Record), Token: hexOf(b.Token),
		Payload: hexOf(b.Payload), Unknown: b.unknown, Head: len(b.Head())}
	if b.To != (ID{}) {
		v.Body.To = &b.To
	}
	return v
}

// build returns a new frame with the fields of f.
func build(f *Frame) (*Frame, error) {
	switch f.Type {
	case FrameHello:
		return NewHello(*f.Hello)
	case FrameAck:
		return NewAck(f.Num), nil
	case FrameNack:
		return NewNack(*f.Nack)
	case FramePing:
		return NewPing(f.Num), nil
	case FramePong:
		return NewPong(f.Num), nil
	case FrameBye:
		return NewBye(f.Bye), nil
	case FrameNeighbours:
		return NewNeighbours(*f.Peers)
	}
	b := f.Body
	b.raw, b.head = nil, 0
	if err := b.Encode(); err != nil {
		return nil, err
	}
	return NewMessageFrame(MessageFields{Hop: f.Hop, Nonce: f.Nonce, Body: b, Route: f.Route, Sig: f.Sig, Targets: f.Targets, Path: f.Path()})
}

// onWire returns the bytes of f on a stream, without the length prefix.
func onWire(tb testing.TB, f *Frame) []byte {
	tb.Helper()
	wire, err := f.AppendTo(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return wire[len(wire)-f.Size():]
}

func TestVectors(t *testing.T) {
	seen := map[string]int{}
	for _, v := range readVectors(t) {
		if v.Frame == nil {
			seen["malformed"]++
		} else {
			seen[v.Frame.Type]++
		}
		t.Run(v.Name, func(t *testing.T) {
			f, err := ParseFrame(v.Hex)
			if v.Error != "" {
				if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), v.Error) {
					t.Fatalf("error %v, want a malformed frame because %q", err, v.Error)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if have := describe(f); !reflect.DeepEqual(have, v.Frame) {
				t.Errorf("decoded to\n%s\nwant\n%s", asJSON(t, have), asJSON(t, v.Frame))
			}
			if have := onWire(t, f); !bytes.Equal(have, v.Canonical) {
				t.Errorf("forwarded as\n%x\nwant\n%x", have, v.Canonical)
			}
			if !v.Ours {
				return
			}
			made, err := build(f)
			if err != nil {
				t.Fatal(err)
			}
			if have := onWire(t, made); !bytes.Equal(have, v.Canonical) {
				t.Errorf("encoded to\n%x\nwant\n%x", have, v.Canonical)
			}
			if have := describe(made); !reflect.DeepEqual(have, v.Frame) {
				t.Errorf("encoded from\n%s\nwant\n%s", asJSON(t, have), asJSON(t, v.Frame))
			}
		})
	}
	for _, kind := range []string{"unknown", "hello", "ack", "nack", "ping", "pong", "bye", "message", "malformed"} {
		if seen[kind] == 0 {
			t.Errorf("no vector of a frame of type %s", kind)
		}
	}
}

func asJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	return text
}
