package overlay

import (
	"iter"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/journal"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A Host is what an Overlay needs of the data plane: a clock, the links, operations on them, and
// a way to the shell.
type Host interface {
	Now() time.Duration
	WakeBy(at time.Duration) // have Tick called by then

	Link(id wire.ID) *Link        // the usable link to a peer; nil means none
	Links() iter.Seq[*Link]       // every usable link, in the order of the ids
	LinkCount() int               // the number of these
	Bucket(b int) iter.Seq[*Link] // the usable links in a bucket of this peer

	// Nearest visits the usable links, the one nearest to target first, until visit returns false.
	Nearest(target wire.ID, visit func(*Link) bool)
	// Closest returns the n nearest for which keep returns true. A nil keep means all.
	Closest(target wire.ID, n int, keep func(*Link) bool) []*Link
	// Named visits the peers that linked peers say they are linked with, in the same order. An id
	// that several have named is visited for each.
	Named(near wire.ID, visit func(Neighbour) bool)
	// NamedIn visits those in a bucket of this peer, in the order of the ids.
	NamedIn(b int, visit func(Neighbour))

	Ask(id wire.ID, proved bool)           // ping a linked peer, since another connection puts its link into doubt
	End(id wire.ID, reason wire.ByeReason) // end the usable link to a peer

	Send(by *Link, m Message)                      // sign a message and send it; a nil link means the best one
	Search(index int, m Message) (last bool)       // ask the peer nearest to m.To; last means that it is this one
	Drop(reason journal.DropReason, f *wire.Frame) // count a dropped message

	Dial(contact wire.Contact)             // open a link; DialFailed or a link of the peer follows
	DialBootstrap(index int)               // the same for a bootstrap; one of the events Bootstrap… follows
	BootstrapRefused(index int, why error) // tell the application that a bootstrap refuses this peer's id
	Found(index int, ids []wire.ID)        // a search of the application was answered, the nearest id first
	Signalled(f *wire.Frame, proved bool)  // a signal for the dialer of WebRTC links; proved is about its origin
}

// A Neighbour is a peer that a linked peer is linked with.
type Neighbour struct {
	ID    wire.ID
	By    *Link         // the link of the peer that names it
	There time.Duration // round trip time between the two peers; 0 means unknown
}

// A Message is a control message to be sent.
type Message struct {
	To      wire.ID
	Kind    wire.Kind
	Form    wire.Form
	Flags   wire.Flags
	Payload []byte
	Record  []byte
	Token   []byte
	Route   []wire.ID // peers to go through, the one nearest to this peer first
}
