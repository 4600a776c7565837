package legacy

import (
	"bytes"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// The member data of a legacy message, and the kind, form and payload of a Body:
//
//	{"type":"user"}                        KindUser    FormNone
//	{"type":"user","data":BUFFER}          KindUser    FormRaw   if spelled as JSON.stringify does
//	{"type":"user","data":V}               KindUser    FormJSON  V as it is
//	{"type":"findPeers","data":ID}         KindFind    FormRaw
//	{"type":"foundPeers","data":[ID,…]}    KindFound   FormRaw
//	{"type":"handshake-offer"}             KindOffer   FormNone
//	{"type":"handshake-answer","data":A}   KindAnswer  FormRaw; FormNone if A is null
//	{"type":"signal","data":{…}}           KindSignal  FormJSON
//	{"type":"pr"}                          KindReceipt FormRaw   or KindNotice, KindPing or KindReport, as pr.h says; the payload is pr.p
//	anything else                          KindOther   FormWholeJSON
//
// A message that is to be forwarded is translated only if translating it back yields the same
// bytes. Only ids may become lower-case hex, which every peer reads in the same way. So the
// text of another implementation stays as it is. A message for this peer itself is read as JS
// reads it: white space, the order of keys and additional ones do not matter.
//
// Only well-formed data crosses, in both directions. A JS peer forwards data that it does not
// check, so malformed data would reach peers that expect the forms above.

// maxURL is the largest length in bytes of the URL in an answer.
const maxURL = 2048

// The fixed parts of the exact spelling.
const (
	dataHead = `{"type":`
	dataNext = `,"data":`
	dataTail = `}`
)

// The types of data, as raw JSON.
const (
	typeUser   = `"user"`
	typeFind   = `"findPeers"`
	typeFound  = `"foundPeers"`
	typeOffer  = `"handshake-offer"`
	typeAnswer = `"handshake-answer"`
	typeSignal = `"signal"`
	typePR     = `"pr"`
)

// dataPR is the data of a message whose kind is in pr.h, and whose payload is pr.p. JS peers
// ignore it.
const dataPR = dataHead + typePR + dataTail

// isInPR reports whether a message of this kind and form has its payload in pr.p.
func isInPR(kind wire.Kind, form wire.Form) bool {
	switch kind {
	case wire.KindReceipt, wire.KindNotice, wire.KindPing, wire.KindReport:
		return form == wire.FormRaw
	}
	return false
}

// A dataMember is the member data as its text has it. The slices alias the text. nil means an
// absent member.
type dataMember struct {
	text   []byte
	object bool
	count  int    // members of the object
	exact  bool   // it has the exact spelling
	typ    []byte // raw value of its member type
	value  []byte // raw value of its member data
	buffer []byte // the bytes if value is exactly a Buffer; nil means it is not
}

// scan reads the next value of s. text is the whole text of s.
func (d *dataMember) scan(s *rawjson.Scanner, text []byte, scratch *[]byte) {
	*d = dataMember{}
	first := s.Peek()
	start := s.Offset()
	if first != '{' || !s.EnterObject() {
		d.text = s.Value()
		return
	}
	d.object = true
	inOrder := true
	for s.More() {
		raw := s.Key()
		key := raw
		if bytes.IndexByte(raw, '\\') >= 0 {
			key, inOrder = plainKey(raw), false
		}
		switch string(key) {
		case `"type"`:
			inOrder = inOrder && d.count == 0
			d.typ = s.Value()
		case `"data"`:
			inOrder = inOrder && d.count == 1
			d.scanValue(s, text, scratch)
		default:
			inOrder = false
			s.Value()
		}
		d.count++
	}
	if s.Err() != nil {
		return
	}
	d.text = text[start:s.Offset()]
	size := len(dataHead) + len(d.typ) + len(dataTail)
	if d.value != nil {
		size += len(dataNext) + len(d.value)
	}
	d.exact = inOrder && d.typ != nil && len(d.text) == size // no white space
}

func (d *dataMember) scanValue(s *rawjson.Scanner, text []byte, scratch *[]byte) {
	d.buffer = nil
	if string(d.typ) == typeUser {
		s.Peek()
		start := s.Offset()
		if b, ok := s.Buffer((*scratch)[:0]); ok {
			*scratch = b
			d.buffer = b
			if b == nil {
				d.buffer = []byte{}
			}
			d.value = text[start:s.Offset()]
			return
		}
	}
	d.value = s.Value()
}

// isPR reports whether the kind and the payload are in pr. Any other spelling is data of an unknown
// type, even in a message for this peer: no JS peer writes either.
func (d *dataMember) isPR() bool { return string(d.text) == dataPR }

// An invalidData is the error for a data that must not be forwarded.
type invalidData string

func (e invalidData) Error() string { return string(e) }

// native returns the meaning of the data. liberal means that the message is for this peer,
// which reads it as JS does.
func (d *dataMember) native(liberal bool) (kind wire.Kind, form wire.Form, payload []byte, err error) {
	if !d.object {
		if string(d.text) == "null" {
			return 0, 0, nil, invalidData("data is null")
		}
		return wire.KindOther, wire.FormWholeJSON, d.text, nil
	}
	typ, exact := d.typ, d.exact
	if len(typ) > 0 && typ[0] == '"' && bytes.IndexByte(typ, '\\') >= 0 {
		typ, exact = plainKey(typ), false
	}
	var ok bool
	switch string(typ) {
	case typeUser:
		kind, ok = wire.KindUser, exact
		switch {
		case d.value == nil:
			form = wire.FormNone
		case d.buffer != nil:
			form, payload = wire.FormRaw, d.buffer
		default:
			form, payload = wire.FormJSON, d.value
		}
	case typeFind:
		kind, form, ok = wire.KindFind, wire.FormRaw, d.count == 2
		payload, err = d.findPayload()
	case typeFound:
		kind, form = wire.KindFound, wire.FormRaw
		payload, err = d.foundPayload()
		const most = wire.MaxFound * wire.IDSize
		ok = d.count == 2 && len(payload) <= most
		payload = payload[:min(len(payload), most)]
	case typeOffer:
		kind, form, ok = wire.KindOffer, wire.FormNone, exact && d.value == nil
	case typeAnswer:
		kind = wire.KindAnswer
		form, payload, err = d.answerPayload()
		ok = exact && err == nil && d.isExact(kind, form, payload)
		if form == wire.FormWholeJSON { // not an answer, and harmless
			liberal = false
		}
	case typeSignal:
		kind, form, ok = wire.KindSignal, wire.FormJSON, exact
		payload, err = d.value, checkSignal(d.value)
	case typePR:
		liberal = false
		if d.isPR() {
			err = invalidData("a data of type pr without pr.h")
		}
	default:
		liberal = false
	}
	if err != nil {
		return 0, 0, nil, err
	}
	if !ok && !liberal {
		return wire.KindOther, wire.FormWholeJSON, d.text, nil
	}
	return kind, form, payload, nil
}

// isExact reports whether these values would be written exactly as the text.
func (d *dataMember) isExact(kind wire.Kind, form wire.Form, payload []byte) bool {
	again, err := appendData(nil, kind, form, payload, true)
	return err == nil && bytes.Equal(again, d.text)
}

func (d *dataMember) findPayload() ([]byte, error) {
	id, ok := rawjson.ParseID(d.value)
	if !ok {
		return nil, invalidData("a findPeers without an id")
	}
	return id[:], nil
}

func (d *dataMember) foundPayload() ([]byte, error) {
	s := rawjson.NewScanner(d.value)
	if !s.EnterArray() {
		return nil, invalidData("a foundPeers without ids")
	}
	var ids []byte
	for s.More() {
		id, ok := rawjson.ParseID(s.Value())
		if !ok {
			return nil, invalidData("a foundPeers with an invalid id")
		}
		ids = append(ids, id[:]...)
	}
	return ids, nil
}

// answerPayload reads {"ws":string or null,"wrtc":bool}. The URL must be one that JS can dial:
// a JS peer crashes on any other.
func (d *dataMember) answerPayload() (wire.Form, []byte, error) {
	if d.value == nil || string(d.value) == "null" {
		return wire.FormNone, nil, nil
	}
	if d.value[0] != '{' {
		return wire.FormWholeJSON, nil, nil
	}
	ms, err := rawjson.AppendMembers(nil, d.value)
	if err != nil {
		return 0, nil, invalidData(err.Error())
	}
	a := wire.Answer{NoWS: true}
	for _, m := range rawjson.LastWins(ms) {
		switch string(m.Key) {
		case "ws":
			if a.WS, a.NoWS, err = answerURL(m.Value); err != nil {
				return 0, nil, err
			}
		case "wrtc":
			a.WRTC = isTruthy(m.Value)
		}
	}
	return wire.FormRaw, wire.AppendAnswer(nil, a), nil
}

func answerURL(raw []byte) (ws string, none bool, err error) {
	if raw[0] != '"' {
		if isTruthy(raw) {
			return "", false, invalidData("a handshake-answer whose ws is not a string")
		}
		return "", true, nil
	}
	ws = string(unquote(raw))
	if ws != "" {
		if _, err := parseURL(ws); err != nil {
			return "", false, invalidData("a handshake-answer with " + err.Error())
		}
	}
	return ws, false, nil
}

// isTruthy reports whether a raw value is true in JS.
func isTruthy(raw []byte) bool {
	switch raw[0] {
	case 'n', 'f':
		return false
	case '"':
		return len(raw) > 2
	case '{', '[', 't':
		return true
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	return err != nil || f != 0
}

// parseURL returns a ws:// or wss:// URL. It is stricter than necessary, since JS dials the URL
// too, and a URL that the ws package rejects ends a JS process. The error does not repeat the
// URL, which comes from a stranger.
func parseURL(text string) (*url.URL, error) {
	if len(text) > maxURL {
		return nil, invalidData("a URL of more than " + strconv.Itoa(maxURL) + " bytes")
	}
	if strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune("\"<>\\^`{|}#", c) }) {
		return nil, invalidData("a URL with a character that must be escaped, or a fragment")
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, invalidData("a URL that does not parse")
	}
	if u.Scheme != "ws" && u.Scheme != "wss" || u.User != nil || u.Opaque != "" {
		return nil, invalidData("a URL that is not ws:// or wss:// and a host")
	}
	host := u.Hostname()
	if strings.Contains(u.Host, "[") {
		if addr, err := netip.ParseAddr(host); err != nil || !addr.Is6() || addr.Zone() != "" {
			return nil, invalidData("a URL without a valid IPv6 address in its brackets")
		}
	} else if host == "" || strings.ContainsFunc(host, notInHost) {
		return nil, invalidData("a URL without a valid host")
	}
	if _, port, ok := strings.Cut(strings.TrimPrefix(u.Host, "["+host+"]"), ":"); ok {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, invalidData("a URL without a valid port")
		}
	}
	return u, nil
}

