package plays

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/protocol"
)

// An Offline play sends messages to a receiver that is off. The sender ends, and the mailbox that
// keeps them is killed and comes back. Then the receiver is on.
type Offline struct {
	Binary   string
	Driver   *peers.Driver // the receiver is a peer of the npm package; nil means of ours
	Messages int
	Off      time.Duration // how long the receiver is off after the sender has ended
}

// OfflineReport says how long it took: until the mailbox had promised to keep all messages, and until
// all had arrived after the receiver was on.
type OfflineReport struct{ Promised, Arrived time.Duration }

// linger is the time in which a message that comes twice would have come.
const linger = 5 * time.Second

// Play returns an error unless each message arrives exactly once.
func (o Offline) Play(ctx context.Context) (report OfflineReport, err error) {
	dir, err := os.MkdirTemp("", "peer-relay-mailbox-")
	if err != nil {
		return report, fmt.Errorf("itest: %w", err)
	}
	var all peers.Closers
	defer func() { err = errors.Join(err, all.Close(), os.RemoveAll(dir)) }()
	port, err := peers.FreePort()
	if err != nil {
		return report, err
	}
	openBox := func() (*peers.GoPeer, error) {
		return peers.StartGo(ctx, o.Binary, peers.Spec{Name: "mailbox", Listen: true, Port: port}, "--mailbox", filepath.Join(dir, "box"))
	}
	box, err := openBox()
	if err != nil {
		return report, err
	}
	defer func() { box.Close() }() // the last one; the first is killed
	receiver, turnOn, err := o.receiver(ctx, dir, box.URL(), &all)
	if err != nil {
		return report, err
	}
	if report.Promised, err = o.send(ctx, box.URL(), receiver); err != nil {
		return report, err
	}
	if err := box.Kill(); err != nil {
		return report, err
	}
	if err := peers.Sleep(ctx, o.Off/2); err != nil {
		return report, err
	}
	id := box.ID()
	if box, err = openBox(); err != nil {
		return report, err
	}
	if box.ID() != id {
		return report, fmt.Errorf("itest: the mailbox %v came back as %v", id, box.ID())
	}
	if err := peers.Sleep(ctx, o.Off/2); err != nil {
		return report, err
	}
	begun := time.Now()
	events, err := turnOn()
	if err != nil {
		return report, err
	}
	if _, err := events.WaitN(ctx, o.Messages, peers.IsKind(peers.EventMessage)); err != nil {
		return report, err
	}
	report.Arrived = time.Since(begun)
	if err := waitEmpty(ctx, func() (*peers.Status, error) { return peers.FetchStatus(ctx, box.URL()) }); err != nil {
		return report, err
	}
	if err := peers.Sleep(ctx, linger); err != nil {
		return report, err
	}
	return report, once(events, numbers(o.Messages))
}

// receiver returns the id of the receiver, and what turns it on.
func (o Offline) receiver(ctx context.Context, dir, url string, all *peers.Closers) (id protocol.ID, turnOn func() (*peers.Log[peers.Event], error), err error) {
	if o.Driver != nil {
		spec := peers.NPMSpec{Spec: peers.Spec{Name: "receiver", Bootstrap: []string{url}}}
		for i := range spec.ID {
			spec.ID[i] = byte(7 + i)
		}
		return spec.ID, func() (*peers.Log[peers.Event], error) {
			p, err := o.Driver.Peer(ctx, spec)
			if err != nil {
				return nil, err
			}
			*all = append(*all, p.Close)
			return p.Events(), nil
		}, nil
	}
	start := func() (*peers.GoPeer, error) {
		return peers.StartGo(ctx, o.Binary, peers.Spec{Name: "receiver", Bootstrap: []string{url}}, "--key", filepath.Join(dir, "key"))
	}
	p, err := start() // makes the key
	if err != nil {
		return id, nil, err
	}
	if err := p.Destroy(ctx); err != nil {
		return id, nil, err
	}
	return p.ID(), func() (*peers.Log[peers.Event], error) {
		p, err := start()
		if err != nil {
			return nil, err
		}
		*all = append(*all, p.Close)
		return p.Events(), nil
	}, nil
}

