package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/protocol"
)

// Limits of the messages that are sent.
const (
	maxReliable = 1024                   // messages with "reliable" that have not been answered
	receiptTime = 20 * time.Second       // longest wait for a receipt
	holdTime    = 30 * time.Second       // longest wait for room, in which no message gets any
	holdLeast   = 2 * time.Millisecond   // first wait before a held message is tried again, doubles
	holdMost    = 100 * time.Millisecond // longest one
)

// obey executes the lines of in until its end.
func (e *events) obey(ctx context.Context, in io.Reader) error {
	r := bufio.NewReaderSize(in, 64<<10)
	for {
		line, err := readLine(r)
		if errors.Is(err, errLongLine) {
			e.fail(findTag(line), err)
			continue
		}
		if len(bytes.TrimSpace(line)) > 0 {
			c, err := parseCommand(line)
			if err == nil {
				err = e.command(ctx, c)
			}
			if err != nil {
				e.fail(c.tag(line), err)
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

// readLine returns the next line. Of a line of more than maxLine bytes it returns the beginning, and
// errLongLine.
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
		if long && (err == nil || err == io.EOF) { // after io.EOF the next call returns it again
			return line, errLongLine
		}
		return line, err
	}
}

// A command is a line of input. Exactly one of its fields is set.
type command struct {
	Send       *sending     `json:"send"`
	Connect    *protocol.ID `json:"connect"`
	Disconnect *protocol.ID `json:"disconnect"`
	Peers      *bool        `json:"peers"`
}

// A sending is a message to send.
type sending struct {
	To       *string         `json:"to"`
	Data     json.RawMessage `json:"data"`
	Tag      json.RawMessage `json:"tag"`
	Reliable bool            `json:"reliable"`
	Keep     *string         `json:"keep"` // a duration
}

// parseCommand returns the command in a line. If there is an error, the command has what was read.
func parseCommand(line []byte) (c command, err error) {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return c, fmt.Errorf("input: %w", err)
	}
	if dec.More() {
		return c, errors.New("input: more than one value on a line")
	}
	return c, nil
}

// tag returns the tag of a line, nil if there is none.
func (c *command) tag(line []byte) json.RawMessage {
	if c.Send != nil && c.Send.Tag != nil {
		return c.Send.Tag
	}
	return findTag(line)
}

// findTag returns the tag in a line that is no command, if it stands before the fault. nil means
// none.
func findTag(line []byte) json.RawMessage {
	dec := json.NewDecoder(bytes.NewReader(line))
	var tag json.RawMessage
	for _, name := range []string{"send", "tag"} {
		if token, err := dec.Token(); err != nil || token != json.Delim('{') {
			return nil
		}
		for {
			token, err := dec.Token()
			if err != nil || token == json.Delim('}') {
				return nil
			}
			if token == name {
				break
			}
			if dec.Decode(&tag) != nil { // the value of another member
				return nil
			}
		}
	}
	if dec.Decode(&tag) != nil {
		return nil
	}
	return tag
}

func (e *events) command(ctx context.Context, c command) error {
	switch {
	case c.Send != nil:
		return e.send(ctx, c.Send)
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

// send sends a message once there is room for it.
func (e *events) send(ctx context.Context, s *sending) error {
	if s.To == nil {
		return errors.New(`input: want "to" in "send"`)
	}
	to, err := protocol.ParseID(*s.To)
	if err != nil {
		return fmt.Errorf("input: %w", err)
	}
	keep, err := s.keep()
	if err != nil {
		return err
	}
	var data any = compat.Undefined
	if s.Data != nil {
		data = s.Data
	}
	if s.Reliable {
		return e.hold(ctx, func() error { return e.sendReliable(ctx, to, data, keep, s.Tag) })
	}
	return e.hold(ctx, func() error { return e.peer.Send(to, data) })
}

// keep returns the time for which mailboxes may keep the message, 0 if they may not.
func (s *sending) keep() (time.Duration, error) {
	switch {
	case s.Keep == nil:
		return 0, nil
	case !s.Reliable:
		return 0, errors.New(`input: "keep" wants "reliable":true`)
	}
	keep, err := parseKeep(*s.Keep)
	if err != nil {
		return 0, fmt.Errorf("input: keep %q: %w", *s.Keep, err)
	}
	return keep, nil
}

// errUnanswered means that there is no place for another message with "reliable".
var errUnanswered = fmt.Errorf("%d messages have no receipt yet, or their receipts are not read: %w", maxReliable, protocol.ErrQueueFull)

// sendReliable sends a message, and answers later with its receipt or an error. The answer waits for
// the reader and keeps its place meanwhile, so that none is dropped.
func (e *events) sendReliable(ctx context.Context, to protocol.ID, data any, keep time.Duration, tag json.RawMessage) error {
	select {
	case e.places <- struct{}{}:
	default:
		return errUnanswered
	}
	wait, err := start(e.peer, to, data, keep)
	if err != nil {
		<-e.places
		return err
	}
	go func() { // ends within receiptTime and when its answer is read; settle waits for it
		r, err := awaitReceipt(ctx, wait, to, receiptTime)
		if err != nil {
			e.failed.Add(1)
			e.out.put(encode(newErrorEvent(tag, err)))
		} else {
			e.out.put(encode(newReceiptEvent(tag, to, r)))
		}
		<-e.places
	}()
	return nil
}

// hold calls send until it finds room. The input is not read meanwhile, which holds the parent back.
// If no message finds room for holdTime, hold returns the error, and later messages are held no
// longer until one finds room: the input may have an end, which is to be reached.
func (e *events) hold(ctx context.Context, send func() error) error {
	for wait := holdLeast; ; wait = min(2*wait, holdMost) {
		err := send()
		switch {
		case err == nil:
			e.full = time.Time{}
			return nil
		case !errors.Is(err, protocol.ErrQueueFull):
			return err
		case e.full.IsZero():
			e.full = time.Now()
		}
		if ctx.Err() != nil || time.Since(e.full) >= holdTime {
			e.failed.Add(1)
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// settle waits until each message with "reliable" has its receipt or its error, and lets no other be
// sent. These come in time, but the parent may not read them.
func (e *events) settle() {
	timer := time.AfterFunc(receiptTime+drainIdle, e.out.finish)
	defer timer.Stop()
	for range maxReliable {
		e.places <- struct{}{}
	}
}

// failure returns the error about the messages that failed.
func (e *events) failure() error {
	switch n := e.failed.Load(); n {
	case 0:
		return nil
	case 1:
		return errors.New("1 message was not sent, or has no receipt: an error event names it")
	default:
		return fmt.Errorf("%d messages were not sent, or have no receipt: error events name them", n)
	}
}
