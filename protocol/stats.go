package protocol

import "github.com/peer-relay/peer-relay/protocol/internal/core"

// Stats are the counters of a router. Messages are those of applications. Control messages
// are those of the overlay.
//
//	Links         int    links that are usable now
//	Pending       int    handshakes and dials in flight
//	Candidates    int    known peers that are not linked
//	Received      uint64 message frames read, control messages included
//	Sent          uint64 messages sent by this peer
//	Delivered     uint64 messages delivered to the application
//	Forwarded     uint64 messages forwarded for others, each counted once
//	Control       uint64 control messages sent by this peer
//	ControlPassed uint64 control messages forwarded for others
//	Copies        uint64 message frames queued for links, control messages included
//	BadSignatures uint64 messages with an invalid signature, which are delivered unproved
//	LinksOpened   uint64 links that were accepted
//	LinksRefused  uint64 links that were refused, and legacy links that stayed mute
//	EventsMissed  uint64 events that a slow handler missed: a peer came and went meanwhile, or a dial failed again
//	Dropped       Drops  dropped messages by reason
type Stats = core.Stats

// Drops counts dropped messages. A [DropReason] is its index. It has these methods:
//
//	Total() uint64           number of drops that lost a message; a duplicate is not one
//	String() string          the reasons that occurred, with their counts
//	Map() map[string]uint64  the count of every reason by its name
type Drops = core.Drops

// A DropReason is why a message was dropped. Its String method returns its name.
type DropReason = core.DropReason

const (
	DropDuplicate   DropReason = core.DropDuplicate   // another copy was forwarded, delivered or kept
	DropLoop        DropReason = core.DropLoop        // this peer is its origin or in its path
	DropHops        DropReason = core.DropHops        // its path is full
	DropBudget      DropReason = core.DropBudget      // it has no transmissions left
	DropNoRoute     DropReason = core.DropNoRoute     // no link to choose
	DropQueueFull   DropReason = core.DropQueueFull   // the queue of every link to choose is full
	DropWaitingFull DropReason = core.DropWaitingFull // no link yet, and too many messages wait for one
	DropExpired     DropReason = core.DropExpired     // it waited too long for a link
	DropMalformed   DropReason = core.DropMalformed   // the bytes were not a frame
	DropUnknown     DropReason = core.DropUnknown     // a frame of a later version
	DropUnsupported DropReason = core.DropUnsupported // a message that this version cannot deliver
	DropTooBig      DropReason = core.DropTooBig      // a control message that could not be encoded or signed
	DropInboxFull   DropReason = core.DropInboxFull   // the application reads its messages too slowly
	DropUnencodable DropReason = core.DropUnencodable // it has no form on the link, or is too big for it
	DropUnasked     DropReason = core.DropUnasked     // a control message that answers no question
	DropBadControl  DropReason = core.DropBadControl  // an invalid control message
	DropLinkEnded   DropReason = core.DropLinkEnded   // it was in the queue of a link that ended, and no other link took it
	DropNoPort      DropReason = core.DropNoPort      // an invalid datagram, or one for a port without a socket
	DropSocketFull  DropReason = core.DropSocketFull  // the oldest datagram of a socket that is read too slowly
	DropRate        DropReason = core.DropRate        // a question of a link that asks too often, or a draft that cannot be signed in time
)
