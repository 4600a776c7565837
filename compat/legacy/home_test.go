package legacy

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/pion/ice/v4"

	"github.com/peer-relay/peer-relay/protocol"
)

func TestHome(t *testing.T) {
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
		want     home
	}{
		{"nothing known", nil, false, nil, home{false, true, true}},
		{"at home", addrs("127.0.0.1", "192.168.1.2", "fe80::1"), false, never, home{false, true, true}},
		{"at home with IPv6", addrs("192.168.1.2", "fd00::1", "2a01::1"), false, never, home{false, true, false}},
		{"a server in a private network", addrs("8.8.8.8", "10.0.0.2", "2a01::1"), false, never, home{}},
		{"the same, at home there", addrs("8.8.8.8", "2a01::1"), false, always, home{true, true, true}},
		{"by option", addrs("8.8.8.8", "::ffff:9.9.9.9"), true, never, home{true, false, true}},
		{"with a bootstrap on this machine", addrs("8.8.8.8", "2a01::1"), false, onlyLoopback, home{true, false, false}},
	} {
		if got := newHome(test.own, test.loopback, test.may); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

// TestHomeTries checks that a stranger's candidate is tried only where packets may be sent.
func TestHomeTries(t *testing.T) {
	server, inside, local := home{}, home{private4: true, private6: true}, home{loopback: true}
	all := []*home{&server, &inside, &local}
	for _, test := range []struct {
		addr  string
		port  int
		tried []*home
	}{
		{"8.8.8.8", 40000, all},
		{"8.8.8.8", 443, all},
		{"8.8.8.8", 80, all},
		{"8.8.8.8", 53, nil},
		{"8.8.8.8", 0, nil},
		{"2a01::1", 1024, all},
		{"192.168.0.1", 40000, []*home{&inside}},
		{"192.168.0.1", 443, nil},
		{"100.64.1.1", 40000, []*home{&inside}},
		{"fd00::1", 40000, []*home{&inside}},
		{"::ffff:10.0.0.1", 40000, []*home{&inside}},
		{"127.0.0.1", 40000, []*home{&local}},
		{"127.0.0.1", 22, nil},
		{"::1", 40000, []*home{&local}},
		{"0b64c6a5-1b1c-4d7a-9f5e-77d1c5f1e5a1.local", 40000, []*home{&inside, &local}},
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

// TestNames checks that fewer names than addresses are tried, since a name costs more.
func TestNames(t *testing.T) {
	w := new(WebRTC)
	w.home.Store(&home{private4: true})
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

// TestSplitSDP checks that candidates in a session description are checked and counted like
// separate ones.
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
		t.Errorf("%d candidates in a session were accepted", maxCandidates+1)
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
