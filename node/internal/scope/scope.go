// Package scope determines the scope of an address, and which addresses of strangers may be
// dialled.
package scope

import (
	"net/netip"
	"net/url"
	"strings"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// A Scope is the part of the network from which an address can be reached.
type Scope uint8

const (
	None     Scope = iota // an address that cannot be dialled
	Loopback              // this machine
	Private               // this network
	Public
)

// sharedSpace is the range behind the NATs of providers (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// Of returns the scope of an IP address.
func Of(ip netip.Addr) Scope {
	ip = ip.Unmap()
	switch {
	case !ip.IsValid(), ip.IsUnspecified(), ip.IsMulticast():
		return None
	case ip.IsLoopback():
		return Loopback
	case ip.IsPrivate(), ip.IsLinkLocalUnicast(), sharedSpace.Contains(ip):
		return Private
	}
	return Public
}

// Subnet returns the part of the internet that an address is in, and of which one party may well own all
// addresses: 24 bits of IPv4, 48 of IPv6. It returns the zero Prefix for any other address.
func Subnet(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap()
	if Of(ip) != Public {
		return netip.Prefix{}
	}
	bits := 24
	if ip.Is6() {
		bits = 48
	}
	subnet, _ := ip.Prefix(bits) // it drops a zone, and the length is right
	return subnet
}

// Secondary reports whether an IP address is sent to others only after the rest: a link-local
// one, which a machine takes when it got no other, and one of the space of providers, which
// VPNs use too.
func Secondary(ip netip.Addr) bool {
	return ip.IsLinkLocalUnicast() || sharedSpace.Contains(ip.Unmap())
}

// OfMultiaddr returns the scope of a multiaddr. A name counts as public: its addresses are
// checked where a URL is dialled, but libp2p dials them unchecked.
func OfMultiaddr(a ma.Multiaddr) Scope {
	if ip, err := manet.ToIP(a); err == nil {
		addr, _ := netip.AddrFromSlice(ip)
		return Of(addr)
	}
	for _, code := range []int{ma.P_DNS, ma.P_DNS4, ma.P_DNS6, ma.P_DNSADDR} {
		if name, err := a.ValueForProtocol(code); err == nil {
			return ofName(name)
		}
	}
	return None
}

func ofName(name string) Scope {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return Loopback
	}
	if ip, err := netip.ParseAddr(name); err == nil {
		return Of(ip)
	}
	return Public
}

// OfContact returns the scope of a bootstrap: a URL or a multiaddr.
func OfContact(s string) Scope {
	if strings.HasPrefix(s, "/") {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			return None
		}
		return OfMultiaddr(a)
	}
	u, err := url.Parse(s)
	if err != nil {
		return None
	}
	return ofName(u.Hostname())
}

// OfRemote returns the scope of the other end of a link: a multiaddr, a URL, or an IP
// address with a port.
func OfRemote(addr string) Scope {
	if remote, err := netip.ParseAddrPort(addr); err == nil {
		return Of(remote.Addr())
	}
	return OfContact(addr)
}

// A Home is the set of scopes in which a peer is at home. An address that a stranger names is
// dialled only if its scope is in the set. Otherwise any stranger could make this peer dial
// into a network that only the peer can reach.
type Home [Public + 1]bool

// Everywhere is the home of a peer in a closed network.
var Everywhere = Home{Loopback: true, Private: true, Public: true}

// NewHome returns the home of a peer with these listen addresses and bootstraps. It always has
// the public scope.
func NewHome(listen []ma.Multiaddr, bootstraps []string) Home {
	var h Home
	h[Public] = true
	public := false
	for _, a := range listen {
		public = public || OfMultiaddr(a) == Public
	}
	for _, a := range listen {
		// A public server also listens on its loopback address, and is still public.
		if s := OfMultiaddr(a); !public {
			h[s] = true
		}
	}
	for _, b := range bootstraps {
		h[OfContact(b)] = true
	}
	h[None] = false
	return h
}

// Has reports whether the scope of a multiaddr is in the home.
func (h Home) Has(a ma.Multiaddr) bool { return h[OfMultiaddr(a)] }
