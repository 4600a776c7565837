package protocol

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// A FrameType tells the frames of a link apart.
type FrameType uint8

const (
	FrameUnknown FrameType = iota // of a later version: skipped and counted
	FrameHello
	FrameAck
	FrameNack
	FramePing
	FramePong
	FrameBye
	FrameMessage
)

func (t FrameType) String() string {
	return [...]string{"unknown", "hello", "ack", "nack", "ping", "pong", "bye", "message"}[t]
}

// A Role says what a peer offers to others.
type Role uint32

const (
	RolePeer   Role = 0 // relays for others
	RoleLeaf   Role = 1 // a browser, or a peer that only dials out
	RoleServer Role = 2 // a public relay: takes everybody, dials its like
)

// A Hello is the first frame of either side.
type Hello struct {
	Features []string // behaviours beyond the base that the sender knows
	Role     Role
	Link     uint64 // random: orders two links that the same peer opened
	MaxFrame uint32 // the largest frame that the sender takes, 0: MaxFrame
	Agent    string // name and version, for people
}

// A Nack gives a message back to the peer that it came from.
type Nack struct {
	Seq    uint64
	Reason uint32
	Frame  []byte // the whole frame, if it was acknowledged already
}

// A ByeReason says why a link ends.
type ByeReason uint32

const (
	ByeNormal    ByeReason = 0
	ByeDuplicate ByeReason = 1 // the two peers have a better link
	ByeShutdown  ByeReason = 2 // the peer stops
	ByeUnwanted  ByeReason = 3 // pruned: neither side needs it
	ByeProtocol  ByeReason = 4 // the peer did not keep to the protocol
	ByeSilent    ByeReason = 5 // no answer to a ping
)

// A Hop holds the budgets of a message, one byte each from the highest: the
// transmissions, detours and NACKs that are left, and one reserved.
type Hop uint32

// NewHop gives the budgets with which a message starts.
func NewHop() Hop { return Hop(txBudget<<24 | detours<<16 | nacks<<8) }

// TxLeft gives the transmissions that are left, over all copies of a message.
func (h Hop) TxLeft() int { return int(h >> 24) }

// DetoursLeft gives how often the message may still go to a peer that is no nearer.
func (h Hop) DetoursLeft() int { return int(h >> 16 & 0xff) }

// WithTx sets the transmissions that are left.
func (h Hop) WithTx(n int) Hop { return h&^(0xff<<24) | Hop(max(n, 0)&0xff)<<24 }

// WithDetours sets the detours that are left.
func (h Hop) WithDetours(n int) Hop { return h&^(0xff<<16) | Hop(max(n, 0)&0xff)<<16 }

// A Frame is one frame of a link. For a message it keeps the bytes that travel:
//
//	| 3 bytes for the length | hop nonce body route sig targets | path … | room for one more |
//
// so that forwarding appends one path entry and patches hop, and nothing is
// encoded again. A Frame belongs to whoever holds it; once it was handed to a
// link it must not be changed.
type Frame struct {
	Type  FrameType
	Num   uint64 // of an ack its count, of a ping or pong its token
	Hello *Hello
	Nack  *Nack
	Bye   ByeReason

	// Of a message. The slices are parts of the frame's bytes.
	Body    Body
	Nonce   []byte
	Sig     []byte
	Route   []ID
	Targets []ID

	buf    []byte // headroom, the frame, spare capacity
	hopAt  int    // where the four bytes of hop lie in buf; 0: the frame has none
	pathAt int    // where the path begins in buf; it goes on to the end
}

// A MessageFrame holds the fields from which NewMessage makes a frame.
type MessageFrame struct {
	Hop     Hop
	Nonce   []byte
	Body    Body // encoded or parsed
	Route   []ID
	Sig     []byte
	Targets []ID
	Path    []ID
}

// NewMessage lays a message frame out. It refuses what a reader would refuse.
func NewMessage(m MessageFrame) (*Frame, error) {
	return layOut(m, nil)
}

