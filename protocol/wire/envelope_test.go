package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// A schema is the descriptor of envelope.proto.
type schema struct{ protoreflect.FileDescriptor }

func readSchema(t *testing.T) schema {
	t.Helper()
	c := protocompile.Compiler{Resolver: &protocompile.SourceResolver{
		Accessor: func(name string) (io.ReadCloser, error) { return os.Open(filepath.Join("..", name)) },
	}}
	files, err := c.Compile(context.Background(), "envelope.proto")
	if err != nil {
		t.Fatal(err)
	}
	return schema{files[0]}
}

// message returns an empty message of a type that the file defines.
func (s schema) message(name protoreflect.Name) *dynamicpb.Message {
	return dynamicpb.NewMessage(s.Messages().ByName(name))
}

// decode parses b with the protobuf library.
func (s schema) decode(t *testing.T, name protoreflect.Name, b []byte) *dynamicpb.Message {
	t.Helper()
	m := s.message(name)
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatalf("protobuf refuses a %s: %v\n%x", name, err, b)
	}
	return m
}

// encode returns the message with its fields in the order of their numbers, so that
// payload is last.
func encode(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A dyn reads and sets fields of a message by name.
type dyn struct{ protoreflect.Message }

func (d dyn) field(name protoreflect.Name) protoreflect.FieldDescriptor {
	fd := d.Descriptor().Fields().ByName(name)
	if fd == nil {
		panic(fmt.Sprintf("envelope.proto has no %s.%s", d.Descriptor().Name(), name))
	}
	return fd
}
func (d dyn) has(name protoreflect.Name) bool               { return d.Has(d.field(name)) }
func (d dyn) get(name protoreflect.Name) protoreflect.Value { return d.Get(d.field(name)) }
func (d dyn) bytes(name protoreflect.Name) hexBytes         { return hexOf(d.get(name).Bytes()) }
func (d dyn) enum(name protoreflect.Name) uint32            { return uint32(d.get(name).Enum()) }
func (d dyn) inner(name protoreflect.Name) dyn              { return dyn{d.get(name).Message()} }
func (d dyn) put(name protoreflect.Name, v any)             { d.Set(d.field(name), protoreflect.ValueOf(v)) }
func (d dyn) putEnum(name protoreflect.Name, v uint32)      { d.put(name, protoreflect.EnumNumber(v)) }
func (d dyn) mutable(name protoreflect.Name) dyn            { return dyn{d.Mutable(d.field(name)).Message()} }
func (d dyn) list(name protoreflect.Name) protoreflect.List { return d.get(name).List() }
func (d dyn) growing(name protoreflect.Name) protoreflect.List {
	return d.Mutable(d.field(name)).List()
}

func (d dyn) ids(name protoreflect.Name) (ids []ID) {
	for i := range d.list(name).Len() {
		ids = append(ids, ID(d.list(name).Get(i).Bytes()))
	}
	return ids
}

func (d dyn) putIDs(name protoreflect.Name, ids []ID) {
	for _, id := range ids {
		d.growing(name).Append(protoreflect.ValueOfBytes(id[:]))
	}
}

// hasUnknown reports whether there are fields outside the schema, at any depth.
func (d dyn) hasUnknown() bool {
	found := len(d.GetUnknown()) > 0
	d.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.Kind() == protoreflect.MessageKind {
			found = found || dyn{v.Message()}.hasUnknown()
		}
		return true
	})
	return found
}

