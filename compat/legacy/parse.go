package legacy

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A legacy message, keys in the order in which they are written:
//
//	{"to":"<40 hex>","from":"<40 hex>","path":["<40 hex>",…],"nonce":"370139348282462",
//	 "data":{"type":"user","data":…}, … members that are neither, "pr":{…}}
//
// pr carries what JSON has no place for, through JS peers, which keep members that
// they do not know. It holds strings and arrays of strings, since a number would
// come back rounded:
//
//	h  base64url  the head of the Body, where the other members do not say all of it
//	s  base64url  the signature
//	r  [hex]      the route
//	t  8 hex      the budgets as they were when the path was empty, if not NewHop
//	v  "1,…"      on a link's first findPeers: the sender knows this, and these features
//	a  base64url  the signed peer record, if there is no h
//	p             reserved for sealed payloads
//
// Every hop makes the path one longer, so that t loses one transmission for each
// entry of the path whether a Go peer or a JS peer wrote it.

// maxText is how many bytes of text may be one message: the JSON form of every Body
// up to wire.MaxBody, of which a byte takes at most four characters, and the
// members around it.
const maxText = 1_153_433

// Limits of pr.v: bytes, and features, that are looked at.
const (
	maxShown    = 2048
	maxFeatures = 32
)

// shownVersion is what pr.v begins with.
const shownVersion = "1"

// base64url has no second spelling of the same bytes.
var base64url = base64.RawURLEncoding.Strict()

// errSyntax makes the error for a text that no JSON.stringify wrote, which is the
// neighbour's own fault.
func errSyntax(err error) error {
	if errors.Is(err, rawjson.ErrDepth) {
		return passedOn("%v", err)
	}
	return fmt.Errorf("%w: %v", wire.ErrMalformed, err)
}

// passedOn makes the error for a message that a JS neighbour passes on unseen.
func passedOn(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{wire.ErrPassedOn}, args...)...)
}

// A legacyMessage is one message as its text says it. The slices alias the text.
type legacyMessage struct {
	has   members
	to    protocol.ID
	from  protocol.ID
	path  [wire.MaxPath]protocol.ID
	hops  int
	nonce []byte
	data  dataMember
	pr    prMember
	extra []rawjson.Member // of other keys

	fault error // the first thing wrong with a member
}

// A prMember is the member pr. An absent member is nil.
type prMember struct {
	head, sig, record []byte // raw base64url
	hop               []byte // raw hex
	shown             []byte // raw string
	sealed            bool
	route             []protocol.ID
}

// members is a set of top-level keys.
type members uint8

const (
	hasTo members = 1 << iota
	hasFrom
	hasPath
	hasNonce
	hasData
	hasPR
)

// needed are those without which there is no message.
const needed = hasTo | hasFrom | hasPath | hasNonce | hasData

// topLevel finds the known member that a raw key names.
func topLevel(key []byte) members {
	switch string(key) {
	case `"to"`:
		return hasTo
	case `"from"`:
		return hasFrom
	case `"path"`:
		return hasPath
	case `"nonce"`:
		return hasNonce
	case `"data"`:
		return hasData
	case `"pr"`:
		return hasPR
	}
	if bytes.IndexByte(key, '\\') >= 0 {
		return topLevel(plainKey(key))
	}
	return 0
}

// plainKey spells a key that has escapes without them, where that is possible.
func plainKey(key []byte) []byte {
	plain := rawjson.AppendUnquoted([]byte{'"'}, key)
	if bytes.IndexByte(plain, '\\') >= 0 {
		return nil // of the keys that are looked for none has any
	}
	return append(plain, '"')
}

// parseMessage reads one legacy message for the peer self. The frame has bytes of
// its own. shown is the raw string pr.v or nil, and aliases text. scratch is room for
// a decoded Buffer, to be used again.
//
// The error wraps wire.ErrPassedOn if an honest JS neighbour may have passed the
// message on, otherwise wire.ErrMalformed.
func parseMessage(text []byte, self protocol.ID, scratch *[]byte) (f *wire.Frame, shown []byte, err error) {
	var m legacyMessage
	if len(text) > maxText {
		return nil, nil, passedOn("%d bytes of text, want at most %d", len(text), maxText)
	}
	if err := m.scan(text, scratch); err != nil {
		return nil, nil, err
	}
	if f, err = m.frame(self); err != nil {
		return nil, nil, err
	}
	return f, m.pr.shown, nil
}

