package wire

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// A field is one field of a protobuf message.
type field struct {
	number protowire.Number
	typ    protowire.Type
	num    uint64 // value of a varint or a fixed integer
	val    []byte // value of a field of bytes
}

// nextField returns the first field of b and the bytes after it. Every varint must be
// minimal, so that a message has one encoding and a relay cannot make a second one.
func nextField(b []byte) (f field, rest []byte, err error) {
	// Most fields have a tag and a length or value of one byte, which is a varint below 0x80.
	if len(b) > 1 && b[0] >= 1<<3 && b[0] < 0x80 && b[1] < 0x80 {
		f.number, f.typ = protowire.Number(b[0]>>3), protowire.Type(b[0]&7)
		switch size := int(b[1]); {
		case f.typ == protowire.BytesType && size <= len(b)-2:
			f.val = b[2 : 2+size : 2+size]
			return f, b[2+size:], nil
		case f.typ == protowire.VarintType:
			f.num = uint64(b[1])
			return f, b[2:], nil
		}
	}
	tag, n, err := minimalVarint(b)
	if err != nil {
		return f, nil, err
	}
	number, typ := protowire.DecodeTag(tag)
	if !number.IsValid() {
		return f, nil, malformed("a field number out of range")
	}
	f.number, f.typ = number, typ
	switch typ {
	case protowire.VarintType:
		var m int
		if f.num, m, err = minimalVarint(b[n:]); err != nil {
			return f, nil, err
		}
		n += m
	case protowire.Fixed32Type:
		v, m := protowire.ConsumeFixed32(b[n:])
		if m < 0 {
			return f, nil, malformed("field %d is cut off", number)
		}
		f.num = uint64(v)
		n += m
	case protowire.Fixed64Type:
		v, m := protowire.ConsumeFixed64(b[n:])
		if m < 0 {
			return f, nil, malformed("field %d is cut off", number)
		}
		f.num = v
		n += m
	case protowire.BytesType:
		size, m, err := minimalVarint(b[n:])
		if err != nil {
			return f, nil, err
		}
		n += m
		if size > uint64(len(b)-n) {
			return f, nil, malformed("field %d is cut off", number)
		}
		f.val = b[n : n+int(size) : n+int(size)]
		n += int(size)
	default:
		return f, nil, malformed("field %d has wire type %d", number, typ)
	}
	return f, b[n:], nil
}

func minimalVarint(b []byte) (uint64, int, error) {
	if len(b) > 0 && b[0] < 0x80 { // most varints
		return uint64(b[0]), 1, nil
	}
	v, n := protowire.ConsumeVarint(b)
	if n < 0 {
		return 0, 0, malformed("a number is cut off or too large")
	}
	if n != protowire.SizeVarint(v) {
		return 0, 0, malformed("a number is not in its shortest form")
	}
	return v, n, nil
}

// want returns an error if the field has another wire type.
func (f *field) want(t protowire.Type) error {
	if f.typ != t {
		return malformed("field %d has wire type %d, want %d", f.number, f.typ, t)
	}
	return nil
}

// id returns the value of a field that holds one id.
func (f *field) id() (id ID, err error) {
	if err := f.want(protowire.BytesType); err != nil {
		return ID{}, err
	}
	if len(f.val) != IDSize {
		return ID{}, malformed("field %d has %d bytes, want %d", f.number, len(f.val), IDSize)
	}
	copy(id[:], f.val)
	return id, nil
}

// sized returns the value of a field of least to most bytes.
func (f *field) sized(least, most int) ([]byte, error) {
	if err := f.want(protowire.BytesType); err != nil {
		return nil, err
	}
	if len(f.val) < least || len(f.val) > most {
		return nil, malformed("field %d has %d bytes, want %d to %d", f.number, len(f.val), least, most)
	}
	return f.val, nil
}

// isTrue returns an error unless the field is a bool that is true. False is not written.
func (f *field) isTrue(name string) error {
	if err := f.want(protowire.VarintType); err != nil {
		return err
	}
	if f.num != 1 {
		return malformed("%s is %d", name, f.num)
	}
	return nil
}

// enum stores a varint in v. It must fit into the 31 bits of a protobuf enum.
func (f *field) enum(v *uint32) error { return f.upTo(v, maxEnum) }

// upTo stores a varint of at most most in v.
func (f *field) upTo(v *uint32, most uint32) error {
	if err := f.want(protowire.VarintType); err != nil {
		return err
	}
	if f.num > uint64(most) {
		return malformed("field %d is %d, want at most %d", f.number, f.num, most)
	}
	*v = uint32(f.num)
	return nil
}

// A fieldSet is the set of known fields that were read. Their numbers are below 64.
// Unknown fields are not in it, since they may be repeated.
type fieldSet uint64

func (s *fieldSet) add(n protowire.Number) { *s |= 1 << uint(n) }

// once adds a field, and returns an error if the set has it already.
func (s *fieldSet) once(n protowire.Number) error {
	if s.has(n) {
		return malformed("field %d occurs twice", n)
	}
	s.add(n)
	return nil
}

func (s fieldSet) has(n protowire.Number) bool { return s&(1<<uint(n)) != 0 }

// eachField calls each for every known field of an inner message. The known fields have
// the numbers up to last, and those in repeated may occur more than once.
func eachField(b []byte, last protowire.Number, repeated fieldSet, each func(*field) error) (seen fieldSet, err error) {
	var f field // one for all, since each makes it escape
	for len(b) > 0 {
		if f, b, err = nextField(b); err != nil {
			return seen, err
		}
		if f.number > last {
			continue
		}
		if repeated.has(f.number) {
			seen.add(f.number)
		} else if err = seen.once(f.number); err != nil {
			return seen, err
		}
		if err = each(&f); err != nil {
			return seen, err
		}
	}
	return seen, nil
}

func appendBytes(b []byte, n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
}

func appendVarint(b []byte, n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
}

// appendUint appends a field unless it is zero, as proto3 does.
func appendUint(b []byte, n protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return appendVarint(b, n, v)
}

func appendOptional(b []byte, n protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return appendBytes(b, n, v)
}

func appendIDs(b []byte, n protowire.Number, ids []ID) []byte {
	for i := range ids {
		b = appendBytes(b, n, ids[i][:])
	}
	return b
}
