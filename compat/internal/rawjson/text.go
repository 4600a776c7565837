package rawjson

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

const lowerHex = "0123456789abcdef"

// AppendString appends s as a JSON string, escaped as JSON.stringify does. Each byte that is
// not UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	plain := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(dst, s[plain:i]...)
				dst = append(dst, "\uFFFD"...)
				plain = i + n
			}
			i += n
			continue
		}
		if c < ' ' || c == '"' || c == '\\' {
			dst = append(dst, s[plain:i]...)
			dst = appendEscaped(dst, c)
			plain = i + 1
		}
		i++
	}
	dst = append(dst, s[plain:]...)
	return append(dst, '"')
}

// AppendUnquoted appends the value of a raw string that a Scanner has returned, in WTF-8.
func AppendUnquoted(dst, raw []byte) []byte {
	return appendUnits(dst, raw[1:len(raw)-1], appendWTF8)
}

// unquoted returns the value of a raw string in WTF-8. It is a slice of raw if that holds no
// escape.
func unquoted(raw []byte) []byte {
	if inner := raw[1 : len(raw)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return inner
	}
	return AppendUnquoted(make([]byte, 0, len(raw)), raw)
}

// appendCanonicalString appends a raw string as JSON.stringify spells it.
func appendCanonicalString(dst, raw []byte) []byte {
	dst = append(dst, '"')
	dst = appendUnits(dst, raw[1:len(raw)-1], appendStringified)
	return append(dst, '"')
}

// appendUnits appends the inside of a checked string. Unescaped text is copied. Each escaped
// character goes through put, as a code point or a lone surrogate.
func appendUnits(dst, inner []byte, put func([]byte, rune) []byte) []byte {
	for {
		i := bytes.IndexByte(inner, '\\')
		if i < 0 {
			return append(dst, inner...)
		}
		dst = append(dst, inner[:i]...)
		r, n := unescape(inner[i:])
		dst = put(dst, r)
		inner = inner[i+n:]
	}
}

// unescape decodes the checked escape that text begins with, or two of them if they are a
// surrogate pair. Half a pair can have its other half only in an escape, since raw text is
// valid UTF-8.
func unescape(text []byte) (r rune, size int) {
	switch c := text[1]; c {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		high, _ := hexUnit(text)
		if low, ok := hexUnit(text[6:]); ok {
			if pair := utf16.DecodeRune(high, low); pair != utf8.RuneError {
				return pair, 12
			}
		}
		return high, 6
	default:
		return rune(c), 2
	}
}

func appendWTF8(dst []byte, r rune) []byte {
	if utf16.IsSurrogate(r) {
		return append(dst, 0xE0|byte(r>>12), 0x80|byte(r>>6)&0x3F, 0x80|byte(r)&0x3F)
	}
	return utf8.AppendRune(dst, r)
}

func appendStringified(dst []byte, r rune) []byte {
	switch {
	case utf16.IsSurrogate(r):
		return append(dst, '\\', 'u', 'd', lowerHex[r>>8&15], lowerHex[r>>4&15], lowerHex[r&15])
	case r < ' ' || r == '"' || r == '\\':
		return appendEscaped(dst, byte(r))
	default:
		return utf8.AppendRune(dst, r)
	}
}

// appendEscaped appends a character that JSON.stringify escapes.
func appendEscaped(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\t':
		return append(dst, `\t`...)
	case '\n':
		return append(dst, `\n`...)
	case '\f':
		return append(dst, `\f`...)
	case '\r':
		return append(dst, `\r`...)
	default:
		return append(dst, '\\', 'u', '0', '0', lowerHex[c>>4], lowerHex[c&15])
	}
}
