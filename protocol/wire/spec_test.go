package wire

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// readSpec returns the text of SPEC.md.
func readSpec(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A specPeer is a peer of the examples. Its Ed25519 key has a seed of 32 equal bytes.
type specPeer struct {
	private     ed25519.PrivateKey
	key, peerID []byte // the libp2p PublicKey message, and its identity multihash
	id          ID
}

func newSpecPeer(seed byte) specPeer {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	key := append([]byte{0x08, 0x01, 0x12, 0x20}, private.Public().(ed25519.PublicKey)...)
	peerID := append([]byte{0x00, 0x24}, key...)
	return specPeer{private, key, peerID, HashID(peerID)}
}

// examples returns the bytes that the hex blocks of SPEC.md must hold, by block name.
func examples(t *testing.T) map[string][]byte {
	t.Helper()
	wire := func(f *Frame, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		b, err := f.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Clone(b)
	}
	a, b, c := newSpecPeer(1), newSpecPeer(2), newSpecPeer(3)
	token := []byte("0123456789abcdef")
	message := func(from specPeer, nonce string, sign bool, body Body) *Frame {
		t.Helper()
		body.From = from.id
		m := MessageFields{Hop: NewHop().WithTx(TxBudget - 1), Nonce: []byte(nonce), Path: []ID{from.id}}
		if sign {
			body.Key, body.E2E = from.key, []byte("an end-to-end id")
		}
		if err := body.Encode(); err != nil {
			t.Fatal(err)
		}
		if sign {
			m.Sig = ed25519.Sign(from.private, body.SignedBytes())
		}
		m.Body = body
		f, err := NewMessageFrame(m)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	hi := message(a, "370139348282462", false, Body{To: c.id, Form: FormJSON, Payload: []byte(`"hi"`)})
	relayed := hi.Copy()
	relayed.Relay(b.id)
	relayed.Hop = relayed.Hop.WithTx(TxBudget - 2)
	return map[string][]byte{
		"key":     a.key,
		"peer-id": a.peerID,
		"id":      a.id[:],
		"id-b":    b.id[:],
		"id-c":    c.id[:],
		"hello":   wire(NewHello(Hello{Role: RoleLeaf, Link: 0x0123456789abcdef, Agent: "example/1"})),
		"ping":    wire(NewPing(0x0123456789abcdef), nil),
		"pong":    wire(NewPong(0x0123456789abcdef), nil),
		"bye":     wire(NewBye(ByeShutdown), nil),
		"user":    wire(hi, nil),
		"relayed": wire(relayed, nil),
		"datagram": wire(message(a, "5", false, Body{To: c.id, Form: FormRaw, Extra: []byte(`{"dgram":"49152,53"}`),
			Payload: []byte("ping")}), nil),
		"find":  wire(message(a, "1", true, Body{To: b.id, Kind: KindFind, Form: FormRaw, Payload: a.id[:]}), nil),
		"found": wire(message(b, "2", true, Body{To: a.id, Kind: KindFound, Form: FormRaw, Payload: AppendFound(nil, []ID{c.id})}), nil),
		"offer": wire(message(a, "3", true, Body{To: c.id, Kind: KindOffer, Token: token}), nil),
		"answer": wire(message(c, "4", true, Body{To: a.id, Kind: KindAnswer, Form: FormRaw, Token: token,
			Payload: AppendAnswer(nil, Answer{WS: "wss://c.example"})}), nil),
	}
}

// TestSpecExamples compares the examples of SPEC.md with the code's frames, byte for byte.
func TestSpecExamples(t *testing.T) {
	want := examples(t)
	blocks := regexp.MustCompile("(?ms)^```hex (\\S+)\n(.*?)^```$").FindAllStringSubmatch(readSpec(t), -1)
	for _, block := range blocks {
		name := block[1]
		text := regexp.MustCompile(`#.*`).ReplaceAllString(block[2], "")
		got, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil {
			t.Errorf("example %s: %v", name, err)
		}
		if !bytes.Equal(got, want[name]) {
			t.Errorf("example %s is\n%x, want\n%x", name, got, want[name])
		}
		delete(want, name)
	}
	for name, b := range want {
		t.Errorf("no example %s, which would be\n%x", name, b)
	}
}

// specRows returns the cells of tables in SPEC.md, by the heading of their section. It
// returns those tables that have header in the first cell.
func specRows(spec, header string) map[string][][]string {
	rows := make(map[string][][]string)
	section, inTable := "", false
	for line := range strings.Lines(spec) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "#"):
			section, inTable = strings.TrimSpace(strings.TrimLeft(line, "#")), false
		case !strings.HasPrefix(line, "|"):
			inTable = false
		default:
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			switch {
			case cells[0] == header:
				inTable = true
			case inTable && !strings.HasPrefix(cells[0], "-"):
				rows[section] = append(rows[section], cells)
			}
		}
	}
	return rows
}

