package port

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"syscall"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/peer-relay/peer-relay/node/internal/options"
	"github.com/peer-relay/peer-relay/node/internal/scope"
)

// anyAttempts is the number of attempts to find a port that is free in TCP and in UDP, in IPv4
// and in IPv6.
const anyAttempts = 16

var (
	plainWS    = ma.StringCast("/ws")
	overQUIC   = ma.StringCast("/quic-v1")
	overWebRTC = ma.StringCast("/webrtc-direct")
)

// A swarmListener is the part of a swarm that network.Network hides. Listen of network.Network
// succeeds if it can listen at one address of many, and returns errors as text.
type swarmListener interface {
	AddListenAddr(ma.Multiaddr) error
	ListenClose(...ma.Multiaddr)
	ListenAddresses() []ma.Multiaddr
}

// Listen opens the port, if the options ask for one: TCP, and UDP of the same number. If
// another program has the port, in TCP or in UDP, the error matches syscall.EADDRINUSE.
// Otherwise a relay would lack a transport without its operator's knowledge. On a machine
// without IPv6, or without IPv4, Listen succeeds with the other one. It is called at most once.
func (h *Host) Listen() error {
	if !h.opts.Listen {
		return nil
	}
	ips, err := listenIPs(h.opts.ListenHost)
	if err != nil {
		return err
	}
	attempts := 1
	if h.opts.Number == 0 {
		attempts = anyAttempts
	}
	return whileInUse(attempts, func() error { return h.listenAt(ips, h.opts.Number) })
}

// whileInUse calls listen again while the number that TCP in IPv4 has taken is in use in UDP,
// or in IPv6.
func whileInUse(attempts int, listen func() error) (err error) {
	for range attempts {
		if err = listen(); !errors.Is(err, syscall.EADDRINUSE) {
			return err
		}
	}
	return err
}

// listenAt opens one port for all of ips, or none.
func (h *Host) listenAt(ips []netip.Addr, port uint16) error {
	swarm, ok := h.Network().(swarmListener)
	if !ok {
		return fmt.Errorf("node: listening: a %T cannot listen", h.Network())
	}
	var failed []error
	for _, ip := range ips {
		err := h.listenOn(swarm, ip, port)
		var inUse *inUseError
		if errors.As(err, &inUse) {
			swarm.ListenClose(swarm.ListenAddresses()...)
			return err
		} else if err != nil {
			failed = append(failed, err)
			continue
		}
		port = h.Port()
	}
	err := errors.Join(failed...)
	if len(failed) == len(ips) {
		return err
	}
	if err != nil {
		h.opts.Logger.Info("listening on a part of the machine's addresses", "err", err)
	}
	return nil
}

// listenOn opens the TCP port of one address, and then the UDP port of the same number.
func (h *Host) listenOn(swarm swarmListener, ip netip.Addr, port uint16) error {
	a, err := listenAddr(net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, port)), plainWS)
	if err != nil {
		return err
	}
	if err := swarm.AddListenAddr(a); isInUse(err) {
		return &inUseError{network: "TCP", port: port, err: err}
	} else if err != nil {
		return fmt.Errorf("node: listening on %s: %w", netip.AddrPortFrom(ip, port), err)
	}
	if port == 0 {
		port = h.Port()
	}
	var over []ma.Multiaddr
	if h.opts.QUIC {
		over = append(over, overQUIC) // first, since webrtc-direct can share its socket
	}
	if !h.opts.NoWebRTCDirect {
		over = append(over, overWebRTC)
	}
	for _, suffix := range over {
		a, err := listenAddr(net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, port)), suffix)
		if err != nil {
			return err
		}
		if err := swarm.AddListenAddr(a); isInUse(err) {
			return &inUseError{network: "UDP", port: port, err: err}
		} else if err != nil {
			return fmt.Errorf("node: listening on %s: %w", a, err)
		}
	}
	return nil
}

func listenAddr(addr net.Addr, over ma.Multiaddr) (ma.Multiaddr, error) {
	a, err := manet.FromNetAddr(addr)
	if err != nil {
		return nil, fmt.Errorf("node: address to listen on: %w", err)
	}
	return a.Encapsulate(over), nil
}

// An inUseError matches syscall.EADDRINUSE on every system. Windows has its own number for it.
type inUseError struct {
	network string
	port    uint16
	err     error
}

func (e *inUseError) Error() string {
	return fmt.Sprintf("node: %s port %d is in use by another program: %v", e.network, e.port, e.err)
}
func (e *inUseError) Unwrap() error        { return e.err }
func (e *inUseError) Is(target error) bool { return target == syscall.EADDRINUSE }

// wsaeaddrinuse is the number of EADDRINUSE on Windows.
const wsaeaddrinuse = syscall.Errno(10048)

func isInUse(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || runtime.GOOS == "windows" && errors.Is(err, wsaeaddrinuse)
}

// listenIPs returns the addresses to listen on, IPv4 first.
func listenIPs(host string) ([]netip.Addr, error) {
	switch host {
	case "":
		return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}, nil
	case "localhost":
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return nil, options.Wrong("node: host to listen on: %q is neither an IP address nor localhost", host)
	}
	return []netip.Addr{ip.Unmap()}, nil
}

// ListensPublicly reports whether the host is to listen at a public address.
func (h *Host) ListensPublicly() bool {
	ips, err := listenIPs(h.opts.ListenHost)
	if err != nil {
		return false // Listen reports it
	}
	for _, ip := range ips {
		if scope.Of(ip) == scope.Public {
			return true
		}
		if !ip.IsUnspecified() {
			continue
		}
		addrs, err := net.InterfaceAddrs()
		if err != nil {
			return false
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap().Is4() == ip.Is4() && scope.Of(p.Addr()) == scope.Public {
				return true
			}
		}
	}
	return false
}
