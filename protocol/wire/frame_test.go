package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

func testID(name string) ID { return HashID([]byte(name)) }

// testMessage returns a frame with size bytes of payload and these changes.
func testMessage(tb testing.TB, size int, change ...func(*MessageFields)) *Frame {
	tb.Helper()
	f, err := NewMessageFrame(testFields(tb, size, change...))
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func testFields(tb testing.TB, size int, change ...func(*MessageFields)) MessageFields {
	tb.Helper()
	m := MessageFields{Hop: NewHop(), Nonce: []byte("123456789012345"), Path: []ID{testID("origin")},
		Body: Body{To: testID("target"), From: testID("origin"), Form: FormRaw, Payload: make([]byte, size)}}
	for _, c := range change {
		c(&m)
	}
	if err := m.Body.Encode(); err != nil {
		tb.Fatal(err)
	}
	return m
}

func testIDs(n int) (ids []ID) {
	for i := range n {
		ids = append(ids, testID(fmt.Sprint("peer ", i)))
	}
	return ids
}

func TestForward(t *testing.T) {
	for _, size := range []int{0, 1, 64, 127, 1 << 10, 16 << 10, MaxPayload} {
		f := testMessage(t, size, func(m *MessageFields) { m.Route, m.Sig = testIDs(3), make([]byte, 64) })
		for f.PathLen() < MaxPath {
			read, err := ParseFrame(onWire(t, f))
			if err != nil {
				t.Fatal(err)
			}
			checkForward(t, read)
			f = read
		}
		f = must(ParseFrame(onWire(t, f)))
		f.Relay(testID("one too many"))
		if _, err := f.AppendTo(nil); !errors.Is(err, ErrTooBig) {
			t.Errorf("%d bytes: error %v for a path of %d, want ErrTooBig", size, err, f.PathLen())
		}
	}
}

func TestForwardAllocatesNothing(t *testing.T) {
	relay := testID("relay")
	source, err := testMessage(t, 1<<10).AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	r := bytes.NewReader(source)
	var frames []*Frame
	const runs = 100
	for range runs + 1 { // AllocsPerRun runs once more, to warm up
		r.Reset(source)
		f, err := ReadFrame(r, MaxFrame)
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, f)
	}
	allocs := testing.AllocsPerRun(runs, func() {
		f := frames[0]
		frames = frames[1:]
		if f.InPath(relay) {
			t.Error("in the path already")
		}
		f.Hop = f.Hop.WithTx(f.Hop.TxLeft() - 1).WithDetours(0)
		f.Relay(relay)
		if n, err := f.WriteTo(io.Discard); err != nil || int(n) != len(source)+pathEntry {
			t.Errorf("%d bytes on the wire, error %v", n, err)
		}
		if !f.InPath(relay) {
			t.Error("not in the path")
		}
	})
	if allocs != 0 {
		t.Errorf("forwarding allocates %v times", allocs)
	}
}

func TestParseAllocations(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*MessageFields)
		most   float64
	}{
		{"a full path", func(m *MessageFields) { m.Path = testIDs(MaxPath) }, 2}, // the frame and its bytes
		{"a full path and route", func(m *MessageFields) { m.Path, m.Route = testIDs(MaxPath), testIDs(MaxRoute) }, 3},
		{"targets", func(m *MessageFields) { m.Body.To, m.Targets = ID{}, testIDs(MaxTargets) }, 3},
	} {
		source, err := testMessage(t, 64, c.change).AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		r := bytes.NewReader(source)
		allocs := testing.AllocsPerRun(100, func() {
			r.Reset(source)
			if _, err := ReadFrame(r, MaxFrame); err != nil {
				t.Error(err)
			}
		})
		if allocs > c.most {
			t.Errorf("%s: %v allocations, want at most %v", c.name, allocs, c.most)
		}
	}
}

