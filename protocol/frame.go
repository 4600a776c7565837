package protocol

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

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
	names := [...]string{"unknown", "hello", "ack", "nack", "ping", "pong", "bye", "message"}
	if int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("type(%d)", uint8(t))
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
	Features []string // behaviours beyond the base that the sender knows: see ValidFeature
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

// WithTx sets the transmissions that are left, 0 to 255.
func (h Hop) WithTx(n int) Hop { return h&^(0xff<<24) | Hop(max(0, min(n, 0xff)))<<24 }

// WithDetours sets the detours that are left, 0 to 255.
func (h Hop) WithDetours(n int) Hop { return h&^(0xff<<16) | Hop(max(0, min(n, 0xff)))<<16 }

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

	buf     []byte // headroom, the frame, spare capacity
	checked bool   // Verify was called
	signed  bool   // and found a good signature

	hopAt  int // where the four bytes of hop lie in buf; 0: the frame has none
	pathAt int // where the path begins in buf; it goes on to the end
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

// NewMessage lays a message frame out. It refuses what a reader would refuse, and
// a message that would outgrow MaxFrame before its path is full, or when a relay
// gives it back in a NACK.
func NewMessage(m MessageFrame) (*Frame, error) { return messageOf(m, m.Body.raw, nil) }

// messageOf is NewMessage with the body in two parts.
func messageOf(m MessageFrame, head, payload []byte) (*Frame, error) {
	b := layOut(m, head, payload, nil)
	if most := len(b) - lengthPrefix + (MaxPath-len(m.Path))*pathEntry + nackHead; most > MaxFrame {
		return nil, fmt.Errorf("%w: the frame can grow to %d bytes, want at most %d", ErrTooBig, most, MaxFrame)
	}
	return parseFrame(b)
}

