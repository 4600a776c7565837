package port

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Port returns the number of the TCP port, or 0 if the host does not listen.
func (h *Host) Port() uint16 {
	for _, a := range h.Network().ListenAddresses() {
		if s, err := a.ValueForProtocol(ma.P_TCP); err == nil {
			n, _ := strconv.ParseUint(s, 10, 16)
			return uint16(n)
		}
	}
	return 0
}

// Announced returns the addresses that the options announce.
func (h *Host) Announced() []ma.Multiaddr { return slices.Clone(h.announced) }

// PortAddrs returns every address of the port, without /p2p: the announced ones, then the
// machine's own, /ws, which most peers can dial, before plain TCP, and that before UDP, loopback
// first, IPv4 before IPv6, TLS last. It is up to date: libp2p keeps the addresses of the machine
// for a minute.
func (h *Host) PortAddrs() []ma.Multiaddr {
	listen := h.Network().ListenAddresses()
	own, err := manet.ResolveUnspecifiedAddresses(listen, nil)
	if err != nil {
		own = listen
	}
	own = h.served(own)
	slices.SortFunc(own, func(a, b ma.Multiaddr) int {
		return cmp.Or(shownAt(a)-shownAt(b), remoteness(a)-remoteness(b), strings.Compare(a.String(), b.String()))
	})
	return append(h.Announced(), own...)
}

// shownAt returns the place of an address among the others.
func shownAt(a ma.Multiaddr) int {
	if _, err := a.ValueForProtocol(ma.P_TLS); err == nil {
		return costDirect + 2
	} else if cost := CostOf(a); cost != costWS {
		return cost + 1
	}
	return 0
}

// remoteness returns 0 for a loopback address and 1 for any other.
func remoteness(a ma.Multiaddr) int {
	if manet.IsIPLoopback(a) {
		return 0
	}
	return 1
}

// addrsToTell returns the addresses that identify sends.
func (h *Host) addrsToTell(addrs []ma.Multiaddr) []ma.Multiaddr {
	if len(h.announced) > 0 {
		return h.Announced()
	}
	return h.served(addrs)
}

// served adds to each /ws address the other ones at which its listener serves libp2p: plain TCP, and
// /tls/ws if the port accepts TLS. go-libp2p knows only one listener.
func (h *Host) served(addrs []ma.Multiaddr) []ma.Multiaddr {
	all := slices.Clone(addrs)
	for _, a := range addrs {
		s := securedAddr(a)
		if s.Equal(a) {
			continue
		}
		under, _ := ma.SplitLast(a)
		all = append(all, under)
		if h.opts.TLS != nil {
			all = append(all, s)
		}
	}
	return all
}

// parseAnnounce returns an announced address as a multiaddr. It accepts a multiaddr, with or
// without the host's own /p2p, and a ws:// or wss:// URL.
func parseAnnounce(s string, self peer.ID) (ma.Multiaddr, error) {
	if !strings.HasPrefix(s, "/") {
		return parseWebSocketURL(s)
	}
	a, err := ma.NewMultiaddr(s)
	if err != nil {
		return nil, err
	}
	a, id := peer.SplitAddr(a)
	switch {
	case id != "" && id != self:
		return nil, fmt.Errorf("names another peer: this one is %s", self)
	case len(a) == 0:
		return nil, errors.New("has no transport")
	}
	return a, nil
}

// parseWebSocketURL returns ws://host:port or wss://host:port as a multiaddr.
func parseWebSocketURL(s string) (ma.Multiaddr, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, err
	}
	var port, suffix string
	switch u.Scheme {
	case "ws":
		port, suffix = "80", "/ws"
	case "wss":
		port, suffix = "443", "/tls/ws"
	default:
		return nil, errors.New("want a multiaddr, or a ws:// or wss:// URL")
	}
	switch {
	case u.Hostname() == "":
		return nil, errors.New("has no host")
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "":
		return nil, errors.New("has a path, which libp2p cannot dial")
	case u.User != nil:
		return nil, errors.New("has a user")
	case u.Port() != "":
		port = u.Port()
	}
	kind := "/dns/"
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		if kind = "/ip6/"; ip.Is4() {
			kind = "/ip4/"
		}
	}
	return ma.NewMultiaddr(kind + u.Hostname() + "/tcp/" + port + suffix)
}

// WebSocketURL returns the URL with which a legacy peer can dial an address, if there is one.
func WebSocketURL(a ma.Multiaddr) (string, bool) {
	a, _ = peer.SplitAddr(a)
	var host, port, scheme string
	var secure bool
	for _, c := range a {
		switch c.Protocol().Code {
		case ma.P_IP4, ma.P_IP6, ma.P_DNS, ma.P_DNS4, ma.P_DNS6:
			host = c.Value()
		case ma.P_TCP:
			port = c.Value()
		case ma.P_TLS:
			secure = true
		case ma.P_WS:
			scheme = "ws"
		case ma.P_WSS:
			scheme, secure = "ws", true
		case ma.P_SNI:
		default:
			return "", false // a relayed address, another transport, a zone
		}
	}
	if host == "" || port == "" || scheme == "" {
		return "", false
	}
	std := "80"
	if secure {
		scheme, std = "wss", "443"
	}
	if port != std {
		return scheme + "://" + net.JoinHostPort(host, port), true
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return scheme + "://" + host, true
}
