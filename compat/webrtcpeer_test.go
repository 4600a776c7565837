package compat_test

import (
	"testing"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/protocol"
)

// kinds gives the kinds of all links from one peer to another.
func kinds(from, to *compat.PeerRelay) (kinds []protocol.LinkKind) {
	for _, l := range from.Node().Router().Peers() {
		if l.ID == to.ID() {
			kinds = append(kinds, l.Kind)
		}
	}
	return kinds
}

// Two peers that nobody can dial are linked through a third, by a data channel, and
// need the third no more.
func TestPeersWithoutPorts(t *testing.T) {
	loopback := compat.WebRTCOptions{Loopback: true}
	hub := newPeer(t, compat.Options{Port: compat.Port(0), WRTC: compat.WebRTCOptions{Off: true}})
	a := newPeer(t, compat.Options{Bootstrap: []string{hub.URL()}, WRTC: loopback})
	b := newPeer(t, compat.Options{Bootstrap: []string{hub.URL()}, WRTC: loopback})
	off := newPeer(t, compat.Options{Bootstrap: []string{hub.URL()}, WRTC: compat.WebRTCOptions{Off: true}})
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
			t.Errorf("a peer that has no WebRTC is linked: %v", k)
		}
	}
}

func TestWebRTCOptions(t *testing.T) {
	for name, o := range map[string]compat.WebRTCOptions{
		"ports":  {PortMin: 2, PortMax: 1},
		"server": {ICEServers: []compat.ICEServer{{URLs: []string{"http://stun"}}}},
		"turn":   {ICEServers: []compat.ICEServer{{URLs: []string{"turn:turn.example.com"}}}},
	} {
		if p, err := compat.New(compat.Options{WRTC: o}); err == nil {
			p.Close()
			t.Errorf("%s: no error", name)
		}
	}
	for name, o := range map[string]compat.WebRTCOptions{
		"stun": {ICEServers: []compat.ICEServer{{URLs: []string{"stun:stun.example.com:3478"}}}},
		"turn": {ICEServers: []compat.ICEServer{{URLs: []string{"turns:turn.example.com"}, Username: "u", Credential: "c"}}},
		"all":  {PortMin: 40000, PortMax: 40100, Interface: func(string) bool { return false }},
	} {
		w, err := compat.NewWebRTC(o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := w.Close(); err != nil {
			t.Errorf("%s: close: %v", name, err)
		}
	}
}