// TestSpecNumbers checks that the tables of fields and values in SPEC.md have the same
// numbers and names as envelope.proto.
func TestSpecNumbers(t *testing.T) {
	spec, schema := readSpec(t), readSchema(t)
	fields, values := specRows(spec, "field"), specRows(spec, "value")
	compare := func(section string, got [][]string, want []string) {
		t.Helper()
		var have []string
		for _, cells := range got {
			have = append(have, cells[0]+" "+strings.Trim(cells[1], "`"))
		}
		slices.Sort(want)
		slices.Sort(have)
		if !slices.Equal(have, want) {
			t.Errorf("section %s has %q, envelope.proto %q", section, have, want)
		}
	}
	reserved := func(r protoreflect.FieldRanges) (want []string) {
		for i := range r.Len() {
			for n := r.Get(i)[0]; n < r.Get(i)[1]; n++ {
				want = append(want, fmt.Sprintf("%d reserved", n))
			}
		}
		return want
	}
	for i := range schema.Messages().Len() {
		m := schema.Messages().Get(i)
		want := reserved(m.ReservedRanges())
		for j := range m.Fields().Len() {
			f := m.Fields().Get(j)
			want = append(want, fmt.Sprintf("%d %s", f.Number(), f.Name()))
		}
		compare(string(m.Name()), fields[string(m.Name())], want)
		delete(fields, string(m.Name()))
	}
	for i := range schema.Enums().Len() {
		e := schema.Enums().Get(i)
		var want []string
		for j := range e.Values().Len() {
			v := e.Values().Get(j)
			want = append(want, fmt.Sprintf("%d %s", v.Number(), v.Name()))
		}
		compare(string(e.Name()), values[string(e.Name())], want)
		delete(values, string(e.Name()))
	}
	for section := range fields {
		t.Errorf("envelope.proto has no message %s", section)
	}
	for section := range values {
		t.Errorf("envelope.proto has no enum %s", section)
	}
}

// constants returns the integer constants of the package in a folder, with durations in
// seconds.
func constants(t *testing.T, folder string) map[string]int {
	t.Helper()
	fset := token.NewFileSet()
	names, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	// Constants need no import except time. The type checker's errors about the other
	// imports do not matter.
	config := types.Config{Importer: onlyTime{importer.ForCompiler(fset, "source", nil)}, Error: func(error) {}}
	pkg, _ := config.Check(folder, fset, files, nil)
	values := make(map[string]int)
	for _, name := range pkg.Scope().Names() {
		c, ok := pkg.Scope().Lookup(name).(*types.Const)
		if !ok {
			continue
		}
		v, ok := constant.Int64Val(constant.ToInt(c.Val()))
		if !ok {
			continue
		}
		if c.Type().String() == "time.Duration" {
			v /= int64(time.Second)
		}
		values[name] = int(v)
	}
	return values
}

// onlyTime imports package time.
type onlyTime struct{ types.Importer }

func (i onlyTime) Import(path string) (*types.Package, error) {
	if path != "time" {
		return nil, errors.New("not needed")
	}
	return i.Importer.Import(path)
}

// TestSpecLimits compares the limits of SPEC.md with the constants.
func TestSpecLimits(t *testing.T) {
	others := make(map[string]int)
	for _, folder := range []string{"..", "../internal/core", "../internal/overlay", "../packet"} {
		maps.Copy(others, constants(t, folder))
	}
	want := map[string]int{
		"MaxFrame": MaxFrame, "MaxBody": MaxBody, "MaxHello": MaxHello, "MaxRecord": MaxRecord, "MaxKey": MaxKey,
		"MaxSig": MaxSig, "MaxNonce": MaxNonce, "MaxPath": MaxPath, "MaxRoute": MaxRoute, "MaxTargets": MaxTargets,
		"MaxNamed": MaxNamed, "MaxFound": MaxFound, "MaxPayload": MaxPayload, "MaxText": MaxText, "maxFeatures": maxFeatures,
		"maxFeature": maxFeature, "maxAgent": maxAgent, "maxURL": maxURL, "tokenSize": TokenSize, "nackHead": nackHead, "MaxDatagram": others["MaxDatagram"],
		"txBudget": TxBudget, "detours": Detours, "nacks": nacks, "maxOffences": others["maxOffences"],
		"pingIdle": others["pingIdle"], "pingAnswer": others["pingAnswer"], "claimAnswer": others["claimAnswer"], "doubtAfter": others["doubtAfter"], "ackMost": others["ackMost"], "answerMost": others["answerMost"], "byeTime": others["byeTime"],
		"seenAge": others["seenAge"], "deliverAge": others["deliverAge"],
		"offerExpiry": others["offerExpiry"], "queryExpiry": others["QueryExpiry"],
	}
	for section, rows := range specRows(readSpec(t), "limit") {
		for _, cells := range rows {
			name := strings.Trim(cells[0], "`")
			got, err := strconv.Atoi(strings.ReplaceAll(cells[1], ",", ""))
			if err != nil || got != want[name] {
				t.Errorf("section %s: %s is %q, want %d", section, name, cells[1], want[name])
			}
			delete(want, name)
		}
	}
	for name, n := range want {
		t.Errorf("no limit %s, which would be %d", name, n)
	}
}

// TestSpecLinks checks that the links of SPEC.md lead to its own headings or to files of the
// repository.
func TestSpecLinks(t *testing.T) {
	spec := readSpec(t)
	anchors := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(spec, -1) {
		base := strings.ReplaceAll(regexp.MustCompile("[^a-z0-9 -]").ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")
		anchor := base
		for n := 1; anchors[anchor]; n++ {
			anchor = fmt.Sprintf("%s-%d", base, n)
		}
		anchors[anchor] = true
	}
	links := regexp.MustCompile(`(?s)\]\(([^)]*)\)`).FindAllStringSubmatch(spec, -1)
	if len(links) == 0 {
		t.Fatal("no links")
	}
	for _, m := range links {
		switch anchor, here := strings.CutPrefix(m[1], "#"); {
		case here && !anchors[anchor]:
			t.Errorf("no heading for #%s", anchor)
		case !here && !strings.Contains(m[1], "://"):
			if _, err := os.Stat(filepath.Join("..", m[1])); err != nil {
				t.Error(err)
			}
		}
	}
}
