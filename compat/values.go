package compat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// Undefined is the value of a message that was sent without one: undefined in JavaScript, which
// JSON leaves out. Null is nil.
var Undefined = undefined{}

type undefined struct{}

func (undefined) String() string { return "undefined" }

func encodeData(data any) (wire.Form, []byte, error) {
	switch data := data.(type) {
	case []byte:
		return wire.FormRaw, data, nil
	case undefined:
		return wire.FormNone, nil, nil
	case json.RawMessage:
		return canonical(data)
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(data); err != nil {
		return 0, nil, err
	}
	return canonical(text.Bytes())
}

// canonical returns JSON text as the fixed point of JSON.stringify(JSON.parse(text)). So the
// text crosses JS relays unchanged, and a signature over it stays valid. The exact text of a
// Buffer becomes its bytes.
func canonical(text []byte) (wire.Form, []byte, error) {
	out, err := rawjson.Canonical(nil, text)
	if err != nil {
		return 0, nil, err
	}
	if raw, ok := rawjson.DecodeBuffer(nil, out); ok {
		return wire.FormRaw, raw, nil
	}
	return wire.FormJSON, out, nil
}

// An incoming is a message that waits for listeners. It is decoded late, since a value may take
// forty times the memory of its text. It needs no lock: only one listener is called at once.
type incoming struct {
	m      protocol.Message
	done   bool // open was called
	good   bool // opened is valid
	opened Message
}

// open decodes the message for its first listener, and reports whether it is valid.
func (i *incoming) open() bool {
	if i.done {
		return i.good
	}
	i.done = true
	out := Message{From: i.m.From, Proved: i.m.Proved, Path: i.m.Path}
	switch i.m.Form {
	case wire.FormNone:
		out.Data = Undefined
	case wire.FormRaw:
		out.Data, out.JSON = i.m.Payload, rawjson.AppendBuffer(nil, i.m.Payload)
	case wire.FormJSON:
		data, err := decode(i.m.Payload)
		if err != nil {
			return false // a native peer sent invalid JSON as JSON
		}
		out.Data, out.JSON = data, i.m.Payload
	default:
		return false
	}
	i.opened, i.good = out, true
	return true
}

// decode returns the value of JSON as JSON.parse reads it, as far as Go's types can hold it.
func decode(text []byte) (any, error) {
	if !rawjson.Valid(text) {
		return nil, fmt.Errorf("%w: the payload is not JSON", wire.ErrMalformed)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	return floats(v), nil
}

// floats replaces each json.Number with a float64. A number that is too large becomes infinite.
func floats(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, _ := strconv.ParseFloat(string(v), 64)
		return f
	case []any:
		for i := range v {
			v[i] = floats(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = floats(v[k])
		}
	}
	return v
}