// TestCopy writes two frames of one message concurrently, each with its own envelope.
func TestCopy(t *testing.T) {
	f := testMessage(t, 300, func(m *MessageFields) { m.Route, m.Path = testIDs(2), testIDs(3) })
	before := onWire(t, f)
	c := f.Copy()
	if !bytes.Equal(onWire(t, c), before) {
		t.Fatal("the copy has other bytes")
	}
	c.Hop = c.Hop.WithTx(3)
	c.Relay(testID("one way"))
	if !bytes.Equal(onWire(t, f), before) {
		t.Error("changing the copy changed the frame")
	}
	copied := onWire(t, c)
	f.Hop = f.Hop.WithTx(9)
	f.Relay(testID("another way"))
	var writers sync.WaitGroup
	for _, x := range []*Frame{f, c} {
		writers.Go(func() { x.WriteTo(io.Discard) })
	}
	writers.Wait()
	if !bytes.Equal(onWire(t, c), copied) {
		t.Error("changing the frame changed the copy")
	}
	if f.PathLen() != 4 || f.PathAt(3) != testID("another way") || c.PathAt(3) != testID("one way") {
		t.Errorf("paths %v and %v", f.Path(), c.Path())
	}
	if f.Hop.TxLeft() != 9 || c.Hop.TxLeft() != 3 {
		t.Errorf("%d and %d transmissions left", f.Hop.TxLeft(), c.Hop.TxLeft())
	}
	if f.InPath(ID{}) || testMessage(t, 1).InPath(ID{}) {
		t.Error("the zero id is in a path")
	}
}

func TestHop(t *testing.T) {
	h := NewHop()
	if h.TxLeft() != TxBudget || h.DetoursLeft() != Detours || h>>8&0xff != nacks || h&0xff != 0 {
		t.Errorf("NewHop = %08x", h)
	}
	for n, want := range map[int]int{-1: 0, 0: 0, 1: 1, 255: 255, 256: 255, math.MaxInt: 255, math.MinInt: 0} {
		all := Hop(0xa1b2c3d4)
		if have := all.WithTx(n); have.TxLeft() != want || have&0xffffff != all&0xffffff {
			t.Errorf("%08x with %d transmissions is %08x", all, n, have)
		}
		if have := all.WithDetours(n); have.DetoursLeft() != want || have&0xff00ffff != all&0xff00ffff {
			t.Errorf("%08x with %d detours is %08x", all, n, have)
		}
	}
	f, err := ParseFrame(slices.Concat(appendBytes(nil, fieldNonce, []byte("1")),
		appendBytes(nil, fieldBody, testMessage(t, 1).Body.Raw()), appendBytes(nil, fieldPath, make([]byte, IDSize))))
	if err != nil {
		t.Fatal(err)
	}
	if f.Hop != 0 || f.Hop.TxLeft() != 0 {
		t.Errorf("a message without hop has %08x", f.Hop)
	}
}

// messageLimits are the limits of a message's fields. The test tries each limit, and one more.
var messageLimits = []struct {
	name string
	make func(n int) func(*MessageFields)
	most int
}{
	{"path", func(n int) func(*MessageFields) { return func(m *MessageFields) { m.Path = testIDs(n) } }, MaxPath},
	{"route", func(n int) func(*MessageFields) { return func(m *MessageFields) { m.Route = testIDs(n) } }, MaxRoute},
	{"targets", func(n int) func(*MessageFields) {
		return func(m *MessageFields) { m.Body.To, m.Targets = ID{}, testIDs(n) }
	}, MaxTargets},
	{"nonce", func(n int) func(*MessageFields) {
		return func(m *MessageFields) { m.Nonce = bytes.Repeat([]byte("1"), n) }
	}, MaxNonce},
	{"sig", func(n int) func(*MessageFields) { return func(m *MessageFields) { m.Sig = make([]byte, n) } }, MaxSig},
}

