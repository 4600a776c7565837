package wire

import "encoding/binary"

// Most messages have the same few fields, as the reference writes them: hop, nonce, a body of to, from, form
// and payload, and the path. Their places are known, so they are read without looking at one field after
// the other. parse reads the others, and makes the same of these.

// Tags of those fields.
const (
	hopTag     = fieldHop<<3 | 5
	nonceTag   = fieldNonce<<3 | 2
	bodyTag    = fieldBody<<3 | 2
	toTag      = fieldTo<<3 | 2
	fromTag    = fieldFrom<<3 | 2
	formTag    = fieldForm << 3
	payloadTag = fieldPayload<<3 | 2
)

// parsePlain fills an empty frame from such a message, and keeps b. It reports whether b is one. Otherwise the
// frame stays empty.
func (f *Frame) parsePlain(b []byte) bool {
	m := f.Message
	if m == nil || len(b) > MaxFrame || len(b) < hopSize+2 || b[0] != hopTag || b[hopSize] != nonceTag {
		return false
	}
	size := int(b[hopSize+1])
	rest := b[hopSize+2:]
	if size > len(rest) || !ValidNonce(rest[:size]) {
		return false
	}
	nonce, rest := rest[:size:size], rest[size:]
	body, path, ok := cutBytes(rest, bodyTag)
	if !ok || !isPath(path) || !m.Body.parsePlain(body) {
		return false
	}
	f.Type = FrameMessage
	f.Hop = Hop(binary.LittleEndian.Uint32(b[1:]))
	m.Nonce = nonce
	m.bytes = b[hopSize:]
	m.pathFrom = int32(len(m.bytes) - len(path))
	return true
}

// isPath reports whether b is one to MaxPath entries of a path.
func isPath(b []byte) bool {
	if len(b) == 0 || len(b) > MaxPath*pathEntry || len(b)%pathEntry != 0 {
		return false
	}
	for i := 0; i < len(b); i += pathEntry {
		if b[i] != pathTag || b[i+1] != IDSize {
			return false
		}
	}
	return true
}

// parsePlain fills an empty Body from such a body.
func (b *Body) parsePlain(raw []byte) bool {
	const toAt, fromAt, formAt, payloadAt = 2, IDSize + 4, 2*IDSize + 4, 2*IDSize + 6
	if len(raw) > MaxBody || len(raw) < payloadAt+2 || raw[0] != toTag || raw[1] != IDSize || raw[fromAt-2] != fromTag || raw[fromAt-1] != IDSize ||
		raw[formAt] != formTag || raw[formAt+1] == 0 || raw[formAt+1] >= 0x80 {
		return false
	}
	payload, rest, ok := cutBytes(raw[payloadAt:], payloadTag)
	to, from := ID(raw[toAt:]), ID(raw[fromAt:])
	if !ok || len(rest) > 0 || to == (ID{}) || from == (ID{}) {
		return false
	}
	b.To, b.From, b.Form, b.Payload = to, from, Form(raw[formAt+1]), payload
	b.raw, b.head, b.hasTo = raw, payloadAt, true
	return true
}

// cutBytes returns the bytes of the field at the beginning of b, if it has that tag, and what is after it.
func cutBytes(b []byte, tag byte) (val, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != tag {
		return nil, nil, false
	}
	size, n, err := minimalVarint(b[1:])
	if err != nil || size > uint64(len(b)-1-n) {
		return nil, nil, false
	}
	at := 1 + n
	end := at + int(size)
	return b[at:end:end], b[end:], true
}