// describe returns the fields of a Frame that the protobuf library parsed, in the form of a
// vector.
func (s schema) describe(t *testing.T, m *dynamicpb.Message) *vectorFrame {
	t.Helper()
	d := dyn{m}
	v := &vectorFrame{}
	switch {
	case d.has("hello"):
		h := d.inner("hello")
		v.Type = "hello"
		v.Hello = &vectorHello{Role: h.enum("role"), Link: fmt.Sprintf("%016x", h.get("link").Uint()),
			MaxFrame: uint32(h.inner("limits").get("max_frame").Uint()), Agent: h.get("agent").String()}
		for i := range h.list("features").Len() {
			v.Hello.Features = append(v.Hello.Features, h.list("features").Get(i).String())
		}
	case d.has("ack"):
		v.Type, v.Num = "ack", d.get("ack").Uint()
	case d.has("nack"):
		n := d.inner("nack")
		v.Type, v.Nack = "nack", &vectorNack{Seq: n.get("seq").Uint(), Reason: n.enum("reason"), Frame: n.bytes("frame")}
	case d.has("ping"):
		v.Type, v.Num = "ping", d.get("ping").Uint()
	case d.has("pong"):
		v.Type, v.Num = "pong", d.get("pong").Uint()
	case d.has("bye"):
		v.Type, v.Bye = "bye", d.inner("bye").enum("reason")
	case d.has("neighbours"):
		n := d.inner("neighbours")
		v.Type, v.Peers = "neighbours", &vectorPeers{Reset: n.get("reset").Bool(), Gone: n.ids("gone"), Lost: n.ids("lost")}
		for i := range n.list("named").Len() {
			v.Peers.Named = append(v.Peers.Named, n.list("named").Get(i).Bytes())
		}
	case d.has("body"):
		v.Type = "message"
		v.Hop = fmt.Sprintf("%08x", d.get("hop").Uint())
		v.Nonce = string(d.get("nonce").Bytes())
		v.Sig = d.bytes("sig")
		v.Route, v.Targets, v.Path = d.ids("route"), d.ids("targets"), d.ids("path")
		raw := d.get("body").Bytes()
		b := dyn{s.decode(t, "Body", raw)}
		v.Body = &vectorBody{From: ID(b.get("from").Bytes()), Kind: Kind(b.enum("kind")).String(), Form: b.enum("form"),
			Flags: uint32(b.get("flags").Uint()), E2E: b.bytes("e2e"), Expiry: b.get("expiry").Uint(), Key: b.bytes("key"),
			Extra: b.bytes("extra"), Record: b.bytes("record"), Token: b.bytes("token"), Payload: b.bytes("payload"),
			Unknown: b.hasUnknown(), Head: len(raw)}
		if b.has("to") {
			to := ID(b.get("to").Bytes())
			v.Body.To = &to
		}
		if b.has("payload") {
			v.Body.Head -= protowire.SizeTag(fieldPayload) + protowire.SizeBytes(len(b.get("payload").Bytes()))
		}
	default:
		v.Type = "unknown"
	}
	return v
}

