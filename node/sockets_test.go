package node

import (
	"bytes"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/node/stream"
	"github.com/peer-relay/peer-relay/protocol/packet"
)

// TestDatagramsCrossByRelay checks that two nodes that do not listen exchange datagrams through
// one that does.
func TestDatagramsCrossByRelay(t *testing.T) {
	relay := start(t, local(Options{}))
	boot := []string{relay.Addrs()[0].String()}
	ao, _, aPeers := inboxOf(Options{Bootstraps: boot, SignMessages: true})
	bo, _, bPeers := inboxOf(Options{Bootstraps: boot})
	a, b := start(t, ao), start(t, bo)
	nodetest.Receive(t, "peer at a", aPeers)
	nodetest.Receive(t, "peer at b", bPeers)

	server, err := b.ListenPacket(53)
	if err != nil {
		t.Fatal(err)
	}
	client, err := a.DialPacket(b.ID(), 53)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*packet.PacketConn{server, client} {
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(nodetest.Patience))
	}
	p := make([]byte, packet.MaxDatagram+1)
	for _, size := range []int{0, 1, 1200, packet.MaxDatagram} {
		want := bytes.Repeat([]byte{0xff}, size)
		if _, err := client.Write(want); err != nil {
			t.Fatal(err)
		}
		n, from, proved, err := server.ReadMsg(p)
		if err != nil || !bytes.Equal(p[:n], want) || from != client.LocalAddr() || !proved {
			t.Fatalf("the server read %d bytes of %d from %v, proved %v: %v", n, size, from, proved, err)
		}
		if _, err := server.WriteTo(p[:n], from); err != nil {
			t.Fatal(err)
		}
		if n, err := client.Read(p); err != nil || !bytes.Equal(p[:n], want) {
			t.Fatalf("the client read %d bytes of %d: %v", n, size, err)
		}
	}
	if s := relay.Router().Stats(); s.Forwarded != 8 {
		t.Errorf("the relay forwarded %d messages", s.Forwarded)
	}
}

// TestStreamsEndWithNode checks that the streams of a node end with it.
func TestStreamsEndWithNode(t *testing.T) {
	relay := start(t, local(Options{}))
	boot := []string{relay.Addrs()[0].String()}
	ao, _, aPeers := inboxOf(Options{Bootstraps: boot})
	bo, _, bPeers := inboxOf(Options{Bootstraps: boot})
	a, b := start(t, ao), start(t, bo)
	nodetest.Receive(t, "peer at a", aPeers)
	nodetest.Receive(t, "peer at b", bPeers)
	l, err := b.ListenStream(1)
	if err != nil {
		t.Fatal(err)
	}
	d, err := a.DialStream(t.Context(), b.ID(), 1)
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.AcceptStream()
	if err != nil {
		t.Fatal(err)
	}
	if c.RemoteID() != a.ID() || c.RemotePeer() != a.Host().ID() {
		t.Errorf("the stream is from %v (%v), want %v", c.RemoteID(), c.RemotePeer(), a.ID())
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if _, err := d.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a read after Close: %v", err)
	}
	if _, err := a.DialStream(t.Context(), b.ID(), 1); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a dial after Close: %v", err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a read at the other end: %v", err)
	}
}

// TestStreamsNeedTheirPort checks that streams do not take their port from a program's datagram
// socket.
func TestStreamsNeedTheirPort(t *testing.T) {
	n := start(t, Options{})
	c, err := n.ListenPacket(stream.Port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := n.ListenStream(1); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("with the port taken: %v", err)
	}
}
