package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// readData returns the message: the argument, or all of standard input for "-". Without an
// argument the message has no value. What --as does not allow, or what would arrive as something
// else, is an error.
func (p *program) readData(args []string) (any, error) {
	as, ok := kinds[p.flags.as]
	if !ok {
		return nil, wrongUsage("--as %q: want string, json or bytes", p.flags.as)
	}
	if len(args) == 0 {
		return compat.Undefined, nil
	}
	text := []byte(args[0])
	if args[0] == "-" {
		var err error
		if text, err = io.ReadAll(io.LimitReader(p.stdin, maxLine+1)); err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		if len(text) > maxLine {
			return nil, wrongUsage("standard input: more than %d bytes, and a message has at most %d", maxLine, wire.MaxText)
		}
	}
	return as(text)
}

// kinds are the values of --as.
var kinds = map[string]func(text []byte) (any, error){"string": asString, "bytes": asBytes, "json": asJSON}

func asString(text []byte) (any, error) {
	if !utf8.Valid(text) {
		return nil, wrongUsage("--as string: the data is not valid UTF-8, and would not arrive as it is: try --as bytes")
	}
	if size := len(text) + len(`""`); size > wire.MaxText {
		return nil, wrongUsage("--as string: %d bytes of JSON are too many, at most %d reach every peer", size, wire.MaxText)
	}
	return string(text), nil
}

func asBytes(text []byte) (any, error) {
	if len(text) > wire.MaxPayload {
		return nil, wrongUsage("--as bytes: %d bytes are too many, at most %d reach every peer", len(text), wire.MaxPayload)
	}
	return text, nil
}

func asJSON(text []byte) (any, error) {
	if !utf8.Valid(text) {
		return nil, wrongUsage("--as json: the data is not valid UTF-8")
	}
	var value json.RawMessage
	if err := json.Unmarshal(text, &value); err != nil {
		return nil, wrongUsage("--as json: the data is not one JSON value: %v", err)
	}
	if err := altered(value); err != nil {
		return nil, wrongUsage("--as json: %v", err)
	}
	return value, nil
}

// altered returns an error if a value would arrive as another one. Peers in JavaScript read whole
// numbers as float64, which rounds long ones, and of members with equal names keep the last.
// Fractions are rounded everywhere, so they pass.
func altered(value json.RawMessage) error {
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber()
	var open []map[string]bool // the names of the objects around a token, innermost last; nil means an array
	isName := false            // the next token is a name or the end of an object
	for {
		token, err := dec.Token()
		if err != nil {
			return nil // the end: the value is valid
		}
		switch token := token.(type) {
		case json.Delim:
			switch token {
			case '{':
				open = append(open, map[string]bool{})
			case '[':
				open = append(open, nil)
			default:
				open = open[:len(open)-1]
			}
			isName = len(open) > 0 && open[len(open)-1] != nil
			continue
		case json.Number:
			if err := alteredNumber(token.String()); err != nil {
				return err
			}
		case string:
			if isName {
				names := open[len(open)-1]
				if names[token] && !strings.ContainsRune(token, utf8.RuneError) { // which stands for all invalid text
					return fmt.Errorf("an object has two members %.64q, of which only the last would arrive", token)
				}
				names[token], isName = true, false
				continue
			}
		}
		isName = len(open) > 0 && open[len(open)-1] != nil
	}
}

func alteredNumber(text string) error {
	f, _ := strconv.ParseFloat(text, 64)
	if math.IsInf(f, 0) {
		return fmt.Errorf("the number %.64s is too large, and would arrive as null", text)
	}
	if strings.ContainsAny(text, ".eE") || text == "-0" {
		return nil
	}
	if arrives := strconv.FormatFloat(f, 'f', -1, 64); arrives != text {
		return fmt.Errorf("the number %.64s would arrive as %s: send it as a string", text, arrives)
	}
	return nil
}
