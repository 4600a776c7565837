package rawjson

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strconv"
)

// Canonical appends JSON.stringify(JSON.parse(src)) to dst, as Node computes it. The result has
// no white space. Numbers are rounded to float64 and spelled as JS spells them: infinite ones
// as null, -0 as 0. Strings are escaped only where JSON.stringify needs it. Of equal keys the
// last value stands in the first's place. Keys that are array indices come first, in ascending
// order. If src is not acceptable, Canonical returns dst unchanged and the reason.
func Canonical(dst, src []byte) ([]byte, error) {
	c := canonizer{s: NewScanner(src), buf: slices.Grow(dst, len(src)), open: make([]member, 0, 16)}
	base := len(dst)
	c.value()
	if err := c.s.End(); err != nil {
		return dst, err
	}
	if c.moved == nil {
		return c.buf, nil
	}
	slices.SortFunc(c.moved, func(a, b disorder) int { return a.start - b.start })
	whole := span{base, len(c.buf)}
	ordered := c.appendOrdered(make([]byte, 0, whole.end-whole.start), whole)
	return append(c.buf[:base], ordered...), nil
}

// IsFixedPoint reports whether src is acceptable and equal to its canonical form.
func IsFixedPoint(src []byte) bool {
	out, err := Canonical(nil, src)
	return err == nil && bytes.Equal(out, src)
}

// A canonizer writes every value canonically in source order, and notes the objects whose
// members must be dropped or moved. Few objects have such members. If there are some, one more
// pass copies the text in the right order. Copying object by object would copy the inner ones
// once for every level around them.
type canonizer struct {
	s     Scanner
	buf   []byte
	open  []member // of the objects that are being written, innermost last
	moved []disorder
}

type span struct{ start, end int } // in buf

// A member's key is its canonical text. Only equal keys have the same text.
type member struct{ key, whole span }

// A disorder is an object whose members must be in another order than written.
type disorder struct {
	span
	members []span
}

func (c *canonizer) value() {
	switch s := &c.s; s.Peek() {
	case '{':
		if s.EnterObject() {
			c.object()
		}
	case '[':
		if !s.EnterArray() {
			return
		}
		c.buf = append(c.buf, '[')
		for n := 0; s.More(); n++ {
			if n > 0 {
				c.buf = append(c.buf, ',')
			}
			c.value()
		}
		c.buf = append(c.buf, ']')
	case '"':
		if raw := s.Value(); raw != nil {
			c.buf = appendCanonicalString(c.buf, raw)
		}
	case 't', 'f', 'n':
		c.buf = append(c.buf, s.Value()...)
	default:
		if raw := s.Value(); raw != nil {
			c.buf = appendCanonicalNumber(c.buf, raw)
		}
	}
}

// object writes the object that the scanner has just entered.
func (c *canonizer) object() {
	start, outer := len(c.buf), len(c.open)
	c.buf = append(c.buf, '{')
	for c.s.More() {
		raw := c.s.Key()
		if raw == nil {
			return
		}
		if len(c.open) > outer {
			c.buf = append(c.buf, ',')
		}
		var m member
		m.whole.start = len(c.buf)
		c.buf = appendCanonicalString(c.buf, raw)
		m.key = span{m.whole.start, len(c.buf)}
		c.buf = append(c.buf, ':')
		c.value()
		m.whole.end = len(c.buf)
		c.open = append(c.open, m)
	}
	if c.s.Err() != nil {
		return
	}
	c.buf = append(c.buf, '}')
	if order := c.order(c.open[outer:]); order != nil {
		c.moved = append(c.moved, disorder{span{start, len(c.buf)}, order})
	}
	c.open = c.open[:outer]
}