// TestSchemaNumbers compares every number of the schema with that of the code.
func TestSchemaNumbers(t *testing.T) {
	s := readSchema(t)
	have := map[string]int{}
	for i := range s.Messages().Len() {
		m := s.Messages().Get(i)
		for j := range m.Fields().Len() {
			f := m.Fields().Get(j)
			have[fmt.Sprintf("%s.%s", m.Name(), f.Name())] = int(f.Number())
		}
	}
	for i := range s.Enums().Len() {
		values := s.Enums().Get(i).Values()
		for j := range values.Len() {
			have[string(values.Get(j).Name())] = int(values.Get(j).Number())
		}
	}
	want := map[string]int{
		"Frame.hello": fieldHello, "Frame.ack": fieldAck, "Frame.nack": fieldNack, "Frame.ping": fieldPing,
		"Frame.pong": fieldPong, "Frame.bye": fieldBye, "Frame.neighbours": fieldPeers, "Frame.hop": fieldHop, "Frame.nonce": fieldNonce,
		"Frame.body": fieldBody, "Frame.route": fieldRoute, "Frame.sig": fieldSig, "Frame.targets": fieldTargets,
		"Frame.path": fieldPath,

		"Body.to": fieldTo, "Body.from": fieldFrom, "Body.kind": fieldKind, "Body.form": fieldForm,
		"Body.flags": fieldFlags, "Body.e2e": fieldE2E, "Body.expiry": fieldExpiry, "Body.key": fieldKey,
		"Body.extra": fieldExtra, "Body.record": fieldRecord, "Body.token": fieldToken, "Body.payload": fieldPayload,

		// Numbers without a constant in the code, and reserved ones.
		"Hello.features": 1, "Hello.role": 2, "Hello.link": 3, "Hello.limits": 4, "Hello.agent": 5,
		"Limits.max_frame": 1, "Nack.seq": 1, "Nack.reason": 2, "Nack.frame": 3, "Bye.reason": 1,
		"Neighbours.reset": 1, "Neighbours.named": 2, "Neighbours.gone": 3, "Neighbours.lost": 4,
		"Answer.ws": 1, "Answer.wrtc": 2, "Receipt.e2e": 1, "Receipt.hash": 2, "Receipt.nonce": 3,
		"Receipt.hops": 4, "Receipt.handed": 5, "Receipt.path": 6, "Receipt.kept": 7,
		"Notice.e2e": 1, "Notice.nonce": 2, "Notice.silent": 3, "Notice.refusal": 4,
		"Report.e2e": 1, "Report.nonce": 2, "Report.hops": 3, "Report.link": 4, "Report.agent": 5,
		"LINK_KIND_NONE": 0, "LINK_KIND_NATIVE": 1, "LINK_KIND_WEBSOCKET": 2, "LINK_KIND_WEBRTC": 3,
		"NACK_REASON_NONE": 0, "NACK_REASON_NO_ROUTE": 1, "NACK_REASON_BUSY": 2, "NACK_REASON_TOO_BIG": 3,
		"NACK_REASON_HOPS": 4, "NACK_REASON_REFUSED": 5,

		"ROLE_PEER": int(RolePeer), "ROLE_LEAF": int(RoleLeaf), "ROLE_SERVER": int(RoleServer),
		"BYE_REASON_NORMAL": int(ByeNormal), "BYE_REASON_DUPLICATE": int(ByeDuplicate),
		"BYE_REASON_SHUTDOWN": int(ByeShutdown), "BYE_REASON_UNWANTED": int(ByeUnwanted),
		"BYE_REASON_PROTOCOL": int(ByeProtocol), "BYE_REASON_SILENT": int(ByeSilent),
		"KIND_USER": int(KindUser), "KIND_FIND": int(KindFind), "KIND_FOUND": int(KindFound),
		"KIND_OFFER": int(KindOffer), "KIND_ANSWER": int(KindAnswer), "KIND_SIGNAL": int(KindSignal),
		"KIND_RECEIPT": int(KindReceipt), "KIND_NOTICE": int(KindNotice), "KIND_OTHER": int(KindOther),
		"KIND_PING": int(KindPing), "KIND_REPORT": int(KindReport),
		"FORM_NONE": int(FormNone), "FORM_JSON": int(FormJSON), "FORM_RAW": int(FormRaw),
		"FORM_WHOLE_JSON": int(FormWholeJSON), "FORM_SEALED": int(FormSealed),
		"FLAG_NONE": 0, "FLAG_RECEIPT": int(FlagReceipt), "FLAG_NOTICE": int(FlagNotice),
		"FLAG_CLOSEST": int(FlagClosest), "FLAG_TRACE": int(FlagTrace), "FLAG_KEEP": int(FlagKeep),
		"REFUSAL_NONE": int(RefusalNone), "REFUSAL_QUOTA": int(RefusalQuota), "REFUSAL_FULL": int(RefusalFull), "REFUSAL_OTHER": int(RefusalOther),
	}
	if !reflect.DeepEqual(have, want) {
		for name := range want {
			if n, ok := have[name]; !ok || n != want[name] {
				t.Errorf("%s is %d in the code, %d in the schema (there: %v)", name, want[name], n, ok)
			}
		}
		for name := range have {
			if _, ok := want[name]; !ok {
				t.Errorf("%s is in the schema only", name)
			}
		}
	}
	for _, n := range []protowire.Number{14} {
		if !s.Messages().ByName("Frame").ReservedRanges().Has(n) {
			t.Errorf("field %d of Frame is not reserved", n)
		}
	}
}

