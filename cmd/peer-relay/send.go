package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/protocol"
)

// send sends one message and ends once it is written: peer-relay send ID [DATA|-].
func (p *program) send(ctx context.Context, args []string) (err error) {
	if len(args) == 0 || len(args) > 2 {
		return wrongUsage("send: want ID [DATA], have %d arguments", len(args))
	}
	if !p.flags.joins() {
		return wrongUsage("send: want --bootstrap, or --dht with --dht-bootstrap, to join a network")
	}
	to, err := protocol.ParseID(args[0])
	if err != nil {
		return exitError{exitUsage, err}
	}
	data, err := p.readData(args[1:])
	if err != nil {
		return err
	}
	o, err := p.options()
	if err != nil {
		return err
	}
	peer, err := compat.New(o)
	if err != nil {
		return err
	}
	defer func() { err = p.closePeer(peer, err) }()

	linked := make(chan struct{}, 1)
	lastErr := make(chan error, 1)
	peer.OnPeer(func(compat.ID) { offer(linked, struct{}{}) })
	peer.OnError(func(err error) { offer(lastErr, err) })
	if p.flags.json {
		newEvents(p.stdout, peer).watch()
	}
	timer := time.NewTimer(p.flags.wait)
	defer timer.Stop()
	select {
	case <-linked:
		return peer.Send(to, data)
	case <-ctx.Done():
		return nil
	case <-timer.C:
		select {
		case err := <-lastErr:
			if why := errors.Unwrap(err); why != nil { // without the text that it will be tried again
				err = why
			}
			return exitError{exitNoLink, fmt.Errorf("send: no answer within %v: %w", p.flags.wait, err)}
		default:
			return exitError{exitNoLink, fmt.Errorf("send: no peer was found within %v: %w", p.flags.wait, context.DeadlineExceeded)}
		}
	}
}

// offer puts v into c unless c is full.
func offer[T any](c chan T, v T) {
	select {
	case c <- v:
	default:
	}
}

// readData returns the message: the argument, or all of standard input for "-". Without an
// argument the message has no value.
func (p *program) readData(args []string) (any, error) {
	if len(args) == 0 {
		return compat.Undefined, nil
	}
	text := []byte(args[0])
	if args[0] == "-" {
		var err error
		if text, err = io.ReadAll(io.LimitReader(p.stdin, maxLine)); err != nil {
			return nil, err
		}
	}
	switch p.flags.as {
	case "string":
		return string(text), nil
	case "bytes":
		return text, nil
	case "json":
		return json.RawMessage(text), nil
	}
	return nil, wrongUsage("--as %q: want string, json or bytes", p.flags.as)
}
