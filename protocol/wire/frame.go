package wire

import (
	"encoding/binary"
	"fmt"
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
	names := [...]string{"unknown", "hello", "ack", "nack", "ping", "pong", "bye", "message"}
	if int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("type(%d)", uint8(t))
}

// A Frame is one frame of a link. For a message it keeps the bytes that travel:
//
//	| 3 bytes for the length | hop nonce body route sig targets | path … | room for one more |
//
// so that forwarding appends one path entry and patches hop, and nothing is
// encoded again. A Frame belongs to the holder of the pointer. Once it was handed to a
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

// MessageFields are the fields from which NewMessageFrame makes a frame.
type MessageFields struct {
	Hop     Hop
	Nonce   []byte
	Body    Body // encoded or parsed
	Route   []ID
	Sig     []byte
	Targets []ID
	Path    []ID
}

// NewMessageFrame lays out a message frame, whose Body is encoded or parsed. It refuses what
// a reader would refuse, and a message that would outgrow MaxFrame before its path is
// full, or when a relay returns it in a NACK.
func NewMessageFrame(m MessageFields) (*Frame, error) { return layOutMessage(m, m.Body.raw, nil) }

// EncodeMessageFrame is NewMessageFrame for a Body that is not encoded. It copies the payload
// once, where Encode and NewMessageFrame copy it twice.
func EncodeMessageFrame(m MessageFields) (*Frame, error) {
	var room [2 * headRoom]byte // on the stack, unless the fields are long
	head, err := m.Body.appendHead(room[:0])
	if err != nil {
		return nil, err
	}
	return layOutMessage(m, head, m.Body.Payload)
}

// layOutMessage is NewMessageFrame with the body in two parts.
func layOutMessage(m MessageFields, head, payload []byte) (*Frame, error) {
	b := layOut(m, head, payload, nil)
	if most := len(b) - lengthPrefix + (MaxPath-len(m.Path))*pathEntry + nackHead; most > MaxFrame {
		return nil, fmt.Errorf("%w: the frame can grow to %d bytes, want at most %d", ErrTooBig, most, MaxFrame)
	}
	return parseFrame(b)
}

// layOut writes the canonical form: unknown fields before the path, the path last. head
// and payload are the body.
func layOut(m MessageFields, head, payload, unknown []byte) []byte {
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

// ValidNonce reports whether nonce is 1 to MaxNonce printable ASCII characters.
func ValidNonce(nonce []byte) bool {
	if len(nonce) == 0 || len(nonce) > MaxNonce {
		return false
	}
	return !slices.ContainsFunc(nonce, func(c byte) bool { return c < 0x20 || c > 0x7e })
}

// Hop returns the budgets of a message.
func (f *Frame) Hop() Hop {
	if f.hopAt == 0 {
		return 0
	}
	return Hop(binary.LittleEndian.Uint32(f.buf[f.hopAt:]))
}

// setHop patches the budgets. A message that came without has none to spend.
func (f *Frame) SetHop(h Hop) {
	if f.hopAt != 0 {
		binary.LittleEndian.PutUint32(f.buf[f.hopAt:], uint32(h))
	}
}

// PathLen returns the number of peers that the message went through, its origin included.
func (f *Frame) PathLen() int { return (len(f.buf) - f.pathAt) / pathEntry }

// PathAt returns the i-th entry of the path; the 0-th is the origin.
func (f *Frame) PathAt(i int) ID { return ID(f.buf[f.pathAt+i*pathEntry+2:][:IDSize]) }

// Path returns the peers that the message went through.
func (f *Frame) Path() []ID {
	path := make([]ID, f.PathLen())
	for i := range path {
		path[i] = f.PathAt(i)
	}
	return path
}

func (f *Frame) InPath(id ID) bool {
	for at := f.pathAt; at < len(f.buf); at += pathEntry {
		if ID(f.buf[at+2:at+pathEntry]) == id {
			return true
		}
	}
	return false
}

// appendPath adds id to the path, in place where there is room.
func (f *Frame) AppendPath(id ID) {
	f.buf = appendBytes(f.buf, fieldPath, id[:])
}

// clone returns a frame of its own bytes, for a second copy with other budgets. Body,
// Nonce and Sig, which must not be changed, stay parts of the first one's bytes.
func (f *Frame) Clone() *Frame {
	c := *f
	if f.buf != nil {
		c.buf = append(make([]byte, 0, len(f.buf)+pathEntry), f.buf...)
	}
	return &c
}

// Size returns the bytes that the frame takes on a native link, without its length prefix.
func (f *Frame) Size() int { return max(0, len(f.buf)-lengthPrefix) }

// Wire returns the frame with its length prefix, as it goes onto a stream. The bytes
// belong to the frame. Wire must not be called by two goroutines at once.
func (f *Frame) Wire() ([]byte, error) {
	if f.buf == nil { // a link frame that no constructor made
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

// isSearch reports whether f looks for the peer that is nearest to an id.
func (f *Frame) IsSearch() bool {
	return f.Body.Kind == KindFind && f.Body.Flags&FlagClosest != 0
}
