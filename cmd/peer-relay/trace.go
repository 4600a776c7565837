package main

import (
	"context"
	"fmt"
	"time"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/protocol"
)

// trace prints the peers on the way to a peer: peer-relay trace ID.
func (p *program) trace(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return wrongUsage("trace: want ID, have %d arguments", len(args))
	}
	to, err := p.target("trace", args[0])
	if err != nil {
		return err
	}
	return p.join(ctx, "trace", "nothing was sent", func(peer *compat.PeerRelay, e *events) error {
		limited, cancel := context.WithTimeout(ctx, p.flags.wait)
		defer cancel()
		hops, r, err := peer.Trace(limited, to)
		if e != nil {
			if err == nil || len(hops) > 0 {
				e.out.put(encode(newTraceEvent(to, hops, r, err == nil)))
			}
			return p.pingError(ctx, "trace", to, err)
		}
		for i, h := range hops {
			fmt.Fprintln(p.stdout, hopText(i+1, h, r.Handed && i == len(hops)-1))
		}
		if err == nil {
			fmt.Fprintln(p.stdout, tracedText(r))
		}
		return p.pingError(ctx, "trace", to, err)
	})
}

// hopText returns the line about one peer. handed means that it is a legacy receiver.
func hopText(n int, h protocol.Hop, handed bool) string {
	id, link, took, about := h.ID.String(), h.Link, "-", h.Agent
	switch {
	case h.ID == (protocol.ID{}):
		id, about = "*", "(has not reported)"
	case handed:
		about = "(a legacy peer, as the one before it says)"
	case !h.Told:
		about = "(as the path says)"
	case !h.InPath:
		about += " (no receipt confirms its place)"
	}
	if link == "" {
		link = "-"
	}
	if h.RTT > 0 {
		took = inMS(h.RTT)
	}
	return fmt.Sprintf("%2d  %-40s  %-9s  %9s  %s", n, id, link, took, about)
}

// tracedText returns the last line of a trace.
func tracedText(r protocol.Receipt) string {
	switch text := inMS(r.Took) + over(r); {
	case r.Handed:
		return "handed to its relay in " + text + ": it is a legacy peer, which answers no ping"
	case r.Proved:
		return "answered in " + text
	default:
		return "answered in " + text + ", not proved: a relay may have made the answer"
	}
}

// A traceEvent is a trace as a line of output.
type traceEvent struct {
	Event    string      `json:"event"`
	ID       protocol.ID `json:"id"`
	Answered bool        `json:"answered"`
	MS       float64     `json:"ms,omitempty"`
	Proved   bool        `json:"proved"`
	Handed   bool        `json:"handed"`
	Way      []hopEvent  `json:"way"`
}

// A hopEvent is one peer of a traceEvent. The fields are those of protocol.Hop. ID is null for a peer
// that is not known.
type hopEvent struct {
	ID     *protocol.ID `json:"id"`
	Told   bool         `json:"told"`
	InPath bool         `json:"inPath"`
	Link   string       `json:"link,omitempty"`
	MS     float64      `json:"ms,omitempty"`
	Agent  string       `json:"agent,omitempty"`
}

func newTraceEvent(to protocol.ID, hops []protocol.Hop, r protocol.Receipt, answered bool) traceEvent {
	e := traceEvent{"trace", to, answered, float64(r.Took) / float64(time.Millisecond), r.Proved, r.Handed, []hopEvent{}}
	for _, h := range hops {
		hop := hopEvent{nil, h.Told, h.InPath, h.Link, float64(h.RTT) / float64(time.Millisecond), h.Agent}
		if h.ID != (protocol.ID{}) {
			hop.ID = &h.ID
		}
		e.Way = append(e.Way, hop)
	}
	return e
}
