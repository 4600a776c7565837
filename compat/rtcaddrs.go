package compat

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"
)

// ICE has both ends send small packets to each address that the other one names, and the
// names come from strangers. So that nobody can make a peer knock at the doors of a
// network that it merely can reach, addresses are told and tried by the same rule:
//
//	public            always
//	loopback          WebRTCOptions.Loopback, or if a peer there may be dialled at all
//	private           if this machine has no public address of the same family, or
//	                  likewise
//	.local (mDNS)     as private, or as loopback: it is a page on one of them
//	all others        never: unspecified, multicast, link-local, broadcast
//
// The address for a .local name is pion's to find and use, and is not looked at here: a
// machine of this network that answers for the name can have any address tried.
//
// Ports below 1024 are tried as browsers do: 80 and 443 alone, and these at public
// addresses only.

// A reach is which addresses the connections of a peer have, and try, at a time.
type reach struct{ loopback, private4, private6 bool }

// newReach gives the reach of a machine that has these addresses. mayDial says whether an
// address that a stranger gave may be dialled for other links; nil: none may.
func newReach(own []netip.Addr, loopback bool, mayDial func(netip.Addr) bool) reach {
	may := func(addr string) bool { return mayDial != nil && mayDial(netip.MustParseAddr(addr)) }
	private := may("10.0.0.1")
	r := reach{loopback || may("127.0.0.1"), true, true}
	for _, addr := range own {
		switch addr = addr.Unmap(); {
		case !isPublic(addr):
		case addr.Is4():
			r.private4 = private
		default:
			r.private6 = private
		}
	}
	return r
}

// sharedSpace lies behind the NATs of providers (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

func isPrivate(addr netip.Addr) bool { return addr.IsPrivate() || sharedSpace.Contains(addr) }

func isPublic(addr netip.Addr) bool {
	return addr.IsGlobalUnicast() && !isPrivate(addr)
}

// has reports whether an address is used.
func (r reach) has(addr netip.Addr) bool {
	switch addr = addr.Unmap(); {
	case !addr.IsValid(), addr == broadcast:
		return false
	case addr.IsLoopback():
		return r.loopback
	case isPrivate(addr):
		return addr.Is4() && r.private4 || addr.Is6() && r.private6
	}
	return isPublic(addr)
}

// tries reports whether a candidate of a peer's is tried.
func (r reach) tries(c ice.Candidate) bool {
	if isName(c) {
		return c.NetworkType().IsUDP() && c.Port() >= firstFreePort && (r.loopback || r.private4 || r.private6)
	}
	addr, err := netip.ParseAddr(c.Address())
	if err != nil || !c.NetworkType().IsUDP() || !r.has(addr) {
		return false
	}
	port := c.Port()
	return port >= firstFreePort || (port == 80 || port == 443) && isPublic(addr.Unmap())
}

// isName reports whether a candidate has a name of mDNS for an address. pion takes every
// name that ends so for one, and no others.
func isName(c ice.Candidate) bool { return strings.HasSuffix(c.Address(), ".local") }

// firstFreePort is the first port that a program may open without privileges.
const firstFreePort = 1024

// look finds out where this machine is: it may have moved.
func (w *WebRTC) look() error {
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
	r := newReach(own, w.loopback, w.mayDial)
	w.reach.Store(&r)
	return nil
}

// --- one port

// A portMux has all connections share one socket, for IPv4 and IPv6.
type portMux struct {
	*ice.UDPMuxDefault
	port  int
	ipv6  bool
	keep  func(name string) bool // which interfaces; nil: all
	reach func() *reach
}

// listenMux opens the port: 0 stands for any that is free.
func (w *WebRTC) listenMux(port int, keep func(string) bool, loggers logging.LoggerFactory) (*portMux, error) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{Port: port})
	if err != nil {
		return nil, fmt.Errorf("peer-relay: WebRTC: %w", err)
	}
	local := conn.LocalAddr().(*net.UDPAddr)
	return &portMux{
		UDPMuxDefault: ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn, Logger: loggers.NewLogger("ice")}),
		port:          local.Port, ipv6: local.IP.To4() == nil, keep: keep, reach: w.reach.Load,
	}, nil
}

// GetListenAddresses gives the addresses that the port has now. pion would give those
// that it had when it was opened, and of all interfaces.
func (m *portMux) GetListenAddresses() (all []net.Addr) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil // then there are no candidates
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || m.keep != nil && !m.keep(i.Name) {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err != nil {
				continue
			}
			if addr := p.Addr().Unmap(); (addr.Is4() || m.ipv6) && m.reach().has(addr) {
				all = append(all, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, uint16(m.port))))
			}
		}
	}
	return all
}
