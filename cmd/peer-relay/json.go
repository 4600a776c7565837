package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

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
//
// Input, one object a line. An invalid line is answered with an error event:
//
//	{"send":{"to":"<40 hex>","data":…}}   {"connect":"<40 hex>"}   {"disconnect":"<40 hex>"}   {"peers":true}
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

// An events value writes lines of JSON. Its methods may be called from any goroutine.
type events struct {
	mu  sync.Mutex
	out io.Writer
}

func newEvents(out io.Writer) *events { return &events{out: out} }

// write writes one line. Data is JSON text of another peer. json.Marshal checks and compacts
// it, and without escaping leaves the rest unchanged.
func (e *events) write(v any) {
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		line.Reset()
		enc.Encode(event{Event: "error", Error: err.Error()})
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.out.Write(line.Bytes()) // if the reader is gone, SIGPIPE ends the program
}

func (e *events) fail(err error) { e.write(event{Event: "error", Error: err.Error()}) }

// watch writes the events of a peer.
func (e *events) watch(peer *compat.PeerRelay) {
	peer.OnPeer(func(id compat.ID) { e.write(event{Event: "peer", ID: &id}) })
	peer.OnDisconnect(func(id compat.ID) { e.write(event{Event: "disconnect", ID: &id}) })
	peer.OnError(e.fail)
	peer.OnReceive(func(m compat.Message) {
		e.write(event{Event: "message", From: &m.From, Data: m.JSON, Proved: &m.Proved})
	})
}

// runJSON runs a peer as a child process until ctx is done or standard input ends.
func (p *program) runJSON(ctx context.Context, peer *compat.PeerRelay) error {
	e := newEvents(p.stdout)
	ready := readyEvent{Event: "ready", ID: peer.ID(), Addrs: []string{}}
	if u := peer.URL(); u != "" {
		ready.WS = &u
	}
	for _, a := range peer.Node().Addrs() {
		ready.Addrs = append(ready.Addrs, a.String())
	}
	e.write(ready)
	e.watch(peer)

	ended := make(chan error, 1)
	go func() { // ends with standard input, which may outlive run and end with the program
		ended <- e.obey(p.stdin, peer)
	}()
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		return err
	}
}

// obey executes the lines of in until its end.
func (e *events) obey(in io.Reader, peer *compat.PeerRelay) error {
	r := bufio.NewReaderSize(in, 64<<10)
	for {
		line, err := readLine(r)
		if errors.Is(err, errLongLine) {
			e.fail(err)
			continue
		}
		if len(bytes.TrimSpace(line)) > 0 {
			if err := e.command(line, peer); err != nil {
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

func (e *events) command(line []byte, peer *compat.PeerRelay) error {
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
		return peer.Send(*c.Send.To, data)
	case c.Connect != nil:
		peer.Connect(*c.Connect)
	case c.Disconnect != nil:
		peer.Disconnect(*c.Disconnect)
	case c.Peers != nil:
		ids := []compat.ID{}
		for _, info := range peer.Node().Router().Peers() {
			ids = append(ids, info.ID)
		}
		e.write(peersEvent{Event: "peers", Peers: ids})
	default:
		return errors.New(`input: want one of "send", "connect", "disconnect", "peers"`)
	}
	return nil
}
