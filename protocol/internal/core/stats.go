package core

import "fmt"

// A DropReason says why a message went no further. Package protocol says what each means.
type DropReason uint8

const (
	DropDuplicate DropReason = iota
	DropLoop
	DropHops
	DropBudget
	DropNoRoute
	DropQueueFull
	DropWaitingFull
	DropExpired
	DropMalformed
	DropUnknown
	DropUnsupported
	DropTooBig
	DropInboxFull
	DropUnencodable
	DropUnasked
	DropBadControl
	DropLinkEnded
	DropNoPort
	DropSocketFull
	DropRate
	numDropReasons
)

func (r DropReason) String() string {
	return [...]string{"duplicate", "loop", "hops", "budget", "no_route", "queue_full", "waiting_full", "expired",
		"malformed", "unknown", "unsupported", "too_big", "inbox_full", "unencodable", "unasked", "bad_control", "link_ended",
		"no_port", "socket_full", "rate"}[r]
}

// Drops counts dropped messages by their reason.
type Drops [numDropReasons]uint64

// Total returns the number of drops that lost a message: all but duplicates.
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

// Map returns the counters by the reasons' names, every reason included.
func (d Drops) Map() map[string]uint64 {
	m := make(map[string]uint64, len(d))
	for r, n := range d {
		m[DropReason(r).String()] = n
	}
	return m
}

// Stats counts what a Core did since it was made. Package protocol says what each field counts.
type Stats struct {
	Links         int
	Pending       int
	Candidates    int
	Received      uint64
	Sent          uint64
	Delivered     uint64
	Forwarded     uint64
	Control       uint64
	ControlPassed uint64
	Copies        uint64
	BadSignatures uint64
	LinksOpened   uint64
	LinksRefused  uint64
	Dropped       Drops
}
