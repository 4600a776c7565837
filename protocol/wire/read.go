package wire

import (
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
)

// ParseFrame reads one frame, without its length prefix. It keeps a copy of b.
func ParseFrame(b []byte) (*Frame, error) {
	buf := make([]byte, lengthPrefix+len(b), lengthPrefix+len(b)+pathEntry)
	copy(buf[lengthPrefix:], b)
	return parseFrame(buf)
}

// A FrameReader is what ReadFrame reads from; bufio.Reader is one.
type FrameReader interface {
	io.Reader
	io.ByteReader
}

// ReadFrame reads the length prefix and the frame after it, of at most most
// bytes. The error is io.EOF only between two frames. One that wraps ErrMalformed
// concerns that frame only and the next one can be read; after any other the
// stream must end.
func ReadFrame(r FrameReader, most int) (*Frame, error) {
	size, err := readLength(r)
	if err != nil {
		return nil, err
	}
	if most = min(most, MaxFrame); size > most {
		return nil, fmt.Errorf("%w: the frame has %d bytes, want at most %d", ErrFraming, size, most)
	}
	buf, err := readSized(r, size)
	if err != nil {
		return nil, cutOff(err)
	}
	return parseFrame(buf)
}

const (
	firstRead  = 20 << 10 // bytes of a frame that are allocated before any of them has come: those of a datagram
	readGrowth = 4        // times what has come, that are allocated next
)

// readSized reads the size bytes of a frame, with headroom before them and room for one entry
// of a path after them. The buffer grows with what arrives: otherwise a peer could reserve 256
// KiB with the three bytes of a length.
func readSized(r io.Reader, size int) ([]byte, error) {
	allocate := func(n int) []byte {
		return make([]byte, lengthPrefix+n, lengthPrefix+n+pathEntry)
	}
	buf := allocate(min(size, firstRead))
	for have := lengthPrefix; ; {
		if _, err := io.ReadFull(r, buf[have:]); err != nil {
			return nil, err
		}
		if have = len(buf); have == lengthPrefix+size {
			return buf, nil
		}
		grown := allocate(min(size, readGrowth*have))
		copy(grown, buf)
		buf = grown
	}
}

func readLength(r io.ByteReader) (size int, err error) {
	for n := 0; n < lengthPrefix; n++ {
		c, err := r.ReadByte()
		if err != nil {
			if n > 0 {
				err = cutOff(err)
			}
			return 0, err
		}
		size |= int(c&0x7f) << (7 * n)
		if c == 0 && n > 0 {
			return 0, fmt.Errorf("%w: the length is not in its shortest form", ErrFraming)
		}
		if c < 0x80 {
			return size, nil
		}
	}
	return 0, fmt.Errorf("%w: the length takes more than %d bytes", ErrFraming, lengthPrefix)
}

// cutOff tells an end within a frame from an end between two.
func cutOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parseFrame takes buf over: lengthPrefix bytes of headroom, then the frame.
func parseFrame(buf []byte) (*Frame, error) {
	b := buf[lengthPrefix:]
	switch {
	case len(b) == 0:
		return nil, malformed("the frame is empty")
	case len(b) > MaxFrame:
		return nil, malformed("the frame has %d bytes, want at most %d", len(b), MaxFrame)
	}
	f := &Frame{buf: buf, pathAt: len(buf)}
	var seen fieldSet
	hops, pathLast, unknown := 0, true, false
	for rest := b; len(rest) > 0; {
		at := len(buf) - len(rest)
		if len(rest) >= pathEntry && rest[0] == pathTag && rest[1] == IDSize { // without nextField: there are many
			if hops++; hops > MaxPath {
				return nil, malformed("field %d stands more than %d times", fieldPath, MaxPath)
			}
			if hops == 1 {
				f.pathAt = at
				seen.add(fieldPath)
			}
			rest = rest[pathEntry:]
			continue
		}
		x, next, err := nextField(rest)
		if err != nil {
			return nil, err
		}
		pathLast = pathLast && hops == 0
		if isKnown(x.number) {
			err = f.set(x, &seen, at)
		} else {
			unknown = true
		}
		if err != nil {
			return nil, err
		}
		rest = next
	}
	switch {
	case seen&linkFields != 0:
		if seen&(seen-1) != 0 {
			return nil, malformed("the fields of two frames")
		}
		if f.Type == FrameHello && len(b) > MaxHello {
			return nil, malformed("a hello of %d bytes, want at most %d", len(b), MaxHello)
		}
		return f, nil
	case !seen.has(fieldBody):
		if unknown { // a type of a later version, whatever other fields it has
			return &Frame{Type: FrameUnknown, buf: buf, pathAt: len(buf)}, nil
		}
		return nil, malformed("a message without a body")
	case !seen.has(fieldNonce):
		return nil, malformed("a message without a nonce")
	case hops == 0:
		return nil, malformed("a message without a path")
	case f.Body.hasTo == seen.has(fieldTargets):
		return nil, malformed("want either one receiver or targets")
	}
	f.Type = FrameMessage
	if !pathLast {
		return f.regroup()
	}
	return f, nil
}