// scan walks through the text once. Of equal keys the last one counts, as in JS.
func (m *legacyMessage) scan(text []byte, scratch *[]byte) error {
	s := rawjson.NewScanner(text)
	if !s.EnterObject() {
		s.Value()
		if err := s.End(); err != nil {
			return errSyntax(err)
		}
		return fmt.Errorf("%w: a message that is no object", wire.ErrMalformed)
	}
	for s.More() {
		key := s.Key()
		member := topLevel(key)
		m.has |= member
		switch member {
		case hasTo:
			m.to = m.id(&s, "to")
		case hasFrom:
			m.from = m.id(&s, "from")
		case hasPath:
			m.scanPath(&s)
		case hasNonce:
			m.nonce = m.text(s.Value(), "nonce")
		case hasData:
			m.data.scan(&s, text, scratch)
		case hasPR:
			m.scanPR(&s)
		default:
			value := s.Value()
			if s.Err() == nil {
				m.extra = append(m.extra, rawjson.Member{RawKey: key, Key: unquote(key), Value: value})
			}
		}
	}
	if err := s.End(); err != nil {
		return errSyntax(err)
	}
	return m.fault
}

func (m *legacyMessage) blame(format string, args ...any) {
	if m.fault == nil {
		m.fault = passedOn(format, args...)
	}
}

func (m *legacyMessage) id(s *rawjson.Scanner, name string) protocol.ID {
	id, ok := rawjson.ParseID(s.Value())
	if !ok {
		m.blame("%s is no id", name)
	}
	return id
}

// text returns what a raw value says that must be a string.
func (m *legacyMessage) text(raw []byte, name string) []byte {
	if len(raw) == 0 || raw[0] != '"' {
		m.blame("%s is no string", name)
		return nil
	}
	return unquote(raw)
}

// unquote returns the inside of a raw string, a slice of it if there are no escapes.
func unquote(raw []byte) []byte {
	if len(raw) < 2 {
		return nil
	}
	if inner := raw[1 : len(raw)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return inner
	}
	return rawjson.AppendUnquoted(make([]byte, 0, len(raw)), raw)
}

func (m *legacyMessage) scanPath(s *rawjson.Scanner) {
	m.hops = 0
	if !s.EnterArray() {
		s.Value()
		m.blame("path is no array")
		return
	}
	for s.More() {
		id, ok := rawjson.ParseID(s.Value())
		switch {
		case !ok:
			m.blame("path has an entry that is no id")
		case m.hops == wire.MaxPath:
			m.blame("path has more than %d entries", wire.MaxPath)
		default:
			m.path[m.hops] = id
			m.hops++
		}
	}
}

func (m *legacyMessage) scanPR(s *rawjson.Scanner) {
	m.pr = prMember{}
	if !s.EnterObject() {
		s.Value()
		m.blame("pr is no object")
		return
	}
	for s.More() {
		switch key := s.Key(); string(key) {
		case `"h"`:
			m.pr.head = m.text(s.Value(), "pr.h")
		case `"s"`:
			m.pr.sig = m.text(s.Value(), "pr.s")
		case `"t"`:
			m.pr.hop = m.text(s.Value(), "pr.t")
		case `"v"`:
			m.pr.shown = m.text(s.Value(), "pr.v")
		case `"a"`:
			m.pr.record = m.text(s.Value(), "pr.a")
		case `"r"`:
			m.scanRoute(s)
		case `"p"`:
			m.pr.sealed = true
			s.Value()
		default: // of a later version
			s.Value()
		}
	}
}

func (m *legacyMessage) scanRoute(s *rawjson.Scanner) {
	m.pr.route = nil
	if !s.EnterArray() {
		s.Value()
		m.blame("pr.r is no array")
		return
	}
	for s.More() {
		id, ok := rawjson.ParseID(s.Value())
		switch {
		case !ok:
			m.blame("pr.r has an entry that is no id")
		case len(m.pr.route) == wire.MaxRoute:
			m.blame("pr.r has more than %d entries", wire.MaxRoute)
		default:
			m.pr.route = append(m.pr.route, id)
		}
	}
}

// frame makes the frame of what was scanned.
func (m *legacyMessage) frame(self protocol.ID) (*wire.Frame, error) {
	switch {
	case m.has&needed != needed:
		return nil, passedOn("no %s", (needed &^ m.has).first())
	case m.hops == 0:
		return nil, passedOn("the path is empty")
	case m.to == protocol.ID{}:
		return nil, passedOn("a message to the zero id, which is no peer's")
	case !wire.ValidNonce(m.nonce):
		return nil, passedOn("the nonce has %d bytes or is not printable, want 1 to %d printable ones", len(m.nonce), wire.MaxNonce)
	case m.pr.sealed:
		return nil, passedOn("the payload is sealed, which this version does not know")
	}
	hop, err := m.hop()
	if err != nil {
		return nil, err
	}
	msg := wire.MessageFields{Hop: hop, Nonce: m.nonce, Route: m.pr.route, Path: m.path[:m.hops]}
	if m.pr.head != nil {
		if msg.Body, err = m.signedBody(); err == nil {
			msg.Sig, err = decode64(m.pr.sig, wire.MaxSig, "pr.s")
		}
	} else {
		msg.Body, err = m.body(m.to == self)
	}
	if err != nil {
		return nil, err
	}
	f, err := wire.NewMessageFrame(msg)
	if err != nil {
		return nil, passedOn("%v", err)
	}
	return f, nil
}

