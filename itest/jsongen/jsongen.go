// Package jsongen makes JSON documents that are hard to carry unchanged.
//
// Some documents are tame: what JSON.stringify might have written, so that every
// hop must return them byte for byte. The others use all the liberty of RFC 8259:
// white space, escapes that are not needed, lone surrogates, duplicate,
// integer-like and __proto__ keys, -0, numbers too long or too large for a
// float64. JSON.parse accepts them all. Mutants are documents with a few bytes
// changed, most of which it refuses.
//
// A Generator is determined by its seed: tests print it and can repeat a run.
package jsongen

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Generator makes documents. It is not safe for concurrent use.
type Generator struct {
	rand     *rand.Rand
	maxDepth int

	// Of the document being made:
	doc    []byte
	wild   bool // else tame
	spaced bool
	budget int // values still to spend
}

// New returns a Generator of documents in which at most maxDepth objects and
// arrays are nested; some documents have exactly that many.
func New(seed uint64, maxDepth int) *Generator {
	return &Generator{rand: rand.New(rand.NewPCG(seed, 0)), maxDepth: maxDepth}
}

// Document returns a new document, usually of less than 1 KiB.
func (g *Generator) Document() []byte {
	g.doc = nil
	g.wild = g.oneIn(4) || !g.oneIn(3)
	g.spaced = g.wild && g.oneIn(2)
	g.budget = 1 + g.rand.IntN(40)
	switch {
	case g.oneIn(50):
		g.tower(g.maxDepth)
	case g.oneIn(50):
		g.crowd()
	default:
		g.value(0)
	}
	return g.doc
}

// Mutant returns doc with a few bytes removed, doubled, replaced or added. It is
// still valid UTF-8.
func (g *Generator) Mutant(doc []byte) []byte {
	for {
		m := append([]byte(nil), doc...)
		for range 1 + g.rand.IntN(3) {
			i := g.rand.IntN(len(m) + 1)
			j := min(len(m), i+1+g.rand.IntN(4))
			switch g.rand.IntN(4) {
			case 0:
				m = append(m[:i:i], m[j:]...)
			case 1:
				m = append(m[:j:j], m[i:]...)
			case 2:
				m = append(append(m[:i:i], pick(g, intruders)...), m[j:]...)
			default:
				m = append(append(m[:i:i], pick(g, intruders)...), m[i:]...)
			}
		}
		if utf8.Valid(m) {
			return m
		}
	}
}

// A mutation puts in tokens in wrong places, and text that only other dialects of JSON
// accept.
var intruders = []string{
	"{", "}", "[", "]", ",", ":", `"`, `\`, "-", "+", ".", "e", "E", "0", "00", "1", "-0", "01", ".5", "5.", "1e", "1e+",
	"true", "false", "null", "True", "nul", "NaN", "Infinity", "undefined", "'", "/", "//", "/**/", "#", "0x1", "1_0",
	" ", "\t", "\n", "\r", "\v", "\f", "\b", "\x00", "\x1f", "\x7f", "\u0085", "\u00a0", "\u2028", "\u3000", "\ufeff",
	`\u`, `\u12`, `\u12g4`, `\ud800`, `\U0041`, `\x41`, `\a`, `\v`, `\'`, `\0`, "\\\n", `""`, `"":`, "é", "\U0001f600",
}

func (g *Generator) value(depth int) {
	g.space()
	defer g.space()
	g.budget--
	kind := g.rand.IntN(12)
	if g.budget < 0 || depth >= g.maxDepth {
		kind %= 6
	}
	switch kind {
	case 0:
		g.put(pick(g, []string{"true", "false", "null"}))
	case 1, 2:
		g.number()
	case 3, 4, 5:
		g.string()
	case 6, 7:
		g.put("[")
		for n := range g.rand.IntN(6) {
			if n > 0 {
				g.put(",")
			}
			g.value(depth + 1)
		}
		g.space()
		g.put("]")
	default:
		g.object(g.rand.IntN(8), func() { g.value(depth + 1) })
	}
}