// TestSchemaVectors parses every golden vector with the protobuf library.
func TestSchemaVectors(t *testing.T) {
	s := readSchema(t)
	for _, v := range readVectors(t) {
		if v.Frame == nil {
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			for _, b := range []hexBytes{v.Hex, v.Canonical} {
				m := s.decode(t, "Frame", b)
				if have := s.describe(t, m); !reflect.DeepEqual(have, v.Frame) {
					t.Errorf("protobuf reads\n%s\nwant\n%s", asJSON(t, have), asJSON(t, v.Frame))
				}
				if v.Ours && (dyn{m}).hasUnknown() {
					t.Error("our encoder made a field that the schema does not have")
				}
			}
		})
	}
}

// TestSchemaRandom encodes random frames with the protobuf library, parses them with our
// code, encodes the result with our code, and parses that with the protobuf library.
func TestSchemaRandom(t *testing.T) {
	s := readSchema(t)
	const seed = 1
	g := generator{schema: s, Rand: rand.New(rand.NewPCG(seed, seed))}
	types := map[FrameType]int{}
	for i := range 3000 {
		want := g.frame(t)
		theirs := encode(t, want)
		f, err := ParseFrame(theirs)
		if err != nil {
			t.Fatalf("seed %d, frame %d: %v\n%.2000x", seed, i, err, theirs)
		}
		types[f.Type]++
		if have, want := describe(f), s.describe(t, want); !reflect.DeepEqual(have, want) {
			t.Fatalf("seed %d, frame %d: we read\n%s\nwant\n%s", seed, i, asJSON(t, have), asJSON(t, want))
		}
		if !bytes.Equal(onWire(t, f), theirs) {
			t.Fatalf("seed %d, frame %d is forwarded as\n%x\nwant\n%x", seed, i, onWire(t, f), theirs)
		}
		made, err := build(f)
		if err != nil {
			t.Fatalf("seed %d, frame %d: %v", seed, i, err)
		}
		ours := s.decode(t, "Frame", onWire(t, made))
		if (dyn{ours}).hasUnknown() {
			t.Fatalf("seed %d, frame %d: our encoder made a field that the schema does not have", seed, i)
		}
		if !proto.Equal(ours, want) {
			t.Fatalf("seed %d, frame %d: we encode\n%v\nwant\n%v", seed, i, ours, want)
		}

		shuffled := g.shuffle(t, theirs)
		f, err = ParseFrame(shuffled)
		if err != nil {
			t.Fatalf("seed %d, frame %d in another order: %v\n%x", seed, i, err, shuffled)
		}
		if again := s.decode(t, "Frame", onWire(t, f)); !proto.Equal(again, want) {
			t.Fatalf("seed %d, frame %d in another order is forwarded as\n%v\nwant\n%v", seed, i, again, want)
		}
	}
	for _, typ := range []FrameType{FrameHello, FrameAck, FrameNack, FramePing, FramePong, FrameBye, FrameNeighbours, FrameMessage} {
		if types[typ] == 0 {
			t.Errorf("no random frame of type %v", typ)
		}
	}
}

// A generator makes random frames that conform to SPEC.md.
type generator struct {
	schema
	*rand.Rand
}

