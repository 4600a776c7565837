package protocol

import (
	"context"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
	"github.com/peer-relay/peer-relay/protocol/internal/probe"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A Hop is one peer on the way of a ping, as [Router.Trace] found it.
//
//	ID     ID     the zero ID means a peer that is not known
//	Told   bool   the peer itself has told the rest, and has signed it
//	InPath bool   the receipt's path has the peer at this place; otherwise only the peer itself says so
//	Link   string kind of the link by which it was reached: native, websocket or webrtc; "" means unknown
//	RTT    time.Duration from sending the ping to the peer's report; 0 means unknown
//	Agent  string name and version of its program, in ASCII; "" means unknown
//
// A peer of the npm package, one that refuses to be shown, and one whose report was lost are not Told.
// Peers on the way write the path, so a hostile one can put other peers into it, which then are not
// Told, and leave peers out.
type Hop = probe.Hop

// Ping asks a peer whether it is there. Its router answers, and its application gets nothing. A ping
// is signed, and is sent as a reliable message is: further copies of it go over other links until an
// answer arrives. [Receipt].Took is the round trip of the copy that was answered. A peer of the npm
// package makes no answer: with Handed the peer in front of it says that it handed the ping on.
//
// The error is ErrNoRoute if no peer has the id, and that of the context if no answer arrives before
// its end: the peer may be there, and may be of a version that answers no pings.
func (r *Router) Ping(ctx context.Context, id ID) (Receipt, error) {
	receipt, _, err := r.ping(ctx, id, 0)
	return receipt, err
}

// Trace is Ping, and finds the peers on the way. The last one is the receiver. A peer that relays the
// ping reports to this one, unless it refuses to be shown (Options.NoTrace). After the answer Trace
// waits for missing reports for as long as the answer took: for 100 ms at least, and 1 s at most.
//
// If there is an error, the peers are those that have reported, which shows how far the ping came.
func (r *Router) Trace(ctx context.Context, id ID) ([]Hop, Receipt, error) {
	receipt, hops, err := r.ping(ctx, id, wire.FlagTrace)
	return hops, receipt, err
}

func (r *Router) ping(ctx context.Context, id ID, flags wire.Flags) (Receipt, []Hop, error) {
	wait, err := r.startReliable("ping", core.Outgoing{To: id, Kind: wire.KindPing, Form: FormRaw, Payload: []byte{}, Flags: flags, Sign: true})
	if err != nil {
		return Receipt{}, nil, err
	}
	o, err := wait(ctx)
	return o.receipt, o.hops, err
}