func TestMessageLimits(t *testing.T) {
	for _, l := range messageLimits {
		f := testMessage(t, 10, l.make(l.most))
		if again, err := ParseFrame(onWire(t, f)); err != nil {
			t.Errorf("%s of %d: %v", l.name, l.most, err)
		} else {
			checkSame(t, again, f)
		}
		if _, err := NewMessageFrame(testFields(t, 10, l.make(l.most+1))); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s of %d: error %v, want ErrMalformed", l.name, l.most+1, err)
		}
	}
	for name, change := range map[string]func(*MessageFields){
		"no path":                func(m *MessageFields) { m.Path = nil },
		"no nonce":               func(m *MessageFields) { m.Nonce = nil },
		"a nonce of two lines":   func(m *MessageFields) { m.Nonce = []byte("1\n2") },
		"targets and a receiver": func(m *MessageFields) { m.Targets = testIDs(1) },
		"no receiver":            func(m *MessageFields) { m.Body.To = ID{} },
	} {
		if f, err := NewMessageFrame(testFields(t, 10, change)); !errors.Is(err, ErrMalformed) || f != nil {
			t.Errorf("%s: frame %v, error %v, want ErrMalformed", name, f, err)
		}
	}
	if _, err := NewMessageFrame(MessageFields{Nonce: []byte("1"), Path: testIDs(1)}); !errors.Is(err, ErrMalformed) {
		t.Errorf("a body that was not encoded: error %v, want ErrMalformed", err)
	}
}

const bodyOverhead = 2*22 + 2 + 4 // bytes of testFields' Body around a large payload

// TestFrameLimit checks that a message with the largest Body can pass 19 relays and return
// in a NACK, and that its origin refuses a message that cannot.
func TestFrameLimit(t *testing.T) {
	largest := func(m *MessageFields) {
		m.Route, m.Sig, m.Nonce = testIDs(MaxRoute), make([]byte, MaxSig), []byte(strings.Repeat("1", MaxNonce))
	}
	f := testMessage(t, MaxBody-bodyOverhead, largest)
	if have := len(f.Body.Raw()); have != MaxBody {
		t.Fatalf("a body of %d bytes, want %d", have, MaxBody)
	}
	for f.PathLen() < MaxPath {
		f.Relay(testID("relay"))
		f = must(ParseFrame(onWire(t, f)))
	}
	checkWire(t, f)
	nack, err := NewNack(Nack{Seq: math.MaxUint64, Reason: maxEnum, Frame: onWire(t, f)})
	if err != nil {
		t.Fatal(err)
	}
	if have, want := nack.Size(), f.Size()+nackHead; have != want {
		t.Errorf("a NACK of %d bytes, want %d", have, want)
	}
	checkWire(t, nack)

	// The largest frame that an origin may send.
	targets := func(m *MessageFields) {
		largest(m)
		m.Body.To, m.Targets = ID{}, testIDs(MaxTargets)
	}
	refused := sort.Search(MaxBody-bodyOverhead, func(size int) bool {
		_, err := NewMessageFrame(testFields(t, size, targets))
		if err != nil && !errors.Is(err, ErrTooBig) {
			t.Errorf("%d bytes of payload: error %v, want ErrTooBig", size, err)
		}
		return err != nil
	})
	if refused < MaxPayload || refused == MaxBody-bodyOverhead {
		t.Fatalf("the first payload refused has %d bytes", refused)
	}
	if have, want := testMessage(t, refused-1, targets).Size(), MaxFrame-nackHead-(MaxPath-1)*pathEntry; have != want {
		t.Errorf("the largest frame has %d bytes, want %d", have, want)
	}

	// A frame of exactly MaxFrame can be read, and cannot grow.
	b := onWire(t, testMessage(t, MaxBody-bodyOverhead))
	path := b[len(b)-pathEntry:]
	b = slices.Clip(b[:len(b)-pathEntry])
	fill := MaxFrame - len(b) - pathEntry - 2 - 2
	over := slices.Concat(appendBytes(b, 100, make([]byte, fill+1)), path)
	b = slices.Concat(appendBytes(b, 100, make([]byte, fill)), path)
	if len(b) != MaxFrame || len(over) != MaxFrame+1 {
		t.Fatalf("%d and %d bytes, want %d and one more", len(b), len(over), MaxFrame)
	}
	f, err = ParseFrame(b)
	if err != nil {
		t.Fatal(err)
	}
	checkWire(t, f)
	f.Relay(testID("relay"))
	if _, err := f.AppendTo(nil); !errors.Is(err, ErrTooBig) {
		t.Errorf("%d bytes: error %v, want ErrTooBig", f.Size(), err)
	}
	if _, err := ParseFrame(over); !errors.Is(err, ErrMalformed) {
		t.Errorf("%d bytes: error %v, want ErrMalformed", len(over), err)
	}
}

