package node

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	libp2pwebrtc "github.com/libp2p/go-libp2p/p2p/transport/webrtc"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/protocol"
)

// addrOf gives the first address of a transport.
func addrOf(t *testing.T, addrs []ma.Multiaddr, code int) ma.Multiaddr {
	t.Helper()
	for _, a := range addrs {
		if _, err := a.ValueForProtocol(code); err == nil {
			return a
		}
	}
	t.Fatalf("no %s among %v", ma.ProtocolWithCode(code).Name, addrs)
	return nil
}

// TestDirectAddressIsTheIdentitys holds the address of one identity: what is written down
// somewhere, in a page or in a DNS record, must be right after a restart, and after an
// update of this program or its libraries.
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
		t.Errorf("others are told %s, want %s", told, announced)
	}
}

// listenWhereUDPIsTaken has a host listen at a port that another program has in UDP. What
// else runs on the machine may have the same one in TCP by chance: then it takes another.
func listenWhereUDPIsTaken(t *testing.T, o hostOptions) (h *ownHost, port uint16, err error) {
	t.Helper()
	const attempts = 10
	for range attempts {
		l, listenErr := net.ListenPacket("udp4", "127.0.0.1:0")
		if listenErr != nil {
			t.Fatal(listenErr)
		}
		t.Cleanup(func() { l.Close() })
		port = uint16(l.LocalAddr().(*net.UDPAddr).Port)
		o.Listen, o.ListenHost, o.Port = true, "127.0.0.1", port
		h = newTestHost(t, o)
		if err = h.listen(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("TCP port %d is in use", port)) {
			break
		}
	}
	return h, port, err
}

func TestUDPPortInUse(t *testing.T) {
	for _, o := range []hostOptions{{}, {QUIC: true}, {QUIC: true, NoWebRTCDirect: true}} {
		h, port, err := listenWhereUDPIsTaken(t, o)
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), fmt.Sprintf("UDP port %d is in use", port)) {
			t.Errorf("listen gives %v", err)
		}
		if got := h.Network().ListenAddresses(); len(got) != 0 {
			t.Errorf("it listens on %v after that", got)
		}
		// Where any port will do, it goes on with another.
		ips, err := listenIPs("127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		if err := h.listenAt(ips, 0); err != nil || h.port() == 0 || h.port() == port {
			t.Errorf("then it listens on port %d: %v", h.port(), err)
		}
	}
	if _, _, err := listenWhereUDPIsTaken(t, hostOptions{NoWebRTCDirect: true}); err != nil {
		t.Errorf("without anything on UDP: %v", err)
	}
}

func TestAnotherPortIsTried(t *testing.T) {
	for _, test := range []struct{ inUse, attempts, want int }{{0, 16, 1}, {2, 16, 3}, {9, 3, 3}, {1, 1, 1}} {
		tried := 0
		err := whileInUse(test.attempts, func() error {
			if tried++; tried <= test.inUse {
				return &portInUseError{err: syscall.EADDRINUSE}
			}
			return nil
		})
		if tried != test.want || (err != nil) != (test.inUse >= test.attempts) {
			t.Errorf("%+v: tried %d times: %v", test, tried, err)
		}
	}
	tried := 0
	if err := whileInUse(16, func() error { tried++; return syscall.EACCES }); err != syscall.EACCES || tried != 1 {
		t.Errorf("a port that cannot be had at all is tried %d times: %v", tried, err)
	}
}

