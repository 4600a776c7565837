package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/protocol"
)

// runPeer runs a peer until ctx is done or, with --json, standard input ends. Without --json it
// prints events as words, and passes messages to onMessage, which may be nil. It returns the
// error of the peer's Close, such as messages that were not sent.
func (p *program) runPeer(ctx context.Context, o compat.Options, onMessage func(compat.Message)) (err error) {
	peer, err := compat.New(o)
	if err != nil {
		return err
	}
	defer func() { err = p.closePeer(peer, err) }()
	if p.flags.json {
		return p.runJSON(ctx, peer)
	}
	p.printAddresses(peer)
	peer.OnPeer(func(id compat.ID) { fmt.Fprintln(p.stdout, "peer", id) })
	peer.OnDisconnect(func(id compat.ID) { fmt.Fprintln(p.stdout, "gone", id) })
	peer.OnError(func(err error) {
		if ctx.Err() == nil { // otherwise it may be that of Close, which is returned
			fmt.Fprintln(p.stderr, err)
		}
	})
	if onMessage != nil {
		lost := losses{peer: peer}
		peer.OnReceive(func(m compat.Message) {
			onMessage(m)
			if n := lost.more(); n > 0 {
				p.stdout.put(fmt.Appendf(nil, "%d messages dropped\n", n))
			}
		})
	}
	<-ctx.Done()
	return nil
}

// closePeer ends the peer of a command, which first writes what is queued. It returns the error of
// the command together with that of Close.
func (p *program) closePeer(peer *compat.PeerRelay, err error) error {
	p.stdout.finish()
	return errors.Join(err, peer.Close())
}

// A losses value counts the messages for a peer's handlers that were dropped, since these were
// slow. The handlers own it.
type losses struct {
	peer *compat.PeerRelay
	told uint64
}

// more returns the number of messages that were dropped since the last call.
func (l *losses) more() uint64 {
	before := l.told
	l.told = l.peer.Node().Router().Stats().Dropped[protocol.DropInboxFull]
	return l.told - before
}

func (p *program) printAddresses(peer *compat.PeerRelay) {
	fmt.Fprintln(p.stdout, "id", peer.ID())
	for _, u := range peer.Node().URLs() {
		fmt.Fprintln(p.stdout, "address", u)
	}
	for _, a := range peer.Node().Addrs() {
		fmt.Fprintln(p.stdout, "address", a)
	}
}
