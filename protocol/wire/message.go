package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// A Message is the part of a message frame that does not change while it is at this peer.
// Its fields alias its bytes. They must not be changed once frames share the Message.
type Message struct {
	Body    Body
	Nonce   []byte
	Sig     []byte
	Route   []ID
	Targets []ID

	// Spent says that nothing but its frame refers to the message, so that its reader may free it.
	Spent bool

	bytes    []byte // the frame without hop: the fields above, unknown ones, and the path last
	pathFrom int32  // offset of the path in bytes
	proof    proof
	parsed   bool   // MarkParsed was called
	hash     uint64 // 0 means not computed yet
}

// MarkParsed notes that the message came as JSON text. So its payload need not be checked again
// before it is written as text.
func (m *Message) MarkParsed() { m.parsed = true }

// IsParsed reports whether MarkParsed was called.
func (m *Message) IsParsed() bool { return m.parsed }

// A proof is the result of checking a message's signature.
type proof uint8

const (
	unchecked proof = iota
	unproved        // not signed, or not by the key that hashes to the origin's id
	proved
)

// Hash returns a hash of the fields that identify a message: origin, nonce, body and
// signature. The function should be keyed. Then a peer that knows a message's origin and
// nonce cannot make another message with the same hash. The value is computed once, so
// that a caller can compute it before it takes a lock. It is never 0.
func (m *Message) Hash(hash func(from, nonce, body, sig []byte) uint64) uint64 {
	if m.hash == 0 {
		m.hash = hash(m.Body.From[:], m.Nonce, m.Body.raw, m.Sig) | 1
	}
	return m.hash
}

// A Digest names a message in the logs of the peers that it visits. It is the same at each
// peer, and does not reveal the content.
type Digest [8]byte

// String returns the digest as 16 hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Digest returns the first 8 bytes of the SHA-256 of the message's origin, nonce and body.
func (m *Message) Digest() (d Digest) {
	h := sha256.New()
	h.Write(m.Body.From[:])
	h.Write([]byte{byte(len(m.Nonce))})
	h.Write(m.Nonce)
	h.Write(m.Body.raw)
	copy(d[:], h.Sum(nil))
	return d
}

// Verify reports whether the message is signed by the key that hashes to its origin's id.
// Like Hash, it computes the result once.
func (m *Message) Verify(verify func(key, data, sig []byte) (ID, bool)) bool {
	if m.proof == unchecked {
		m.proof = unproved
		if m.Check(verify) {
			m.proof = proved
		}
	}
	return m.proof == proved
}

// Check is Verify for a goroutine that does not own the message. It changes nothing.
func (m *Message) Check(verify func(key, data, sig []byte) (ID, bool)) bool {
	if len(m.Sig) == 0 || len(m.Body.Key) == 0 || verify == nil {
		return false
	}
	id, ok := verify(m.Body.Key, m.Body.SignedBytes(), m.Sig)
	return ok && id == m.Body.From
}

// IsSearch reports whether the message is a search for the peer nearest to an id.
func (m *Message) IsSearch() bool {
	return m.Body.Kind == KindFind && m.Body.Flags&FlagClosest != 0
}

func (m *Message) pathLen() int { return (len(m.bytes) - int(m.pathFrom)) / pathEntry }

// MessageFields are the fields of a message frame.
type MessageFields struct {
	Hop     Hop
	Nonce   []byte
	Body    Body // encoded or parsed
	Route   []ID
	Sig     []byte
	Targets []ID
	Path    []ID
}

// NewMessageFrame returns a message frame of these fields, whose Body is encoded or parsed.
// It returns an error for a message that a reader would refuse, and for one that would
// exceed MaxFrame with a full path inside a NACK.
func NewMessageFrame(m MessageFields) (*Frame, error) { return layOut(m, m.Body.raw, nil) }

// EncodeMessageFrame is NewMessageFrame for a Body that is not encoded. It copies the payload
// once. Encode and NewMessageFrame together copy it twice.
func EncodeMessageFrame(m MessageFields) (*Frame, error) {
	var room [2 * headRoom]byte // on the stack, unless the fields are long
	head, err := m.Body.appendHead(room[:0])
	if err != nil {
		return nil, err
	}
	return layOut(m, head, m.Body.Payload)
}

// layOut is NewMessageFrame with the body in two parts.
func layOut(m MessageFields, head, payload []byte) (*Frame, error) {
	f, b := newFrame(m.size(len(head)+len(payload), 0), true)
	b = m.appendTo(b[:0], head, payload, nil)
	if most := len(b) + (MaxPath-len(m.Path))*pathEntry + nackHead; most > MaxFrame {
		return nil, fmt.Errorf("%w: the frame can grow to %d bytes, want at most %d", ErrTooBig, most, MaxFrame)
	}
	if err := f.parse(b); err != nil {
		return nil, err
	}
	return f, nil
}

// size returns an upper bound of the bytes that appendTo appends.
func (m *MessageFields) size(body, unknown int) int {
	return hopSize + 2 + len(m.Nonce) + 4 + body + 3 + len(m.Sig) + unknown +
		pathEntry*(len(m.Route)+len(m.Targets)+len(m.Path))
}

// appendTo appends the canonical form: hop first, then the other fields, unknown fields, and
// the path last. The body is head and payload together.
func (m *MessageFields) appendTo(b, head, payload, unknown []byte) []byte {
	b = appendHop(b, m.Hop)
	b = appendBytes(b, fieldNonce, m.Nonce)
	b = protowire.AppendVarint(protowire.AppendTag(b, fieldBody, protowire.BytesType), uint64(len(head)+len(payload)))
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
