package compat

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/pion/ice/v4"

	"github.com/peer-relay/peer-relay/protocol"
)

func TestReach(t *testing.T) {
	addrs := func(all ...string) (out []netip.Addr) {
		for _, a := range all {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	never := func(netip.Addr) bool { return false }
	onlyLoopback := func(a netip.Addr) bool { return a.IsLoopback() }
	always := func(netip.Addr) bool { return true }
	for _, test := range []struct {
		name     string
		own      []netip.Addr
		loopback bool
		may      func(netip.Addr) bool
		want     reach
	}{
		{"nothing known", nil, false, nil, reach{false, true, true}},
		{"at home", addrs("127.0.0.1", "192.168.1.2", "fe80::1"), false, never, reach{false, true, true}},
		{"at home with IPv6", addrs("192.168.1.2", "fd00::1", "2a01::1"), false, never, reach{false, true, false}},
		{"a server in a private network", addrs("8.8.8.8", "10.0.0.2", "2a01::1"), false, never, reach{}},
		{"the same, at home there", addrs("8.8.8.8", "2a01::1"), false, always, reach{true, true, true}},
		{"by option", addrs("8.8.8.8", "::ffff:9.9.9.9"), true, never, reach{true, false, true}},
		{"with a bootstrap on this machine", addrs("8.8.8.8", "2a01::1"), false, onlyLoopback, reach{true, false, false}},
	} {
		if got := newReach(test.own, test.loopback, test.may); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

// A stranger's candidate has packets sent only where they may go.
func TestReachTries(t *testing.T) {
	server, home, local := reach{}, reach{private4: true, private6: true}, reach{loopback: true}
	all := []*reach{&server, &home, &local}
	for _, test := range []struct {
		addr  string
		port  int
		tried []*reach
	}{
		{"8.8.8.8", 40000, all},
		{"8.8.8.8", 443, all},
		{"8.8.8.8", 80, all},
		{"8.8.8.8", 53, nil},
		{"8.8.8.8", 0, nil},
		{"2a01::1", 1024, all},
		{"192.168.0.1", 40000, []*reach{&home}},
		{"192.168.0.1", 443, nil},
		{"100.64.1.1", 40000, []*reach{&home}},
		{"fd00::1", 40000, []*reach{&home}},
		{"::ffff:10.0.0.1", 40000, []*reach{&home}},
		{"127.0.0.1", 40000, []*reach{&local}},
		{"127.0.0.1", 22, nil},
		{"::1", 40000, []*reach{&local}},
		{"0b64c6a5-1b1c-4d7a-9f5e-77d1c5f1e5a1.local", 40000, []*reach{&home, &local}},
		{"printer.local", 631, nil},
		{"169.254.169.254", 40000, nil},
		{"fe80::1", 40000, nil},
		{"0.0.0.0", 40000, nil},
		{"::", 40000, nil},
		{"255.255.255.255", 40000, nil},
		{"224.0.0.251", 5353, nil},
		{"ff02::fb", 5353, nil},
	} {
		for _, r := range all {
			c, err := ice.UnmarshalCandidate("candidate:1 1 udp 1 " + test.addr + " " + strconv.Itoa(test.port) + " typ host")
			want := false
			for _, tried := range test.tried {
				want = want || tried == r
			}
			if got := err == nil && r.tries(c); got != want {
				t.Errorf("%+v tries %s port %d: %v, want %v (%v)", *r, test.addr, test.port, got, want, err)
			}
		}
	}
	tcp, err := ice.UnmarshalCandidate("candidate:1 1 tcp 1 8.8.8.8 40000 typ host tcptype passive")
	if err != nil || server.tries(tcp) {
		t.Errorf("a TCP candidate is tried (%v)", err)
	}
}

// A name costs more than an address, so that fewer of them are tried.
func TestNames(t *testing.T) {
	w := new(WebRTC)
	w.reach.Store(&reach{private4: true})
	a := &attempt{w: w}
	names, addrs := 0, 0
	for i := range maxCandidates {
		name, err := ice.UnmarshalCandidate("candidate:1 1 udp 1 host-" + strconv.Itoa(i) + ".local 40000 typ host")
		if err != nil {
			t.Fatal(err)
		}
		addr, err := ice.UnmarshalCandidate("candidate:1 1 udp 1 10.0.0." + strconv.Itoa(i) + " 40000 typ host")
		if err != nil {
			t.Fatal(err)
		}
		if a.tries(name) {
			names++
		}
		if a.tries(addr) {
			addrs++
		}
	}
	if names != maxNames || addrs != maxCandidates {
		t.Errorf("%d names and %d addresses are tried, want %d and %d", names, addrs, maxNames, maxCandidates)
	}
}

// The shared port has addresses of both families where the machine has them, and none of
// interfaces that are not to be used.
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
	w, err := NewWebRTC(WebRTCOptions{Port: Port(0), Loopback: true, Interfaces: []string{loopback}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.look(); err != nil {
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
	w.reach.Store(new(reach))
	if all := w.mux.GetListenAddresses(); len(all) != 0 {
		t.Errorf("it has %v, which are not to be told", all)
	}
}

// Both families carry links over the one port.
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
				p.ours = WebRTCOptions{Loopback: true, Port: Port(0)}
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

// What a session has in it of candidates is looked at like those that come one by one, and
// counts like them.
func TestSplitSDP(t *testing.T) {
	text := func(n int) []byte {
		return []byte(`{"type":"offer","sdp":"` + testSDP + strings.Repeat(`a=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\n`, n) + `a=end-of-candidates\r\n"}`)
	}
	s, err := parseSignal(text(2))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.within) != 2 || s.within[0].Candidate != "candidate:1 1 udp 1 10.0.0.1 9 typ host" || strings.Contains(s.SDP, "a=candidate") || !strings.Contains(s.SDP, "end-of") {
		t.Errorf("within %+v, rest %s", s.within, s.SDP)
	}
	if _, err := parseSignal(text(maxCandidates + 1)); err == nil {
		t.Errorf("%d candidates in a session were taken", maxCandidates+1)
	}
	a := &attempt{id: protocol.ID{1}}
	for range 3 {
		for i := range s.within {
			a.keep(&s.within[i])
		}
	}
	for range maxCandidates {
		a.keep(&rtcCandidate{Candidate: "x"})
	}
	if len(a.early) != maxCandidates {
		t.Errorf("%d candidates are kept, want %d", len(a.early), maxCandidates)
	}
}
