package legacy

import (
	"bytes"
	"encoding/hex"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// appendMessage appends a message frame as legacy JSON of at most most bytes. shown becomes
// pr.v, unless it is empty. On an error, which wraps protocol.ErrTooBig or wire.ErrUnencodable,
// it returns dst unchanged.
func appendMessage(dst []byte, f *wire.Frame, shown string, most int) ([]byte, error) {
	if f.Type != wire.FrameMessage || len(f.Targets) > 0 || f.Body.To == (protocol.ID{}) {
		return dst, unencodable("a frame that is not a message to one peer")
	}
	body := &f.Body
	b := append(dst, `{"to":`...)
	b = rawjson.AppendID(b, body.To)
	b = append(b, `,"from":`...)
	b = rawjson.AppendID(b, body.From)
	b = append(b, `,"path":[`...)
	for i := range f.PathLen() {
		if i > 0 {
			b = append(b, ',')
		}
		b = rawjson.AppendID(b, f.PathAt(i))
	}
	b = append(b, `],"nonce":`...)
	b = appendNonce(b, f.Nonce)
	b = append(b, `,"data":`...)
	b, err := appendData(b, body.Kind, body.Form, body.Payload, f.IsParsed())
	if err != nil {
		return dst, err
	}
	b, extraSaysAll, err := appendExtra(b, body.Extra)
	if err != nil {
		return dst, err
	}
	b = appendPR(b, f, extraSaysAll, shown)
	b = append(b, '}')
	if size := len(b) - len(dst); size > most {
		return dst, fmt.Errorf("%w: %d bytes of JSON, want at most %d", protocol.ErrTooBig, size, most)
	}
	return b, nil
}

func appendNonce(b, nonce []byte) []byte {
	if bytes.ContainsAny(nonce, `"\`) {
		return rawjson.AppendString(b, string(nonce))
	}
	b = append(b, '"')
	b = append(b, nonce...)
	return append(b, '"')
}

// appendExtra appends the other members that a legacy message had. They come from a Body, so
// they are checked: a second data among them would replace the first. saysAll reports whether a
// reader will get the same bytes from them.
func appendExtra(b, extra []byte) (with []byte, saysAll bool, err error) {
	if len(extra) == 0 {
		return b, true, nil
	}
	// In extra they are no deeper than in the message.
	ms, err := rawjson.AppendMembers(nil, extra)
	if err != nil {
		return b, false, unencodable("extra: " + err.Error())
	}
	with = b
	for _, m := range rawjson.LastWins(ms) {
		if topLevel(m.RawKey) != 0 {
			return b, false, unencodable("extra has a member that the message itself has")
		}
		with = append(with, ',')
		with = appendMember(with, m)
	}
	// The written text is extra without its brackets, after a comma.
	saysAll = len(with)-len(b) == len(extra)-1 && len(ms) > 0 && bytes.Equal(with[len(b)+1:], extra[1:len(extra)-1])
	return with, saysAll, nil
}

// appendPR appends the member pr, unless it would be empty.
func appendPR(b []byte, f *wire.Frame, extraSaysAll bool, shown string) []byte {
	const open, next = `,"pr":{`, `,`
	separator := open
	member := func(name string) {
		b = append(b, separator...)
		b = append(b, name...)
		separator = next
	}
	body := &f.Body
	plain := len(f.Sig) == 0 && extraSaysAll && isPlain(body)
	if !plain {
		member(`"h":"`)
		b = base64url.AppendEncode(b, body.Head())
		b = append(b, '"')
		if len(f.Sig) > 0 {
			member(`"s":"`)
			b = base64url.AppendEncode(b, f.Sig)
			b = append(b, '"')
		}
	}
	if len(f.Route) > 0 {
		member(`"r":`)
		b = appendIDs(b, f.Route)
	}
	hop := f.Hop
	if hop = hop.WithTx(hop.TxLeft() + f.PathLen()); hop != wire.NewHop() {
		member(`"t":"`)
		b = hex.AppendEncode(b, []byte{byte(hop >> 24), byte(hop >> 16), byte(hop >> 8), byte(hop)})
		b = append(b, '"')
	}
	if shown != "" {
		member(`"v":`)
		b = rawjson.AppendString(b, shown)
	}
	if plain && len(body.Record) > 0 {
		member(`"a":"`)
		b = base64url.AppendEncode(b, body.Record)
		b = append(b, '"')
	}
	if isInPR(body.Kind, body.Form) {
		member(`"p":"`)
		b = base64url.AppendEncode(b, body.Payload)
		b = append(b, '"')
	}
	if separator == next {
		b = append(b, '}')
	}
	return b
}

// The fields of a head that the members of a legacy message can express by themselves: SPEC.md,
// Body.
const (
	fieldTo     = 1
	fieldFrom   = 2
	fieldKind   = 3
	fieldForm   = 4
	fieldExtra  = 9
	fieldRecord = 10
)

// isPlain reports whether a reader will get the same head from the other members and pr.a, so
// that pr.h is not needed.
func isPlain(body *wire.Body) bool {
	if body.Kind == wire.KindUser && body.Form == wire.FormJSON && isBuffer(body.Payload) {
		return false // it would be read as bytes
	}
	if isInPR(body.Kind, body.Form) {
		return false // data does not say the kind
	}
	var room [64]byte
	plain := room[:0]
	for _, f := range [...]struct {
		number protowire.Number
		id     protocol.ID
	}{{fieldTo, body.To}, {fieldFrom, body.From}} {
		plain = protowire.AppendTag(plain, f.number, protowire.BytesType)
		plain = protowire.AppendBytes(plain, f.id[:])
	}
	for _, f := range [...]struct {
		number protowire.Number
		value  uint64
	}{{fieldKind, uint64(body.Kind)}, {fieldForm, uint64(body.Form)}} {
		if f.value != 0 {
			plain = protowire.AppendTag(plain, f.number, protowire.VarintType)
			plain = protowire.AppendVarint(plain, f.value)
		}
	}
	rest, ok := bytes.CutPrefix(body.Head(), plain)
	if !ok {
		return false
	}
	for _, f := range [...]struct {
		number protowire.Number
		value  []byte
	}{{fieldExtra, body.Extra}, {fieldRecord, body.Record}} {
		if len(f.value) == 0 {
			continue
		}
		plain = protowire.AppendTag(room[:0], f.number, protowire.BytesType)
		plain = protowire.AppendVarint(plain, uint64(len(f.value)))
		if rest, ok = bytes.CutPrefix(rest, plain); !ok {
			return false
		}
		if rest, ok = bytes.CutPrefix(rest, f.value); !ok {
			return false
		}
	}
	return len(rest) == 0
}

func isBuffer(text []byte) bool {
	if !bytes.HasPrefix(text, []byte(`{"type":"Buffer"`)) {
		return false
	}
	_, ok := rawjson.DecodeBuffer(nil, text)
	return ok
}
