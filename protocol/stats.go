package protocol

import "fmt"

// A DropReason says why a message went no further.
type DropReason uint8

const (
	DropDuplicate   DropReason = iota // seen before
	DropLoop                          // it went through this peer before
	DropHops                          // its path is full
	DropBudget                        // it has no transmissions left
	DropNoRoute                       // no link to go on by
	DropQueueFull                     // the queues of all links to go on by are full
	DropWaitingFull                   // no link yet, and the waiting room is full
	DropExpired                       // it waited too long for a first link
	DropMalformed                     // the bytes were no frame
	DropUnknown                       // a frame of a later version
	DropUnsupported                   // a message that this version cannot deliver
	DropTooBig                        // it does not fit the link
	DropInboxFull                     // the application takes its messages too slowly
	DropUnencodable                   // a legacy peer cannot be told it
	DropUnasked                       // a control message that nobody asked for
	DropBadControl                    // a control message that makes no sense
	DropLinkEnded                     // it stood in the queue of a link that ended
	DropNoPort                        // a datagram for a port that no socket has, or that no socket can have sent, such as one above MaxDatagram
	DropSocketFull                    // the oldest datagram of a socket that is read too slowly
	numDropReasons
)

func (r DropReason) String() string {
	return [...]string{"duplicate", "loop", "hops", "budget", "no_route", "queue_full", "waiting_full", "expired",
		"malformed", "unknown", "unsupported", "too_big", "inbox_full", "unencodable", "unasked", "bad_control", "link_ended",
		"no_port", "socket_full"}[r]
}

// Drops counts dropped messages by their reason.
type Drops [numDropReasons]uint64

// Total gives the number of drops that lost a message: all but duplicates.
func (d Drops) Total() (n uint64) {
	for r, c := range d {
		if DropReason(r) != DropDuplicate {
			n += c
		}
	}
	return n
}

// String lists the reasons that occurred.
func (d Drops) String() string {
	s := ""
	for r, n := range d {
		if n > 0 {
			s += fmt.Sprintf(" %v=%d", DropReason(r), n)
		}
	}
	if s == "" {
		return "none"
	}
	return s[1:]
}

// Map gives the counters by the reasons' names, every reason included.
func (d Drops) Map() map[string]uint64 {
	m := make(map[string]uint64, len(d))
	for r, n := range d {
		m[DropReason(r).String()] = n
	}
	return m
}

// Stats counts what a router did since it was made. Messages are those of
// applications; control is the overlay's own traffic.
type Stats struct {
	Links         int    // usable now
	Pending       int    // handshakes and dials under way
	Candidates    int    // peers known and not linked
	Received      uint64 // message frames read, control included
	Sent          uint64 // messages begun here
	Delivered     uint64 // messages handed to the application
	Forwarded     uint64 // messages passed on for others, each counted once
	Control       uint64 // control messages begun here
	ControlPassed uint64 // control messages passed on for others
	Copies        uint64 // frames handed to links, control included
	BadSignatures uint64 // messages whose signature does not fit: they arrive unproved
	LinksOpened   uint64
	LinksRefused  uint64 // duplicates, links to oneself, mute peers
	Dropped       Drops
}
