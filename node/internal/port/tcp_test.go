package port

import (
	"net"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
)

// TestTCP checks that stock hosts reach the port over plain TCP, with TLS or noise, and are reached so.
func TestTCP(t *testing.T) {
	h := startHost(t, Options{})
	addr := h.PortAddrs()[1]
	if CostOf(addr) != costTCP {
		t.Fatalf("the second address is %s", addr)
	}
	for _, security := range []struct {
		name   string
		option libp2p.Option
	}{
		{"/tls/1.0.0", libp2p.Security(libp2ptls.ID, libp2ptls.New)},
		{"/noise", libp2p.Security(noise.ID, noise.New)},
	} {
		stock := nodetest.StockHost(t, libp2p.NoTransports, libp2p.Transport(tcp.NewTCPTransport), security.option)
		nodetest.Connect(t, stock, peer.AddrInfo{ID: h.ID(), Addrs: []ma.Multiaddr{addr}})
		c := h.Network().ConnsToPeer(stock.ID())[0]
		if got := c.LocalMultiaddr(); !got.Equal(addr) {
			t.Errorf("the connection arrived at %s, want %s", got, addr)
		}
		if s := c.ConnState(); s.Transport != "tcp" || string(s.Security) != security.name {
			t.Errorf("the connection is %+v, want tcp and %s", s, security.name)
		}
		stock.Close()
	}
	if n := h.Stats().LibP2P; n != 2 {
		t.Errorf("%d connections were passed on to libp2p", n)
	}

	stock := nodetest.StockHost(t)
	if err := stock.Network().Listen(ma.StringCast("/ip4/127.0.0.1/tcp/0")); err != nil {
		t.Fatal(err)
	}
	nodetest.Connect(t, h, peer.AddrInfo{ID: stock.ID(), Addrs: stock.Addrs()})
	if s := h.Network().ConnsToPeer(stock.ID())[0].ConnState(); s.Transport != "tcp" || s.Security != libp2ptls.ID {
		t.Errorf("the dialled connection is %+v", s)
	}
}

// TestTCPConnectionOutlivesTheRequestsTimeout checks that none of the HTTP server's time limits holds for a
// connection that it gave away, and that the end of the host ends it.
func TestTCPConnectionOutlivesTheRequestsTimeout(t *testing.T) {
	const limit = 300 * time.Millisecond
	h := startHost(t, Options{HandshakeTimeout: limit})
	c, err := net.Dial("tcp", h.hostport())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	time.Sleep(limit / 2)
	const hello = "\x13/multistream/1.0.0\n"
	if _, err := c.Write([]byte(hello)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * limit) // what the server sets is over then
	answer := make([]byte, len(hello))
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Read(answer); err != nil || string(answer) != hello {
		t.Fatalf("read %q, %v", answer, err)
	}
	if _, err := c.Write([]byte("\x0b/tls/1.0.0\n")); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(answer); err != nil || n == 0 {
		t.Fatalf("no answer after the time limit of requests: %v", err)
	}
	h.Close()
	if n, err := c.Read(answer); err == nil {
		t.Errorf("%d bytes after the host was closed", n)
	}
}

// A client that sends the first bytes of a libp2p connection while the host closes gets nothing.
func TestTCPWhileClosing(t *testing.T) {
	h := startHost(t, Options{})
	for range 20 {
		c, err := net.Dial("tcp", h.hostport())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go c.Write([]byte("\x13/multistream/1.0.0\n"))
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}
