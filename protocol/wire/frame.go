package wire

import (
	"fmt"
	"io"

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

// A Frame is one frame of a link. A message frame is a [Message], which stays the same
// while it is at one peer and may be shared by several frames, in the small envelope of
// one hop: the budgets, and this peer's entry of the path.
//
//	| length | hop | nonce body route sig targets | path … | this peer |
//	   envelope      Message                                 envelope
//
// So a relay writes the bytes that it read between a head and a tail of its own, and
// encodes nothing again. A Frame belongs to one goroutine; after it was handed to a link
// it must not be changed.
type Frame struct {
	Type  FrameType
	Num   uint64 // of an ack its count, of a ping or pong its token
	Hello *Hello
	Nack  *Nack
	Bye   ByeReason

	*Message     // nil unless Type is FrameMessage
	Hop      Hop // of a message; one that came without has no budget to spend

	noHop     bool   // the message came without hop, and goes on without
	relay     ID     // what Relay added to the path; the zero id if nothing
	linkFrame []byte // the bytes of a frame that is no message

	edge [lengthPrefix + hopSize + pathEntry]byte // room for head and tail while they are written
}

// Relay adds the peer that passes the message on to the path, once.
func (f *Frame) Relay(id ID) { f.relay = id }

// Copy returns a frame of the same message, for a second copy with other budgets.
func (f *Frame) Copy() *Frame {
	c := *f
	return &c
}

// PathLen returns the number of peers that the message went through, its origin included.
func (f *Frame) PathLen() int {
	n := f.Message.pathLen()
	if f.relay != (ID{}) {
		n++
	}
	return n
}

// PathAt returns the i-th entry of the path; the 0-th is the origin.
func (f *Frame) PathAt(i int) ID {
	if i == f.Message.pathLen() {
		return f.relay
	}
	return ID(f.bytes[f.pathFrom+i*pathEntry+2:][:IDSize])
}

// Path returns the peers that the message went through, its origin first.
func (f *Frame) Path() []ID {
	path := make([]ID, f.PathLen())
	for i := range path {
		path[i] = f.PathAt(i)
	}
	return path
}

// InPath reports whether the message went through a peer.
func (f *Frame) InPath(id ID) bool {
	if f.relay == id {
		return id != ID{}
	}
	for at := f.pathFrom; at < len(f.bytes); at += pathEntry {
		if ID(f.bytes[at+2:at+pathEntry]) == id {
			return true
		}
	}
	return false
}

// Size returns the bytes that the frame takes on a native link, without its length prefix.
func (f *Frame) Size() int {
	if f.Message == nil {
		return len(f.linkFrame)
	}
	size := len(f.bytes)
	if !f.noHop {
		size += hopSize
	}
	if f.relay != (ID{}) {
		size += pathEntry
	}
	return size
}

// WriteTo writes the frame with its length prefix, as it goes onto a stream, in up to
// three writes. It implements io.WriterTo. A frame that no reader would take is refused
// before anything of it is written.
func (f *Frame) WriteTo(w io.Writer) (written int64, err error) {
	head, body, tail, err := f.parts()
	for _, part := range [...][]byte{head, body, tail} {
		if err == nil && len(part) > 0 {
			var n int
			n, err = w.Write(part)
			written += int64(n)
		}
	}
	return written, err
}

// AppendTo appends what WriteTo writes.
func (f *Frame) AppendTo(b []byte) ([]byte, error) {
	head, body, tail, err := f.parts()
	if err != nil {
		return b, err
	}
	return append(append(append(b, head...), body...), tail...), nil
}

// parts returns what the frame is on a stream, in three parts. The first and last lie in
// the frame's own room.
func (f *Frame) parts() (head, body, tail []byte, err error) {
	size := f.Size()
	switch {
	case size == 0: // a link frame that a reader would refuse, or that no constructor made
		return nil, nil, nil, malformed("a frame of type %v without bytes", f.Type)
	case size > MaxFrame:
		return nil, nil, nil, fmt.Errorf("%w: the frame has %d bytes, want at most %d", ErrTooBig, size, MaxFrame)
	case f.Message != nil && f.PathLen() > MaxPath:
		return nil, nil, nil, fmt.Errorf("%w: the path has %d entries, want at most %d", ErrTooBig, f.PathLen(), MaxPath)
	}
	head = protowire.AppendVarint(f.edge[:0], uint64(size))
	if f.Message == nil {
		return head, f.linkFrame, nil, nil
	}
	if !f.noHop {
		head = appendHop(head, f.Hop)
	}
	if f.relay != (ID{}) {
		tail = appendBytes(head[len(head):], fieldPath, f.relay[:])
	}
	return head, f.bytes, tail, nil
}

// hopSize is the size of the hop field: a tag and four bytes.
const hopSize = 5

func appendHop(b []byte, h Hop) []byte {
	return protowire.AppendFixed32(protowire.AppendTag(b, fieldHop, protowire.Fixed32Type), uint32(h))
}
