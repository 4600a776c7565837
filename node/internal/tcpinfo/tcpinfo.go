// Package tcpinfo reports what the other end of a TCP connection has acknowledged. Only Linux is
// asked, by the addresses of the connection, since the layers above TCP hide the socket itself.
package tcpinfo

import (
	"net/netip"
	"time"
)

// An Info holds figures of a connection.
type Info struct {
	Acked   uint64        // bytes that the other end has acknowledged
	Pending uint64        // bytes that were written and are not acknowledged
	Unsent  uint64        // part of Pending that has not been sent once
	Moves   uint64        // grows with every segment that arrives: an acknowledgement of bytes behind a gap too
	RTT     time.Duration // smoothed round trip time
}

// Of returns the figures of the connection between two addresses. False means that they are not
// known. It does not wait.
func Of(local, remote netip.AddrPort) (Info, bool) {
	if !local.Addr().IsValid() || !remote.Addr().IsValid() {
		return Info{}, false
	}
	return between(unmapped(local), unmapped(remote))
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