func notInHost(c rune) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '_':
		return false
	}
	return true
}

// checkSignal refuses a signal that is not an object, and a session description without its
// type or text.
func checkSignal(raw []byte) error {
	if len(raw) == 0 || raw[0] != '{' {
		return invalidData("a signal that is not an object")
	}
	ms, err := rawjson.AppendMembers(nil, raw)
	if err != nil {
		return invalidData("signal: " + err.Error())
	}
	var typ, sdp []byte
	for _, m := range rawjson.LastWins(ms) {
		switch string(m.Key) {
		case "type":
			typ = m.Value
		case "sdp":
			sdp = m.Value
		}
	}
	if sdp == nil || !isTruthy(sdp) {
		return nil
	}
	switch string(typ) {
	case `"offer"`, `"answer"`, `"pranswer"`:
		if sdp[0] == '"' {
			return nil
		}
	}
	return invalidData("a signal with an invalid session description")
}

// --- writing

// An unencodable is the error for a Body that has no legacy form.
type unencodable string

func (e unencodable) Error() string { return wire.ErrUnencodable.Error() + ": " + string(e) }

func (unencodable) Unwrap() error { return wire.ErrUnencodable }

// The depth of a payload in the message.
const (
	dataDepth  = 1
	valueDepth = 2
)

