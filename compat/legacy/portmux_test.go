//go:build !js

package legacy

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
)

// TestPortMuxAddresses checks that the shared port has addresses of both families if the
// machine has them, and none of an interface that must not be used.
func TestPortMuxAddresses(t *testing.T) {
	loopback := ""
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	families := make(map[bool]bool)
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback == 0 {
			continue
		}
		loopback = i.Name
		addrs, err := i.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range addrs {
			families[netip.MustParsePrefix(a.String()).Addr().Is4()] = true
		}
	}
	w, err := NewWebRTC(WebRTCOptions{SharePort: true, Loopback: true, Interfaces: []string{loopback}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.findHome(); err != nil {
		t.Fatal(err)
	}
	got := make(map[bool]bool)
	for _, a := range w.mux.GetListenAddresses() {
		addr := a.(*net.UDPAddr).AddrPort()
		if !addr.Addr().IsLoopback() || int(addr.Port()) != w.Port() {
			t.Errorf("the port has the address %v", addr)
		}
		got[addr.Addr().Is4()] = true
	}
	if len(got) != len(families) || len(got) == 0 {
		t.Errorf("families (true: IPv4) %v, the machine has %v", got, families)
	}
	w.home.Store(new(home))
	if all := w.mux.GetListenAddresses(); len(all) != 0 {
		t.Errorf("the port has the addresses %v, which must not be sent", all)
	}
}

// TestPortMuxFamilies checks that the one port carries links of both families.
func TestPortMuxFamilies(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		t.Run(host, func(t *testing.T) {
			conn, err := net.ListenPacket("udp", host+":0")
			if err != nil {
				t.Logf("this machine has no %s: %v", host, err)
				return
			}
			p := newRTCPair(t, func(p *simplePeer) {
				p.socket = conn // its only candidate
				p.ours = WebRTCOptions{Loopback: true, SharePort: true}
			})
			p.js.Connect(p.ID())
			up := wait(t, "link", p.ups)
			if up.Addr != conn.LocalAddr().String() {
				t.Errorf("the link is to %s, want %v", up.Addr, conn.LocalAddr())
			}
			for _, s := range p.js.signals() {
				if s.Candidate != nil && !strings.Contains(s.Candidate.Candidate, " "+strconv.Itoa(p.rtc.Port())+" typ host") {
					t.Errorf("candidate %s, want port %d", s.Candidate.Candidate, p.rtc.Port())
				}
			}
		})
	}
}
