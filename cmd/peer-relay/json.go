package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/protocol"
)

// With --json a program in another language runs peer-relay as its child. Output, one object a
// line:
//
//	{"event":"ready","id":"<40 hex>","ws":"ws://127.0.0.1:8001","addrs":["/ip4/…"]}   ws is null without a port
//	{"event":"peer","id":"<40 hex>"}
//	{"event":"disconnect","id":"<40 hex>"}
//	{"event":"message","from":"<40 hex>","data":…,"proved":false}                     no data means undefined
//	{"event":"peers","peers":["<40 hex>",…]}
//	{"event":"error","error":"…"}
//	{"event":"dropped","count":1}
//
// Input, one object a line. An invalid line is answered with an error event:
//
//	{"send":{"to":"<40 hex>","data":…}}   {"connect":"<40 hex>"}   {"disconnect":"<40 hex>"}   {"peers":true}
//
// Output that is not read holds up nothing else: commands are obeyed, and the peer relays. Events
// wait in this order: in the pipe, here, and as messages and events for a slow handler, as package
// protocol describes. Messages beyond that are dropped, and so are answers to commands beyond
// outputBytes. A dropped event has their number. Of the peers that come and go the last state is
// always told.
//
// Values are not decoded. In the output, numbers are not rounded. A value in the input becomes
// what JSON.stringify(JSON.parse(text)) returns.

// maxLine is the largest size in bytes of a line, and of the input of send: the largest message
// in any spelling.
const maxLine = 1 << 20

// An event is a line of output. Fields that are nil are left out, except in the ready event.
type event struct {
	Event  string          `json:"event"`
	ID     *compat.ID      `json:"id,omitempty"`
	From   *compat.ID      `json:"from,omitempty"`
	Data   json.RawMessage `json:"data,omitempty"`
	Proved *bool           `json:"proved,omitempty"`
	Error  string          `json:"error,omitempty"`
}

type readyEvent struct {
	Event string    `json:"event"`
	ID    compat.ID `json:"id"`
	WS    *string   `json:"ws"`
	Addrs []string  `json:"addrs"`
}

type peersEvent struct {
	Event string      `json:"event"`
	Peers []compat.ID `json:"peers"`
}

type droppedEvent struct {
	Event string `json:"event"`
	Count uint64 `json:"count"`
}

// An events value writes lines of JSON about a peer.
type events struct {
	out  *output
	peer *compat.PeerRelay
	lost losses
}

func newEvents(out *output, peer *compat.PeerRelay) *events {
	out.lost = func(lines uint64) []byte { return encode(droppedEvent{"dropped", lines}) }
	return &events{out: out, peer: peer, lost: losses{peer: peer}}
}

// encode returns the line for an event. Data is JSON text of another peer. json.Marshal checks
// and compacts it, and without escaping leaves the rest unchanged.
func encode(v any) []byte {
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		line.Reset()
		enc.Encode(event{Event: "error", Error: err.Error()})
	}
	return line.Bytes()
}

// answer writes the answer to a command. It does not wait, so that the next command is obeyed.
func (e *events) answer(v any) { e.out.Write(encode(v)) }

func (e *events) fail(err error) { e.answer(event{Event: "error", Error: err.Error()}) }

// tell writes an event of the peer. It waits for the reader, so that the peer keeps what comes
// meanwhile.
func (e *events) tell(v any) {
	e.out.put(encode(v))
	if n := e.lost.more(); n > 0 {
		e.out.put(encode(droppedEvent{"dropped", n}))
	}
}

// watch writes the events of the peer.
func (e *events) watch() {
	e.peer.OnPeer(func(id compat.ID) { e.tell(event{Event: "peer", ID: &id}) })
	e.peer.OnDisconnect(func(id compat.ID) { e.tell(event{Event: "disconnect", ID: &id}) })
	e.peer.OnError(func(err error) { e.tell(event{Event: "error", Error: err.Error()}) })
	e.peer.OnReceive(func(m compat.Message) {
		e.tell(event{Event: "message", From: &m.From, Data: m.JSON, Proved: &m.Proved})
	})
}

// runJSON runs a peer as a child process until ctx is done or standard input ends.
func (p *program) runJSON(ctx context.Context, peer *compat.PeerRelay) error {
	e := newEvents(p.stdout, peer)
	ready := readyEvent{Event: "ready", ID: peer.ID(), Addrs: []string{}}
	if u := peer.URL(); u != "" {
		ready.WS = &u
	}
	for _, a := range peer.Node().Addrs() {
		ready.Addrs = append(ready.Addrs, a.String())
	}
	e.answer(ready)
	e.watch()

	ended := make(chan error, 1)
	go func() { // ends with standard input, which may outlive run and end with the program
		ended <- e.obey(p.stdin)
	}()
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		return err
	}
}

// obey executes the lines of in until its end.
func (e *events) obey(in io.Reader) error {
	r := bufio.NewReaderSize(in, 64<<10)
	for {
		line, err := readLine(r)
		if errors.Is(err, errLongLine) {
			e.fail(err)
			continue
		}
		if len(bytes.TrimSpace(line)) > 0 {
			if err := e.command(line); err != nil {
				e.fail(err)
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("standard input: %w", err)
		}
	}
}

var errLongLine = fmt.Errorf("a line of more than %d bytes was skipped", maxLine)

// readLine returns the next line, and skips a line of more than maxLine bytes.
func readLine(r *bufio.Reader) (line []byte, err error) {
	long := false
	for {
		part, err := r.ReadSlice('\n')
		if long = long || len(line)+len(part) > maxLine; !long {
			line = append(line, part...)
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if long && err == nil {
			return nil, errLongLine
		}
		return line, err
	}
}

// A command is a line of input. Exactly one of its fields is set.
type command struct {
	Send *struct {
		To   *protocol.ID    `json:"to"`
		Data json.RawMessage `json:"data"`
	} `json:"send"`
	Connect    *protocol.ID `json:"connect"`
	Disconnect *protocol.ID `json:"disconnect"`
	Peers      *bool        `json:"peers"`
}

func (e *events) command(line []byte) error {
	var c command
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return fmt.Errorf("input: %w", err)
	}
	if dec.More() {
		return errors.New("input: more than one value on a line")
	}
	switch {
	case c.Send != nil && c.Send.To == nil:
		return errors.New(`input: want "to" in "send"`)
	case c.Send != nil:
		var data any = compat.Undefined
		if c.Send.Data != nil {
			data = c.Send.Data
		}
		return e.peer.Send(*c.Send.To, data)
	case c.Connect != nil:
		e.peer.Connect(*c.Connect)
	case c.Disconnect != nil:
		e.peer.Disconnect(*c.Disconnect)
	case c.Peers != nil:
		ids := []compat.ID{}
		for _, info := range e.peer.Node().Router().Peers() {
			ids = append(ids, info.ID)
		}
		e.answer(peersEvent{Event: "peers", Peers: ids})
	default:
		return errors.New(`input: want one of "send", "connect", "disconnect", "peers"`)
	}
	return nil
}
