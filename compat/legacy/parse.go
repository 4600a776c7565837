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

// A legacy message, with its keys in the order in which they are written:
//
//	{"to":"<40 hex>","from":"<40 hex>","path":["<40 hex>",…],"nonce":"370139348282462",
//	 "data":{"type":"user","data":…}, … other members, "pr":{…}}
//
// pr carries what the other members cannot, through JS peers, which keep members that they do
// not know. It holds strings and arrays of strings, since JS would round a number:
//
//	h  base64url  the head of the Body, if the other members do not express all of it
//	s  base64url  the signature
//	r  [hex]      the route
//	t  8 hex      the budgets as they were when the path was empty, if not NewHop
//	v  "1,…"      on a link's first findPeers: the sender knows this, and these features
//	a  base64url  the signed peer record, if there is no h
//	p  base64url  the payload of a receipt, notice, ping or report, whose data is {"type":"pr"}
//
// Every hop appends one entry to the path. So t loses one transmission for each entry of the
// path, whether a Go peer or a JS peer has appended it.

// maxText is the largest size of a message in bytes of text. It is enough for the JSON form of
// every Body up to wire.MaxBody, in which a byte takes at most four characters, and the other
// members.
const maxText = 1_153_433

// The largest number of bytes of pr.v, and of its features, that are read.
const (
	maxShown    = 2048
	maxFeatures = 32
)

// shownVersion is the beginning of pr.v.
const shownVersion = "1"

// base64url accepts only one spelling of the same bytes.
var base64url = base64.RawURLEncoding.Strict()

// errSyntax returns the error for a text that no JSON.stringify has written. The neighbour
// itself is at fault.
func errSyntax(err error) error {
	if errors.Is(err, rawjson.ErrDepth) {
		return passedOn("%v", err)
	}
	return fmt.Errorf("%w: %v", wire.ErrMalformed, err)
}

// passedOn returns the error for a message that a JS neighbour may forward unchecked.
func passedOn(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{wire.ErrPassedOn}, args...)...)
}

// A legacyMessage is the content of one message. The slices alias the text.
type legacyMessage struct {
	has   members
	to    protocol.ID
	from  protocol.ID
	path  [wire.MaxPath]protocol.ID
	hops  int
	nonce []byte
	data  dataMember
	pr    prMember
	extra []rawjson.Member // members with other keys

	fault error // the first fault of a member
}

// A prMember is the member pr. An absent part is nil.
type prMember struct {
	head, sig, record []byte // raw base64url
	hop               []byte // raw hex
	shown             []byte // raw string
	payload           []byte // raw base64url
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

// needed are the members without which there is no message.
const needed = hasTo | hasFrom | hasPath | hasNonce | hasData

// topLevel returns the member that a raw key names, or 0 if it is another one.
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

// plainKey returns a key without its escapes, or nil if it cannot be spelled so.
func plainKey(key []byte) []byte {
	plain := rawjson.AppendUnquoted([]byte{'"'}, key)
	if bytes.IndexByte(plain, '\\') >= 0 {
		return nil // none of the known keys has one
	}
	return append(plain, '"')
}

// parseMessage returns the frame of one legacy message for the peer self. The frame has its own
// bytes. shown is the raw string pr.v or nil, and aliases text. scratch is reused for a decoded
// Buffer.
//
// The error wraps wire.ErrPassedOn if an honest JS neighbour may have forwarded the message,
// and otherwise wire.ErrMalformed.
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

// scan reads the text once. The last of equal keys counts, as in JS.
func (m *legacyMessage) scan(text []byte, scratch *[]byte) error {
	s := rawjson.NewScanner(text)
	if !s.EnterObject() {
		s.Value()
		if err := s.End(); err != nil {
			return errSyntax(err)
		}
		return fmt.Errorf("%w: the message is not an object", wire.ErrMalformed)
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
		m.blame("%s is not an id", name)
	}
	return id
}

// text returns the inside of a raw value, which must be a string.
func (m *legacyMessage) text(raw []byte, name string) []byte {
	if len(raw) == 0 || raw[0] != '"' {
		m.blame("%s is not a string", name)
		return nil
	}
	return unquote(raw)
}

// unquote returns the inside of a raw string. It is a slice of raw if there are no escapes.
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
		m.blame("path is not an array")
		return
	}
	for s.More() {
		id, ok := rawjson.ParseID(s.Value())
		switch {
		case !ok:
			m.blame("path has an entry that is not an id")
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
		m.blame("pr is not an object")
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
			m.pr.payload = m.text(s.Value(), "pr.p")
		default: // a key of a later version
			s.Value()
		}
	}
}

func (m *legacyMessage) scanRoute(s *rawjson.Scanner) {
	m.pr.route = nil
	if !s.EnterArray() {
		s.Value()
		m.blame("pr.r is not an array")
		return
	}
	for s.More() {
		id, ok := rawjson.ParseID(s.Value())
		switch {
		case !ok:
			m.blame("pr.r has an entry that is not an id")
		case len(m.pr.route) == wire.MaxRoute:
			m.blame("pr.r has more than %d entries", wire.MaxRoute)
		default:
			m.pr.route = append(m.pr.route, id)
		}
	}
}