// object writes an object of n members. Tame keys are distinct, array indices
// first and ascending.
func (g *Generator) object(n int, value func()) {
	g.put("{")
	index := g.rand.IntN(3)
	indices := 0
	if g.oneIn(3) {
		indices = g.rand.IntN(n + 1)
	}
	for i := range n {
		if i > 0 {
			g.put(",")
		}
		g.space()
		switch {
		case g.wild:
			g.wildKey()
		case i < indices:
			g.put(strconv.Quote(strconv.Itoa(index)))
			index += 1 + g.rand.IntN(5)
		case i == n-1 && g.oneIn(3):
			g.put(`"__proto__"`)
		default:
			g.put(fmt.Sprintf(`"%s%d"`, pick(g, []string{"k", "__proto__", "é", "-", "0"}), i))
		}
		g.space()
		g.put(":")
		value()
	}
	g.space()
	g.put("}")
}

// Few enough that an object often has one twice.
var wildKeys = []string{
	"a", "b", "c", "", "__proto__", "constructor", "toString", "toJSON", "length", "type", "data",
	"0", "1", "2", "7", "10", "42", "-0", "-1", "00", "01", "1.0", "1e1", " 1", "+1",
	"2147483647", "2147483648", "4294967293", "4294967294", "4294967295", "4294967296",
	"9007199254740991", "9007199254740992", "18446744073709551616", "99999999999",
}

func (g *Generator) wildKey() {
	if g.oneIn(5) {
		g.string()
		return
	}
	key := pick(g, wildKeys)
	if key == "" || !g.oneIn(6) {
		g.put(`"` + key + `"`)
		return
	}
	// The same key in another spelling.
	i := g.rand.IntN(len(key))
	g.put(fmt.Sprintf(`"%s\u%04x%s"`, key[:i], key[i], key[i+1:]))
}

// tower nests depth containers. Members beside the nested value make each level
// of a wild one need reordering.
func (g *Generator) tower(depth int) {
	if depth == 0 {
		g.number()
		return
	}
	if g.oneIn(2) {
		g.put("[")
		g.tower(depth - 1)
		g.put("]")
		return
	}
	g.put("{")
	g.put(`"a":`)
	g.tower(depth - 1)
	if g.wild {
		g.put(pick(g, []string{`,"1":0`, `,"b":1,"b":2`, `,"a":3`, ""}))
	}
	g.put("}")
}

// crowd writes one object of many members.
func (g *Generator) crowd() {
	g.object(20+g.rand.IntN(200), func() { g.put(strconv.Itoa(g.rand.IntN(1000))) })
}

var wildNumbers = []string{
	"0", "-0", "0.0", "-0.0", "-0e9", "0e-999", "1.0", "1e0", "1E+2", "-1e-2", "10e-1", "1.50",
	"1e20", "1e21", "-1e21", "123456789012345680000", "999999999999999999999", "999999999999999900000.5",
	"1e-6", "1e-7", "0.000001", "0.0000001", "0.00000123456", "1.5e-9", "1e100", "1e-100", "1e22", "1e-10",
	"9007199254740991", "9007199254740992", "9007199254740993", "-9007199254740995", "12345678901234567890",
	"5e-324", "2.4703282292062328e-324", "2.4703282292062327e-324", "1e-400", "-1e-400", "2.2250738585072011e-308",
	"1.7976931348623157e308", "1.7976931348623158e308", "1.7976931348623159e308", "1e308", "1e309", "1e400", "-1e400",
	"1e99999999999999999999", "1e-99999999999999999999", "0e99999999999999999999", "0.1", "0.30000000000000004", "4.35", "1e23",
}