// send has a peer send the messages, which ends when all are kept.
func (o Offline) send(ctx context.Context, url string, to protocol.ID) (took time.Duration, err error) {
	sender, err := peers.StartGo(ctx, o.Binary, peers.Spec{Name: "sender", Bootstrap: []string{url}})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, sender.Close()) }()
	if _, err := sender.Events().Wait(ctx, peers.IsKind(peers.EventPeer)); err != nil {
		return 0, err
	}
	begun := time.Now()
	for i, n := range numbers(o.Messages) {
		if err := sendKept(sender, to, n, i); err != nil {
			return 0, err
		}
	}
	receipts, err := sender.Events().WaitN(ctx, o.Messages, isAnswer)
	if err != nil {
		return 0, err
	}
	for _, r := range receipts {
		if !r.Kept || r.Proved || r.Node != to {
			return 0, fmt.Errorf("itest: the receipt for a message to %v is %+v, want that it is kept", to, r)
		}
	}
	took = time.Since(begun)
	return took, sender.Destroy(ctx)
}

func sendKept(from *peers.GoPeer, to protocol.ID, data string, tag int) error {
	return from.Write("send", map[string]any{"to": to, "data": data, "tag": tag, "reliable": true, "keep": "1h"})
}

// isAnswer matches the receipt of a reliable message, and the error in its place.
func isAnswer(e peers.Event) bool {
	return e.Kind == peers.EventReceipt || e.Kind == peers.EventError && e.Status > 0
}

// waitEmpty waits until a mailbox keeps nothing.
func waitEmpty(ctx context.Context, status func() (*peers.Status, error)) error {
	return peers.Until(ctx, "the mailbox to be empty", func() (bool, error) {
		s, err := status()
		return err == nil && s.Counters["mailbox: messages"] == 0, err
	})
}

