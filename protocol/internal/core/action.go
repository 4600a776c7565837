package core

import (
	"github.com/peer-relay/peer-relay/protocol/internal/probe"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// An ActionType is what the shell is to do.
type ActionType uint8

const (
	Transmit         ActionType = iota // queue Frame for Link; report with Written
	Deliver                            // pass Frame to the application; Proved is about its origin
	Dial                               // open a link to Contact; report with LinkUp or DialFailed
	DialBootstrap                      // open a link to bootstrap Index; report with LinkUp, BootstrapLinked, BootstrapSelf or BootstrapFailed
	BootstrapRefused                   // tell the application that bootstrap Index refuses this peer's id, because of Err
	CloseLink                          // write the queue of Link and a bye of Reason, read to the end; report with LinkDown
	Granted                            // the claim Index may continue to LinkUp
	Refused                            // the claim Index may not continue, because of Err
	Signalled                          // pass Frame, a signal, to the dialer of WebRTC links; Proved is about its origin
	Compose                            // call Compose with Draft, which may take long; report with Composed or NotComposed
	Found                              // the search Index was answered by IDs, the nearest first, or ended with Err
	PeerUp                             // Peer is linked
	PeerDown                           // Peer is no longer linked
	Receipted                          // the reliable message Index has a Receipt, or ended with Err; Hops are of a traced ping
	Measure                            // report the figures of Link's transport with Measured
	Keep                               // store Frame; report with Kept
	Fetch                              // read what is kept for Peer after Number; report with Fetched
	Discard                            // remove the message Number that is kept for Peer
)

// An Action is something that the shell is to do. Its type determines which fields are set. There is one for each
// message that is passed on, so it is small.
type Action struct {
	Type    ActionType
	Link    LinkHandle
	Frame   *wire.Frame
	Bytes   []byte // of Frame, without its length, for Transmit; nil if they were not needed
	Draft   *Draft
	Proved  bool
	Contact *wire.Contact
	Index   int
	Number  uint64
	Reason  wire.ByeReason
	Err     error
	Peer    wire.ID
	IDs     []wire.ID
	Receipt *Receipt
	Hops    []probe.Hop
}
