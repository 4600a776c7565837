package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

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
//	{"event":"receipt","tag":…,"id":"<40 hex>","ms":84,"hops":4,"proved":true,"handed":false}
//	{"event":"receipt",…,"kept":"2026-01-02T15:04:05Z","keeper":"<40 hex>"}           not delivered, but kept by a mailbox
//	{"event":"error","tag":…,"status":4,"error":"…"}                                  see errorEvent
//	{"event":"dropped","count":1}
//
// Input, one object a line. An invalid line is answered with an error event:
//
//	{"send":{"to":"<40 hex>","data":…}}   {"connect":"<40 hex>"}   {"disconnect":"<40 hex>"}   {"peers":true}
//	{"send":{"to":"<40 hex>","data":…,"tag":…,"reliable":true,"keep":"1h"}}           see --keep; may be left out
//
// A tag is any JSON value. It comes back in the receipt or the error of the message. Each message
// with "reliable" is answered by one of the two.
//
// A message for which there is no room is held until there is some, and meanwhile the input is not
// read: see hold.
//
// Output that is not read holds up nothing else: commands are obeyed, and the peer relays. Only
// messages with "reliable" are held beyond maxReliable that have no receipt, or whose receipt is not
// read. Events wait in this order: in the pipe, here, and as messages and events for a slow handler,
// as package protocol describes. Messages beyond that are dropped, and so are answers to commands
// beyond outputBytes. A dropped event has their number. Of the peers that come and go the last state
// is always told.
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
}

// An errorEvent is about a bootstrap, or of an invalid line, or of a message that was not sent or
// has no receipt. Then it has the tag, if there is one. Status is what is known of a message with
// "reliable" and is the exit status of send: exitNoPeer or exitUnknown. 0 means any other error.
type errorEvent struct {
	Event  string          `json:"event"`
	Tag    json.RawMessage `json:"tag,omitempty"`
	Status int             `json:"status,omitempty"`
	Error  string          `json:"error"`
}

func newErrorEvent(tag json.RawMessage, err error) errorEvent {
	e := errorEvent{Event: "error", Tag: tag, Error: err.Error()}
	if exit := (exitError{}); errors.As(err, &exit) && exit.status > exitUsage {
		e.Status = exit.status
	}
	return e
}

// A receiptEvent is a receipt as a line of output.
type receiptEvent struct {
	Event  string          `json:"event"`
	Tag    json.RawMessage `json:"tag,omitempty"`
	ID     protocol.ID     `json:"id"`
	MS     int64           `json:"ms"`
	Hops   int             `json:"hops"`
	Proved bool            `json:"proved"`
	Handed bool            `json:"handed"`
	Kept   string          `json:"kept,omitempty"`
	Keeper *protocol.ID    `json:"keeper,omitempty"`
}

func newReceiptEvent(tag json.RawMessage, to protocol.ID, r protocol.Receipt) receiptEvent {
	e := receiptEvent{Event: "receipt", Tag: tag, ID: to, MS: milliseconds(r.Took), Hops: r.Hops, Proved: r.Proved, Handed: r.Handed}
	if r.IsKept() {
		e.Kept, e.Keeper = keptUntil(r), &r.Keeper
	}
	return e
}

// milliseconds rounds up, since no message takes no time.
func milliseconds(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
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

// An events value writes lines of JSON about a peer, and obeys such lines.
type events struct {
	// Fixed after newEvents.
	out    *output
	peer   *compat.PeerRelay
	places chan struct{} // one token for each message with "reliable" that has not been answered

	lost   losses       // owned by the handlers
	full   time.Time    // when the first message found no room since one did, zero if none; owned by obey
	failed atomic.Int64 // messages that were accepted or held, and were not delivered or have no receipt
}

func newEvents(out *output, peer *compat.PeerRelay) *events {
	out.lost = func(lines uint64) []byte { return encode(droppedEvent{"dropped", lines}) }
	return &events{out: out, peer: peer, places: make(chan struct{}, maxReliable), lost: losses{peer: peer}}
}

// encode returns the line for an event. Data is JSON text of another peer. json.Marshal checks
// and compacts it, and without escaping leaves the rest unchanged.
func encode(v any) []byte {
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		line.Reset()
		enc.Encode(newErrorEvent(nil, err))
	}
	return line.Bytes()
}

// answer writes the answer to a command. It does not wait, so that the next command is obeyed.
func (e *events) answer(v any) { e.out.Write(encode(v)) }

func (e *events) fail(tag json.RawMessage, err error) { e.answer(newErrorEvent(tag, err)) }

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
	e.peer.OnError(func(err error) { e.tell(newErrorEvent(nil, err)) })
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
		ended <- e.obey(ctx, p.stdin)
	}()
	var err error
	select {
	case <-ctx.Done():
	case err = <-ended:
	}
	e.settle()
	return errors.Join(err, e.failure())
}
