package legacy

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/pion/ice/v4"
)

// ICE makes both ends send small packets to each address that the other end names, and
// strangers choose the names. No stranger may use a peer to send packets into a network that
// only the peer can reach. So addresses are sent and tried by the same rule:
//
//	public            always
//	loopback          if WebRTCOptions.Loopback is set, or if a peer there may be dialled at all
//	private           if this machine has no public address of the same family, or if a peer
//	                  there may be dialled at all
//	.local (mDNS)     like private, or like loopback: it is a page on one of them
//	all others        never: unspecified, multicast, link-local, broadcast
//
// pion finds and uses the address for a .local name, and it is not checked here. So a machine
// of this network that answers for the name can have any address tried.
//
// Ports below 1024 are tried as browsers do: only 80 and 443, and only at public addresses.

// A home is the set of scopes whose addresses a connection sends and tries. The scope of an
// address is the part of the network from which it can be reached.
type home struct{ loopback, private4, private6 bool }

// newHome returns the home of a machine that has these addresses. mayDial reports whether other
// links may dial an address that a stranger has named. nil means none.
func newHome(own []netip.Addr, loopback bool, mayDial func(netip.Addr) bool) home {
	may := func(addr string) bool { return mayDial != nil && mayDial(netip.MustParseAddr(addr)) }
	private := may("10.0.0.1")
	h := home{loopback || may("127.0.0.1"), true, true}
	for _, addr := range own {
		switch addr = addr.Unmap(); {
		case !isPublic(addr):
		case addr.Is4():
			h.private4 = private
		default:
			h.private6 = private
		}
	}
	return h
}

// sharedSpace is the range behind the NATs of providers (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

func isPrivate(addr netip.Addr) bool { return addr.IsPrivate() || sharedSpace.Contains(addr) }

func isPublic(addr netip.Addr) bool {
	return addr.IsGlobalUnicast() && !isPrivate(addr)
}

// has reports whether an address is sent and tried.
func (h home) has(addr netip.Addr) bool {
	switch addr = addr.Unmap(); {
	case !addr.IsValid(), addr == broadcast:
		return false
	case addr.IsLoopback():
		return h.loopback
	case isPrivate(addr):
		return addr.Is4() && h.private4 || addr.Is6() && h.private6
	}
	return isPublic(addr)
}

// tries reports whether a peer's candidate is tried.
func (h home) tries(c ice.Candidate) bool {
	if isName(c) {
		return c.NetworkType().IsUDP() && c.Port() >= firstFreePort && (h.loopback || h.private4 || h.private6)
	}
	addr, err := netip.ParseAddr(c.Address())
	if err != nil || !c.NetworkType().IsUDP() || !h.has(addr) {
		return false
	}
	port := c.Port()
	return port >= firstFreePort || (port == 80 || port == 443) && isPublic(addr.Unmap())
}

// isName reports whether a candidate has an mDNS name in place of an address. pion recognises
// exactly the names with this ending.
func isName(c ice.Candidate) bool { return strings.HasSuffix(c.Address(), ".local") }

// firstFreePort is the first port that a program may open without privileges.
const firstFreePort = 1024

// findHome stores the home of this machine, which may have moved.
func (w *WebRTC) findHome() error {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("peer-relay: WebRTC: %w", err)
	}
	own := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, p.Addr())
		}
	}
	h := newHome(own, w.loopback, w.mayDial)
	w.home.Store(&h)
	return nil
}