// appendData appends the member data of a Body. parsed reports that its payload came as JSON text,
// so that it is valid. On an error appendData returns dst unchanged.
func appendData(dst []byte, kind wire.Kind, form wire.Form, payload []byte, parsed bool) ([]byte, error) {
	b := append(dst, dataHead...)
	switch {
	case kind == wire.KindUser && form == wire.FormNone:
		b = append(b, typeUser...)
	case kind == wire.KindUser && form == wire.FormRaw:
		b = append(b, typeUser+dataNext...)
		b = rawjson.AppendBuffer(b, payload)
	case kind == wire.KindUser && form == wire.FormJSON:
		if !parsed && !rawjson.ValidInside(payload, valueDepth) {
			return dst, unencodable("the payload is not exactly one JSON value")
		}
		b = append(b, typeUser+dataNext...)
		b = append(b, payload...)
	case kind == wire.KindFind && form == wire.FormRaw && len(payload) == wire.IDSize:
		b = append(b, typeFind+dataNext...)
		b = rawjson.AppendID(b, protocol.ID(payload))
	case kind == wire.KindFound && form == wire.FormRaw:
		ids, err := wire.ParseFound(payload)
		if err != nil {
			return dst, unencodable(err.Error())
		}
		b = append(b, typeFound+dataNext...)
		b = appendIDs(b, ids)
	case kind == wire.KindOffer && form == wire.FormNone:
		b = append(b, typeOffer...)
	case kind == wire.KindAnswer && form == wire.FormNone:
		b = append(b, typeAnswer+dataNext+"null"...)
	case kind == wire.KindAnswer && form == wire.FormRaw:
		var err error
		if b, err = appendAnswer(append(b, typeAnswer+dataNext...), payload); err != nil {
			return dst, err
		}
	case kind == wire.KindSignal && form == wire.FormJSON:
		if !parsed && !rawjson.ValidInside(payload, valueDepth) {
			return dst, unencodable("the signal is not exactly one JSON value")
		}
		if err := checkSignal(payload); err != nil {
			return dst, unencodable(err.Error())
		}
		b = append(b, typeSignal+dataNext...)
		b = append(b, payload...)
	case isInPR(kind, form):
		return append(dst, dataPR...), nil
	case kind == wire.KindOther && form == wire.FormWholeJSON:
		if err := checkWhole(payload); err != nil {
			return dst, err
		}
		return append(dst, payload...), nil
	default:
		return dst, unencodable("a body of kind " + kind.String() + " and form " + strconv.Itoa(int(form)))
	}
	return append(b, dataTail...), nil
}

