package rawjson

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// MaxDepth is the number of objects and arrays that may be open inside each other. The stack of
// JSON.stringify in Node and in browsers holds several times as many.
const MaxDepth = 1000

// ErrDepth is matched by the error for a text nested deeper than MaxDepth.
var ErrDepth = errors.New("nested too deeply")

// ErrSyntax is matched by the error for a text that is not JSON.
var ErrSyntax = errors.New("invalid JSON")

// An Error says where a text stops being acceptable. It wraps ErrSyntax or
// ErrDepth.
type Error struct {
	Offset int    // bytes before the fault
	Reason string // what the text should have here, or what is wrong
	kind   error
}

func (e *Error) Error() string {
	return fmt.Sprintf("rawjson: %v at byte %d: %s", e.kind, e.Offset, e.Reason)
}

func (e *Error) Unwrap() error { return e.kind }

// A Scanner reads one JSON text from start to end and checks it. Its first error stays: every
// later call returns a zero value, and End reports the error. So a caller may check once, at
// the end, if it acts on nothing before that. After each More that returned true, the caller
// must read one value, in an object after its key. A Scanner does not guard against a caller
// that forgets.
//
// The slices that it returns alias the text.
type Scanner struct {
	src   []byte
	off   int // next unread byte
	err   error
	fresh bool // the innermost container was entered and nothing of it read
	depth int  // containers open
	// Bit d is set if the container opened at depth d is an object.
	objects [(MaxDepth + 63) / 64]uint64
}

// NewScanner returns a Scanner at the start of src.
func NewScanner(src []byte) Scanner { return Scanner{src: src} }

// Valid reports whether src is one JSON value with nothing but white space
// around it.
func Valid(src []byte) bool {
	s := NewScanner(src)
	s.Value()
	return s.End() == nil
}

// Offset returns the position of the next unread byte. After Peek that is the first byte of the
// next value. After Value, or the last More of a container, it is the byte after the value. So
// the text between two offsets is a value's own text.
func (s *Scanner) Offset() int { return s.off }

// Peek skips white space and returns the next byte without reading it. It returns 0 at the end
// of the text and after an error. The byte shows the kind of the next value: one of { [ " - 0…9
// t f n.
func (s *Scanner) Peek() byte {
	if s.err != nil {
		return 0
	}
	s.off = skipSpace(s.src, s.off)
	if s.off == len(s.src) {
		return 0
	}
	return s.src[s.off]
}

// EnterObject enters the next value if it is an object. Otherwise it returns false and reads
// nothing, and Value can still read the value.
func (s *Scanner) EnterObject() bool { return s.enter('{') }

// EnterArray is EnterObject for arrays.
func (s *Scanner) EnterArray() bool { return s.enter('[') }

func (s *Scanner) enter(bracket byte) bool {
	if s.Peek() != bracket || !s.push(s.off, bracket == '{') {
		return false
	}
	s.off++
	s.fresh = true
	return true
}

// More reports whether the innermost entered container has another element, and skips the comma
// before it. If there is none, More leaves the container.
func (s *Scanner) More() bool {
	next := s.Peek()
	if s.err != nil || s.depth == 0 {
		return false
	}
	object := s.inObject()
	if next == closing(object) {
		s.off++
		s.depth--
		s.fresh = false
		return false
	}
	if s.fresh {
		s.fresh = false
		return true
	}
	if next != ',' {
		s.fail(s.off, wantNext(object))
		return false
	}
	s.off++
	return true
}

// Key reads the key of an object's next member and the colon. It returns the key's raw text
// with its quotes; AppendUnquoted decodes it. It may be called only after More returned true in
// an object.
func (s *Scanner) Key() []byte {
	if s.err != nil {
		return nil
	}
	start := skipSpace(s.src, s.off)
	end, colon, fault := scanKey(s.src, start)
	if fault != "" {
		s.fail(colon, fault)
		return nil
	}
	s.off = colon + 1
	return s.src[start:end]
}

