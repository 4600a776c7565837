package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/peer-relay/peer-relay/compat"
)

// serve runs a relay until it is told to stop.
func (p *program) serve(ctx context.Context, args []string) error {
	o, err := p.options()
	if err != nil {
		return err
	}
	if args[0] != "none" {
		port, err := strconv.ParseUint(args[0], 10, 16)
		if err != nil {
			return wrongUsage("port %q: want 0 to 65535, or none", args[0])
		}
		o.Listen, o.Port = true, uint16(port)
	}
	o.Bootstraps = append(o.Bootstraps, args[1:]...)
	return p.runPeer(ctx, o, false)
}

// listen runs a peer without a port that prints what it is sent.
func (p *program) listen(ctx context.Context, args []string) error {
	if len(args) > 0 {
		return wrongUsage("listen: %q is one argument too many", args[0])
	}
	if !p.flags.joins() {
		return wrongUsage("listen: want --bootstrap, or --dht with --dht-bootstrap: else nobody can send a message")
	}
	o, err := p.options()
	if err != nil {
		return err
	}
	return p.runPeer(ctx, o, true)
}

// runPeer runs a peer until ctx is done or, with --json, standard input ends.
func (p *program) runPeer(ctx context.Context, o compat.Options, printMessages bool) error {
	peer, err := compat.New(o)
	if err != nil {
		return err
	}
	defer peer.Close()
	if p.flags.json {
		return p.runJSON(ctx, peer)
	}
	p.printAddresses(peer)
	peer.OnPeer(func(id compat.ID) { fmt.Fprintln(p.stdout, "peer", id) })
	peer.OnDisconnect(func(id compat.ID) { fmt.Fprintln(p.stdout, "gone", id) })
	peer.OnError(func(err error) { fmt.Fprintln(p.stderr, err) })
	if printMessages {
		peer.OnReceive(func(m compat.Message) {
			if m.JSON == nil {
				m.JSON = []byte("undefined")
			}
			fmt.Fprintf(p.stdout, "message %v %s\n", m.From, m.JSON)
		})
	}
	<-ctx.Done()
	return nil
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
