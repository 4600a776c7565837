package port

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	libp2pyamux "github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
)

// TestConnectTimeEndsWithTheConnection dials over a line whose first answer comes late. The time
// limit of connecting must not end the handshakes.
func TestConnectTimeEndsWithTheConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := startHost(t, Options{})
	var line sync.WaitGroup
	defer line.Wait()
	defer l.Close()
	line.Go(func() { // ends with the dialler
		in, err := l.Accept()
		if err != nil {
			return
		}
		defer in.Close()
		out, err := net.Dial("tcp", h.hostport())
		if err != nil {
			t.Error(err)
			return
		}
		defer out.Close()
		line.Go(func() {
			io.Copy(out, in)
			out.Close()
		})
		time.Sleep(connectNear + time.Second) // the line is as long
		io.Copy(in, out)
	})
	a, err := manet.FromNetAddr(l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	dialler := newTestHost(t, Options{})
	nodetest.Connect(t, dialler, peer.AddrInfo{ID: h.ID(), Addrs: []ma.Multiaddr{a.Encapsulate(plainWS)}})
	dialler.Close()
}

// TestConnectTime checks that an address that does not answer costs a dial little time, since
// the next dial notices a network that has come back.
func TestConnectTime(t *testing.T) {
	for a, want := range map[string]time.Duration{
		"/ip4/192.168.1.2/tcp/80/ws": connectNear, "/ip4/127.0.0.1/tcp/80/ws": connectNear, "/ip6/fd00::1/tcp/80/ws": connectNear,
		"/ip4/1.2.3.4/tcp/80/ws": connectFar, "/dns4/relay.example.com/tcp/443/tls/ws": connectFar,
	} {
		if got := connectTime(ma.StringCast(a)); got != want {
			t.Errorf("%s: %v, want %v", a, got, want)
		}
	}
}

// TestMuxerHasNoPings checks the two time limits of yamux that a slow line would exceed. The
// default of other hosts in the process stays as it is.
func TestMuxerHasNoPings(t *testing.T) {
	if m := muxer(); m.EnableKeepAlive || m.ConnectionWriteTimeout < time.Minute {
		t.Errorf("yamux pings: %v, and a write has %v", m.EnableKeepAlive, m.ConnectionWriteTimeout)
	}
	if !libp2pyamux.DefaultTransport.EnableKeepAlive {
		t.Error("the default of go-libp2p was changed")
	}
}
