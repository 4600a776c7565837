package node

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/protocol"
)

// TestDirectAddressIsTheIdentitys checks the address of one identity. A written address, in a
// page or in a DNS record, must be valid after a restart, and after an update of this program
// or its libraries.
func TestDirectAddressIsTheIdentitys(t *testing.T) {
	seed := bytes.Repeat([]byte{7}, ed25519.SeedSize)
	key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		t.Fatal(err)
	}
	const hash = "/certhash/uEiCbTflB3wJNggD0qVSfs3wqFX0XcOCOW6NTVXvzooripA"
	n := start(t, local(Options{Key: key, Announce: []string{"/dns/relay.example.com/udp/8001/webrtc-direct"}}))
	suffix := hash + "/p2p/" + n.Host().ID().String()
	if id := n.Host().ID().String(); id != "12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7" {
		t.Errorf("the peer id is %s", id)
	}
	var got []string
	for _, a := range n.Addrs() {
		if _, err := a.ValueForProtocol(ma.P_WEBRTC_DIRECT); err == nil {
			got = append(got, a.String())
		}
	}
	want := []string{"/dns/relay.example.com/udp/8001/webrtc-direct" + suffix, fmt.Sprintf("/ip4/127.0.0.1/udp/%d/webrtc-direct%s", n.Port(), suffix)}
	if !slices.Equal(got, want) {
		t.Errorf("it listens at %v, want %v", got, want)
	}
	announced := want[0][:len(want[0])-len(suffix)+len(hash)]
	if told := fmt.Sprint(n.toldAddrs(), n.Host().Addrs()); told != fmt.Sprintf("[%s] [%[1]s]", announced) {
		t.Errorf("others are sent %s, want %s", told, announced)
	}
}

func TestLinkOverUDP(t *testing.T) {
	for _, code := range []int{ma.P_WEBRTC_DIRECT, ma.P_QUIC_V1} {
		name := ma.ProtocolWithCode(code).Name
		t.Run(name, func(t *testing.T) {
			ao, aMessages, aPeers := inboxOf(local(Options{QUIC: true}))
			a := start(t, ao)
			at := nodetest.AddrOf(t, a.Addrs(), code)
			bo, bMessages, bPeers := inboxOf(Options{QUIC: true, Bootstraps: []string{at.String()}})
			b := start(t, bo)
			for _, peers := range []chan protocol.LinkInfo{aPeers, bPeers} {
				if i := nodetest.Receive(t, "peer", peers); i.Kind != protocol.LinkNative || !i.Proved || i.OverWebRTC != (code == ma.P_WEBRTC_DIRECT) {
					t.Errorf("the link is %+v", i)
				}
			}
			big := bytes.Repeat([]byte("over UDP "), 7000) // many packets
			if err := b.Send(a.ID(), big); err != nil {
				t.Fatal(err)
			}
			if m := nodetest.Receive(t, "message at a", aMessages); !bytes.Equal(m.Payload, big) || !m.Proved {
				t.Errorf("a got %d bytes", len(m.Payload))
			}
			if err := a.Send(b.ID(), big); err != nil {
				t.Fatal(err)
			}
			if m := nodetest.Receive(t, "message at b", bMessages); !bytes.Equal(m.Payload, big) {
				t.Errorf("b got %d bytes", len(m.Payload))
			}
			if len(b.Addrs()) != 0 {
				t.Errorf("a node without a port listens at %v", b.Addrs())
			}

			resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", a.Port()))
			if err != nil {
				t.Fatal(err)
			}
			page, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			http.DefaultClient.CloseIdleConnections()
			if !strings.Contains(string(page), at.String()) {
				t.Errorf("the status page does not show %s:\n%s", at, page)
			}
		})
	}
}

func TestOffMeansOff(t *testing.T) {
	a := start(t, local(Options{}))
	off := start(t, local(Options{NoWebRTCDirect: true}))
	for _, addr := range off.Addrs() {
		if _, err := addr.ValueForProtocol(ma.P_UDP); err == nil {
			t.Errorf("it listens at %s", addr)
		}
	}
	to := peer.AddrInfo{ID: a.Host().ID(), Addrs: []ma.Multiaddr{nodetest.AddrOf(t, a.own.PortAddrs(), ma.P_WEBRTC_DIRECT)}}
	if err := off.Host().Connect(t.Context(), to); err == nil {
		t.Error("it dials webrtc-direct")
	}
	for _, addr := range a.Addrs() {
		if _, err := addr.ValueForProtocol(ma.P_QUIC_V1); err == nil {
			t.Errorf("QUIC is on: %s", addr)
		}
	}
}

// TestSilentPeerIsHungUpOn checks that pings notice a peer that is gone silently, and that its
// connection is closed. libp2p would wait for most of a minute, and open every new stream on
// it.
func TestSilentPeerIsHungUpOn(t *testing.T) {
	o, _, peers := inboxOf(local(Options{}))
	down := make(chan error, 1)
	o.OnPeerDown = func(_ protocol.ID, err error) { down <- err }
	n := start(t, o)
	x := meetAt(t, n, nodetest.AddrOf(t, n.Addrs(), ma.P_WEBRTC_DIRECT), []byte{0x0a, 9, 0x19, 1, 2, 3, 4, 5, 6, 7, 8})
	if i := nodetest.Receive(t, "peer", peers); i.ID != x.id || !i.OverWebRTC {
		t.Fatalf("linked to %+v", i)
	}
	// It answers nothing.
	if err := nodetest.Receive(t, "the end of the link", down); !errors.Is(err, protocol.ErrSilent) {
		t.Errorf("the link ended with %v", err)
	}
	nodetest.Eventually(t, "the connection is closed", func() bool {
		return n.Host().Network().Connectedness(x.s.Conn().LocalPeer()) != network.Connected
	})
}

func TestALegacyPeerThatClaimsAnIDHangsUpOnNobody(t *testing.T) {
	a, b := start(t, local(Options{NoOverlay: true, NoDiscovery: true})), start(t, local(Options{NoOverlay: true, NoDiscovery: true}))
	nodetest.Connect(t, a.Host(), peer.AddrInfo{ID: b.Host().ID(), Addrs: b.Host().Addrs()})
	a.stop() // ends all tasks but those that hang up
	claimed := protocol.LinkInfo{ID: b.ID(), Kind: protocol.LinkWebSocket, Addr: "127.0.0.1:1"}
	a.peerUp(claimed)
	a.peerDown(b.ID(), protocol.ErrSilent)
	a.tasks.Wait()
	if got := a.Host().Network().Connectedness(b.Host().ID()); got != network.Connected {
		t.Errorf("the peer whose id was claimed is %v", got)
	}
	claimed.Kind, claimed.Proved = protocol.LinkNative, true
	a.peerUp(claimed)
	a.peerDown(b.ID(), protocol.ErrSilent)
	a.tasks.Wait()
	if got := a.Host().Network().Connectedness(b.Host().ID()); got == network.Connected {
		t.Error("a silent peer that had proved its id is still connected")
	}
}