// once returns an error unless each text has arrived exactly once, and nothing else.
func once(events *peers.Log[peers.Event], want []string) error {
	var got []string
	for _, e := range events.All() {
		if e.Kind == peers.EventMessage {
			var text string
			if err := json.Unmarshal(e.Data, &text); err != nil {
				return fmt.Errorf("itest: %s arrived: %w", e.Data, err)
			}
			got = append(got, text)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("itest: %.200q arrived, want %.200q", got, want)
	}
	return nil
}

// numbers returns n texts.
func numbers(n int) (texts []string) {
	for i := range n {
		texts = append(texts, strconv.Itoa(i))
	}
	return texts
}

// A FullDiskReport says how many messages a mailbox kept on a small disk, and how many it refused.
type FullDiskReport struct{ Kept, Refused int }

const (
	smallDisk  = "4m"
	fullBox    = "10.78.0.9"
	largeBytes = 100_000 // of a message
	floods     = 60      // messages: more than the disk has room for
)

// FullDisk has a mailbox on a disk that becomes full. It returns an error if a message that the mailbox
// had promised to keep does not arrive exactly once, or if it does not keep messages again after that.
func FullDisk(ctx context.Context, binary string) (report FullDiskReport, err error) {
	dir, err := os.MkdirTemp("", "peer-relay-disk-")
	if err != nil {
		return report, fmt.Errorf("itest: %w", err)
	}
	lan, err := peers.NewLAN(ctx)
	if err != nil {
		return report, errors.Join(err, os.RemoveAll(dir))
	}
	var all peers.Closers
	defer func() { err = errors.Join(err, all.Close(), lan.Close(), os.RemoveAll(dir)) }()
	host, err := lan.Host(ctx, fullBox+"/24")
	if err != nil {
		return report, err
	}
	start := func(name, binary string, flags ...string) (*peers.GoPeer, error) {
		spec := peers.Spec{Name: name, On: host, Bootstrap: []string{"ws://" + fullBox + ":8001"}}
		if name == "mailbox" {
			spec.Listen, spec.Port, spec.Bootstrap = true, 8001, nil
		}
		p, err := peers.StartGo(ctx, binary, spec, flags...)
		if err == nil && name == "sender" {
			all = append(all, p.Kill) // its status is about the messages that were refused
		} else if err == nil {
			all = append(all, p.Close)
		}
		return p, err
	}
	mounting, err := onSmallDisk(dir, binary)
	if err != nil {
		return report, err
	}
	box, err := start("mailbox", mounting, "--mailbox", filepath.Join(dir, "disk", "box"), "--mailbox-size", "64M", "--mailbox-sender", "64M", "--mailbox-receiver", "64M")
	if err != nil {
		return report, err
	}
	key := filepath.Join(dir, "key")
	receiver, err := start("receiver", binary, "--key", key)
	if err != nil {
		return report, err
	}
	if err := receiver.Destroy(ctx); err != nil {
		return report, err
	}
	sender, err := start("sender", binary)
	if err != nil {
		return report, err
	}
	if _, err := sender.Events().Wait(ctx, peers.IsPeer(box.ID())); err != nil {
		return report, err
	}
	kept, err := overfill(ctx, sender, receiver.ID())
	if err != nil {
		return report, err
	}
	report.Kept, report.Refused = len(kept), floods-len(kept)
	if report.Kept == 0 || report.Refused == 0 {
		return report, fmt.Errorf("itest: %d messages were kept and %d refused", report.Kept, report.Refused)
	}
	if receiver, err = start("receiver", binary, "--key", key); err != nil {
		return report, err
	}
	if _, err := receiver.Events().WaitN(ctx, len(kept), peers.IsKind(peers.EventMessage)); err != nil {
		return report, err
	}
	if err := waitEmpty(ctx, func() (*peers.Status, error) { return peers.FetchStatusFrom(ctx, host, box.URL()) }); err != nil {
		return report, err
	}
	if err := errors.Join(once(receiver.Events(), kept), receiver.Destroy(ctx)); err != nil {
		return report, err
	}
	if err := sendKept(sender, receiver.ID(), "again", 0); err != nil {
		return report, err
	}
	answers, err := sender.Events().WaitN(ctx, floods+1, isAnswer)
	if err == nil && !answers[floods].Kept {
		err = fmt.Errorf("itest: nothing is kept once the disk has room again: %+v", answers[floods])
	}
	return report, err
}

// overfill sends more messages than the disk of a mailbox has room for. It returns those that
// are kept.
func overfill(ctx context.Context, sender *peers.GoPeer, to protocol.ID) (kept []string, err error) {
	var texts []string
	for i := range floods {
		texts = append(texts, strings.Repeat(strconv.Itoa(i%10), largeBytes)+strconv.Itoa(i))
		if err := sendKept(sender, to, texts[i], i); err != nil {
			return nil, err
		}
	}
	answers, err := sender.Events().WaitN(ctx, floods, isAnswer)
	if err != nil {
		return nil, err
	}
	for _, a := range answers {
		i, err := strconv.Atoi(string(a.Tag))
		switch {
		case err != nil:
			return nil, err
		case a.Kept:
			kept = append(kept, texts[i])
		case !strings.Contains(string(a.Data), "the mailbox near it has no room"):
			return nil, fmt.Errorf("itest: a message was refused with %s", a.Data)
		}
	}
	return kept, nil
}

// onSmallDisk returns a program that runs our binary with a small disk at disk in a directory.
func onSmallDisk(dir, binary string) (program string, err error) {
	if err := os.Mkdir(filepath.Join(dir, "disk"), 0o700); err != nil {
		return "", fmt.Errorf("itest: %w", err)
	}
	program = filepath.Join(dir, "on-small-disk")
	script := fmt.Sprintf("#!/bin/sh\nmount -t tmpfs -o size=%s,mode=700 none '%s/disk' || exit 99\nexec '%s' \"$@\"\n", smallDisk, dir, binary)
	return program, os.WriteFile(program, []byte(script), 0o700)
}