// checkWhole refuses a whole data that is not one JSON value, that has a kind of its own, or
// that is malformed.
func checkWhole(text []byte) error {
	if !rawjson.ValidInside(text, dataDepth) {
		return unencodable("the data is not exactly one JSON value")
	}
	var d dataMember
	var scratch []byte
	s := rawjson.NewScanner(text)
	d.scan(&s, text, &scratch)
	kind, _, _, err := d.native(false)
	if err != nil {
		return unencodable(err.Error())
	}
	if kind != wire.KindOther {
		return unencodable("the data is of kind " + kind.String() + " but the body says another kind")
	}
	return nil
}

func appendAnswer(b, payload []byte) ([]byte, error) {
	a, err := wire.ParseAnswer(payload)
	if err != nil {
		return b, unencodable(err.Error())
	}
	if !bytes.Equal(wire.AppendAnswer(nil, a), payload) {
		return b, unencodable("an answer that is not spelled in the usual form")
	}
	b = append(b, `{"ws":`...)
	if a.NoWS {
		b = append(b, "null"...)
	} else {
		if a.WS != "" {
			if _, err := parseURL(a.WS); err != nil {
				return b, unencodable(err.Error())
			}
		}
		b = rawjson.AppendString(b, a.WS)
	}
	b = append(b, `,"wrtc":`...)
	b = strconv.AppendBool(b, a.WRTC)
	return append(b, '}'), nil
}

func appendIDs(b []byte, ids []protocol.ID) []byte {
	b = append(b, '[')
	for i := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = rawjson.AppendID(b, ids[i])
	}
	return append(b, ']')
}
