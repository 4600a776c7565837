package wire

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// A Kind is what a Body is for.
type Kind uint32

const (
	KindUser    Kind = 0  // an application's message
	KindFind    Kind = 1  // findPeers: payload is the id sought, 20 bytes
	KindFound   Kind = 2  // foundPeers: payload is up to MaxFound ids of 20 bytes
	KindOffer   Kind = 3  // handshake-offer: no payload
	KindAnswer  Kind = 4  // handshake-answer: payload is an Answer; a refusal has none
	KindSignal  Kind = 5  // WebRTC signalling: payload is JSON text
	KindReceipt Kind = 6  // the receiver has a message: payload is a Receipt
	KindNotice  Kind = 7  // a relay has no route for a message: payload is a Notice
	KindOther   Kind = 8  // legacy data of any other type: payload is its whole JSON text
	KindPing    Kind = 9  // asks for a receipt, and reaches no application: payload is empty
	KindReport  Kind = 10 // a peer that a traced ping has come to: payload is a Report
)

func (k Kind) String() string {
	names := [...]string{"user", "findPeers", "foundPeers", "handshake-offer", "handshake-answer", "signal", "receipt", "notice", "other", "ping", "report"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind(%d)", uint32(k))
}

// IsControl reports whether messages of this kind belong to the overlay.
func (k Kind) IsControl() bool { return k != KindUser && k != KindOther }

// A Form is the encoding of a Body's payload.
type Form uint32

const (
	FormNone      Form = 0 // there is no value
	FormJSON      Form = 1 // the raw JSON text of one value
	FormRaw       Form = 2 // bytes; in legacy JSON a Buffer
	FormWholeJSON Form = 3 // the raw JSON text of the whole legacy data member
	FormSealed    Form = 4 // reserved: encrypted to the receiver's key
)

// Flags of a Body, a set of bits.
type Flags uint32

const (
	FlagReceipt Flags = 1 << iota // the origin wants a receipt
	FlagNotice                    // the origin wants to know when there is no route
	FlagClosest                   // the peer without a strictly nearer link takes the message
	FlagTrace                     // with KindPing: the peers on the way report
	FlagKeep                      // peers may keep the message until Expiry, while its receiver has no link
)

// A Body is the part of a message that no relay may change. Its fields must not be set
// after it was parsed or encoded, since its bytes are fixed then.
type Body struct {
	To      ID // the receiver; the zero id means that the frame has targets instead
	From    ID
	Kind    Kind
	Form    Form
	Flags   Flags
	hasTo   bool
	unknown bool   // there are fields that this version does not know
	E2E     []byte // end-to-end id of 16 bytes; nil means none
	Expiry  uint64 // Unix milliseconds; 0 means never
	Key     []byte // the origin's libp2p public key, encoded with protobuf
	Extra   []byte // a JSON object: the unknown top-level members of a legacy message
	Record  []byte // the origin's signed peer record
	Token   []byte // token of a handshake or search, 16 bytes; nil means none
	Payload []byte

	raw  []byte // the encoded Body
	head int    // bytes of raw before the payload field
}

// Raw returns the encoded Body. The caller must not change the bytes.
func (b *Body) Raw() []byte { return b.raw }

// Head returns the bytes of the encoded Body before its payload field.
func (b *Body) Head() []byte { return b.raw[:b.head] }

// Encode encodes the Body from its fields. It returns an error if a reader would refuse
// the result. A relay never calls it: unknown fields of a parsed Body would be lost.
func (b *Body) Encode() error {
	raw, err := b.appendHead(make([]byte, 0, headRoom+len(b.Key)+len(b.Extra)+len(b.Record)+len(b.Payload)))
	if err != nil {
		return err
	}
	full, err := ParseBody(append(raw, b.Payload...))
	if err != nil {
		return err
	}
	*b = full
	return nil
}

const headRoom = 128 // about the most bytes that appendHead writes beside key, extra and record

// appendHead appends everything before the bytes of the payload: the other fields, and the
// payload's tag and length.
func (b *Body) appendHead(raw []byte) ([]byte, error) {
	if b.To != (ID{}) {
		raw = appendBytes(raw, fieldTo, b.To[:])
	}
	raw = appendBytes(raw, fieldFrom, b.From[:])
	raw = appendUint(raw, fieldKind, uint64(b.Kind))
	raw = appendUint(raw, fieldForm, uint64(b.Form))
	raw = appendUint(raw, fieldFlags, uint64(b.Flags))
	raw = appendOptional(raw, fieldE2E, b.E2E)
	raw = appendUint(raw, fieldExpiry, b.Expiry)
	raw = appendOptional(raw, fieldKey, b.Key)
	raw = appendOptional(raw, fieldExtra, b.Extra)
	raw = appendOptional(raw, fieldRecord, b.Record)
	raw = appendOptional(raw, fieldToken, b.Token)
	return appendPayloadHead(raw, b.Form, len(b.Payload))
}

// appendPayloadHead appends the tag and the length of a payload of size bytes.
func appendPayloadHead(raw []byte, form Form, size int) ([]byte, error) {
	switch {
	case form != FormNone:
		raw = protowire.AppendVarint(protowire.AppendTag(raw, fieldPayload, protowire.BytesType), uint64(size))
	case size > 0:
		return nil, malformed("a payload without a form")
	}
	if len(raw)+size > MaxBody {
		return nil, fmt.Errorf("%w: the body has %d bytes, want at most %d", ErrTooBig, len(raw)+size, MaxBody)
	}
	return raw, nil
}

// JoinBody returns the Body with this head and this payload. A gateway calls it with a
// head that crossed legacy peers in a separate member, and then checks that the head
// agrees with the legacy message around it. A Body of FormNone has no payload field.
// Every other Body has one, even if it is empty.
func JoinBody(head []byte, form Form, payload []byte) (Body, error) {
	raw := make([]byte, len(head), len(head)+len(payload)+protowire.SizeTag(fieldPayload)+lengthPrefix)
	copy(raw, head)
	raw, err := appendPayloadHead(raw, form, len(payload))
	if err != nil {
		return Body{}, err
	}
	b, err := ParseBody(append(raw, payload...))
	if err == nil && b.Form != form {
		err = malformed("the head has form %d, want %d", b.Form, form)
	}
	return b, err
}

// ParseBody returns the Body that raw encodes. The Body keeps raw, and its fields alias it.
func ParseBody(raw []byte) (Body, error) {
	var b Body
	err := b.parse(raw)
	return b, err
}

// parse fills an empty Body.
func (b *Body) parse(raw []byte) error {
	b.raw, b.head = raw, len(raw)
	if len(raw) > MaxBody {
		return malformed("the body has %d bytes, want at most %d", len(raw), MaxBody)
	}
	var seen fieldSet
	for rest := raw; len(rest) > 0; {
		f, next, err := nextField(rest)
		if err != nil {
			return err
		}
		if err := b.set(&f, &seen); err != nil {
			return err
		}
		if f.number == fieldPayload {
			if len(next) > 0 {
				return malformed("fields after the payload")
			}
			b.head = len(raw) - len(rest)
		}
		rest = next
	}
	switch {
	case !seen.has(fieldFrom):
		return malformed("a body without from")
	case b.From == (ID{}), seen.has(fieldTo) && b.To == (ID{}):
		return malformed("no peer has the zero id")
	case b.Form == FormNone && seen.has(fieldPayload):
		return malformed("a payload without a form")
	case b.Form != FormNone && !seen.has(fieldPayload):
		return malformed("a form without a payload")
	}
	b.hasTo = seen.has(fieldTo)
	return nil
}

func (b *Body) set(f *field, seen *fieldSet) (err error) {
	switch f.number {
	case fieldTo, fieldFrom, fieldKind, fieldForm, fieldFlags, fieldE2E, fieldExpiry,
		fieldKey, fieldExtra, fieldRecord, fieldToken, fieldPayload:
		if err := seen.once(f.number); err != nil {
			return err
		}
	default:
		b.unknown = true
		return nil
	}
	switch f.number {
	case fieldTo:
		b.To, err = f.id()
	case fieldFrom:
		b.From, err = f.id()
	case fieldKind:
		err = f.enum((*uint32)(&b.Kind))
	case fieldForm:
		err = f.enum((*uint32)(&b.Form))
	case fieldFlags:
		err = f.upTo((*uint32)(&b.Flags), math.MaxUint32)
	case fieldE2E:
		b.E2E, err = f.sized(TokenSize, TokenSize)
	case fieldExpiry:
		b.Expiry, err = f.num, f.want(protowire.VarintType)
	case fieldKey:
		b.Key, err = f.sized(1, MaxKey)
	case fieldExtra:
		b.Extra, err = f.sized(1, MaxBody)
	case fieldRecord:
		b.Record, err = f.sized(1, MaxRecord)
	case fieldToken:
		b.Token, err = f.sized(TokenSize, TokenSize)
	case fieldPayload:
		b.Payload, err = f.sized(0, MaxBody)
	}
	return err
}
