package rawjson

import (
	"encoding/hex"
	"slices"
)

// IDLen is the length of a peer's id in bytes. It equals the length in protocol, which this
// package does not import.
const IDLen = 20

// ParseID returns the peer's id that the text of a JSON value spells. It accepts every form
// that occurs on the legacy wire: a string of 40 hex digits of either case, a Buffer as
// JSON.stringify writes it, and a plain array of bytes. White space, escapes, and a Buffer's
// key order do not matter. The text need not have been checked. If ok is false, id means
// nothing.
func ParseID(text []byte) (id [IDLen]byte, ok bool) {
	if len(text) == 2*IDLen+2 && text[0] == '"' && text[2*IDLen+1] == '"' {
		if _, err := hex.Decode(id[:], text[1:2*IDLen+1]); err == nil {
			return id, true
		}
	}
	if data, exact := DecodeBuffer(id[:0], text); exact {
		return id, len(data) == IDLen
	}
	s := NewScanner(text)
	switch s.Peek() {
	case '"':
		raw := s.Value()
		if s.End() != nil {
			return id, false
		}
		digits := unquoted(raw)
		if len(digits) != 2*IDLen {
			return id, false
		}
		_, err := hex.Decode(id[:], digits)
		return id, err == nil
	case '[':
		ok = s.bytes(id[:])
	case '{':
		members, err := AppendMembers(nil, text)
		if err != nil {
			return id, false
		}
		isBuffer, data := false, []byte(nil)
		for _, m := range LastWins(members) {
			switch string(m.Key) {
			case "type":
				isBuffer = m.Value[0] == '"' && string(unquoted(m.Value)) == "Buffer"
			case "data":
				data = m.Value
			}
		}
		s = NewScanner(data)
		ok = isBuffer && s.bytes(id[:])
	}
	return id, ok && s.End() == nil
}

// bytes reads an array of exactly len(dst) integers of 0 to 255 into dst.
func (s *Scanner) bytes(dst []byte) bool {
	if !s.EnterArray() {
		return false
	}
	n := 0
	for s.More() {
		text := s.Value()
		c, end := parseByte(text, 0)
		if n == len(dst) || end == 0 || end != len(text) {
			return false
		}
		dst[n] = c
		n++
	}
	return s.Err() == nil && n == len(dst)
}

// AppendID appends an id as a JSON string of lower-case hex. A peer may send no other form: a
// JS node learns a reply route only from this one.
func AppendID(dst []byte, id [IDLen]byte) []byte {
	dst = append(dst, '"')
	dst = hex.AppendEncode(dst, id[:])
	return append(dst, '"')
}

// The text of a Node Buffer as JSON.stringify writes it. The bytes stand between these two as
// decimals with commas.
const (
	bufferHead = `{"type":"Buffer","data":[`
	bufferTail = `]}`
)

// Buffer reads the next value if it is a Buffer spelled exactly as JSON.stringify spells one,
// and appends its bytes to dst. AppendBuffer returns the same text again. For any other value,
// Buffer returns false and reads nothing, and Value can still read the value.
func (s *Scanner) Buffer(dst []byte) ([]byte, bool) {
	if s.Peek() != '{' || s.depth+2 > MaxDepth {
		return dst, false
	}
	out, size, ok := decodeBuffer(dst, s.src[s.off:])
	if !ok {
		return dst, false
	}
	s.off += size
	return out, true
}

// DecodeBuffer is Scanner.Buffer for a text that must be a Buffer and nothing more.
func DecodeBuffer(dst, text []byte) ([]byte, bool) {
	out, size, ok := decodeBuffer(dst, text)
	if !ok || size != len(text) {
		return dst, false
	}
	return out, true
}

func decodeBuffer(dst, text []byte) (out []byte, size int, ok bool) {
	i := len(bufferHead)
	if len(text) < i+len(bufferTail) || string(text[:i]) != bufferHead {
		return dst, 0, false
	}
	out = dst
	if text[i] != ']' {
		for {
			c, end := parseByte(text, i)
			if end == i || end == len(text) {
				return dst, 0, false
			}
			out = append(out, c)
			i = end
			if text[i] != ',' {
				break
			}
			i++
		}
	}
	if len(text)-i < len(bufferTail) || string(text[i:i+len(bufferTail)]) != bufferTail {
		return dst, 0, false
	}
	return out, i + len(bufferTail), true
}

// parseByte returns the decimal integer of 0 to 255, without needless zeros, that begins at
// text[i], and the offset after it. That offset is i if there is none.
func parseByte(text []byte, i int) (c byte, end int) {
	if i == len(text) || !isDigit(text[i]) {
		return 0, i
	}
	n := uint(text[i] - '0')
	end = i + 1
	if n > 0 && end < len(text) && isDigit(text[end]) {
		n = n*10 + uint(text[end]-'0')
		end++
		if end < len(text) && isDigit(text[end]) {
			n = n*10 + uint(text[end]-'0')
			end++
		}
	}
	if n > 255 || end < len(text) && isDigit(text[end]) {
		return 0, i // too large, a fourth digit, or a digit after a leading zero
	}
	return byte(n), end
}

// AppendBuffer appends b as JSON.stringify writes a Buffer.
func AppendBuffer(dst, b []byte) []byte {
	// Each decimal is written as four bytes, and the next one overwrites the surplus. So there
	// must be room for the longest text.
	dst = slices.Grow(dst, len(bufferHead)+4*len(b)+len(bufferTail))
	dst = append(dst, bufferHead...)
	n := len(dst)
	room := dst[:cap(dst)]
	for _, c := range b {
		d := &decimals[c]
		copy(room[n:n+4], d.text[:])
		n += int(d.size)
	}
	if len(b) > 0 {
		n-- // the last comma
	}
	return append(room[:n], bufferTail...)
}

// BufferLen returns the length of the text that AppendBuffer writes.
func BufferLen(b []byte) int {
	n := len(bufferHead) + len(bufferTail)
	for _, c := range b {
		n += int(decimals[c].size)
	}
	if len(b) > 0 {
		n--
	}
	return n
}

// decimals holds every byte as decimal digits and a comma. It is never written after the start
// of the program.
var decimals = func() (table [256]struct {
	text [4]byte
	size uint8
}) {
	for i := range table {
		d := &table[i]
		if i >= 100 {
			d.text[d.size] = '0' + byte(i/100)
			d.size++
		}
		if i >= 10 {
			d.text[d.size] = '0' + byte(i/10%10)
			d.size++
		}
		d.text[d.size] = '0' + byte(i%10)
		d.text[d.size+1] = ','
		d.size += 2
	}
	return table
}()
