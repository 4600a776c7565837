package rawjson_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
)

func TestValid(t *testing.T) {
	accepted := []string{
		`null`, `true`, `false`, `0`, `-0`, `1`, `-12`, `0.5`, `1e400`, `1E+2`, `1e-2`, `12345678901234567890`, `-0.0e-0`,
		`""`, `"x"`, `"\"\\\/\b\f\n\r\t"`, `"\u0000"`, `"\uD800"`, `"\udc00\ud800"`, "\"\x7f\"", "\"\u2028\ufeff\"", `"日本語"`,
		`[]`, `{}`, `[[],{}]`, `{"a":1,"a":2}`, `{"__proto__":{"x":1}}`, " \t\r\n[ 1 , 2 ]\n", "{ \"a\" : 1 }", `{"":""}`,
		`"12345678901234567890 a long text, with \n an escape and é behind it"`,
	}
	for _, text := range accepted {
		if !rawjson.Valid([]byte(text)) {
			t.Errorf("refused: %q", text)
		}
	}

	refused := map[string]string{ // text: fault
		``:                  `byte 0: want a value`,
		` `:                 `byte 1: want a value`,
		`nul`:               `byte 0: want a value`,
		`True`:              `byte 0: want a value`,
		`+1`:                `byte 0: want a value`,
		`.5`:                `byte 0: want a value`,
		`-`:                 `byte 1: want a digit`,
		`-x`:                `byte 1: want a digit`,
		`01`:                `byte 1: digit after a leading zero`,
		`-00`:               `byte 2: digit after a leading zero`,
		`5.`:                `byte 2: want a digit`,
		`1e`:                `byte 2: want a digit`,
		`1e+`:               `byte 3: want a digit`,
		`1 2`:               `byte 2: text after the value`,
		`1x`:                `byte 1: text after the value`,
		`nullx`:             `byte 4: text after the value`,
		`[]]`:               `byte 2: text after the value`,
		`"`:                 `byte 1: want a closing quote`,
		`"abc`:              `byte 4: want a closing quote`,
		`"\`:                `byte 1: invalid escape`,
		`"\"`:               `byte 3: want a closing quote`,
		`"\x41"`:            `byte 1: invalid escape`,
		`"\u12"`:            `byte 1: invalid escape`,
		`"\u12g4"`:          `byte 1: invalid escape`,
		`"\U0041"`:          `byte 1: invalid escape`,
		"\"\t\"":            `byte 1: control character`,
		"\"12345678\x00\"":  `byte 9: control character`,
		"\"123\x1f5678\"":   `byte 4: control character`,
		"\"\xff\"":          `byte 1: invalid UTF-8`,
		"\"\xed\xa0\x80\"":  `byte 1: invalid UTF-8`, // a raw surrogate
		"\"\xc0\xaf\"":      `byte 1: invalid UTF-8`, // overlong
		"\"é\xc3\"":         `byte 3: invalid UTF-8`,
		"\xef\xbb\xbf1":     `byte 0: want a value`, // a byte order mark
		"\u00a01":           `byte 0: want a value`,
		"\v1":               `byte 0: want a value`,
		`[`:                 `byte 1: want a value`,
		`[1`:                `byte 2: want a comma or a closing bracket`,
		`[1,`:               `byte 3: want a value`,
		`[1,]`:              `byte 3: want a value`,
		`[,1]`:              `byte 1: want a value`,
		`[1 2]`:             `byte 3: want a comma or a closing bracket`,
		`[1}`:               `byte 2: want a comma or a closing bracket`,
		`{`:                 `byte 1: want a key`,
		`{]`:                `byte 1: want a key`,
		`{1:1}`:             `byte 1: want a key`,
		`{"a"}`:             `byte 4: want a colon`,
		`{"a" 1}`:           `byte 5: want a colon`,
		`{"a":}`:            `byte 5: want a value`,
		`{"a":1`:            `byte 6: want a comma or a closing brace`,
		`{"a":1,}`:          `byte 7: want a key`,
		`{"a":1]`:           `byte 6: want a comma or a closing brace`,
		`{"a":1 "b":2}`:     `byte 7: want a comma or a closing brace`,
		`{'a':1}`:           `byte 1: want a key`,
		`{"a":1,"b"`:        `byte 10: want a colon`,
		`{"a":{"b":[1,x]}}`: `byte 13: want a value`,
		`/**/1`:             `byte 0: want a value`,
		"1\x00":             `byte 1: text after the value`,
	}
	for text, fault := range refused {
		for name, err := range map[string]error{"Value": scan(text), "walk": walk(text)} {
			if !errors.Is(err, rawjson.ErrSyntax) || !strings.Contains(err.Error(), fault) {
				t.Errorf("%s of %q: error %v, want %s", name, text, err, fault)
			}
		}
	}
}

// scan reads text with a single Value.
func scan(text string) error {
	s := rawjson.NewScanner([]byte(text))
	s.Value()
	return s.End()
}

// walk reads text by entering every container.
func walk(text string) error {
	s := rawjson.NewScanner([]byte(text))
	step(&s)
	return s.End()
}

func step(s *rawjson.Scanner) {
	switch {
	case s.EnterObject():
		for s.More() {
			s.Key()
			step(s)
		}
	case s.EnterArray():
		for s.More() {
			step(s)
		}
	default:
		s.Value()
	}
}

