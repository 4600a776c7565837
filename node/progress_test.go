package node

import (
	"runtime"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// TestProgress checks the figures of each transport while a frame is in flight.
func TestProgress(t *testing.T) {
	for _, code := range []int{ma.P_QUIC_V1, ma.P_WEBRTC_DIRECT, ma.P_WS, ma.P_TCP} {
		t.Run(ma.ProtocolWithCode(code).Name, func(t *testing.T) {
			var from, to host.Host
			var at ma.Multiaddr
			if code == ma.P_TCP { // that of a stock host
				from, to = nodetest.StockHost(t, libp2p.Transport(tcp.NewTCPTransport)), nodetest.StockHost(t, libp2p.Transport(tcp.NewTCPTransport))
				if err := to.Network().Listen(ma.StringCast("/ip4/127.0.0.1/tcp/0")); err != nil {
					t.Fatal(err)
				}
				at = to.Addrs()[0]
			} else {
				h := startHost(t)
				from, to, at = newTestHost(t), h, nodetest.AddrOf(t, h.PortAddrs(), code)
			}
			a, b := linkPair(t, from, to, at)
			defer a.Close()
			defer b.Close()
			if a.Info().RTT <= 0 {
				t.Error("the round trip of the handshake is not known")
			}
			knows := runtime.GOOS == "linux" || code != ma.P_WS && code != ma.P_TCP
			if p := a.Progress(); p.Known != knows {
				t.Fatalf("the figures are known: %v, want %v", p.Known, knows)
			}
			// Half of a frame.
			whole, err := bigMessage(t).AppendTo(nil)
			if err != nil {
				t.Fatal(err)
			}
			read := make(chan *wire.Frame)
			go func() { // ends with the whole frame
				f, err := b.ReadFrame()
				if err != nil {
					t.Error(err)
				}
				read <- f
			}()
			before, atB := a.Progress(), b.Progress()
			write := func(part []byte) {
				t.Helper()
				if _, err := a.w.Write(part); err != nil {
					t.Fatal(err)
				}
				if err := a.w.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			half := len(whole) / 2
			write(whole[:half])
			nodetest.Eventually(t, "half a frame is counted", func() bool { return b.Progress().Received >= atB.Received+uint64(half) })
			if knows {
				nodetest.Eventually(t, "it is acknowledged", func() bool { return acknowledges(a.Progress(), before, half) })
			}
			write(whole[half:])
			nodetest.Receive(t, "frame", read)
		})
	}
}

// acknowledges reports whether the other end has acknowledged as many bytes since before. QUIC
// only shows that packets came.
func acknowledges(now, before protocol.Progress, bytes int) bool {
	return now.Received > before.Received || now.Acked >= before.Acked+uint64(bytes) && now.Moves > before.Moves
}