// first names the first key of a set that is not empty.
func (has members) first() string {
	names := [...]string{"to", "from", "path", "nonce", "data", "pr"}
	for i, name := range names {
		if has&(1<<i) != 0 {
			return name
		}
	}
	return ""
}

// hop returns the budgets that are left after the path.
func (m *legacyMessage) hop() (wire.Hop, error) {
	hop := wire.NewHop()
	if m.pr.hop != nil {
		var b [4]byte
		if len(m.pr.hop) != hex.EncodedLen(len(b)) {
			return 0, passedOn("pr.t has %d digits, want %d", len(m.pr.hop), hex.EncodedLen(len(b)))
		}
		if _, err := hex.Decode(b[:], m.pr.hop); err != nil {
			return 0, passedOn("pr.t: %v", err)
		}
		hop = wire.Hop(b[0])<<24 | wire.Hop(b[1])<<16 | wire.Hop(b[2])<<8 | wire.Hop(b[3])
	}
	return hop.WithTx(hop.TxLeft() - m.hops), nil
}

func decode64(text []byte, most int, name string) ([]byte, error) {
	if len(text) == 0 {
		return nil, nil
	}
	if n := base64url.DecodedLen(len(text)); n > most {
		return nil, passedOn("%s has %d bytes, want at most %d", name, n, most)
	}
	// The decoder skips line breaks, of which an unquoted string may have some.
	if bytes.ContainsAny(text, "\r\n") {
		return nil, passedOn("%s is no base64url", name)
	}
	b, err := base64url.AppendDecode(nil, text)
	if err != nil {
		return nil, passedOn("%s: %v", name, err)
	}
	return b, nil
}

// signedBody puts the Body together from the head that was carried along and the
// payload that stands in data. It must be what the members around it say.
func (m *legacyMessage) signedBody() (wire.Body, error) {
	head, err := decode64(m.pr.head, wire.MaxBody, "pr.h")
	if err != nil {
		return wire.Body{}, err
	}
	kind, form, payload, err := m.data.native(false)
	if err != nil {
		return wire.Body{}, passedOn("%v", err)
	}
	b, err := wire.JoinBody(head, form, payload)
	if err != nil && form == wire.FormRaw && kind == wire.KindUser {
		// A value may look like a Buffer and not be meant as one.
		b, err = wire.JoinBody(head, wire.FormJSON, m.data.value)
	}
	switch {
	case err != nil:
		return b, passedOn("pr.h: %v", err)
	case b.To != m.to, b.From != m.from, b.Kind != kind:
		return b, passedOn("pr.h says %v from %v to %v, the message around it %v from %v to %v", b.Kind, b.From, b.To, kind, m.from, m.to)
	}
	if _, _, err := appendExtra(nil, b.Extra); err != nil {
		return b, passedOn("pr.h: %v", err)
	}
	return b, nil
}

// body makes the Body of a message that says all of it.
func (m *legacyMessage) body(forSelf bool) (b wire.Body, err error) {
	b.To, b.From = m.to, m.from
	if b.Kind, b.Form, b.Payload, err = m.data.native(forSelf); err != nil {
		return b, passedOn("%v", err)
	}
	if b.Record, err = decode64(m.pr.record, wire.MaxRecord, "pr.a"); err != nil {
		return b, err
	}
	b.Extra = joinExtra(m.extra)
	if err := b.Encode(); err != nil {
		return b, passedOn("%v", err)
	}
	return b, nil
}

// joinExtra writes the other members as one object, nil if there are none.
func joinExtra(extra []rawjson.Member) []byte {
	if len(extra) == 0 {
		return nil
	}
	b := []byte{'{'}
	for i, e := range rawjson.LastWins(extra) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendMember(b, e)
	}
	return append(b, '}')
}

func appendMember(b []byte, m rawjson.Member) []byte {
	b = append(b, m.RawKey...)
	b = append(b, ':')
	return append(b, m.Value...)
}

// parseShown reads pr.v: whether its sender knows the extensions, and which
// features it has. A string that is no name of a feature is passed over.
func parseShown(shown []byte) (features []string, ok bool) {
	if len(shown) > maxShown {
		return nil, false
	}
	for i, name := range strings.Split(string(shown), ",") {
		switch {
		case i == 0 && name != shownVersion:
			return nil, false
		case i > 0 && wire.ValidFeature(name) && len(features) < maxFeatures:
			features = append(features, name)
		}
	}
	return features, true
}
