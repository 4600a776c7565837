package protocol

import "github.com/peer-relay/peer-relay/protocol/internal/core"

// Stats counts what a router did since it was made. Messages are those of applications;
// control messages are the overlay's own.
//
//	Links         int    links that are usable now
//	Pending       int    handshakes and dials under way
//	Candidates    int    peers known and not linked
//	Received      uint64 message frames read, control messages included
//	Sent          uint64 messages begun here
//	Delivered     uint64 messages handed to the application
//	Forwarded     uint64 messages passed on for others, each counted once
//	Control       uint64 control messages begun here
//	ControlPassed uint64 control messages passed on for others
//	Copies        uint64 frames handed to links, control messages included
//	BadSignatures uint64 messages whose signature does not fit: they arrive unproved
//	LinksOpened   uint64 links that were taken
//	LinksRefused  uint64 duplicates, links to oneself, mute peers
//	Dropped       Drops  dropped messages, by reason
type Stats = core.Stats

// Drops counts dropped messages by their [DropReason], which is its index. It has these
// methods:
//
//	Total() uint64           drops that lost a message: all but duplicates
//	String() string          the reasons that occurred
//	Map() map[string]uint64  the counters by the names of the reasons, every reason included
type Drops = core.Drops

// A DropReason says why a message went no further. Its String method names it.
type DropReason = core.DropReason

const (
	DropDuplicate   DropReason = core.DropDuplicate   // seen before
	DropLoop        DropReason = core.DropLoop        // it went through this peer before
	DropHops        DropReason = core.DropHops        // its path is full
	DropBudget      DropReason = core.DropBudget      // it has no transmissions left
	DropNoRoute     DropReason = core.DropNoRoute     // no link to go on by
	DropQueueFull   DropReason = core.DropQueueFull   // the queues of all links to go on by are full
	DropWaitingFull DropReason = core.DropWaitingFull // no link yet, and the waiting room is full
	DropExpired     DropReason = core.DropExpired     // it waited too long for a first link
	DropMalformed   DropReason = core.DropMalformed   // the bytes were not a frame
	DropUnknown     DropReason = core.DropUnknown     // a frame of a later version
	DropUnsupported DropReason = core.DropUnsupported // a message that this version cannot deliver
	DropTooBig      DropReason = core.DropTooBig      // it does not fit the link
	DropInboxFull   DropReason = core.DropInboxFull   // the application takes its messages too slowly
	DropUnencodable DropReason = core.DropUnencodable // it has no form on a legacy link
	DropUnasked     DropReason = core.DropUnasked     // a control message that answers no question
	DropBadControl  DropReason = core.DropBadControl  // a control message that makes no sense
	DropLinkEnded   DropReason = core.DropLinkEnded   // it stood in the queue of a link that ended
	DropNoPort      DropReason = core.DropNoPort      // a datagram for a port without a socket, or that no socket can have sent
	DropSocketFull  DropReason = core.DropSocketFull  // the oldest datagram of a socket that is read too slowly
	DropRate        DropReason = core.DropRate        // a question of a link that asks too much, or more than can be signed
)