func TestDepthLimit(t *testing.T) {
	for _, kinds := range []string{"[", "{", "[{", "{{["} {
		for levels, want := range map[int]error{rawjson.MaxDepth: nil, rawjson.MaxDepth + 1: rawjson.ErrDepth} {
			var open, shut string
			for i := range levels {
				if kinds[i%len(kinds)] == '[' {
					open, shut = open+"[", "]"+shut
				} else {
					open, shut = open+`{"a":`, "}"+shut
				}
			}
			text := open + "1" + shut
			if err := scan(text); !errors.Is(err, want) {
				t.Errorf("Value, %d levels of %s: %v, want %v", levels, kinds, err, want)
			}
			if err := walk(text); !errors.Is(err, want) {
				t.Errorf("walk, %d levels of %s: %v, want %v", levels, kinds, err, want)
			}
			if _, err := rawjson.Canonical(nil, []byte(text)); !errors.Is(err, want) {
				t.Errorf("Canonical, %d levels of %s: %v, want %v", levels, kinds, err, want)
			}
		}
	}
	// Depth counts what is open, not what was.
	if text := "[" + strings.Repeat("[],", 3*rawjson.MaxDepth) + "[]]"; !rawjson.Valid([]byte(text)) {
		t.Error("many containers side by side refused")
	}
	// A hostile frame that holds only brackets stops at the limit.
	if err := scan(strings.Repeat("[", 1<<20)); !errors.Is(err, rawjson.ErrDepth) {
		t.Errorf("a million brackets: %v", err)
	}
}

// TestScannerWalk reads a text as a gateway does: the members of the envelope, one level deeper
// for data, and exact text between offsets.
func TestScannerWalk(t *testing.T) {
	const text = ` { "to" : "ab" , "path":["x", "y" ],"data":{"type":"user","data":[1, {"a":2}]} , "z":{} } `
	s := rawjson.NewScanner([]byte(text))
	var got []string
	if s.EnterArray() {
		t.Fatal("entered an object as an array")
	}
	if !s.EnterObject() {
		t.Fatal("not an object")
	}
	for s.More() {
		switch key := string(s.Key()); key {
		case `"path"`:
			if !s.EnterArray() {
				t.Fatal("path is not an array")
			}
			for s.More() {
				got = append(got, "path "+string(s.Value()))
			}
		case `"data"`:
			if s.Peek() != '{' {
				t.Fatalf("Peek at data: %q", s.Peek())
			}
			start := s.Offset()
			if !s.EnterObject() {
				t.Fatal("data is not an object")
			}
			for s.More() {
				got = append(got, fmt.Sprintf("data.%s %s", s.Key(), s.Value()))
			}
			got = append(got, "data whole "+text[start:s.Offset()])
		default:
			got = append(got, key+" "+string(s.Value()))
		}
	}
	if err := s.End(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`"to" "ab"`, `path "x"`, `path "y"`, `data."type" "user"`, `data."data" [1, {"a":2}]`,
		`data whole {"type":"user","data":[1, {"a":2}]}`, `"z" {}`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestScannerErrorStays(t *testing.T) {
	s := rawjson.NewScanner([]byte(`{"a":tru,"b":1}`))
	if !s.EnterObject() || !s.More() || string(s.Key()) != `"a"` {
		t.Fatal("no first member")
	}
	if v := s.Value(); v != nil {
		t.Errorf("value %q of a broken text", v)
	}
	first := s.Err()
	if first == nil || s.More() || s.Key() != nil || s.Value() != nil || s.Peek() != 0 || s.EnterObject() || s.EnterArray() {
		t.Error("the Scanner went on after an error")
	}
	if err := s.End(); err != first {
		t.Errorf("End: %v, want the first error %v", err, first)
	}
}

func TestEndInsideContainer(t *testing.T) {
	s := rawjson.NewScanner([]byte(`[1]`))
	if !s.EnterArray() || !s.More() {
		t.Fatal("no element")
	}
	s.Value()
	if s.End() == nil {
		t.Error("End accepts an array that was not left")
	}
}

func TestScanningDoesNotAllocate(t *testing.T) {
	text := envelope(strings.Repeat("é\\n text ", 100))
	if n := testing.AllocsPerRun(100, func() {
		s := rawjson.NewScanner(text)
		step(&s)
		if s.End() != nil || !rawjson.Valid(text) {
			t.Error("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// envelope is the text that JS writes for a user message with one string.
func envelope(payload string) []byte {
	id := strings.Repeat("0123456789abcdef", 3)[:40]
	return fmt.Appendf(nil, `{"to":"%s","from":"%s","path":["%s"],"nonce":"370139348282462","data":{"type":"user","data":"%s"}}`, id, id, id, payload)
}

func BenchmarkScan(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 16 << 10} {
		ascii := envelope(strings.Repeat("benchmark text, ", size/16))
		cyrillic := envelope(strings.Repeat("привет, мир ", size/21+1))
		buffer := rawjson.AppendBuffer(nil, pattern(size))
		for _, c := range []struct {
			name string
			text []byte
		}{{"ascii", ascii}, {"cyrillic", cyrillic}, {"buffer", buffer}} {
			b.Run(fmt.Sprintf("%s/%d", c.name, size), func(b *testing.B) {
				b.SetBytes(int64(len(c.text)))
				b.ReportAllocs()
				for b.Loop() {
					if !rawjson.Valid(c.text) {
						b.Fatal("refused")
					}
				}
			})
		}
	}
}

func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i * 7)
	}
	return p
}
