// Package netif reports the IP addresses of this machine: which it has, when they change, and
// from which of them others are reached.
package netif

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Of returns the IP address of an address of package net, the zero Addr if it has none. An
// unspecified address is none, and a zone is left out.
func Of(a net.Addr) netip.Addr {
	if a == nil {
		return netip.Addr{}
	}
	text := a.String()
	if p, err := netip.ParsePrefix(text); err == nil {
		return clean(p.Addr())
	}
	if p, err := netip.ParseAddrPort(text); err == nil {
		return clean(p.Addr())
	}
	return netip.Addr{}
}

// OfMultiaddr returns the IP address with which a multiaddr begins, under the rules of Of.
func OfMultiaddr(a ma.Multiaddr) netip.Addr {
	ip, err := manet.ToIP(a)
	if err != nil {
		return netip.Addr{}
	}
	addr, _ := netip.AddrFromSlice(ip)
	return clean(addr)
}

func clean(ip netip.Addr) netip.Addr {
	if ip = ip.Unmap().WithZone(""); ip.IsUnspecified() {
		return netip.Addr{}
	}
	return ip
}

// elsewhere are addresses of no machine (RFC 5737, RFC 3849). The default route leads to them.
var elsewhere = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}

// Default returns the addresses from which this machine reaches the world, IPv4 first: those of
// its default routes. There may be none.
func Default() (own []netip.Addr) {
	for _, ip := range elsewhere {
		if from := Toward(ip); from.IsValid() {
			own = append(own, from)
		}
	}
	return own
}

// Toward returns the address from which this machine reaches another one, the zero Addr if it
// has no route there, or remote is the zero Addr. It asks the system and sends nothing.
func Toward(remote netip.Addr) netip.Addr {
	if !remote.IsValid() {
		return netip.Addr{}
	}
	const discard = 9 // a port; a UDP socket needs one to have a route
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(remote, discard)))
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return Of(c.LocalAddr())
}

// A Watch notices changes of the addresses. One goroutine uses it.
type Watch struct {
	// The system, which tests replace.
	interfaces func() ([]net.Interface, error)
	addrs      func() ([]net.Addr, error)
	addrsOf    func(*net.Interface) ([]net.Addr, error)

	// At the last look.
	found []net.Interface
	all   []netip.Addr // of all interfaces, in order
	state string       // what of both matters to connections
}

// NewWatch returns a Watch.
func NewWatch() *Watch {
	return &Watch{interfaces: net.Interfaces, addrs: net.InterfaceAddrs, addrsOf: (*net.Interface).Addrs}
}

// Look returns whether the addresses changed since the last look, and those that are gone. An
// interface that goes up or down, or whose cable is pulled or plugged, is a change too, but keeps
// its addresses. A link-local address of IPv6 is none: every container that starts brings one.
// The first look returns no change.
func (w *Watch) Look() (changed bool, gone []netip.Addr, err error) {
	found, err := w.interfaces()
	if err != nil {
		return false, nil, fmt.Errorf("node: network interfaces: %w", err)
	}
	listed, err := w.addrs()
	if err != nil {
		return false, nil, fmt.Errorf("node: addresses of this machine: %w", err)
	}
	all := make([]netip.Addr, 0, len(listed))
	for _, a := range listed {
		if ip := Of(a); ip.IsValid() {
			all = append(all, ip)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	// To describe them asks the system once for each interface.
	if slices.EqualFunc(found, w.found, sameInterface) && slices.Equal(all, w.all) {
		return false, nil, nil
	}
	for _, ip := range w.all {
		if _, there := slices.BinarySearchFunc(all, ip, netip.Addr.Compare); !there {
			gone = append(gone, ip)
		}
	}
	first := w.found == nil
	w.found, w.all = found, all
	state := w.describe(found)
	if first || state == w.state {
		w.state = state
		return false, nil, nil
	}
	w.state = state
	return true, gone, nil
}

// Addrs returns the addresses that there were at the last look.
func (w *Watch) Addrs() []netip.Addr { return w.all }

func sameInterface(a, b net.Interface) bool {
	return a.Index == b.Index && a.Name == b.Name && a.Flags == b.Flags
}

// describe returns a text that differs when connections may be affected.
func (w *Watch) describe(found []net.Interface) string {
	var lines []string
	for _, i := range found {
		addrs, err := w.addrsOf(&i)
		if err != nil {
			continue // it went away since
		}
		var ips []string
		for _, a := range addrs {
			if ip := Of(a); ip.IsValid() && !(ip.Is6() && ip.IsLinkLocalUnicast()) {
				ips = append(ips, ip.String())
			}
		}
		if len(ips) > 0 {
			slices.Sort(ips)
			lines = append(lines, fmt.Sprint(i.Name, i.Flags&(net.FlagUp|net.FlagRunning), ips))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