// Both ways of webrtc-direct to begin are understood: browsers will have to change from the
// first to the second.
func TestStockHostsDialOverUDP(t *testing.T) {
	h := startHost(t, hostOptions{QUIC: true})
	for _, test := range []struct {
		name, transport string
		code            int
		dialer          libp2p.Option
	}{
		{"webrtc-direct, version 1", directName, ma.P_WEBRTC_DIRECT, libp2p.Transport(libp2pwebrtc.New, libp2pwebrtc.WithDialerVersion(1))},
		{"webrtc-direct, version 2", directName, ma.P_WEBRTC_DIRECT, libp2p.Transport(libp2pwebrtc.New, libp2pwebrtc.WithDialerVersion(2))},
		{"quic-v1", "quic-v1", ma.P_QUIC_V1, libp2p.Transport(libp2pquic.NewTransport)},
	} {
		t.Run(test.name, func(t *testing.T) {
			stock := stockHost(t, libp2p.NoTransports, test.dialer)
			connect(t, stock, peer.AddrInfo{ID: h.ID(), Addrs: []ma.Multiaddr{addrOf(t, h.addrs(), test.code)}})
			if got := stock.Network().ConnsToPeer(h.ID())[0].ConnState().Transport; got != test.transport {
				t.Errorf("connected over %s", got)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if r := <-ping.Ping(ctx, stock, h.ID()); r.Error != nil {
				t.Errorf("ping: %v", r.Error)
			}
		})
	}
}

func TestLinkOverUDP(t *testing.T) {
	for _, code := range []int{ma.P_WEBRTC_DIRECT, ma.P_QUIC_V1} {
		name := ma.ProtocolWithCode(code).Name
		t.Run(name, func(t *testing.T) {
			ao, aMessages, aPeers := inboxOf(local(Options{QUIC: true}))
			a := start(t, ao)
			at := addrOf(t, a.Addrs(), code)
			bo, bMessages, bPeers := inboxOf(Options{QUIC: true, Bootstraps: []string{at.String()}})
			b := start(t, bo)
			for _, peers := range []chan protocol.LinkInfo{aPeers, bPeers} {
				if i := receive(t, "peer", peers); i.Kind != protocol.LinkNative || !i.Proved || i.OverWebRTC != (code == ma.P_WEBRTC_DIRECT) {
					t.Errorf("the link is %+v", i)
				}
			}
			big := bytes.Repeat([]byte("over UDP "), 7000) // many packets
			if err := b.Send(a.ID(), big); err != nil {
				t.Fatal(err)
			}
			if m := receive(t, "message at a", aMessages); !bytes.Equal(m.Payload, big) || !m.Proved {
				t.Errorf("a got %d bytes", len(m.Payload))
			}
			if err := a.Send(b.ID(), big); err != nil {
				t.Fatal(err)
			}
			if m := receive(t, "message at b", bMessages); !bytes.Equal(m.Payload, big) {
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
	to := peer.AddrInfo{ID: a.Host().ID(), Addrs: []ma.Multiaddr{addrOf(t, a.own.addrs(), ma.P_WEBRTC_DIRECT)}}
	if err := off.Host().Connect(t.Context(), to); err == nil {
		t.Error("it dials webrtc-direct")
	}
	for _, addr := range a.Addrs() {
		if _, err := addr.ValueForProtocol(ma.P_QUIC_V1); err == nil {
			t.Errorf("QUIC is on: %s", addr)
		}
	}
}

func TestWhatCostsLessIsDialledFirst(t *testing.T) {
	a, b := startHost(t, hostOptions{QUIC: true}), newTestHost(t, hostOptions{QUIC: true})
	addrs := a.addrs()
	slices.Reverse(addrs)
	connect(t, b, peer.AddrInfo{ID: a.ID(), Addrs: addrs})
	for _, c := range b.Network().ConnsToPeer(a.ID()) {
		if got := c.ConnState().Transport; got != "websocket" {
			t.Errorf("connected over %s", got)
		}
	}

	const hash = "/certhash/uEiCQCALYac4V3LJ2ourLdauXOswIXpIuJ_JNT-8Wavmxyw"
	delays := make(map[string]time.Duration)
	for _, d := range rankDials([]ma.Multiaddr{
		ma.StringCast("/ip4/8.8.8.8/udp/1/webrtc-direct" + hash), ma.StringCast("/ip6/2001:db8::1/udp/1/quic-v1"),
		ma.StringCast("/ip4/8.8.8.8/tcp/1/ws"), ma.StringCast("/ip6/2001:db8::1/tcp/1/ws"), ma.StringCast("/ip4/8.8.8.8/udp/1/quic-v1"),
	}) {
		proto := "direct"
		if s := d.Addr.String(); strings.HasSuffix(s, "ws") {
			proto = "ws"
		} else if strings.HasSuffix(s, "quic-v1") {
			proto = "quic"
		}
		delays["last "+proto] = max(delays["last "+proto], d.Delay)
		if first, ok := delays["first "+proto]; !ok || d.Delay < first {
			delays["first "+proto] = d.Delay
		}
	}
	if delays["first ws"] != 0 || delays["first quic"] != delays["last ws"]+dialHeadStart || delays["first direct"] != delays["last quic"]+dialHeadStart {
		t.Errorf("delays are %v", delays)
	}
	if only := rankDials([]ma.Multiaddr{ma.StringCast("/ip4/8.8.8.8/udp/1/webrtc-direct" + hash)}); len(only) != 1 || only[0].Delay != 0 {
		t.Errorf("the only address is dialled after %v", only)
	}
}

func TestDirectConnectionsAreLimited(t *testing.T) {
	h := startHost(t, hostOptions{MaxConns: directShare}) // which leaves room for one
	to := peer.AddrInfo{ID: h.ID(), Addrs: []ma.Multiaddr{addrOf(t, h.addrs(), ma.P_WEBRTC_DIRECT)}}
	first := stockHost(t)
	connect(t, first, to)

	// The next is turned away before it has anything; what comes over TCP is not.
	limits := h.direct.limits
	if _, err := limits.OpenConnection(network.DirInbound, false, ma.StringCast("/ip4/127.0.0.1/udp/1")); !errors.Is(err, errDirectLimit) {
		t.Errorf("a second connection: %v", err)
	}
	connect(t, stockHost(t), peer.AddrInfo{ID: h.ID(), Addrs: []ma.Multiaddr{addrOf(t, h.addrs(), ma.P_WS)}})

	first.Close()
	eventually(t, "the place is free again", func() bool { return limits.open.Load() == 0 })
	connect(t, stockHost(t), to)
}

// A peer that is gone without a word is noticed by our pings, and its connection closed:
// libp2p would wait for most of a minute, and open every new stream on it.
func TestSilentPeerIsHungUpOn(t *testing.T) {
	o, _, peers := inboxOf(local(Options{}))
	down := make(chan error, 1)
	o.OnPeerDown = func(_ protocol.ID, err error) { down <- err }
	n := start(t, o)
	x := meetAt(t, n, addrOf(t, n.Addrs(), ma.P_WEBRTC_DIRECT), []byte{0x0a, 9, 0x19, 1, 2, 3, 4, 5, 6, 7, 8})
	if i := receive(t, "peer", peers); i.ID != x.id || !i.OverWebRTC {
		t.Fatalf("linked to %+v", i)
	}
	// It answers nothing.
	if err := receive(t, "the end of the link", down); !errors.Is(err, protocol.ErrSilent) {
		t.Errorf("the link ended with %v", err)
	}
	eventually(t, "the connection is closed", func() bool {
		return n.Host().Network().Connectedness(x.s.Conn().LocalPeer()) != network.Connected
	})
}

func TestALegacyPeerThatClaimsAnIDHangsUpOnNobody(t *testing.T) {
	a, b := start(t, local(Options{NoOverlay: true, NoDiscovery: true})), start(t, local(Options{NoOverlay: true, NoDiscovery: true}))
	connect(t, a.Host(), peer.AddrInfo{ID: b.Host().ID(), Addrs: b.Host().Addrs()})
	claimed := protocol.LinkInfo{ID: b.ID(), Kind: protocol.LinkWebSocket, Addr: "127.0.0.1:1"}
	a.peerUp(claimed)
	a.peerDown(b.ID(), protocol.ErrSilent)
	a.tasks.Wait() // without discovery there is no task but that which hangs up
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
