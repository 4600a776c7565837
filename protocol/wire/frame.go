package wire

import (
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
)

// A FrameType is the type of a frame.
type FrameType uint8

const (
	FrameUnknown FrameType = iota // from a later version: skipped and counted
	FrameHello
	FrameAck
	FrameNack
	FramePing
	FramePong
	FrameBye
	FrameNeighbours
	FrameMessage
)

func (t FrameType) String() string {
	names := [...]string{"unknown", "hello", "ack", "nack", "ping", "pong", "bye", "neighbours", "message"}
	if int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("type(%d)", uint8(t))
}

// A Frame is one frame of a link. A message frame is a [Message] in a small envelope of one
// hop: the budgets, and this peer's entry of the path. The Message does not change while it
// is at one peer, and several frames may share it.
//
//	| length | hop | nonce body route sig targets | path … | this peer |
//	   envelope      Message                                 envelope
//
// So a relay writes the bytes that it read, with a new head before them and a tail after
// them, and encodes nothing again. A Frame belongs to one goroutine. It must not be changed
// after it was passed to a link.
type Frame struct {
	Type  FrameType
	Bye   ByeReason
	Num   uint64 // the count of an ack, or the token of a ping or pong
	Hello *Hello
	Nack  *Nack
	Peers *Neighbours

	*Message     // nil unless Type is FrameMessage
	Hop      Hop // budgets of a message; zero if it arrived without them

	// Tracked is for the peer that is the origin of a message, and is not written: the end of the
	// peer names the message if it may be lost. A Copy is tracked as well.
	Tracked bool

	noHop   bool                         // the message arrived without hop, and is forwarded without it
	relayed bool                         // Relay was called: entry is written after the message
	entry   [pathEntry]byte              // this peer's entry of the path
	head    [lengthPrefix + hopSize]byte // room for what is written before the message; owned by the writer
	room    []byte                       // the bytes of a frame that is not a message; of a message, its memory, which Free keeps
}

// Relay appends the peer that forwards the message to the path. A second call replaces it.
func (f *Frame) Relay(id ID) {
	f.relayed = true
	appendBytes(f.entry[:0], fieldPath, id[:])
}

// Copy returns a second frame of the same message, which can have other budgets, or a second one like a
// frame that is not a message. The first one may be written at the same time.
func (f *Frame) Copy() *Frame {
	return &Frame{
		Type: f.Type, Bye: f.Bye, Num: f.Num, Hello: f.Hello, Nack: f.Nack, Peers: f.Peers, room: f.linkRoom(),
		Message: f.Message, Hop: f.Hop, Tracked: f.Tracked, noHop: f.noHop, relayed: f.relayed, entry: f.entry,
	}
}

// linkRoom returns the bytes of a frame that is not a message.
func (f *Frame) linkRoom() []byte {
	if f.Message != nil {
		return nil
	}
	return f.room
}

// PathLen returns the number of peers in the path, the origin included.
func (f *Frame) PathLen() int {
	n := f.Message.pathLen()
	if f.relayed {
		n++
	}
	return n
}

// PathAt returns entry i of the path. Entry 0 is the origin.
func (f *Frame) PathAt(i int) ID {
	if i == f.Message.pathLen() {
		return ID(f.entry[pathEntry-IDSize:])
	}
	return ID(f.bytes[int(f.pathFrom)+i*pathEntry+2:][:IDSize])
}

// Path returns a copy of the path, the origin first.
func (f *Frame) Path() []ID {
	path := make([]ID, f.PathLen())
	for i := range path {
		path[i] = f.PathAt(i)
	}
	return path
}

// ReversePath returns the path in reverse, as the route of an answer. It is nil if the frame came
// straight from its origin.
func (f *Frame) ReversePath() []ID {
	n := f.PathLen()
	if n <= 1 {
		return nil
	}
	route := make([]ID, n)
	for i := range route {
		route[i] = f.PathAt(n - 1 - i)
	}
	return route
}

// InPath reports whether the path contains a peer.
func (f *Frame) InPath(id ID) bool {
	if f.relayed && ID(f.entry[pathEntry-IDSize:]) == id {
		return true
	}
	for at := int(f.pathFrom); at < len(f.bytes); at += pathEntry {
		if ID(f.bytes[at+2:at+pathEntry]) == id {
			return true
		}
	}
	return false
}

// Size returns the length of the frame on a native link in bytes, without its length prefix.
func (f *Frame) Size() int {
	if f.Message == nil {
		return len(f.room)
	}
	size := len(f.bytes)
	if !f.noHop {
		size += hopSize
	}
	if f.relayed {
		size += pathEntry
	}
	return size
}

// WriteTo writes the frame with its length prefix in up to three writes. It implements
// io.WriterTo. If a reader would refuse the frame, WriteTo returns an error and writes
// nothing.
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

// AppendTo appends the bytes that WriteTo writes.
func (f *Frame) AppendTo(b []byte) ([]byte, error) {
	head, body, tail, err := f.parts()
	if err != nil {
		return b, err
	}
	return append(append(append(b, head...), body...), tail...), nil
}

// AppendBytes appends the bytes of the frame on a native link, without its length.
func (f *Frame) AppendBytes(b []byte) []byte {
	if f.Message == nil {
		return append(b, f.room...)
	}
	if !f.noHop {
		b = appendHop(b, f.Hop)
	}
	b = append(b, f.bytes...)
	if f.relayed {
		b = append(b, f.entry[:]...)
	}
	return b
}

// Bytes returns what AppendBytes appends.
func (f *Frame) Bytes() []byte { return f.AppendBytes(make([]byte, 0, f.Size())) }

// Returned returns the bytes of a message as the previous peer of its path sent it, with the
// budgets that are left. Nil means that this peer is its origin.
func (f *Frame) Returned() []byte {
	if f.PathLen() < 2 {
		return nil
	}
	body := f.bytes
	if !f.relayed {
		body = body[:len(body)-pathEntry]
	}
	b := make([]byte, 0, hopSize+len(body))
	if !f.noHop {
		b = appendHop(b, f.Hop)
	}
	return append(b, body...)
}

// parts returns the bytes of the frame on a stream, in three parts. The first and the last
// alias f.head and f.entry.
func (f *Frame) parts() (head, body, tail []byte, err error) {
	size := f.Size()
	switch {
	case size == 0: // a link frame that encode refused, or that no constructor made
		return nil, nil, nil, malformed("a frame of type %v without bytes", f.Type)
	case size > MaxFrame:
		return nil, nil, nil, fmt.Errorf("%w: the frame has %d bytes, want at most %d", ErrTooBig, size, MaxFrame)
	case f.Message != nil && f.PathLen() > MaxPath:
		return nil, nil, nil, fmt.Errorf("%w: the path has %d entries, want at most %d", ErrTooBig, f.PathLen(), MaxPath)
	}
	head = protowire.AppendVarint(f.head[:0], uint64(size))
	if f.Message == nil {
		return head, f.room, nil, nil
	}
	if !f.noHop {
		head = appendHop(head, f.Hop)
	}
	if f.relayed {
		tail = f.entry[:]
	}
	return head, f.bytes, tail, nil
}

const hopSize = 5 // bytes of the hop field: a tag and four bytes

func appendHop(b []byte, h Hop) []byte {
	return protowire.AppendFixed32(protowire.AppendTag(b, fieldHop, protowire.Fixed32Type), uint32(h))
}
