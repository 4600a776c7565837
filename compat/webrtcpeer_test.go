package compat_test

import (
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/compat/legacy"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
)

// newHub returns a peer with a port that makes no WebRTC links.
func newHub(t *testing.T) *compat.PeerRelay {
	t.Helper()
	o := listening()
	o.NoWebRTC = true
	return newPeer(t, o)
}

// kinds returns the kinds of all links from one peer to another.
func kinds(from, to *compat.PeerRelay) (kinds []protocol.LinkKind) {
	for _, l := range from.Node().Router().Peers() {
		if l.ID == to.ID() {
			kinds = append(kinds, l.Kind)
		}
	}
	return kinds
}

// TestPeersWithoutPorts checks that two peers without a port are linked by a data channel
// through a third peer, and then no longer need it.
func TestPeersWithoutPorts(t *testing.T) {
	hub := newHub(t)
	o := joining(hub.URL())
	o.WRTC.Loopback = true
	a, b := newPeer(t, o), newPeer(t, o)
	o.NoWebRTC = true
	off := newPeer(t, o)
	linked := func(x, y *compat.PeerRelay) bool {
		k := kinds(x, y)
		return len(k) == 1 && k[0] == protocol.LinkWebRTC
	}
	eventually(t, "a link without the hub", func() bool { return linked(a, b) && linked(b, a) })

	got := make(chan string, 4)
	for _, p := range []*compat.PeerRelay{a, b} {
		p.OnReceive(func(m compat.Message) {
			if len(m.Path) == 1 {
				got <- m.Data.(string)
			}
		})
	}
	send := func(from, to *compat.PeerRelay, text string) {
		t.Helper()
		if err := from.Send(to.ID(), text); err != nil {
			t.Fatal(err)
		}
		if s := await(t, text, got); s != text {
			t.Errorf("got %q, want %q", s, text)
		}
	}
	send(a, b, "by itself")
	if err := hub.Close(); err != nil {
		t.Fatal(err)
	}
	send(b, a, "without the hub")
	for _, p := range []*compat.PeerRelay{a, b} {
		if k := kinds(p, off); len(k) > 0 {
			t.Errorf("a peer without WebRTC is linked: %v", k)
		}
	}
}

// TestWebRTCOptions checks that an invalid option is reported by name before anything is
// opened.
func TestWebRTCOptions(t *testing.T) {
	turn := func(user string) []legacy.ICEServer {
		return []legacy.ICEServer{{URLs: []string{"stun:ok.example.com", "turn:turn.example.com"}, Username: user}}
	}
	for want, o := range map[string]legacy.WebRTCOptions{
		"UDP ports 2 to 1":    {PortMin: 2, PortMax: 1},
		"UDP ports 0 to 5":    {PortMax: 5},
		"UDP ports 5 to 0":    {PortMin: 5},
		"want SharePort":      {Port: 8001},
		"or the other":        {SharePort: true, PortMin: 1, PortMax: 2},
		`interface "nowhere"`: {Interfaces: []string{"nowhere"}},
		`"http://stun"`:       {ICEServers: []legacy.ICEServer{{URLs: []string{"http://stun"}}}},
		`"stun:"`:             {ICEServers: []legacy.ICEServer{{URLs: []string{"stun:"}}}},
		`""`:                  {ICEServers: []legacy.ICEServer{{URLs: []string{""}}}},
		"without a URL":       {ICEServers: []legacy.ICEServer{{}}},
		"user name":           {ICEServers: turn("")},
		"password":            {ICEServers: turn("u")},
	} {
		p, err := compat.New(compat.Options{WRTC: o})
		if err == nil {
			p.Close()
		}
		if !errors.Is(err, node.ErrOptions) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
		if _, err := legacy.NewWebRTC(o); err == nil {
			t.Errorf("%s: no error for the transport by itself", want)
		}
	}
	for name, o := range map[string]legacy.WebRTCOptions{
		"stun": {ICEServers: []legacy.ICEServer{{URLs: []string{"stun:stun.example.com:3478"}}}},
		"turn": {ICEServers: []legacy.ICEServer{{URLs: []string{"turns:turn.example.com"}, Username: "u", Credential: "c"}}},
		"all":  {PortMin: 40000, PortMax: 40100, Interfaces: []string{}},
	} {
		w, err := legacy.NewWebRTC(o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := w.Close(); err != nil {
			t.Errorf("%s: close: %v", name, err)
		}
	}
}

// TestWebRTCPort checks that a UDP port in use is an error as a TCP port is, and that Close
// frees the port.
func TestWebRTCPort(t *testing.T) {
	w, err := legacy.NewWebRTC(legacy.WebRTCOptions{SharePort: true})
	if err != nil {
		t.Fatal(err)
	}
	same := compat.Options{WRTC: legacy.WebRTCOptions{SharePort: true, Port: uint16(w.Port())}}
	if p, err := compat.New(same); !errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, node.ErrOptions) {
		t.Errorf("a second one on the port: %v, %v", p, err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		newPeer(t, same).Close()
	}
}

// TestPeersWithOnePort checks that peers with one UDP port each are linked, several in one
// process.
func TestPeersWithOnePort(t *testing.T) {
	hub := newHub(t)
	o := joining(hub.URL())
	o.WRTC.SharePort = true
	var peers []*compat.PeerRelay
	for range 4 {
		peers = append(peers, newPeer(t, o))
	}
	eventually(t, "links without the hub", func() bool {
		for _, p := range peers {
			for _, q := range peers {
				if k := kinds(p, q); p != q && (len(k) != 1 || k[0] != protocol.LinkWebRTC) {
					return false
				}
			}
		}
		return true
	})
	ports := make(map[netip.AddrPort]protocol.ID)
	for _, p := range peers {
		for _, l := range p.Node().Router().Peers() {
			if l.Kind != protocol.LinkWebRTC {
				continue
			}
			addr, err := netip.ParseAddrPort(l.Addr)
			if err != nil {
				t.Fatal(err)
			}
			addr = netip.AddrPortFrom(netip.IPv4Unspecified(), addr.Port()) // a peer has several addresses
			if other, ok := ports[addr]; ok && other != l.ID {
				t.Errorf("%v and %v have the port %v", other, l.ID, addr)
			}
			ports[addr] = l.ID
		}
	}
	if len(ports) != len(peers) {
		t.Errorf("%d peers have %d ports", len(peers), len(ports))
	}
}