// layOut writes the canonical form: unknown fields before the path, the path last. head
// and payload are the body.
func layOut(m MessageFrame, head, payload, unknown []byte) []byte {
	body := len(head) + len(payload)
	size := lengthPrefix + 5 + 2 + len(m.Nonce) + 4 + body + 3 + len(m.Sig) + len(unknown) +
		pathEntry*(len(m.Route)+len(m.Targets)+len(m.Path)+1)
	b := make([]byte, lengthPrefix, size)
	b = protowire.AppendTag(b, fieldHop, protowire.Fixed32Type)
	b = protowire.AppendFixed32(b, uint32(m.Hop))
	b = appendBytes(b, fieldNonce, m.Nonce)
	b = protowire.AppendVarint(protowire.AppendTag(b, fieldBody, protowire.BytesType), uint64(body))
	b = append(append(b, head...), payload...)
	b = appendIDs(b, fieldRoute, m.Route)
	b = appendOptional(b, fieldSig, m.Sig)
	b = appendIDs(b, fieldTargets, m.Targets)
	b = append(b, unknown...)
	return appendIDs(b, fieldPath, m.Path)
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
// bytes. The error is io.EOF only between two frames. One that wraps ErrMalformed
// concerns that frame alone and the next one can be read; after any other the
// stream must end.
func ReadFrame(r FrameReader, most int) (*Frame, error) {
	size, err := readLength(r)
	if err != nil {
		return nil, err
	}
	if most = min(most, MaxFrame); size > most {
		return nil, fmt.Errorf("%w: the frame has %d bytes, want at most %d", ErrFraming, size, most)
	}
	buf := make([]byte, lengthPrefix+size, lengthPrefix+size+pathEntry)
	if _, err := io.ReadFull(r, buf[lengthPrefix:]); err != nil {
		return nil, cutOff(err)
	}
	return parseFrame(buf)
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
	case seen&controlFields != 0:
		if seen&(seen-1) != 0 {
			return nil, malformed("the fields of two frames")
		}
		if f.Type == FrameHello && len(b) > MaxHello {
			return nil, malformed("a hello of %d bytes, want at most %d", len(b), MaxHello)
		}
		return f, nil
	case !seen.has(fieldBody):
		if unknown { // a type of a later version, whatever else it has
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

// controlFields are those of which a frame has one and nothing else that is known.
const controlFields fieldSet = 1<<fieldHello | 1<<fieldAck | 1<<fieldNack | 1<<fieldPing | 1<<fieldPong | 1<<fieldBye

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

// regroup lays a message out anew that had other fields after the first of its
// path. Everything but their order stays, unknown fields included.
func (f *Frame) regroup() (*Frame, error) {
	m := MessageFrame{Hop: f.Hop(), Nonce: f.Nonce, Body: f.Body, Route: f.Route, Sig: f.Sig, Targets: f.Targets}
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

// clone gives a frame of its own bytes, for a second copy with other budgets. Body,
// Nonce and Sig, which nobody may change, stay parts of the first one's bytes.
func (f *Frame) clone() *Frame {
	c := *f
	if f.buf != nil {
		c.buf = append(make([]byte, 0, len(f.buf)+pathEntry), f.buf...)
	}
	return &c
}

// Size gives the bytes that the frame takes on a native link, without its length prefix.
func (f *Frame) Size() int { return max(0, len(f.buf)-lengthPrefix) }

// Wire gives the frame with its length prefix, as it goes onto a stream. The bytes
// belong to the frame. Wire must not be called by two goroutines at once.
func (f *Frame) Wire() ([]byte, error) {
	if f.buf == nil { // a control frame that no constructor made
		if err := f.encode(); err != nil {
			return nil, err
		}
	}
	size := f.Size()
	switch {
	case size > MaxFrame:
		return nil, fmt.Errorf("%w: the frame has %d bytes, want at most %d", ErrTooBig, size, MaxFrame)
	case f.Type == FrameMessage && f.PathLen() > MaxPath:
		return nil, fmt.Errorf("%w: the path has %d entries, want at most %d", ErrTooBig, f.PathLen(), MaxPath)
	}
	at := lengthPrefix - protowire.SizeVarint(uint64(size))
	protowire.AppendVarint(f.buf[at:at:lengthPrefix], uint64(size))
	return f.buf[at:], nil
}

// encode lays a control frame out. It refuses what a reader would refuse.
func (f *Frame) encode() error {
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
	if _, err := parseFrame(b); err != nil {
		return err
	}
	f.buf = b
	return nil
}

// NewHello gives the first frame of a link. It refuses what a reader would refuse.
func NewHello(h Hello) (*Frame, error) {
	f := &Frame{Type: FrameHello, Hello: &h}
	if err := f.encode(); err != nil {
		return nil, err
	}
	return f, nil
}

// NewAck gives the acknowledgement of the first count messages of a link.
func NewAck(count uint64) *Frame { return newControl(Frame{Type: FrameAck, Num: count}) }

// NewNack gives a message back. It refuses what a reader would refuse.
func NewNack(n Nack) (*Frame, error) {
	f := &Frame{Type: FrameNack, Nack: &n}
	if err := f.encode(); err != nil {
		return nil, err
	}
	return f, nil
}

// NewPing gives a ping with a token that the pong brings back.
func NewPing(token uint64) *Frame { return newControl(Frame{Type: FramePing, Num: token}) }

// NewPong gives the answer to a ping.
func NewPong(token uint64) *Frame { return newControl(Frame{Type: FramePong, Num: token}) }

// NewBye gives the last frame of a link.
func NewBye(reason ByeReason) *Frame { return newControl(Frame{Type: FrameBye, Bye: reason}) }

// newControl lays a frame out at once, so that Size is true and Wire only reads. A
// frame that a reader would refuse, which only a reason that does not exist can
// make, stays without bytes and Wire tells the error.
func newControl(f Frame) *Frame {
	_ = f.encode()
	return &f
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
	seen, err := eachField(b, 5, 1<<1, func(f field) (err error) {
		switch f.number {
		case 1:
			err = h.addFeature(f)
		case 2:
			err = f.enum((*uint32)(&h.Role))
		case 3:
			h.Link, err = f.num, f.want(protowire.Fixed64Type)
		case 4:
			h.MaxFrame, err = parseLimits(f)
		case 5:
			h.Agent, err = parseAgent(f)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if !seen.has(3) {
		return nil, malformed("a hello without its link value")
	}
	return h, nil
}

func (h *Hello) addFeature(f field) error {
	name, err := f.sized(1, maxFeature)
	switch {
	case err != nil:
		return err
	case len(h.Features) == maxFeatures:
		return malformed("more than %d features", maxFeatures)
	case !ValidFeature(string(name)):
		return malformed("%q is no name of a feature", name)
	}
	h.Features = append(h.Features, string(name))
	return nil
}

// ValidFeature reports whether name can name a feature: 1 to 64 printable ASCII
// characters but no space, and no comma, with which legacy JSON separates them.
func ValidFeature(name string) bool {
	return len(name) > 0 && len(name) <= maxFeature &&
		!strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' || c == ',' })
}

func parseAgent(f field) (string, error) {
	agent, err := f.sized(0, maxAgent)
	if err == nil && !utf8.Valid(agent) { // a protobuf string
		err = malformed("the agent is not UTF-8")
	}
	return string(agent), err
}

func parseLimits(f field) (most uint32, err error) {
	b, err := f.sized(0, MaxHello)
	if err == nil {
		_, err = eachField(b, 1, 0, func(f field) error { return f.upTo(&most, math.MaxUint32) })
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
	_, err = eachField(b, 3, 0, func(f field) (err error) {
		switch f.number {
		case 1:
			n.Seq, err = f.num, f.want(protowire.VarintType)
		case 2:
			err = f.enum(&n.Reason)
		case 3:
			n.Frame, err = f.sized(1, MaxFrame)
		}
		return err
	})
	return n, err
}

func parseBye(f field) (reason ByeReason, err error) {
	b, err := f.sized(0, MaxHello)
	if err == nil {
		_, err = eachField(b, 1, 0, func(f field) error { return f.enum((*uint32)(&reason)) })
	}
	return reason, err
}