// Value reads the next value of any kind, and returns its text without the white space around
// it.
func (s *Scanner) Value() []byte {
	if s.err != nil {
		return nil
	}
	start := skipSpace(s.src, s.off)
	end, fault := s.scanValue(start)
	if fault != "" {
		s.fail(end, fault)
		return nil
	}
	s.off = end
	return s.src[start:end]
}

// End returns the first error. If there is none, it checks that the caller has left every
// container and that only white space remains.
func (s *Scanner) End() error {
	if s.Peek(); s.err == nil && (s.depth > 0 || s.off < len(s.src)) {
		s.fail(s.off, "text after the value")
	}
	return s.err
}

// Err returns the first error so far.
func (s *Scanner) Err() error { return s.err }

func (s *Scanner) fail(off int, reason string) {
	// A depth fault keeps the error that push has set.
	if s.err == nil {
		s.err = &Error{Offset: off, Reason: reason, kind: ErrSyntax}
	}
}

// push opens a container whose bracket is at off.
func (s *Scanner) push(off int, object bool) bool {
	if s.depth == MaxDepth {
		s.err = &Error{Offset: off, Reason: fmt.Sprintf("more than %d levels", MaxDepth), kind: ErrDepth}
		return false
	}
	word, bit := s.depth/64, uint64(1)<<(s.depth%64)
	if object {
		s.objects[word] |= bit
	} else {
		s.objects[word] &^= bit
	}
	s.depth++
	return true
}

func (s *Scanner) inObject() bool {
	d := s.depth - 1
	return s.objects[d/64]&(1<<(d%64)) != 0
}

const (
	wantValue  = "want a value"
	wantKey    = "want a key"
	wantColon  = "want a colon after the key"
	wantComma  = "want a comma or a closing bracket"
	wantMember = "want a comma or a closing brace"
	tooDeep    = "nested too deeply"
)

func wantNext(object bool) string {
	if object {
		return wantMember
	}
	return wantComma
}

func closing(object bool) byte {
	if object {
		return '}'
	}
	return ']'
}

// scanValue checks the value at src[i], which is not white space. It returns the offset after
// the value, or the offset of the fault and what is wrong.
func (s *Scanner) scanValue(i int) (end int, fault string) {
	src, base := s.src, s.depth
	for {
		if i == len(src) {
			return i, wantValue
		}
		switch c := src[i]; c {
		case '"':
			i, fault = scanString(src, i)
		case '{', '[':
			object := c == '{'
			if !s.push(i, object) {
				return i, tooDeep
			}
			i = skipSpace(src, i+1)
			if i < len(src) && src[i] == closing(object) {
				s.depth--
				i++
				break
			}
			if object {
				if _, i, fault = scanKey(src, i); fault != "" {
					return i, fault
				}
				i = skipSpace(src, i+1)
			} else {
				i = skipSpace(src, skipIntegers(src, i))
			}
			continue
		case 't':
			i, fault = scanWord(src, i, "true")
		case 'f':
			i, fault = scanWord(src, i, "false")
		case 'n':
			i, fault = scanWord(src, i, "null")
		default:
			i, fault = scanNumber(src, i)
		}
		if fault != "" {
			return i, fault
		}

		// After a value: leave the containers that end here, then go to the next value.
		for {
			if s.depth == base {
				return i, ""
			}
			object := s.inObject()
			i = skipSpace(src, i)
			if i == len(src) {
				return i, wantNext(object)
			}
			if c := src[i]; c == ',' {
				i = skipSpace(src, i+1)
				if object {
					if _, i, fault = scanKey(src, i); fault != "" {
						return i, fault
					}
					i = skipSpace(src, i+1)
				}
				break
			} else if c != closing(object) {
				return i, wantNext(object)
			}
			s.depth--
			i++
		}
	}
}

func skipSpace(src []byte, i int) int {
	for i < len(src) && src[i] <= ' ' && (src[i] == ' ' || src[i] == '\n' || src[i] == '\r' || src[i] == '\t') {
		i++
	}
	return i
}

// scanKey checks a key at src[i] and the colon after it. It returns the offset after the key,
// and the offset of the colon or of the fault.
func scanKey(src []byte, i int) (end, colon int, fault string) {
	if i == len(src) || src[i] != '"' {
		return 0, i, wantKey
	}
	if end, fault = scanString(src, i); fault != "" {
		return 0, end, fault
	}
	if colon = skipSpace(src, end); colon == len(src) || src[colon] != ':' {
		return 0, colon, wantColon
	}
	return end, colon, ""
}