// linkFields are those of which a frame has one, and no other field that is known.
const linkFields fieldSet = 1<<fieldHello | 1<<fieldAck | 1<<fieldNack | 1<<fieldPing | 1<<fieldPong | 1<<fieldBye

// isKnown reports whether n is the number of a field of a Frame.
func isKnown(n protowire.Number) bool {
	return n <= fieldBye || n >= fieldHop && n <= fieldTargets || n == fieldPath
}

func (f *Frame) set(x field, seen *fieldSet, at int) (err error) {
	switch x.number {
	case fieldRoute, fieldTargets, fieldPath:
		seen.add(x.number)
	default:
		if err := seen.once(x.number); err != nil {
			return err
		}
	}
	switch x.number {
	case fieldHello:
		f.Type = FrameHello
		f.Hello, err = parseHello(x)
	case fieldAck:
		f.Type, f.Num, err = FrameAck, x.num, x.want(protowire.VarintType)
	case fieldNack:
		f.Type = FrameNack
		f.Nack, err = parseNack(x)
	case fieldPing:
		f.Type, f.Num, err = FramePing, x.num, x.want(protowire.Fixed64Type)
	case fieldPong:
		f.Type, f.Num, err = FramePong, x.num, x.want(protowire.Fixed64Type)
	case fieldBye:
		f.Type = FrameBye
		f.Bye, err = parseBye(x)
	case fieldHop:
		f.hopAt, err = at+1, x.want(protowire.Fixed32Type)
	case fieldNonce:
		if f.Nonce, err = x.sized(1, MaxNonce); err == nil && !ValidNonce(f.Nonce) {
			err = malformed("the nonce is not printable ASCII")
		}
	case fieldBody:
		if err = x.want(protowire.BytesType); err == nil {
			err = f.Body.parse(x.val)
		}
	case fieldRoute:
		f.Route, err = x.appendID(f.Route, MaxRoute)
	case fieldSig:
		f.Sig, err = x.sized(1, MaxSig)
	case fieldTargets:
		f.Targets, err = x.appendID(f.Targets, MaxTargets)
	case fieldPath: // parseFrame takes those that are as they should be
		_, err = x.id()
	}
	return err
}

// appendID adds an id to a list of at most most.
func (f field) appendID(ids []ID, most int) ([]ID, error) {
	id, err := f.id()
	if err != nil {
		return ids, err
	}
	switch len(ids) {
	case 0:
		ids = make([]ID, 0, most) // at once: growing step by step allocates more often
	case most:
		return ids, malformed("field %d stands more than %d times", f.number, most)
	}
	return append(ids, id), nil
}

// regroup lays out a message again that had other fields after the first of its
// path. Everything but their order stays, unknown fields included.
func (f *Frame) regroup() (*Frame, error) {
	m := MessageFields{Hop: f.Hop(), Nonce: f.Nonce, Body: f.Body, Route: f.Route, Sig: f.Sig, Targets: f.Targets}
	var unknown []byte
	for rest := f.buf[lengthPrefix:]; len(rest) > 0; {
		x, next, err := nextField(rest)
		if err != nil {
			return nil, err
		}
		switch {
		case x.number == fieldPath:
			m.Path = append(m.Path, ID(x.val))
		case !isKnown(x.number):
			unknown = append(unknown, rest[:len(rest)-len(next)]...)
		}
		rest = next
	}
	return parseFrame(layOut(m, m.Body.raw, nil, unknown))
}
