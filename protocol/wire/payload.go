package wire

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// The payloads of control messages. Each has exactly one legacy JSON form, so that a
// gateway rebuilds the same bytes and a signature over them stays valid.
//
//	findPeers         20 bytes, the id sought                  FormRaw
//	foundPeers        up to MaxFound times 20 bytes            FormRaw
//	handshake-offer   none                                     FormNone
//	handshake-answer  {1 ws: string, 2 wrtc: bool}             FormRaw; FormNone for a refusal
//	signal            JSON text                                FormJSON
//	ping              empty                                    FormRaw
//
// A receipt, a notice and a report have fields, and FormRaw.

// Limits of these payloads.
const (
	MaxFound = 20   // ids in a foundPeers
	maxURL   = 2048 // bytes of a URL
)

// An Answer is how the peer that answers a handshake can be reached.
type Answer struct {
	WS   string // a ws:// or wss:// URL
	NoWS bool   // there is no URL; JSON distinguishes that from an empty one
	WRTC bool   // the peer accepts signals
}

// AppendAnswer appends the payload of a handshake-answer.
func AppendAnswer(b []byte, a Answer) []byte {
	if !a.NoWS {
		b = appendBytes(b, 1, []byte(a.WS))
	}
	if a.WRTC {
		b = appendVarint(b, 2, 1)
	}
	return b
}

// ParseAnswer returns the Answer that the payload of a handshake-answer encodes.
func ParseAnswer(b []byte) (Answer, error) {
	a := Answer{NoWS: true}
	_, err := eachField(b, 2, 0, func(f *field) error {
		if f.number == 2 {
			if f.num != 1 {
				return malformed("wrtc is %d", f.num)
			}
			a.WRTC = true
			return f.want(protowire.VarintType)
		}
		url, err := f.sized(0, maxURL)
		if err == nil && !utf8.Valid(url) {
			err = malformed("ws is not UTF-8")
		}
		a.WS, a.NoWS = string(url), false
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	return a, nil
}

// AppendFound appends the payload of a foundPeers.
func AppendFound(b []byte, ids []ID) []byte {
	for i := range ids {
		b = append(b, ids[i][:]...)
	}
	return b
}

// ParseFound returns the ids in the payload of a foundPeers.
func ParseFound(b []byte) ([]ID, error) {
	if len(b)%IDSize != 0 || len(b) > MaxFound*IDSize {
		return nil, malformed("a list of %d bytes of ids", len(b))
	}
	ids := make([]ID, len(b)/IDSize)
	for i := range ids {
		ids[i] = ID(b[i*IDSize:])
	}
	return ids, nil
}
