package core

import "github.com/peer-relay/peer-relay/protocol/wire"

// An ActionType tells actions apart.
type ActionType uint8

const (
	Transmit      ActionType = iota // hand Frame to Link; report with Written
	Deliver                         // hand Frame to the application; Proved says that its origin is proved
	Dial                            // open a link to Contact; report LinkUp or DialFailed
	DialBootstrap                   // open a link to bootstrap number Index; report LinkUp, BootstrapLinked or BootstrapFailed
	CloseLink                       // write what is queued for Link and a bye of Reason, read to its end; report LinkDown
	Granted                         // the claim Index may go on to LinkUp
	Refused                         // the claim Index may not, for Err
	Signalled                       // hand Frame, a signal, to who makes WebRTC links; Proved says whose word From is
	Compose                         // call Compose with Draft, which may take long, and report with Composed
	Found                           // the search Index was answered by IDs, the nearest first, or ended with Err
	PeerUp                          // Peer is linked
	PeerDown                        // Peer is not linked any more
)

// An Action is something that the shell is to do. Which fields are set depends on
// its type.
type Action struct {
	Type    ActionType
	Link    LinkHandle
	Frame   *wire.Frame
	Draft   *Draft
	Proved  bool
	Contact wire.Contact
	Index   int
	Reason  wire.ByeReason
	Err     error
	Peer    wire.ID
	IDs     []wire.ID
}
