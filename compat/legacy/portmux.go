package legacy

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"
)

// A portMux shares one UDP socket among all connections, for IPv4 and IPv6.
type portMux struct {
	*ice.UDPMuxDefault
	port int
	ipv6 bool
	keep func(name string) bool // reports whether to use an interface; nil means all
	home func() *home
}

// listenMux opens the port. 0 means any free port.
func (w *WebRTC) listenMux(port int, keep func(string) bool, loggers logging.LoggerFactory) (*portMux, error) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{Port: port})
	if err != nil {
		return nil, fmt.Errorf("peer-relay: WebRTC: %w", err)
	}
	local := conn.LocalAddr().(*net.UDPAddr)
	return &portMux{
		UDPMuxDefault: ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn, Logger: loggers.NewLogger("ice")}),
		port:          local.Port, ipv6: local.IP.To4() == nil, keep: keep, home: w.home.Load,
	}, nil
}

// GetListenAddresses returns the current addresses of the port. pion would return those of all
// interfaces, from the time when the port was opened.
func (m *portMux) GetListenAddresses() (all []net.Addr) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil // so there are no candidates
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
			if addr := p.Addr().Unmap(); (addr.Is4() || m.ipv6) && m.home().has(addr) {
				all = append(all, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, uint16(m.port))))
			}
		}
	}
	return all
}