// order returns the members as an object of JS has them. It returns nil if they are in that
// order already.
func (c *canonizer) order(members []member) []span {
	first := duplicates(len(members), func(i int) []byte { return c.text(members[i].key) })
	if first == nil && c.indicesLead(members) {
		return nil
	}
	type indexed struct {
		index uint32
		at    int
	}
	var indices []indexed
	var names []int
	last := make([]span, len(members)) // by first occurrence
	for i, m := range members {
		if first == nil || first[i] == i {
			last[i] = m.whole
			if index, ok := arrayIndex(c.text(m.key)); ok {
				indices = append(indices, indexed{index, i})
			} else {
				names = append(names, i)
			}
		} else {
			last[first[i]] = m.whole
		}
	}
	slices.SortFunc(indices, func(a, b indexed) int { return cmp.Compare(a.index, b.index) })
	order := make([]span, 0, len(indices)+len(names))
	for _, e := range indices {
		order = append(order, last[e.at])
	}
	for _, i := range names {
		order = append(order, last[i])
	}
	return order
}

// indicesLead reports whether the array indices come before all other keys, in ascending order.
func (c *canonizer) indicesLead(members []member) bool {
	next, named := uint64(0), false
	for _, m := range members {
		index, ok := arrayIndex(c.text(m.key))
		switch {
		case !ok:
			named = true
		case named || uint64(index) < next:
			return false
		default:
			next = uint64(index) + 1
		}
	}
	return true
}

func (c *canonizer) text(s span) []byte { return c.buf[s.start:s.end] }

// appendOrdered appends a part of buf, a value or member, with all objects in it put in order.
func (c *canonizer) appendOrdered(dst []byte, part span) []byte {
	at := part.start
	for {
		i, _ := slices.BinarySearchFunc(c.moved, at, func(d disorder, at int) int { return d.start - at })
		if i == len(c.moved) || c.moved[i].start >= part.end {
			return append(dst, c.buf[at:part.end]...)
		}
		d := c.moved[i]
		dst = append(dst, c.buf[at:d.start]...)
		dst = append(dst, '{')
		for n, m := range d.members {
			if n > 0 {
				dst = append(dst, ',')
			}
			dst = c.appendOrdered(dst, m)
		}
		dst = append(dst, '}')
		at = d.end
	}
}

// arrayIndex returns the array index that the canonical text of a key spells: a decimal of 0 to
// 2^32-2 without leading zeros. JS puts these properties first.
func arrayIndex(quoted []byte) (index uint32, ok bool) {
	digits := quoted[1 : len(quoted)-1]
	if len(digits) == 0 || len(digits) > 10 || digits[0] == '0' && len(digits) > 1 {
		return 0, false
	}
	n := uint64(0)
	for _, c := range digits {
		if !isDigit(c) {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return uint32(n), n < math.MaxUint32
}

// maxExactDigits is a number of decimal digits that every float64 keeps.
const maxExactDigits = 15

// appendCanonicalNumber appends a checked number as Number::toString in JS does.
func appendCanonicalNumber(dst, raw []byte) []byte {
	if isPlainInteger(raw) {
		return append(dst, raw...)
	}
	f, _ := strconv.ParseFloat(string(raw), 64)
	switch magnitude := math.Abs(f); {
	case f == 0:
		return append(dst, '0')
	case magnitude > math.MaxFloat64:
		return append(dst, "null"...)
	case magnitude >= 1e-6 && magnitude < 1e21:
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	// Go writes at least two digits of exponent. JS writes no leading zero.
	if n := len(dst); dst[n-2] == '0' && !isDigit(dst[n-3]) {
		dst = append(dst[:n-2], dst[n-1])
	}
	return dst
}

// isPlainInteger reports whether a checked number is certainly spelled canonically: an integer
// that is not too long and not -0.
func isPlainInteger(raw []byte) bool {
	digits := raw
	if raw[0] == '-' {
		digits = raw[1:]
		if digits[0] == '0' {
			return false
		}
	}
	return len(digits) <= maxExactDigits && skipDigits(digits, 0) == len(digits)
}
