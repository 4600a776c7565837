package main

import (
	"context"
	"fmt"

	"github.com/peer-relay/peer-relay/compat"
)

// listen runs a peer without a port that prints its messages: peer-relay listen.
func (p *program) listen(ctx context.Context, args []string) error {
	if len(args) > 0 {
		return wrongUsage("listen: %q is one argument too many", args[0])
	}
	if !p.flags.joins() {
		return wrongUsage("listen: want --bootstrap, or --dht with --dht-bootstrap: otherwise no peer can send a message")
	}
	o, err := p.options()
	if err != nil {
		return err
	}
	return p.runPeer(ctx, o, p.printMessage)
}

// printMessage prints a message. It waits for a slow reader, so that the peer keeps what comes
// meanwhile.
func (p *program) printMessage(m compat.Message) {
	if m.JSON == nil {
		m.JSON = []byte("undefined")
	}
	p.stdout.put(fmt.Appendf(nil, "message %v %s\n", m.From, m.JSON))
}