func TestHelloLimits(t *testing.T) {
	feature := strings.Repeat("f", maxFeature)
	full := Hello{Features: slices.Repeat([]string{feature}, maxFeatures), Role: RoleServer, Link: 1, MaxFrame: math.MaxUint32,
		Agent: strings.Repeat("a", maxAgent)}
	f, err := NewHello(full)
	if err != nil {
		t.Fatal(err)
	}
	if f.Size() > MaxHello {
		t.Errorf("the largest hello has %d bytes, more than %d", f.Size(), MaxHello)
	}
	again, err := ParseFrame(onWire(t, f))
	if err != nil || !reflect.DeepEqual(again.Hello, &full) {
		t.Errorf("%+v became %+v, error %v", full, again, err)
	}
	for name, change := range map[string]func(*Hello){
		"33 features":            func(h *Hello) { h.Features = append(slices.Clone(h.Features), "x") },
		"a feature of 65 bytes":  func(h *Hello) { h.Features = []string{feature + "f"} },
		"an empty feature":       func(h *Hello) { h.Features = []string{""} },
		"a comma":                func(h *Hello) { h.Features = []string{"a,b"} },
		"a space":                func(h *Hello) { h.Features = []string{"a b"} },
		"a letter outside ASCII": func(h *Hello) { h.Features = []string{"ü"} },
		"bytes outside UTF-8":    func(h *Hello) { h.Features = []string{"a\xff"} },
		"a long agent":           func(h *Hello) { h.Agent += "a" },
		"a broken agent":         func(h *Hello) { h.Agent = "\xff" },
		"a role of 2^31":         func(h *Hello) { h.Role = 1 << 31 },
	} {
		h := full
		change(&h)
		if f, err := NewHello(h); !errors.Is(err, ErrMalformed) || f != nil {
			t.Errorf("%s: frame %v, error %v, want ErrMalformed", name, f, err)
		}
	}

	// The limit is on the whole frame, unknown fields included.
	least := onWire(t, must(NewHello(Hello{Link: 1})))
	pad := MaxHello - len(least) - 2 - 2
	for _, more := range []int{0, 1} {
		unknown := appendBytes(nil, 99, make([]byte, pad+more))
		for name, b := range map[string][]byte{
			"inside": appendBytes(nil, fieldHello, slices.Concat(least[2:], unknown[:2], protowire.AppendVarint(nil, uint64(pad+more-1)), unknown[5:])),
			"beside": slices.Concat(least, unknown),
		} {
			if len(b) != MaxHello+more {
				t.Fatalf("%s: %d bytes, want %d", name, len(b), MaxHello+more)
			}
			if _, err := ParseFrame(b); (err == nil) != (more == 0) || err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("a hello of %d bytes, some unknown %s it: error %v", len(b), name, err)
			}
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestLinkFrames(t *testing.T) {
	for _, f := range []*Frame{NewAck(0), NewAck(math.MaxUint64), NewPing(1), NewPong(math.MaxUint64), NewBye(ByeSilent),
		must(NewNack(Nack{})), must(NewHello(Hello{}))} {
		size := f.Size() // before it is written
		checkWire(t, f)
		if have := f.Size(); have != size || size <= 0 || size > MaxHello {
			t.Errorf("%v: size %d before, %d after", f.Type, size, have)
		}
	}
	for _, f := range []*Frame{{}, {Type: FrameMessage}, {Type: FrameBye, Bye: 1 << 31}, NewBye(1 << 31),
		{Type: FrameHello, Hello: &Hello{Agent: "\xff"}}} {
		if wire, err := f.AppendTo(nil); !errors.Is(err, ErrMalformed) {
			t.Errorf("%+v is written as %x, error %v, want ErrMalformed", f, wire, err)
		}
	}
	if _, err := NewNack(Nack{Frame: make([]byte, MaxFrame-4)}); !errors.Is(err, ErrMalformed) {
		t.Errorf("a NACK above MaxFrame: error %v, want ErrMalformed", err)
	}
	for typ := FrameUnknown; typ <= FrameMessage+1; typ++ {
		if typ.String() == "" || (typ > FrameMessage) != strings.Contains(typ.String(), "type(") {
			t.Errorf("type %d has the name %q", uint8(typ), typ)
		}
	}
}

func TestPath(t *testing.T) {
	path := testIDs(MaxPath)
	f := testMessage(t, 5, func(m *MessageFields) { m.Path = path })
	if f.PathLen() != MaxPath || !reflect.DeepEqual(f.Path(), path) {
		t.Errorf("path %v, want %v", f.Path(), path)
	}
	for i, id := range path {
		if f.PathAt(i) != id || !f.InPath(id) {
			t.Errorf("entry %d is %v, want %v", i, f.PathAt(i), id)
		}
	}
	if f.InPath(f.Body.To) {
		t.Error("the target is in the path")
	}
	back := slices.Clone(path)
	slices.Reverse(back)
	if got := f.ReversePath(); !reflect.DeepEqual(got, back) {
		t.Errorf("reverse path %v, want %v", got, back)
	}
	straight := testMessage(t, 5, func(m *MessageFields) { m.Path = path[:1] })
	if got := straight.ReversePath(); got != nil {
		t.Errorf("straight from its origin: reverse path %v, want none", got)
	}
}

func TestValidNonce(t *testing.T) {
	for nonce, want := range map[string]bool{"": false, "1": true, " ~": true, "\x1f": false, "\x7f": false, "a\x80": false,
		strings.Repeat("9", MaxNonce): true, strings.Repeat("9", MaxNonce+1): false} {
		if have := ValidNonce([]byte(nonce)); have != want {
			t.Errorf("%q: %v", nonce, have)
		}
	}
}

// TestFieldsOfTwoFrames checks that a link frame with a field of a message or of another link frame is
// refused, in either order, and one with an unknown field is not.
func TestFieldsOfTwoFrames(t *testing.T) {
	ack := appendVarint(nil, fieldAck, 7)
	for name, other := range map[string][]byte{
		"a hop":    protowire.AppendFixed32(protowire.AppendTag(nil, fieldHop, protowire.Fixed32Type), 1),
		"a nonce":  appendBytes(nil, fieldNonce, []byte("1")),
		"a body":   appendBytes(nil, fieldBody, (&Body{To: testIDs(1)[0]}).Raw()),
		"a route":  appendBytes(nil, fieldRoute, make([]byte, IDSize)),
		"targets":  appendBytes(nil, fieldTargets, make([]byte, IDSize)),
		"a path":   appendBytes(nil, fieldPath, make([]byte, IDSize)),
		"a ping":   protowire.AppendFixed64(protowire.AppendTag(nil, fieldPing, protowire.Fixed64Type), 1),
		"a second": ack,
		"paths":    bytes.Repeat(appendBytes(nil, fieldPath, make([]byte, IDSize)), 3),
	} {
		for _, b := range [][]byte{append(slices.Clone(ack), other...), append(slices.Clone(other), ack...)} {
			if f, err := ParseFrame(b); !errors.Is(err, ErrMalformed) {
				t.Errorf("an ack and %s: %v, error %v, want ErrMalformed", name, f, err)
			}
			if f, err := ReadFrame(bufio.NewReader(bytes.NewReader(append(protowire.AppendVarint(nil, uint64(len(b))), b...))), MaxFrame); !errors.Is(err, ErrMalformed) {
				t.Errorf("an ack and %s, read: %v, error %v, want ErrMalformed", name, f, err)
			}
		}
	}
	unknown := appendVarint(nil, 100, 1)
	for _, b := range [][]byte{append(slices.Clone(ack), unknown...), append(slices.Clone(unknown), ack...)} {
		if f, err := ParseFrame(b); err != nil || f.Type != FrameAck || f.Num != 7 || f.Message != nil {
			t.Errorf("an ack and an unknown field: %+v, error %v", f, err)
		}
	}
}
