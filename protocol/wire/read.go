package wire

import (
	"bufio"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
)

// A FrameReader is the source of ReadFrame, such as a bufio.Reader.
type FrameReader interface {
	io.Reader
	io.ByteReader
}

// ReadFrame reads a length prefix and a frame of at most most bytes. It allocates memory
// as the bytes arrive, so that a length without a frame reserves little. The error is
// io.EOF only between two frames. An error that wraps ErrMalformed concerns only this
// frame, and the next one can be read. After any other error the stream must end.
func ReadFrame(r FrameReader, most int) (*Frame, error) {
	size, err := readLength(r)
	if err != nil {
		return nil, err
	}
	if most = min(most, MaxFrame); size > most {
		return nil, fmt.Errorf("%w: the frame has %d bytes, want at most %d", ErrFraming, size, most)
	}
	f, buf := newFrame(min(size, firstRead), size > tinyFrame)
	for have := 0; have < size; {
		if _, err := io.ReadFull(r, buf[have:]); err != nil {
			return nil, cutOff(err)
		}
		if have = len(buf); have < size {
			buf = append(make([]byte, 0, min(2*have, size)), buf...)[:min(2*have, size)]
		}
	}
	if f.parsePlain(buf) {
		return f, nil
	}
	if err := f.parse(buf); err != nil {
		return nil, err
	}
	return f, nil
}

// HasFrame reports whether r holds a whole frame, so that ReadFrame would not wait for its
// source. It also reports true for what ReadFrame refuses.
func HasFrame(r *bufio.Reader) bool {
	have := r.Buffered()
	if have == 0 {
		return false
	}
	head, _ := r.Peek(min(have, lengthPrefix))
	size := 0
	for n, c := range head {
		size |= int(c&0x7f) << (7 * n)
		if c < 0x80 {
			return have > n+size
		}
	}
	return len(head) == lengthPrefix
}

const firstRead = 32 << 10 // most bytes that are allocated for a frame before any of them arrived

// ParseFrame returns the frame that b encodes without a length prefix. The frame keeps a
// copy of b.
func ParseFrame(b []byte) (*Frame, error) {
	f, buf := newFrame(len(b), !startsLinkFrame(b))
	copy(buf, b)
	if f.parsePlain(buf) {
		return f, nil
	}
	if err := f.parse(buf); err != nil {
		return nil, err
	}
	return f, nil
}

// newFrame returns a frame, and room for its size bytes. If it may be a message, it has room for one
// too. It allocates once for most messages and for tiny frames, and twice for others. It does not allocate
// for a message if a frame of such a size was freed.
func newFrame(size int, message bool) (*Frame, []byte) {
	switch {
	case message && size <= largestRoom:
		f := roomy(size)
		return f, f.room[:size:size]
	case message:
		f := new(messageFrame)
		f.Message = &f.message
		return &f.Frame, make([]byte, size)
	case size <= tinyFrame:
		f := new(struct {
			Frame
			bytes [tinyFrame]byte
		})
		return &f.Frame, f.bytes[:size:size]
	default:
		return new(Frame), make([]byte, size)
	}
}

const (
	// smallFrame is the size in bytes up to which a frame is allocated together with its
	// bytes. A message with a payload of 64 bytes and a path of three fits. The sum of a frame, a
	// message and this room stays within an allocation of 704 bytes.
	smallFrame = 216
	// tinyFrame is a size in bytes that acks, pings, pongs and byes do not exceed, and every message
	// does.
	tinyFrame = 16
)

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

