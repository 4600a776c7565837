package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/kept"
)

// send sends one message and waits for its receipt: peer-relay send ID [DATA|-]. With --no-wait it
// ends once the message is written.
func (p *program) send(ctx context.Context, args []string) error {
	if len(args) == 0 || len(args) > 2 {
		return wrongUsage("send: want ID [DATA], have %d arguments", len(args))
	}
	to, err := p.target("send", args[0])
	if err != nil {
		return err
	}
	data, err := p.readData(args[1:])
	if err != nil {
		return err
	}
	if p.flags.keep != 0 && p.flags.noWait {
		return wrongUsage("send: --keep and --no-wait: a message that is kept has a receipt, which send awaits")
	}
	return p.join(ctx, "send", "the message was not sent", func(peer *compat.PeerRelay, e *events) error {
		if p.flags.noWait {
			return sendError(peer.Send(to, data))
		}
		return p.sendReliable(ctx, peer, e, to, data)
	})
}

// target returns the id in an argument of a command that sends to one peer of a network.
func (p *program) target(command, arg string) (to protocol.ID, err error) {
	if !p.flags.joins() {
		return to, wrongUsage("%s: want --bootstrap, or --dht with --dht-bootstrap, to join a network", command)
	}
	if p.flags.box.Dir != "" {
		return to, wrongUsage("%s: --mailbox is for a peer that stays, such as a relay", command)
	}
	if to, err = protocol.ParseID(arg); err != nil {
		return to, exitError{exitUsage, err}
	}
	return to, nil
}

// join starts a peer, waits for its first link, and calls do. e is nil without --json. The error of a
// signal before that ends with undone.
func (p *program) join(ctx context.Context, command, undone string, do func(peer *compat.PeerRelay, e *events) error) (err error) {
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
	var e *events
	if p.flags.json {
		e = newEvents(p.stdout, peer)
		e.watch()
	}
	if err = p.awaitLink(ctx, command, undone, linked, lastErr); err == nil {
		err = do(peer, e)
	}
	if err != nil && e != nil {
		e.fail(nil, err)
	}
	return err
}

// offer puts v into c unless c is full.
func offer[T any](c chan T, v T) {
	select {
	case c <- v:
	default:
	}
}

// awaitLink waits for a first link.
func (p *program) awaitLink(ctx context.Context, command, undone string, linked <-chan struct{}, lastErr <-chan error) error {
	timer := time.NewTimer(p.flags.wait)
	defer timer.Stop()
	select {
	case <-linked:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: interrupted before a peer answered: %s", command, undone)
	case <-timer.C:
	}
	select {
	case err := <-lastErr:
		if why := errors.Unwrap(err); why != nil { // without the text that it will be tried again
			err = why
		}
		return exitError{exitNoPeer, fmt.Errorf("%s: no answer within %v: %w", command, p.flags.wait, err)}
	default:
		return exitError{exitNoPeer, fmt.Errorf("%s: no peer was found within %v: %w", command, p.flags.wait, context.DeadlineExceeded)}
	}
}

// sendReliable sends a message, waits for its receipt and prints it. e is nil without --json.
func (p *program) sendReliable(ctx context.Context, peer *compat.PeerRelay, e *events, to protocol.ID, data any) error {
	wait, err := start(peer, to, data, p.flags.keep)
	if err != nil {
		return sendError(err)
	}
	r, err := awaitReceipt(ctx, wait, to, p.flags.wait)
	if err != nil {
		return err
	}
	if e != nil {
		e.out.put(encode(newReceiptEvent(nil, to, r)))
	} else {
		fmt.Fprintln(p.stdout, receiptText(r))
	}
	return nil
}

// start begins to send a message that mailboxes may keep for a time, or not at all if that is 0.
func start(peer *compat.PeerRelay, to protocol.ID, data any, keep time.Duration) (waitFunc, error) {
	if keep == 0 {
		return peer.StartReliable(to, data)
	}
	return peer.StartKept(to, data, keep)
}

// sendError returns the error of a message that was refused at once: its data is invalid or too
// big, unless there is no room for it.
func sendError(err error) error {
	if err == nil || errors.Is(err, protocol.ErrQueueFull) || errors.Is(err, protocol.ErrClosed) {
		return err
	}
	return exitError{exitUsage, err}
}

// A waitFunc waits for the receipt of a message.
type waitFunc = func(context.Context) (protocol.Receipt, error)

// awaitReceipt waits for the receipt of a message. Its error says what is known, also by its exit
// status.
func awaitReceipt(ctx context.Context, wait waitFunc, to protocol.ID, most time.Duration) (protocol.Receipt, error) {
	limited, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	r, err := wait(limited)
	switch {
	case err == nil:
		return r, nil
	case errors.Is(err, protocol.ErrNoRoute):
		return r, exitError{exitNoPeer, fmt.Errorf("send: no peer has the id %v%s", to, refusal(err))}
	case errors.Is(err, protocol.ErrSilent):
		return r, exitError{exitUnknown, fmt.Errorf("send: %v does not answer the peers that are linked with it: it may get the message later", to)}
	case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		return r, exitError{exitUnknown, fmt.Errorf("send: no receipt from %v within %v: the message may have arrived", to, most)}
	}
	return r, exitError{exitUnknown, fmt.Errorf("send: interrupted before the receipt from %v came: the message may have arrived", to)}
}

// refusal returns why a mailbox does not keep a message, as words that begin with a comma, "" if none
// has refused it.
func refusal(err error) string {
	for _, why := range []error{kept.ErrQuota, kept.ErrFull, kept.ErrRefused} {
		if errors.Is(err, why) {
			return ", and " + why.Error()
		}
	}
	return ""
}

// receiptText returns a receipt as words.
func receiptText(r protocol.Receipt) string {
	if r.IsKept() {
		return fmt.Sprintf("kept until %s by %v: the receiver is offline", keptUntil(r), r.Keeper)
	}
	took := fmt.Sprintf("%d ms", milliseconds(r.Took))
	if r.Handed {
		return "handed to its relay in " + took + ": the receiver is a legacy peer, which confirms nothing"
	}
	text := "delivered in " + took + over(r)
	if !r.Proved {
		text += ", not proved: a relay may have made the receipt"
	}
	return text
}

// keptUntil returns the end of the time for which a message is kept.
func keptUntil(r protocol.Receipt) string { return r.Kept.UTC().Format(time.RFC3339) }

// over returns the way of a message as words that begin with a space, "" if it is not known.
func over(r protocol.Receipt) string {
	switch relays := r.Hops - 1; {
	case relays == 0:
		return " directly"
	case relays == 1:
		return " over 1 relay"
	case relays > 1:
		return fmt.Sprintf(" over %d relays", relays)
	}
	return ""
}
