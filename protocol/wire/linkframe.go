package wire

import (
	"math"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// A Hello is the first frame that each side of a link sends.
type Hello struct {
	Features []string // optional behaviours that the sender knows: see ValidFeature
	Role     Role
	Link     uint64 // a random number that orders two links of the same opener
	MaxFrame uint32 // bytes of the largest frame that the sender accepts; 0 means MaxFrame
	Agent    string // name and version, for people
}

// A Role is what a peer offers to others.
type Role uint32

const (
	RolePeer   Role = 0 // relays for others
	RoleLeaf   Role = 1 // a browser, or a peer that only dials out
	RoleServer Role = 2 // a public relay: accepts every peer
)

// A Nack returns a message to the peer that sent it over this link.
type Nack struct {
	Seq    uint64 // the message's number in its direction of the link, from 1
	Reason NackReason
	Frame  []byte // the frame as the previous peer sent it, if it was acknowledged already
}

// A NackReason is why a message comes back.
type NackReason uint32

const (
	NackNone    NackReason = 0
	NackNoRoute NackReason = 1 // no link that could take the message
	NackBusy    NackReason = 2 // such a link may exist: its queue is full, or its peer does not answer
	NackTooBig  NackReason = 3 // it cannot be encoded for the next link
	NackHops    NackReason = 4 // its path or its budget is used up
	NackRefused NackReason = 5 // the peer does not want to carry it
)

// The names of features in a Hello.
const (
	FeatureCustody    = "custody"
	FeatureNeighbours = "neighbours"
	FeatureMailbox    = "mailbox" // of a peer that keeps messages
)

// Features returns the names of the features that every peer of this version has.
func Features() []string { return []string{FeatureCustody, FeatureNeighbours} }

// A ByeReason is why a link ends.
type ByeReason uint32

const (
	ByeNormal    ByeReason = 0
	ByeDuplicate ByeReason = 1 // the two peers have a better link
	ByeShutdown  ByeReason = 2 // the sender stops
	ByeUnwanted  ByeReason = 3 // pruned: neither side needs the link
	ByeProtocol  ByeReason = 4 // the receiver violated the protocol
	ByeSilent    ByeReason = 5 // the receiver did not answer a ping
)

// NewHello returns the first frame of a link. It returns an error for a Hello that a
// reader would refuse.
func NewHello(h Hello) (*Frame, error) {
	f := &Frame{Type: FrameHello, Hello: &h}
	if err := f.encode(); err != nil {
		return nil, err
	}
	return f, nil
}

// NewAck returns the acknowledgement of the first count messages of a link.
func NewAck(count uint64) *Frame { return newLinkFrame(Frame{Type: FrameAck, Num: count}) }

// NewNack returns a frame that sends a message back. It returns an error for a Nack that
// a reader would refuse.
func NewNack(n Nack) (*Frame, error) {
	f := &Frame{Type: FrameNack, Nack: &n}
	if err := f.encode(); err != nil {
		return nil, err
	}
	return f, nil
}

// NewPing returns a ping with a token, which the pong repeats.
func NewPing(token uint64) *Frame { return newLinkFrame(Frame{Type: FramePing, Num: token}) }

// NewPong returns the answer to a ping.
func NewPong(token uint64) *Frame { return newLinkFrame(Frame{Type: FramePong, Num: token}) }

// NewBye returns the last frame of a link.
func NewBye(reason ByeReason) *Frame { return newLinkFrame(Frame{Type: FrameBye, Bye: reason}) }

// newLinkFrame encodes a frame at once, so that Size is right and WriteTo only reads. A
// reader would refuse a bye whose reason exceeds 31 bits. That frame stays without bytes,
// and WriteTo returns an error.
func newLinkFrame(f Frame) *Frame {
	_ = f.encode()
	return &f
}

// encode sets the bytes of a link frame. It parses them, so that it returns an error for
// a frame that a reader would refuse.
func (f *Frame) encode() error {
	var b []byte
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
	var read Frame
	if err := read.parse(b); err != nil {
		return err
	}
	f.room = b
	return nil
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

func parseHello(f *field) (*Hello, error) {
	b, err := f.sized(0, MaxHello)
	if err != nil {
		return nil, err
	}
	h := &Hello{}
	seen, err := eachField(b, 5, 1<<1, func(f *field) (err error) {
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
		return nil, malformed("a hello without a link value")
	}
	return h, nil
}

func (h *Hello) addFeature(f *field) error {
	name, err := f.sized(1, maxFeature)
	switch {
	case err != nil:
		return err
	case len(h.Features) == maxFeatures:
		return malformed("more than %d features", maxFeatures)
	case !ValidFeature(string(name)):
		return malformed("%q is not a valid feature name", name)
	}
	h.Features = append(h.Features, string(name))
	return nil
}

// ValidFeature reports whether name can name a feature: 1 to 64 printable ASCII
// characters without a space and a comma. Legacy JSON separates features by commas.
func ValidFeature(name string) bool {
	return len(name) > 0 && len(name) <= maxFeature &&
		!strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' || c == ',' })
}

func parseAgent(f *field) (string, error) {
	agent, err := f.sized(0, maxAgent)
	if err == nil && !utf8.Valid(agent) { // a protobuf string
		err = malformed("the agent is not UTF-8")
	}
	return string(agent), err
}

func parseLimits(f *field) (most uint32, err error) {
	b, err := f.sized(0, MaxHello)
	if err == nil {
		_, err = eachField(b, 1, 0, func(f *field) error { return f.upTo(&most, math.MaxUint32) })
	}
	return most, err
}

func (n *Nack) encode() []byte {
	b := appendUint(nil, 1, n.Seq)
	b = appendUint(b, 2, uint64(n.Reason))
	return appendOptional(b, 3, n.Frame)
}

func parseNack(f *field) (*Nack, error) {
	b, err := f.sized(0, MaxFrame)
	if err != nil {
		return nil, err
	}
	n := &Nack{}
	_, err = eachField(b, 3, 0, func(f *field) (err error) {
		switch f.number {
		case 1:
			n.Seq, err = f.num, f.want(protowire.VarintType)
		case 2:
			err = f.enum((*uint32)(&n.Reason))
		case 3:
			n.Frame, err = f.sized(1, MaxFrame)
		}
		return err
	})
	return n, err
}

func parseBye(f *field) (reason ByeReason, err error) {
	b, err := f.sized(0, MaxHello)
	if err == nil {
		_, err = eachField(b, 1, 0, func(f *field) error { return f.enum((*uint32)(&reason)) })
	}
	return reason, err
}
