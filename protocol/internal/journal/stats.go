// Package journal is what a core tells about its messages and links: counters, reasons of drops, and
// events.
package journal

import "fmt"

// A DropReason is why a message was dropped. Package protocol documents each.
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
	names := [...]string{"duplicate", "loop", "hops", "budget", "no_route", "queue_full", "waiting_full", "expired",
		"malformed", "unknown", "unsupported", "too_big", "inbox_full", "unencodable", "unasked", "bad_control", "link_ended",
		"no_port", "socket_full", "rate"}
	if int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// Drops counts dropped messages by their reason.
type Drops [numDropReasons]uint64

// Total returns the number of drops that lost a message. A duplicate is not one.
func (d Drops) Total() (n uint64) {
	for r, c := range d {
		if DropReason(r) != DropDuplicate {
			n += c
		}
	}
	return n
}

// String returns the reasons that occurred, with their counts.
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

// Map returns the count of every reason by its name.
func (d Drops) Map() map[string]uint64 {
	m := make(map[string]uint64, len(d))
	for r, n := range d {
		m[DropReason(r).String()] = n
	}
	return m
}

// Stats are the counters of a Core. Package protocol documents each.
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
	Retries       uint64
	BadSignatures uint64
	LinksOpened   uint64
	LinksRefused  uint64
	Kept          uint64
	KeepRefused   uint64
	HandedOver    uint64
	EventsMissed  uint64 // counted by the shell
	Dropped       Drops
}
