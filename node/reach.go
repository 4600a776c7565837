package node

import (
	"net/netip"
	"net/url"
	"strings"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// A scope is how far an address can be reached from.
type scope uint8

const (
	scopeNone     scope = iota // an address that nobody dials
	scopeLoopback              // this machine
	scopePrivate               // this network
	scopePublic
)

func scopeOf(ip netip.Addr) scope {
	ip = ip.Unmap()
	switch {
	case !ip.IsValid(), ip.IsUnspecified(), ip.IsMulticast():
		return scopeNone
	case ip.IsLoopback():
		return scopeLoopback
	case ip.IsPrivate(), ip.IsLinkLocalUnicast(), sharedSpace.Contains(ip):
		return scopePrivate
	}
	return scopePublic
}

// sharedSpace lies behind the NATs of providers (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// scopeOfAddr gives the scope of a multiaddr. A name counts as public. What it
// resolves to is looked at when a URL is dialled; libp2p dials it unseen.
func scopeOfAddr(a ma.Multiaddr) scope {
	if ip, err := manet.ToIP(a); err == nil {
		addr, _ := netip.AddrFromSlice(ip)
		return scopeOf(addr)
	}
	for _, code := range []int{ma.P_DNS, ma.P_DNS4, ma.P_DNS6, ma.P_DNSADDR} {
		if name, err := a.ValueForProtocol(code); err == nil {
			return scopeOfName(name)
		}
	}
	return scopeNone
}

func scopeOfName(name string) scope {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return scopeLoopback
	}
	if ip, err := netip.ParseAddr(name); err == nil {
		return scopeOf(ip)
	}
	return scopePublic
}

// scopeOfContact gives the scope of a bootstrap: a URL or a multiaddr.
func scopeOfContact(s string) scope {
	if strings.HasPrefix(s, "/") {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			return scopeNone
		}
		return scopeOfAddr(a)
	}
	u, err := url.Parse(s)
	if err != nil {
		return scopeNone
	}
	return scopeOfName(u.Hostname())
}

// home is the set of scopes in which this peer is at home: those of its bootstraps
// and of the addresses that it listens on; all of them in a closed network. What strangers say about addresses in
// other scopes is not dialled, so that nobody can make this peer knock at doors of
// a network that it merely can reach.
type home [scopePublic + 1]bool

func newHome(listen []ma.Multiaddr, bootstraps []string) home {
	var h home
	h[scopePublic] = true
	public := false
	for _, a := range listen {
		public = public || scopeOfAddr(a) == scopePublic
	}
	for _, a := range listen {
		// A public server listens on its loopback address also, and is no less public.
		if s := scopeOfAddr(a); !public {
			h[s] = true
		}
	}
	for _, b := range bootstraps {
		h[scopeOfContact(b)] = true
	}
	h[scopeNone] = false
	return h
}

func (h home) has(a ma.Multiaddr) bool { return h[scopeOfAddr(a)] }

// MayDial reports whether an address that a stranger gave may be dialled: whether it is
// in this peer's home.
func (n *Node) MayDial(addr netip.Addr) bool { return n.home()[scopeOf(addr)] }

// scopeOfRemote gives the scope of the other end of a link, by LinkInfo.Addr: a
// multiaddr, a URL, or an IP address with a port.
func scopeOfRemote(addr string) scope {
	if remote, err := netip.ParseAddrPort(addr); err == nil {
		return scopeOf(remote.Addr())
	}
	return scopeOfContact(addr)
}