func (g *Generator) number() {
	if !g.wild {
		if g.oneIn(3) {
			g.put(fmt.Sprintf("%d.%d", g.rand.IntN(1000), 1+g.rand.IntN(9)))
		} else {
			g.put(strconv.Itoa(g.rand.IntN(1<<(1+g.rand.IntN(53))) - g.rand.IntN(2)))
		}
		return
	}
	switch g.rand.IntN(6) {
	case 0, 1:
		g.put(pick(g, wildNumbers))
	case 2:
		// Odd numbers between 2^53 and 2^54 lie halfway between two floats.
		g.put(strconv.FormatUint(1<<53+g.rand.Uint64N(1<<53)|1, 10))
		if g.oneIn(2) {
			g.put("." + strings.Repeat("0", g.rand.IntN(30)) + strconv.Itoa(g.rand.IntN(2)))
		}
	case 3:
		g.put(pick(g, []string{"", "-"}) + strconv.Itoa(1+g.rand.IntN(9)))
		for range g.rand.IntN(40) {
			g.put(strconv.Itoa(g.rand.IntN(10)))
		}
		if g.oneIn(2) {
			g.put(pick(g, []string{".0", ".5", ".25e1", "e0", "E-20", "e+5", "e-330", "e290"}))
		}
	default:
		f := math.Float64frombits(g.rand.Uint64())
		if math.IsNaN(f) || math.IsInf(f, 0) {
			f = 1
		}
		if g.oneIn(2) {
			// A size at which spellings without exponent matter.
			f = (g.rand.Float64() - 0.5) * math.Pow(10, float64(g.rand.IntN(34)-10))
		}
		g.put(strconv.FormatFloat(f, pick(g, []byte{'e', 'E', 'f'}), g.rand.IntN(22)-1, 64))
	}
}

// string writes a string of a few pieces.
func (g *Generator) string() {
	g.put(`"`)
	for range g.rand.IntN(5) {
		switch {
		case g.oneIn(3):
			g.put(pick(g, []string{"hello", "x", "<b>&amp;</b>", "\u2028\u2029", "\ufeff", "\x7f", "\u0085", "\ufffd", "\uffff", "/", "'", "12345678", "日本語"}))
		case g.oneIn(2):
			g.put(g.character())
		case !g.wild:
			g.put(pick(g, []string{`\"`, `\\`, `\b`, `\f`, `\n`, `\r`, `\t`, `\u0000`, `\u000b`, `\u001f`, `\ud800x`, `\udfffx`}))
		case g.oneIn(2):
			g.put(pick(g, []string{
				`\"`, `\\`, `\/`, `\b`, `\f`, `\n`, `\r`, `\t`, `\u0008`, `\u000A`, `\u0022`, `\u005c`, `\u002f`, `\u007f`, `\u2028`,
				`\ud83d\ude00`, `\uD83D\uDE00`, `\ud83d`, `\ude00`, `\ude00\ud83d`, `\ud83d\ud83d\ude00`, `\ud83d\u0041`, `\ud83d\n`, `\uDBFF`, `\\ud800`,
			}))
		default:
			unit := g.rand.IntN(1 << 16)
			if g.oneIn(3) {
				unit = 0xD800 + g.rand.IntN(0x800)
			}
			g.put(fmt.Sprintf(pick(g, []string{`\u%04x`, `\u%04X`}), unit))
		}
	}
	g.put(`"`)
}

// character returns any code point that may stand in a string unescaped.
func (g *Generator) character() string {
	for {
		r := rune(g.rand.IntN(1 << (5 + g.rand.IntN(17))))
		if r >= ' ' && r != '"' && r != '\\' && utf8.ValidRune(r) {
			return string(r)
		}
	}
}

func (g *Generator) space() {
	if g.spaced && g.oneIn(4) {
		g.put(pick(g, []string{" ", "\t", "\n", "\r", "\r\n  ", "  "}))
	}
}

func (g *Generator) put(s string) { g.doc = append(g.doc, s...) }

func (g *Generator) oneIn(n int) bool { return g.rand.IntN(n) == 0 }

func pick[T any](g *Generator, from []T) T { return from[g.rand.IntN(len(from))] }
