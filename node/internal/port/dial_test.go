package port

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	libp2pyamux "github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// TestConnectTimeEndsWithTheConnection dials a listener that accepts and answers late. The time
// limit of connecting must not end that.
func TestConnectTimeEndsWithTheConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const late = connectNear + connectNear/2
	ended := make(chan error, 1)
	go func() { // ends with the dial
		c, err := l.Accept()
		if err != nil {
			ended <- err
			return
		}
		defer c.Close()
		r := bufio.NewReader(c)
		if _, err := http.ReadRequest(r); err != nil {
			ended <- err
			return
		}
		c.SetReadDeadline(time.Now().Add(late))
		_, err = r.ReadByte() // nothing comes before the answer, unless the dialler closes
		c.Write([]byte("HTTP/1.1 404 Not Found\r\n\r\n"))
		ended <- err
	}()
	a, err := manet.FromNetAddr(l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	h, other := newTestHost(t, Options{}), newTestHost(t, Options{})
	if err := h.Connect(t.Context(), peer.AddrInfo{ID: other.ID(), Addrs: []ma.Multiaddr{a.Encapsulate(plainWS)}}); err == nil {
		t.Error("a 404 was taken for a WebSocket")
	}
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the dial ended before the answer: %v", err)
	}
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