// layOut writes the canonical form: unknown fields before the path, the path last.
func layOut(m MessageFrame, unknown []byte) (*Frame, error) {
	size := lengthPrefix + 5 + 2 + len(m.Nonce) + 4 + len(m.Body.raw) + 3 + len(m.Sig) + len(unknown) +
		pathEntry*(len(m.Route)+len(m.Targets)+len(m.Path)+1)
	b := make([]byte, lengthPrefix, size)
	b = protowire.AppendTag(b, fieldHop, protowire.Fixed32Type)
	b = protowire.AppendFixed32(b, uint32(m.Hop))
	b = appendBytes(b, fieldNonce, m.Nonce)
	b = appendBytes(b, fieldBody, m.Body.raw)
	b = appendIDs(b, fieldRoute, m.Route)
	b = appendOptional(b, fieldSig, m.Sig)
	b = appendIDs(b, fieldTargets, m.Targets)
	b = append(b, unknown...)
	b = appendIDs(b, fieldPath, m.Path)
	return parseMessage(b)
}

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
// bytes. The error is io.EOF only between two frames; it wraps ErrMalformed where
// the bytes are at fault and not the stream.
func ReadFrame(r FrameReader, most int) (*Frame, error) {
	size, n, err := uint64(0), 0, error(nil)
	for shift := 0; ; shift += 7 {
		c, err := r.ReadByte()
		if err != nil {
			if n > 0 && err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		n++
		size |= uint64(c&0x7f) << shift
		if c < 0x80 {
			break
		}
		if n == lengthPrefix {
			return nil, malformed("the length takes more than %d bytes", lengthPrefix)
		}
	}
	switch {
	case n != protowire.SizeVarint(size):
		return nil, malformed("the length is not in its shortest form")
	case size > uint64(most):
		return nil, malformed("the frame has %d bytes, want at most %d", size, most)
	}
	buf := make([]byte, lengthPrefix+int(size), lengthPrefix+int(size)+pathEntry)
	if _, err = io.ReadFull(r, buf[lengthPrefix:]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return parseFrame(buf)
}

// parseFrame takes buf over: lengthPrefix bytes of headroom, then the frame.
func parseFrame(buf []byte) (*Frame, error) {
	b := buf[lengthPrefix:]
	if len(b) > MaxFrame {
		return nil, malformed("the frame has %d bytes, want at most %d", len(b), MaxFrame)
	}
	if len(b) == 0 {
		return nil, malformed("the frame is empty")
	}
	first, rest, err := nextField(b)
	if err != nil {
		return nil, err
	}
	if first.number > fieldBye {
		return parseMessage(buf)
	}
	if len(rest) > 0 {
		return nil, malformed("a control frame has more than one field")
	}
	f := &Frame{buf: buf}
	switch first.number {
	case fieldHello:
		f.Type = FrameHello
		f.Hello, err = parseHello(first)
	case fieldAck:
		f.Type, f.Num, err = FrameAck, first.num, first.want(protowire.VarintType)
	case fieldNack:
		f.Type = FrameNack
		f.Nack, err = parseNack(first)
	case fieldPing:
		f.Type, f.Num, err = FramePing, first.num, first.want(protowire.Fixed64Type)
	case fieldPong:
		f.Type, f.Num, err = FramePong, first.num, first.want(protowire.Fixed64Type)
	case fieldBye:
		f.Type = FrameBye
		f.Bye, err = parseBye(first)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

func parseMessage(buf []byte) (*Frame, error) {
	b := buf[lengthPrefix:]
	if len(b) > MaxFrame {
		return nil, malformed("the frame has %d bytes, want at most %d", len(b), MaxFrame)
	}
	f := &Frame{Type: FrameMessage, buf: buf, pathAt: len(buf)}
	var seen fieldSet
	var unknown []byte
	inPlace := true // the path is last and in one piece
	for rest := b; len(rest) > 0; {
		at := len(buf) - len(rest)
		field, next, err := nextField(rest)
		if err != nil {
			return nil, err
		}
		if field.number == fieldPath {
			if !seen.has(fieldPath) {
				f.pathAt = at
			}
		} else if seen.has(fieldPath) {
			inPlace = false
		}
		if err := f.set(field, &seen, at); err != nil {
			return nil, err
		}
		if field.number < fieldHop || field.number == 14 || field.number > fieldPath {
			unknown = append(unknown, field.raw...)
		}
		rest = next
	}
	if !seen.has(fieldBody) {
		if seen == 0 { // nothing of a message that we know: a frame of a later version
			return &Frame{Type: FrameUnknown, buf: buf}, nil
		}
		return nil, malformed("a message without a body")
	}
	hops := f.PathLen()
	var path []ID
	if !inPlace {
		path = scatteredPath(b)
		hops = len(path)
	}
	switch {
	case !seen.has(fieldNonce):
		return nil, malformed("a message without a nonce")
	case hops == 0:
		return nil, malformed("a message without a path")
	case hops > MaxPath:
		return nil, malformed("the path has %d entries, want at most %d", hops, MaxPath)
	case f.Body.hasTo == (len(f.Targets) > 0):
		return nil, malformed("want either one receiver or targets")
	}
	if inPlace {
		return f, nil
	}
	return layOut(MessageFrame{Hop: f.Hop(), Nonce: f.Nonce, Body: f.Body, Route: f.Route, Sig: f.Sig,
		Targets: f.Targets, Path: path}, unknown)
}

func (f *Frame) set(field field, seen *fieldSet, at int) (err error) {
	switch field.number {
	case fieldRoute, fieldTargets, fieldPath:
		*seen |= 1 << uint(field.number)
		var id ID
		if id, err = field.id(); err != nil {
			return err
		}
		switch field.number {
		case fieldRoute:
			f.Route = append(f.Route, id)
		case fieldTargets:
			f.Targets = append(f.Targets, id)
		}
		if len(f.Route) > MaxRoute || len(f.Targets) > MaxTargets {
			return malformed("field %d stands too often", field.number)
		}
		return nil
	case fieldHello, fieldAck, fieldNack, fieldPing, fieldPong, fieldBye:
		return malformed("a message has field %d of a control frame", field.number)
	case fieldHop, fieldNonce, fieldBody, fieldSig:
		if err = seen.once(field.number); err != nil {
			return err
		}
	}
	switch field.number {
	case fieldHop:
		f.hopAt, err = at+1, field.want(protowire.Fixed32Type)
	case fieldNonce:
		if f.Nonce, err = field.sized(1, MaxNonce); err == nil && !ValidNonce(f.Nonce) {
			err = malformed("the nonce is not printable ASCII")
		}
	case fieldBody:
		if err = field.want(protowire.BytesType); err == nil {
			f.Body, err = ParseBody(field.val)
		}
	case fieldSig:
		f.Sig, err = field.sized(1, MaxSig)
	}
	return err
}

// scatteredPath collects path entries that do not lie together at the end.
func scatteredPath(b []byte) (path []ID) {
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return path
		}
		if f.number == fieldPath {
			path = append(path, ID(f.val))
		}
		b = rest
	}
	return path
}

// ValidNonce reports whether nonce is 1 to MaxNonce printable ASCII characters.
func ValidNonce(nonce []byte) bool {
	if len(nonce) == 0 || len(nonce) > MaxNonce {
		return false
	}
	return !slices.ContainsFunc(nonce, func(c byte) bool { return c < 0x20 || c > 0x7e })
}

// Hop gives the budgets of a message.
func (f *Frame) Hop() Hop {
	if f.hopAt == 0 {
		return 0
	}
	return Hop(binary.LittleEndian.Uint32(f.buf[f.hopAt:]))
}

// setHop patches the budgets. A message that came without has none to spend.
func (f *Frame) setHop(h Hop) {
	if f.hopAt != 0 {
		binary.LittleEndian.PutUint32(f.buf[f.hopAt:], uint32(h))
	}
}

// PathLen gives the number of peers that the message went through, its origin included.
func (f *Frame) PathLen() int { return (len(f.buf) - f.pathAt) / pathEntry }

// PathAt gives the i-th entry of the path; the 0-th is the origin.
func (f *Frame) PathAt(i int) ID { return ID(f.buf[f.pathAt+i*pathEntry+2:][:IDSize]) }

// Path gives the peers that the message went through.
func (f *Frame) Path() []ID {
	path := make([]ID, f.PathLen())
	for i := range path {
		path[i] = f.PathAt(i)
	}
	return path
}

func (f *Frame) inPath(id ID) bool {
	for at := f.pathAt; at < len(f.buf); at += pathEntry {
		if ID(f.buf[at+2:at+pathEntry]) == id {
			return true
		}
	}
	return false
}

// appendPath adds id to the path, in place where there is room.
func (f *Frame) appendPath(id ID) {
	f.buf = appendBytes(f.buf, fieldPath, id[:])
}

// clone gives a frame of its own bytes, for a second copy with other budgets.
func (f *Frame) clone() *Frame {
	c := *f
	c.buf = append(make([]byte, 0, len(f.buf)+pathEntry), f.buf...)
	return &c
}

// Size gives the bytes that the frame takes on a native link, without its length prefix.
func (f *Frame) Size() int { return len(f.buf) - lengthPrefix }

// Wire gives the frame with its length prefix, as it goes onto a stream. The bytes
// belong to the frame. Wire must not be called by two goroutines at once.
func (f *Frame) Wire() ([]byte, error) {
	if f.buf == nil {
		f.encode()
	}
	size := f.Size()
	if size > MaxFrame {
		return nil, fmt.Errorf("peer-relay: the frame has %d bytes, at most %d can travel", size, MaxFrame)
	}
	at := lengthPrefix - protowire.SizeVarint(uint64(size))
	protowire.AppendVarint(f.buf[at:at:lengthPrefix], uint64(size))
	return f.buf[at:], nil
}

// encode lays a control frame out.
func (f *Frame) encode() {
	b := make([]byte, lengthPrefix, lengthPrefix+16)
	switch f.Type {
	case FrameHello:
		b = appendBytes(b, fieldHello, f.Hello.encode())
	case FrameAck:
		b = appendVarint(b, fieldAck, f.Num)
	case FrameNack:
		b = appendBytes(b, fieldNack, f.Nack.encode())
	case FramePing:
		b = protowire.AppendFixed64(protowire.AppendTag(b, fieldPing, protowire.Fixed64Type), f.Num)
	case FramePong:
		b = protowire.AppendFixed64(protowire.AppendTag(b, fieldPong, protowire.Fixed64Type), f.Num)
	case FrameBye:
		b = appendBytes(b, fieldBye, appendUint(nil, 1, uint64(f.Bye)))
	}
	f.buf = b
}

// NewHello gives the first frame of a link. It refuses what a reader would refuse.
func NewHello(h Hello) (*Frame, error) {
	return newControl(&Frame{Type: FrameHello, Hello: &h})
}

// NewPing gives a ping with a token that the pong brings back.
func NewPing(token uint64) *Frame { return &Frame{Type: FramePing, Num: token} }

// NewPong gives the answer to a ping.
func NewPong(token uint64) *Frame { return &Frame{Type: FramePong, Num: token} }

// NewBye gives the last frame of a link.
func NewBye(reason ByeReason) *Frame { return &Frame{Type: FrameBye, Bye: reason} }

func newControl(f *Frame) (*Frame, error) {
	f.encode()
	return parseFrame(f.buf)
}

func (h *Hello) encode() []byte {
	var b []byte
	for _, f := range h.Features {
		b = appendBytes(b, 1, []byte(f))
	}
	b = appendUint(b, 2, uint64(h.Role))
	b = protowire.AppendFixed64(protowire.AppendTag(b, 3, protowire.Fixed64Type), h.Link)
	if h.MaxFrame != 0 {
		b = appendBytes(b, 4, appendVarint(nil, 1, uint64(h.MaxFrame)))
	}
	return appendOptional(b, 5, []byte(h.Agent))
}

func parseHello(f field) (*Hello, error) {
	b, err := f.sized(0, MaxHello)
	if err != nil {
		return nil, err
	}
	h := &Hello{}
	var seen fieldSet
	for len(b) > 0 {
		var f field
		if f, b, err = nextField(b); err != nil {
			return nil, err
		}
		if f.number != 1 {
			if err := seen.once(f.number); err != nil {
				return nil, err
			}
		}
		switch f.number {
		case 1:
			name, err := f.sized(1, maxFeature)
			if err != nil {
				return nil, err
			}
			if len(h.Features) == maxFeatures {
				return nil, malformed("more than %d features", maxFeatures)
			}
			h.Features = append(h.Features, string(name))
		case 2:
			err = f.enum((*uint32)(&h.Role))
		case 3:
			h.Link, err = f.num, f.want(protowire.Fixed64Type)
		case 4:
			h.MaxFrame, err = parseLimits(f)
		case 5:
			var agent []byte
			agent, err = f.sized(0, maxAgent)
			h.Agent = string(agent)
		}
		if err != nil {
			return nil, err
		}
	}
	if !seen.has(3) {
		return nil, malformed("a hello without its link value")
	}
	return h, nil
}

func parseLimits(f field) (most uint32, err error) {
	b, err := f.sized(0, MaxHello)
	var seen fieldSet
	for err == nil && len(b) > 0 {
		var f field
		if f, b, err = nextField(b); err != nil {
			break
		}
		if err = seen.once(f.number); err == nil && f.number == 1 {
			err = f.enum(&most)
		}
	}
	return most, err
}

func (n *Nack) encode() []byte {
	b := appendUint(nil, 1, n.Seq)
	b = appendUint(b, 2, uint64(n.Reason))
	return appendOptional(b, 3, n.Frame)
}

func parseNack(f field) (*Nack, error) {
	b, err := f.sized(0, MaxFrame)
	if err != nil {
		return nil, err
	}
	n := &Nack{}
	var seen fieldSet
	for len(b) > 0 {
		var f field
		if f, b, err = nextField(b); err != nil {
			return nil, err
		}
		if err = seen.once(f.number); err != nil {
			return nil, err
		}
		switch f.number {
		case 1:
			n.Seq, err = f.num, f.want(protowire.VarintType)
		case 2:
			err = f.enum(&n.Reason)
		case 3:
			n.Frame, err = f.sized(1, MaxFrame)
		}
		if err != nil {
			return nil, err
		}
	}
	return n, nil
}

func parseBye(f field) (reason ByeReason, err error) {
	b, err := f.sized(0, MaxHello)
	var seen fieldSet
	for err == nil && len(b) > 0 {
		var f field
		if f, b, err = nextField(b); err != nil {
			break
		}
		if err = seen.once(f.number); err == nil && f.number == 1 {
			err = f.enum((*uint32)(&reason))
		}
	}
	return reason, err
}