// cutOff returns the error for a stream that ended inside a frame.
func cutOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parse fills a frame from b and keeps b.
func (f *Frame) parse(b []byte) error {
	switch {
	case len(b) == 0:
		return malformed("the frame is empty")
	case len(b) > MaxFrame:
		return malformed("the frame has %d bytes, want at most %d", len(b), MaxFrame)
	}
	var seen fieldSet
	hopAt, path, canonical, unknown := 0, 0, true, false
	if f.Message == nil && !startsLinkFrame(b) {
		f.Message = new(Message)
	}
	m := f.Message
	if m != nil {
		m.pathFrom = int32(len(b))
	}
	for rest := b; len(rest) > 0; {
		if m != nil && len(rest) >= pathEntry && rest[0] == pathTag && rest[1] == IDSize { // faster than nextField
			if path++; path > MaxPath {
				return malformed("field %d occurs more than %d times", fieldPath, MaxPath)
			}
			if path == 1 {
				m.pathFrom = int32(len(b) - len(rest))
				seen.add(fieldPath)
			}
			rest = rest[pathEntry:]
			continue
		}
		x, next, err := nextField(rest)
		if err != nil {
			return err
		}
		if path > 0 {
			canonical = false
		}
		if x.number == fieldHop {
			hopAt = len(b) - len(rest)
		}
		if !isKnown(x.number) {
			unknown = true
		} else if m == nil && !linkFields.has(x.number) {
			return malformed("the fields of two frames")
		} else if err = f.set(&x, &seen); err != nil {
			return err
		}
		rest = next
	}
	if seen&linkFields != 0 {
		f.Message, f.room = nil, b
		if seen&(seen-1) != 0 {
			return malformed("the fields of two frames")
		}
		if f.Type == FrameHello && len(b) > MaxHello {
			return malformed("a hello of %d bytes, want at most %d", len(b), MaxHello)
		}
		return nil
	}
	if !seen.has(fieldBody) && unknown { // a type of a later version, with any other fields
		*f = Frame{Type: FrameUnknown, room: b}
		return nil
	}
	switch {
	case !seen.has(fieldBody):
		return malformed("a message without a body")
	case !seen.has(fieldNonce):
		return malformed("a message without a nonce")
	case path == 0:
		return malformed("a message without a path")
	case m.Body.hasTo == seen.has(fieldTargets):
		return malformed("want either one receiver or targets")
	}
	f.Type = FrameMessage
	if !canonical || hopAt > 0 {
		return f.regroup(b)
	}
	m.bytes, f.noHop = b, !seen.has(fieldHop)
	if !f.noHop {
		m.bytes = b[hopSize:]
		m.pathFrom -= hopSize
	}
	return nil
}

// regroup encodes a message again whose fields were not in the canonical order. It keeps
// all fields, unknown ones included.
func (f *Frame) regroup(b []byte) error {
	m := MessageFields{Hop: f.Hop, Nonce: f.Nonce, Body: f.Body, Route: f.Route, Sig: f.Sig, Targets: f.Targets}
	var unknown []byte
	for rest := b; len(rest) > 0; {
		x, next, err := nextField(rest)
		if err != nil {
			return err
		}
		switch {
		case x.number == fieldPath:
			m.Path = append(m.Path, ID(x.val))
		case !isKnown(x.number):
			unknown = append(unknown, rest[:len(rest)-len(next)]...)
		}
		rest = next
	}
	*f = Frame{}
	return f.parse(m.appendTo(make([]byte, 0, m.size(len(m.Body.raw), len(unknown))), m.Body.raw, nil, unknown))
}

// linkFields are the fields of link frames. A link frame has one of them and no other
// known field.
const linkFields fieldSet = 1<<fieldHello | 1<<fieldAck | 1<<fieldNack | 1<<fieldPing | 1<<fieldPong | 1<<fieldBye | 1<<fieldPeers

// startsLinkFrame reports whether the first field of a frame is one of a link frame.
func startsLinkFrame(b []byte) bool {
	return len(b) > 0 && b[0] < 1<<7 && linkFields.has(protowire.Number(b[0]>>3))
}

// isKnown reports whether n is the number of a field of a Frame.
func isKnown(n protowire.Number) bool {
	return n <= fieldPeers || n >= fieldHop && n <= fieldTargets || n == fieldPath
}

func (f *Frame) set(x *field, seen *fieldSet) (err error) {
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
	case fieldPeers:
		f.Type = FrameNeighbours
		f.Peers, err = parseNeighbours(x)
	case fieldHop:
		f.Hop, err = Hop(x.num), x.want(protowire.Fixed32Type)
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
	case fieldPath: // parse takes the well-formed ones, so this one is malformed
		_, err = x.id()
	}
	return err
}

// appendID appends the id in f to a list of at most most ids.
func (f *field) appendID(ids []ID, most int) ([]ID, error) {
	id, err := f.id()
	if err != nil {
		return ids, err
	}
	switch len(ids) {
	case 0:
		ids = make([]ID, 0, most) // one allocation
	case most:
		return ids, malformed("field %d occurs more than %d times", f.number, most)
	}
	return append(ids, id), nil
}