func scanWord(src []byte, i int, word string) (end int, fault string) {
	if len(src)-i < len(word) || string(src[i:i+len(word)]) != word {
		return i, wantValue
	}
	return i + len(word), ""
}

func isDigit(c byte) bool { return c-'0' <= 9 }

func skipDigits(src []byte, i int) int {
	for i < len(src) && isDigit(src[i]) {
		i++
	}
	return i
}

// skipIntegers returns the offset after the elements of an array that are unsigned integers
// directly followed by a comma: the data of a Buffer. It stops at the first other element,
// valid or not.
func skipIntegers(src []byte, i int) int {
	for {
		end := skipDigits(src, i)
		if end == i || end == len(src) || src[end] != ',' || src[i] == '0' && end-i > 1 {
			return i
		}
		i = end + 1
	}
}

func scanNumber(src []byte, i int) (end int, fault string) {
	const wantDigit = "want a digit"
	start := i
	if src[i] == '-' {
		i++
	}
	whole := i
	i = skipDigits(src, i)
	switch {
	case i == whole && i == start:
		return i, wantValue
	case i == whole:
		return i, wantDigit
	case src[whole] == '0' && i-whole > 1:
		return whole + 1, "digit after a leading zero"
	}
	if i < len(src) && src[i] == '.' {
		fraction := i + 1
		if i = skipDigits(src, fraction); i == fraction {
			return i, wantDigit
		}
	}
	if i < len(src) && src[i]|0x20 == 'e' {
		i++
		if i < len(src) && (src[i] == '+' || src[i] == '-') {
			i++
		}
		exponent := i
		if i = skipDigits(src, i); i == exponent {
			return i, wantDigit
		}
	}
	return i, ""
}

// scanString checks the string whose opening quote is src[i] and returns the offset after the
// closing quote.
func scanString(src []byte, i int) (end int, fault string) {
	i++
	for {
		i += plainPrefix(src[i:])
		if i == len(src) {
			return i, "want a closing quote"
		}
		switch c := src[i]; {
		case c == '"':
			return i + 1, ""
		case c == '\\':
			n := escapeLen(src[i:])
			if n == 0 {
				return i, "invalid escape"
			}
			i += n
		case c < ' ':
			return i, "control character in a string"
		default:
			for i < len(src) && src[i] >= utf8.RuneSelf {
				r, n := utf8.DecodeRune(src[i:])
				if r == utf8.RuneError && n == 1 {
					return i, "invalid UTF-8"
				}
				i += n
			}
		}
	}
}

// plainPrefix returns the number of bytes before the first that is a quote, a backslash, a
// control character or not ASCII.
func plainPrefix(text []byte) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	n := 0
	for ; len(text)-n >= 8; n += 8 {
		w := binary.LittleEndian.Uint64(text[n:])
		// x-ones has the high bit of every byte of x that was 0. A borrow can set it wrongly
		// only above such a byte, and only the lowest one counts.
		quote, backslash := w^('"'*ones), w^('\\'*ones)
		special := (w - ' '*ones) | (quote - ones) | (backslash - ones) | w
		if special &= highs; special == 0 {
			continue
		}
		return n + bits.TrailingZeros64(special)/8
	}
	for n < len(text) && text[n] >= ' ' && text[n] < utf8.RuneSelf && text[n] != '"' && text[n] != '\\' {
		n++
	}
	return n
}

// escapeLen returns the length of the escape that text begins with, or 0 if there is none.
func escapeLen(text []byte) int {
	if len(text) < 2 {
		return 0
	}
	switch text[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hexUnit(text); ok {
			return 6
		}
	}
	return 0
}

// hexUnit returns the 16-bit unit of the \uXXXX that text begins with.
func hexUnit(text []byte) (unit rune, ok bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	for _, c := range text[2:6] {
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		unit = unit<<4 | rune(c)
	}
	return unit, true
}
