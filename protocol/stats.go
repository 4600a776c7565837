package protocol

import "github.com/peer-relay/peer-relay/protocol/internal/journal"

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
//	Kept          uint64 messages stored for peers that are offline, further attempts of one included
//	KeepRefused   uint64 messages that were to be stored, and were refused
//	HandedOver    uint64 messages that were stored, and that their receivers have
//	Retries       uint64 further copies of reliable messages sent by this peer
//	Dropped       Drops  dropped messages: an array with a [DropReason] as its index, with the methods
//	                     Total() uint64, the number of drops that lost a message, which a duplicate does not,
//	                     String() string, the reasons that occurred, with their counts, and
//	                     Map() map[string]uint64, the count of every reason by its name
type Stats = journal.Stats

// A DropReason is why a message was dropped. Its String method returns its name.
type DropReason = journal.DropReason

const (
	DropDuplicate   DropReason = journal.DropDuplicate   // another copy was forwarded, delivered or kept
	DropLoop        DropReason = journal.DropLoop        // this peer is its origin or in its path
	DropHops        DropReason = journal.DropHops        // its path is full
	DropBudget      DropReason = journal.DropBudget      // it has no transmissions left
	DropNoRoute     DropReason = journal.DropNoRoute     // no link to choose
	DropQueueFull   DropReason = journal.DropQueueFull   // the queue of every link to choose is full
	DropWaitingFull DropReason = journal.DropWaitingFull // no link yet, and too many messages wait for one
	DropExpired     DropReason = journal.DropExpired     // it waited too long for a link
	DropMalformed   DropReason = journal.DropMalformed   // the bytes were not a frame
	DropUnknown     DropReason = journal.DropUnknown     // a frame of a later version
	DropUnsupported DropReason = journal.DropUnsupported // a message that this version cannot deliver
	DropTooBig      DropReason = journal.DropTooBig      // a control message that could not be encoded or signed
	DropInboxFull   DropReason = journal.DropInboxFull   // the application reads its messages too slowly
	DropUnencodable DropReason = journal.DropUnencodable // it has no form on the link, or is too big for it
	DropUnasked     DropReason = journal.DropUnasked     // a control message that answers no question
	DropBadControl  DropReason = journal.DropBadControl  // an invalid control message
	DropLinkEnded   DropReason = journal.DropLinkEnded   // it was in the queue of a link that ended, and no other link took it
	DropNoPort      DropReason = journal.DropNoPort      // an invalid datagram, or one for a port without a socket
	DropSocketFull  DropReason = journal.DropSocketFull  // the oldest datagram of a socket that is read too slowly
	DropRate        DropReason = journal.DropRate        // a question of a link that asks too often, or a draft that cannot be signed in time
)
