package rawjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
)

func TestEveryFuzzTargetHasSeeds(t *testing.T) {
	for _, target := range []string{"FuzzScan", "FuzzCanonical", "FuzzBuffer", "FuzzAppendString"} {
		seeds, err := filepath.Glob(filepath.Join("testdata", "fuzz", target, "*"))
		if err != nil || len(seeds) == 0 {
			t.Errorf("%s: no seeds, %v", target, err)
		}
	}
}

// FuzzScan compares what is accepted with encoding/json, which accepts the same texts except
// for invalid UTF-8 and the limit of depth. It also compares the two ways to read a text with
// each other.
func FuzzScan(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		err := scan(string(text))
		if stepped := walk(string(text)); (err == nil) != (stepped == nil) || err != nil && err.Error() != stepped.Error() {
			t.Fatalf("Value says %v, entering says %v", err, stepped)
		}
		if errors.Is(err, rawjson.ErrDepth) {
			if bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) <= rawjson.MaxDepth {
				t.Fatalf("%v in a text of at most MaxDepth brackets", err)
			}
			return
		}
		if want := json.Valid(text) && utf8.Valid(text); (err == nil) != want {
			t.Fatalf("error %v, want valid %v", err, want)
		}

		members, membersErr := rawjson.AppendMembers(nil, text)
		if isObject := err == nil && bytes.TrimLeft(text, " \t\r\n")[0] == '{'; isObject != (membersErr == nil) {
			t.Fatalf("AppendMembers: %v, object %v", membersErr, isObject)
		}
		for _, m := range members {
			if !rawjson.Valid(m.RawKey) || !rawjson.Valid(m.Value) {
				t.Fatalf("member %s: %s is not valid", m.RawKey, m.Value)
			}
		}
		var names []string
		folded := rawjson.LastWins(members)
		for _, m := range folded {
			names = append(names, string(m.Key))
		}
		if membersErr == nil && utf8.ValidString(strings.Join(names, "")) && !surrogate.Match(text) {
			var object map[string]json.RawMessage
			if err := json.Unmarshal(text, &object); err != nil {
				t.Fatal(err)
			}
			if len(object) != len(folded) {
				t.Fatalf("%d members, encoding/json has %d", len(folded), len(object))
			}
			for _, m := range folded {
				if !bytes.Equal(object[string(m.Key)], m.Value) {
					t.Fatalf("%q is %s, encoding/json has %s", m.Key, m.Value, object[string(m.Key)])
				}
			}
		}
	})
}

// encoding/json replaces escaped surrogates that have no partner, so documents with any are not
// compared with it.
var surrogate = regexp.MustCompile(`\\u[dD][89a-fA-F]`)

// FuzzCanonical checks that the canonical form is a fixed point and means the same.
func FuzzCanonical(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		once, err := rawjson.Canonical(nil, text)
		if want := scan(string(text)); (err == nil) != (want == nil) || err != nil && err.Error() != want.Error() {
			t.Fatalf("Canonical says %v, Value says %v", err, want)
		}
		if err != nil {
			return
		}
		twice, err := rawjson.Canonical(nil, once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("once  %s\ntwice %s, %v", once, twice, err)
		}
		var before, after any
		if err := json.Unmarshal(once, &after); err != nil {
			t.Fatalf("%s: %v", once, err)
		}
		if surrogate.Match(text) || json.Unmarshal(text, &before) != nil {
			return // 1e400, which encoding/json refuses
		}
		if !reflect.DeepEqual(before, after) {
			t.Fatalf("%s\nbecame %s", text, once)
		}
	})
}

// FuzzBuffer uses its input as the text of a value and as the bytes of a Buffer.
func FuzzBuffer(f *testing.F) {
	f.Fuzz(func(t *testing.T, input []byte) {
		text := rawjson.AppendBuffer(nil, input)
		if len(text) != rawjson.BufferLen(input) {
			t.Fatalf("BufferLen %d of a text of %d bytes", rawjson.BufferLen(input), len(text))
		}
		if back, ok := rawjson.DecodeBuffer(nil, text); !ok || !bytes.Equal(back, input) {
			t.Fatalf("%s decodes to %v, %v", text, back, ok)
		}

		data, exact := rawjson.DecodeBuffer(nil, input)
		if want := exactBuffer.Match(input); exact != want {
			t.Fatalf("taken for a Buffer: %v, want %v", exact, want)
		}
		if exact && !bytes.Equal(rawjson.AppendBuffer(nil, data), input) {
			t.Fatalf("decoded to %v: %s", data, input)
		}

		if id, ok := rawjson.ParseID(input); ok {
			if !rawjson.Valid(input) {
				t.Fatalf("an id in invalid JSON: %s", input)
			}
			for _, form := range [][]byte{rawjson.AppendID(nil, id), rawjson.AppendBuffer(nil, id[:])} {
				if again, ok := rawjson.ParseID(form); !ok || again != id {
					t.Fatalf("%s is %x, %v, want %x", form, again, ok, id)
				}
			}
		} else if exact && len(data) == rawjson.IDLen {
			t.Fatalf("no id: %s", input)
		}
	})
}

var exactBuffer = regexp.MustCompile(`^\{"type":"Buffer","data":\[((\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])(,(\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5]))*)?\]\}$`)

// FuzzAppendString checks that the text means the same string, and is a fixed point.
func FuzzAppendString(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		text := rawjson.AppendString(nil, s)
		if !rawjson.IsFixedPoint(text) {
			t.Fatalf("%s is not a fixed point", text)
		}
		var back string
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if want := string([]rune(s)); back != want {
			t.Fatalf("%q became %q", s, back)
		}
		if unquoted := rawjson.AppendUnquoted(nil, text); string(unquoted) != back {
			t.Fatalf("%s unquoted is %q", text, unquoted)
		}
	})
}
