package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/protocol"
)

// pingEvery is the time from one ping to the next.
const pingEvery = time.Second

// retried is the least time that further copies of a ping add to its round trip.
const retried = 500 * time.Millisecond

// ping asks a peer whether it is there, again and again: peer-relay ping ID. It prints a line for each
// answer, and at the end a summary.
func (p *program) ping(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return wrongUsage("ping: want ID, have %d arguments", len(args))
	}
	if p.flags.count < 0 {
		return wrongUsage("ping: -n %d: want 1 or more, or 0 for pings until a signal", p.flags.count)
	}
	to, err := p.target("ping", args[0])
	if err != nil {
		return err
	}
	return p.join(ctx, "ping", "nothing was sent", func(peer *compat.PeerRelay, e *events) error {
		var all pings
		tick := time.NewTicker(pingEvery)
		defer tick.Stop()
		for n := 1; p.flags.count == 0 || n <= p.flags.count; n++ {
			r, took, err := p.pingOnce(ctx, peer, to)
			if ctx.Err() != nil && err != nil {
				break
			}
			all.add(r, err)
			if e != nil {
				e.out.put(encode(newPingEvent(to, n, r, err)))
			} else {
				fmt.Fprintln(p.stdout, pingText(to, n, r, took, err))
			}
			if n == p.flags.count {
				break
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
			if ctx.Err() != nil {
				break
			}
		}
		if e == nil {
			fmt.Fprint(p.stdout, all.text(to))
		}
		return all.err(to)
	})
}

// pingOnce sends one ping. took is the time to its end, with all further copies.
func (p *program) pingOnce(ctx context.Context, peer *compat.PeerRelay, to protocol.ID) (r protocol.Receipt, took time.Duration, err error) {
	limited, cancel := context.WithTimeout(ctx, p.flags.wait)
	defer cancel()
	begun := time.Now()
	r, err = peer.Ping(limited, to)
	return r, time.Since(begun), p.pingError(ctx, "ping", to, err)
}

// pingError returns the error of a ping or a trace, with its exit status.
func (p *program) pingError(ctx context.Context, command string, to protocol.ID, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, protocol.ErrNoRoute):
		return exitError{exitNoPeer, fmt.Errorf("%s: no peer has the id %v", command, to)}
	case errors.Is(err, protocol.ErrSilent):
		return exitError{exitUnknown, fmt.Errorf("%s: %v does not answer the peers that are linked with it", command, to)}
	case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		return exitError{exitUnknown, fmt.Errorf("%s: no answer from %v within %v: it may be gone, or answer no pings", command, to, p.flags.wait)}
	case ctx.Err() != nil:
		return exitError{exitUnknown, fmt.Errorf("%s: interrupted before an answer from %v came", command, to)}
	}
	return err
}

// pingText returns the line about one ping.
func pingText(to protocol.ID, n int, r protocol.Receipt, took time.Duration, err error) string {
	if err != nil {
		return fmt.Sprintf("%d: %s", n, strings.TrimPrefix(err.Error(), "ping: "))
	}
	text := fmt.Sprintf("%d: answer from %v: hops=%d time=%s", n, to, r.Hops, inMS(r.Took))
	switch {
	case r.Handed:
		text = fmt.Sprintf("%d: handed to the relay of %v: hops=%d time=%s: it is a legacy peer, which answers no ping", n, to, r.Hops, inMS(r.Took))
	case !r.Proved:
		text += ", not proved: a relay may have made the answer"
	}
	if !r.Handed && took-r.Took >= retried {
		text += fmt.Sprintf(", after copies that were lost for %v", (took - r.Took).Round(100*time.Millisecond))
	}
	return text
}

// inMS returns a duration in milliseconds with three digits or more.
func inMS(d time.Duration) string {
	digits := 2
	if d >= 100*time.Millisecond {
		digits = 0
	} else if d >= 10*time.Millisecond {
		digits = 1
	}
	return fmt.Sprintf("%.*f ms", digits, float64(d)/float64(time.Millisecond))
}

// pings are the outcomes of the pings so far.
type pings struct {
	sent, answered, handed int
	least, most, sum       time.Duration // of the round trips
	last                   error         // of the last ping without an answer
}

func (s *pings) add(r protocol.Receipt, err error) {
	s.sent++
	switch {
	case err != nil:
		s.last = err
		return
	case r.Handed:
		s.handed++
	default:
		s.answered++
	}
	if s.answered+s.handed == 1 || r.Took < s.least {
		s.least = r.Took
	}
	s.most = max(s.most, r.Took)
	s.sum += r.Took
}

// text returns the summary.
func (s *pings) text(to protocol.ID) string {
	text := fmt.Sprintf("--- %v ---\n%d sent, %d answered", to, s.sent, s.answered)
	if s.handed > 0 {
		text += fmt.Sprintf(", %d handed to its relay", s.handed)
	}
	n := s.answered + s.handed
	if s.sent > 0 {
		text += fmt.Sprintf(", %d%% lost", 100*(s.sent-n)/s.sent)
	}
	if n > 0 {
		text += fmt.Sprintf("\nround trip min/avg/max: %s, %s, %s", inMS(s.least), inMS(s.sum/time.Duration(n)), inMS(s.most))
	}
	return text + "\n"
}

// err returns the error of a run in which no ping was answered, nil if one was.
func (s *pings) err(to protocol.ID) error {
	switch {
	case s.answered+s.handed > 0:
		return nil
	case s.last != nil:
		return s.last
	}
	return exitError{exitUnknown, fmt.Errorf("ping: interrupted before an answer from %v came", to)}
}

// A pingEvent is the outcome of a ping as a line of output.
type pingEvent struct {
	Event  string      `json:"event"`
	ID     protocol.ID `json:"id"`
	N      int         `json:"n"`
	MS     float64     `json:"ms,omitempty"`
	Hops   int         `json:"hops,omitempty"`
	Proved bool        `json:"proved"`
	Handed bool        `json:"handed"`
	Error  string      `json:"error,omitempty"` // without it there was an answer
}

func newPingEvent(to protocol.ID, n int, r protocol.Receipt, err error) pingEvent {
	e := pingEvent{"ping", to, n, float64(r.Took) / float64(time.Millisecond), r.Hops, r.Proved, r.Handed, ""}
	if err != nil {
		e.Error = err.Error()
	}
	return e
}
