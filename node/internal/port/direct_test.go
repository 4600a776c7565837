package port

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	libp2pwebrtc "github.com/libp2p/go-libp2p/p2p/transport/webrtc"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
)

// listenWhereUDPIsTaken makes a host listen on a port that another program has in UDP. If
// another program has the same port in TCP, it takes another port.
func listenWhereUDPIsTaken(t *testing.T, o Options) (h *Host, port uint16, err error) {
	t.Helper()
	const attempts = 10
	for range attempts {
		l, listenErr := net.ListenPacket("udp4", "127.0.0.1:0")
		if listenErr != nil {
			t.Fatal(listenErr)
		}
		t.Cleanup(func() { l.Close() })
		port = uint16(l.LocalAddr().(*net.UDPAddr).Port)
		o.Listen, o.ListenHost, o.Number = true, "127.0.0.1", port
		h = newTestHost(t, o)
		if err = h.Listen(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("TCP port %d is in use", port)) {
			break
		}
	}
	return h, port, err
}

func TestUDPPortInUse(t *testing.T) {
	for _, o := range []Options{{}, {QUIC: true}, {QUIC: true, NoWebRTCDirect: true}} {
		h, port, err := listenWhereUDPIsTaken(t, o)
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), fmt.Sprintf("UDP port %d is in use", port)) {
			t.Errorf("listen returns %v", err)
		}
		if got := h.Network().ListenAddresses(); len(got) != 0 {
			t.Errorf("it listens on %v after that", got)
		}
		// If any port will do, it goes on with another one.
		ips, err := listenIPs("127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		if err := h.listenAt(ips, 0); err != nil || h.Port() == 0 || h.Port() == port {
			t.Errorf("then it listens on port %d: %v", h.Port(), err)
		}
	}
	if _, _, err := listenWhereUDPIsTaken(t, Options{NoWebRTCDirect: true}); err != nil {
		t.Errorf("without anything on UDP: %v", err)
	}
}

func TestAnotherPortIsTried(t *testing.T) {
	for _, test := range []struct{ inUse, attempts, want int }{{0, 16, 1}, {2, 16, 3}, {9, 3, 3}, {1, 1, 1}} {
		tried := 0
		err := whileInUse(test.attempts, func() error {
			if tried++; tried <= test.inUse {
				return &inUseError{err: syscall.EADDRINUSE}
			}
			return nil
		})
		if tried != test.want || (err != nil) != (test.inUse >= test.attempts) {
			t.Errorf("%+v: tried %d times: %v", test, tried, err)
		}
	}
	tried := 0
	if err := whileInUse(16, func() error { tried++; return syscall.EACCES }); err != syscall.EACCES || tried != 1 {
		t.Errorf("a port that is never free is tried %d times: %v", tried, err)
	}
}

// TestStockHostsDialOverUDP checks both ways to begin webrtc-direct. Browsers will have to
// change from the first to the second.
func TestStockHostsDialOverUDP(t *testing.T) {
	h := startHost(t, Options{QUIC: true})
	for _, test := range []struct {
		name, transport string
		code            int
		dialer          libp2p.Option
	}{
		{"webrtc-direct, version 1", DirectName, ma.P_WEBRTC_DIRECT, libp2p.Transport(libp2pwebrtc.New, libp2pwebrtc.WithDialerVersion(1))},
		{"webrtc-direct, version 2", DirectName, ma.P_WEBRTC_DIRECT, libp2p.Transport(libp2pwebrtc.New, libp2pwebrtc.WithDialerVersion(2))},
		{"quic-v1", "quic-v1", ma.P_QUIC_V1, libp2p.Transport(libp2pquic.NewTransport)},
	} {
		t.Run(test.name, func(t *testing.T) {
			stock := nodetest.StockHost(t, libp2p.NoTransports, test.dialer)
			nodetest.Connect(t, stock, peer.AddrInfo{ID: h.ID(), Addrs: []ma.Multiaddr{nodetest.AddrOf(t, h.PortAddrs(), test.code)}})
			if got := stock.Network().ConnsToPeer(h.ID())[0].ConnState().Transport; got != test.transport {
				t.Errorf("connected over %s", got)
			}
			ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
			defer cancel()
			if r := <-ping.Ping(ctx, stock, h.ID()); r.Error != nil {
				t.Errorf("ping: %v", r.Error)
			}
		})
	}
}

func TestDirectConnectionsAreLimited(t *testing.T) {
	h := startHost(t, Options{MaxConns: directShare}) // with room for one
	to := peer.AddrInfo{ID: h.ID(), Addrs: []ma.Multiaddr{nodetest.AddrOf(t, h.PortAddrs(), ma.P_WEBRTC_DIRECT)}}
	first := nodetest.StockHost(t)
	nodetest.Connect(t, first, to)

	// The next one is refused before anything is made for it. A connection over TCP is not.
	limits := h.direct.limits
	if _, err := limits.OpenConnection(network.DirInbound, false, ma.StringCast("/ip4/127.0.0.1/udp/1")); !errors.Is(err, errDirectLimit) {
		t.Errorf("a second connection: %v", err)
	}
	if got := h.Stats().Map()["refused_webrtc_direct"]; got != 1 {
		t.Errorf("%d are counted as refused, want 1", got)
	}
	nodetest.Connect(t, nodetest.StockHost(t), peer.AddrInfo{ID: h.ID(), Addrs: []ma.Multiaddr{nodetest.AddrOf(t, h.PortAddrs(), ma.P_WS)}})

	first.Close()
	nodetest.Eventually(t, "the place is free again", func() bool { return limits.open.Load() == 0 })
	nodetest.Connect(t, nodetest.StockHost(t), to)
}

// A peer that was reached by another transport is not dialled over webrtc-direct as well.
func TestDirectIsTheLastResort(t *testing.T) {
	h, dialler := startHost(t, Options{}), newTestHost(t, Options{})
	direct := nodetest.AddrOf(t, h.PortAddrs(), ma.P_WEBRTC_DIRECT)
	nodetest.Connect(t, dialler, peer.AddrInfo{ID: h.ID(), Addrs: []ma.Multiaddr{nodetest.AddrOf(t, h.PortAddrs(), ma.P_WS)}})
	if _, err := dialler.direct.Dial(t.Context(), direct, h.ID()); !errors.Is(err, errConnected) {
		t.Errorf("it returns %v", err)
	}
	dialler.Network().ClosePeer(h.ID())
	nodetest.Connect(t, dialler, peer.AddrInfo{ID: h.ID(), Addrs: []ma.Multiaddr{direct}})
}