// frame returns the frame of the scanned message.
func (m *legacyMessage) frame(self protocol.ID) (*wire.Frame, error) {
	switch {
	case m.has&needed != needed:
		return nil, passedOn("no %s", (needed &^ m.has).first())
	case m.hops == 0:
		return nil, passedOn("the path is empty")
	case m.to == protocol.ID{}:
		return nil, passedOn("a message to the zero id, which no peer has")
	case !wire.ValidNonce(m.nonce):
		return nil, passedOn("the nonce has %d bytes or is not printable, want 1 to %d printable ones", len(m.nonce), wire.MaxNonce)
	case m.pr.payload != nil && !m.data.isPR():
		return nil, passedOn("pr.p stands beside a data that is not of type pr")
	}
	hop, err := m.hop()
	if err != nil {
		return nil, err
	}
	msg := wire.MessageFields{Hop: hop, Nonce: m.nonce, Route: m.pr.route, Path: m.path[:m.hops]}
	layOut := wire.NewMessageFrame
	if m.pr.head != nil {
		if msg.Body, err = m.signedBody(); err == nil {
			msg.Sig, err = decode64(m.pr.sig, wire.MaxSig, "pr.s")
		}
	} else {
		msg.Body, err = m.body(m.to == self)
		layOut = wire.EncodeMessageFrame
	}
	if err != nil {
		return nil, err
	}
	f, err := layOut(msg)
	if err != nil {
		return nil, passedOn("%v", err)
	}
	f.MarkParsed()
	return f, nil
}

// first returns the name of the first key in a set that is not empty.
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
	// The decoder skips line breaks, and an unquoted string may have some.
	if bytes.ContainsAny(text, "\r\n") {
		return nil, passedOn("%s is not base64url", name)
	}
	b, err := base64url.AppendDecode(nil, text)
	if err != nil {
		return nil, passedOn("%s: %v", name, err)
	}
	return b, nil
}

// signedBody joins the Body from the head in pr.h and the payload in data or pr.p. The Body must
// agree with the other members.
func (m *legacyMessage) signedBody() (wire.Body, error) {
	head, err := decode64(m.pr.head, wire.MaxBody, "pr.h")
	if err != nil {
		return wire.Body{}, err
	}
	join := m.joinData
	if m.data.isPR() {
		join = m.joinPR
	}
	b, kind, err := join(head)
	switch {
	case err != nil:
		return b, err
	case b.To != m.to, b.From != m.from, b.Kind != kind:
		return b, passedOn("pr.h says %v from %v to %v, the message around it %v from %v to %v", b.Kind, b.From, b.To, kind, m.from, m.to)
	}
	if _, _, err := appendExtra(nil, b.Extra); err != nil {
		return b, passedOn("pr.h: %v", err)
	}
	return b, nil
}

// joinData joins the Body from a head and the payload in data. kind is what data says.
func (m *legacyMessage) joinData(head []byte) (b wire.Body, kind wire.Kind, err error) {
	kind, form, payload, err := m.data.native(false)
	if err != nil {
		return b, kind, passedOn("%v", err)
	}
	b, err = wire.JoinBody(head, form, payload)
	if err != nil && form == wire.FormRaw && kind == wire.KindUser {
		// A JSON value may look like a Buffer.
		b, err = wire.JoinBody(head, wire.FormJSON, m.data.value)
	}
	if err != nil {
		return b, kind, passedOn("pr.h: %v", err)
	}
	return b, kind, nil
}

// joinPR joins the Body from a head and the payload in pr.p. Only the head says the kind.
func (m *legacyMessage) joinPR(head []byte) (b wire.Body, kind wire.Kind, err error) {
	if m.pr.payload == nil {
		return b, 0, passedOn("a data of type pr without pr.p")
	}
	payload, err := decode64(m.pr.payload, wire.MaxBody, "pr.p")
	if err != nil {
		return b, 0, err
	}
	if b, err = wire.JoinBody(head, wire.FormRaw, payload); err != nil {
		return b, 0, passedOn("pr.h: %v", err)
	}
	if !isInPR(b.Kind, b.Form) {
		return b, 0, passedOn("pr.h says %v, which has a data of its own", b.Kind)
	}
	return b, b.Kind, nil
}

// body returns the Body of a message whose members express all of it. It is not encoded.
func (m *legacyMessage) body(forSelf bool) (b wire.Body, err error) {
	b.To, b.From = m.to, m.from
	if b.Kind, b.Form, b.Payload, err = m.data.native(forSelf); err != nil {
		return b, passedOn("%v", err)
	}
	if b.Record, err = decode64(m.pr.record, wire.MaxRecord, "pr.a"); err != nil {
		return b, err
	}
	b.Extra = joinExtra(m.extra)
	return b, nil
}

// joinExtra returns the other members as one object, or nil if there are none.
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

// parseShown reads pr.v. It returns whether its sender knows the extensions, and its features.
// A part that is not the name of a feature is skipped.
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