func (g generator) frame(t *testing.T) *dynamicpb.Message {
	t.Helper()
	m := g.message("Frame")
	d := dyn{m}
	switch g.IntN(13) {
	case 0:
		h := d.mutable("hello")
		for range g.IntN(4) {
			h.growing("features").Append(protoreflect.ValueOfString(string(g.text(maxFeature, "abcXYZ-./019"))))
		}
		h.putEnum("role", uint32(g.number(31)))
		h.put("link", g.number(64))
		if n := uint32(g.number(32)); n != 0 {
			h.mutable("limits").put("max_frame", n)
		}
		h.put("agent", string(g.text(maxAgent/4, "aü€😀 /1.")))
	case 1:
		d.put("ack", g.number(64))
	case 2:
		n := d.mutable("nack")
		n.put("seq", g.number(64))
		n.putEnum("reason", uint32(g.number(31)))
		if g.often() {
			n.put("frame", g.bytes(1, 1000))
		}
	case 3:
		d.put("ping", g.number(64))
	case 4:
		d.put("pong", g.number(64))
	case 5:
		d.mutable("bye").putEnum("reason", uint32(g.number(31)))
	case 6:
		n := d.mutable("neighbours")
		n.put("reset", g.often())
		for range g.IntN(5) {
			n.growing("named").Append(protoreflect.ValueOfBytes(g.bytes(IDSize+1, IDSize+1)))
		}
		n.putIDs("gone", g.ids(0, 5))
		n.putIDs("lost", g.ids(0, 5))
	default:
		g.fillMessage(t, d)
	}
	return m
}

func (g generator) fillMessage(t *testing.T, d dyn) {
	t.Helper()
	m := g.message("Body")
	b := dyn{m}
	if g.often() {
		b.put("to", g.bytes(IDSize, IDSize))
	} else {
		d.putIDs("targets", g.ids(1, MaxTargets))
	}
	b.put("from", g.bytes(IDSize, IDSize))
	b.putEnum("kind", uint32(g.number(31)))
	b.put("flags", uint32(g.number(32)))
	b.put("expiry", g.number(64))
	for _, f := range []struct {
		name        protoreflect.Name
		least, most int
	}{{"e2e", 16, 16}, {"key", 1, MaxKey}, {"extra", 1, 500}, {"record", 1, MaxRecord}, {"token", 16, 16}} {
		if g.often() {
			b.put(f.name, g.bytes(f.least, f.most))
		}
	}
	if form := uint32(g.number(31)); form != 0 {
		b.putEnum("form", form)
		b.put("payload", g.bytes(0, 1000))
	}
	d.put("hop", uint32(g.number(32)))
	d.put("nonce", g.text(MaxNonce, "0123456789 ~aZ"))
	d.put("body", encode(t, m))
	d.putIDs("route", g.ids(0, MaxRoute))
	if g.often() {
		d.put("sig", g.bytes(1, MaxSig))
	}
	d.putIDs("path", g.ids(1, MaxPath))
}

func (g generator) often() bool { return g.IntN(2) == 0 }

// number returns a random number. Every length from 0 to bits bits is equally likely.
func (g generator) number(bits int) uint64 {
	if n := g.IntN(bits + 1); n > 0 {
		return g.Uint64() >> (64 - n)
	}
	return 0
}

// bytes returns least to most random bytes, none of them zero.
func (g generator) bytes(least, most int) []byte {
	b := make([]byte, least+g.IntN(most-least+1))
	for i := range b {
		b[i] = byte(1 + g.IntN(255))
	}
	return b
}

// text returns 1 to most random characters of alphabet.
func (g generator) text(most int, alphabet string) []byte {
	letters := []rune(alphabet)
	text := make([]rune, 1+g.IntN(most))
	for i := range text {
		text[i] = letters[g.IntN(len(letters))]
	}
	return []byte(string(text))
}

func (g generator) ids(least, most int) []ID {
	ids := make([]ID, least+g.IntN(most-least+1))
	for i := range ids {
		ids[i] = ID(g.bytes(IDSize, IDSize))
	}
	return ids
}

// shuffle returns the frame with its fields in a random order. Fields of the same number
// keep their order.
func (g generator) shuffle(t *testing.T, b []byte) []byte {
	t.Helper()
	byNumber := map[protowire.Number][][]byte{}
	var order []protowire.Number
	for len(b) > 0 {
		x, rest, err := nextField(b)
		if err != nil {
			t.Fatal(err)
		}
		byNumber[x.number] = append(byNumber[x.number], b[:len(b)-len(rest)])
		order = append(order, x.number)
		b = rest
	}
	g.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	var out []byte
	for _, n := range order {
		out = append(out, byNumber[n][0]...)
		byNumber[n] = byNumber[n][1:]
	}
	return out
}
