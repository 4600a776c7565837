package stream

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/packet"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
)

// testPacket returns bytes that look like a QUIC packet with a short header.
func testPacket(number, size int) []byte {
	p := bytes.Repeat([]byte{byte(number)}, size)
	p[0] = 0x40
	return p
}

// TestSocketBatchOfSpec checks that the batch in SPEC.md is sent.
func TestSocketBatchOfSpec(t *testing.T) {
	c := socket{ready: make(chan struct{}, 1)}
	for _, p := range [][]byte{{0x40, 0xaa, 0xbb}, {0x40, 0xcc}} {
		if _, err := c.WriteTo(p, packet.Addr{Port: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := fmt.Sprintf("%x", c.pending), "00000340aabb000240cc"; got != want {
		t.Errorf("pending is %s, want %s", got, want)
	}
}

// TestSocketBatches checks that packets written before any is sent go together, as many as may,
// and are read one by one in their order.
func TestSocketBatches(t *testing.T) {
	n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
	a, b := n.Router(protocol.Options{NoOverlay: true}), n.Router(protocol.Options{NoOverlay: true})
	n.Link(a, b)
	nodetest.Eventually(t, "a link", func() bool { return len(a.Peers()) == 1 })
	open := func(r *protocol.Router, port uint16) *socket {
		c, err := r.ListenPacket(port)
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(nodetest.Patience))
		return newSocket(c) // nothing sends until the test calls send
	}
	stats := func(c *socket) packet.Stats { return c.PacketConn.(*packet.PacketConn).Stats() }
	from, to, other := open(a, 1), open(b, 2), open(b, 3)
	write := func(to net.Addr, packets ...[]byte) {
		t.Helper()
		for _, p := range packets {
			if n, err := from.WriteTo(p, to); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
		}
	}
	read := func(c *socket, packets ...[]byte) {
		t.Helper()
		for _, want := range packets {
			got := make([]byte, packetSize)
			n, addr, err := c.ReadFrom(got)
			if err != nil || !bytes.Equal(got[:n], want) || addr != from.LocalAddr() {
				t.Fatalf("read %.8x of %d bytes from %v, error %v, want %.8x of %d", got[:n], n, addr, err, want, len(want))
			}
		}
	}
	var packets [][]byte
	for i := range 3 * batchSize / packetSize {
		packets = append(packets, testPacket(i, packetSize))
	}
	short := testPacket(7, 1)
	write(to.LocalAddr(), packets...)
	write(other.LocalAddr(), short)
	write(to.LocalAddr(), short, short)
	if err := from.Close(); err != nil { // sends the rest
		t.Fatal(err)
	}
	read(to, packets...)
	read(to, short, short)
	read(other, short)
	if got, want := stats(to).Received, uint64(len(packets)/(batchSize/packetSize)+2); got > want {
		t.Errorf("%d packets went in %d datagrams, want at most %d", len(packets)+2, got, want)
	}
	if got := stats(from).Sent; got != stats(to).Received+stats(other).Received {
		t.Errorf("%d datagrams were sent, %d and %d arrived", got, stats(to).Received, stats(other).Received)
	}
	if _, err := from.WriteTo(short, to.LocalAddr()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a write after Close: %v", err)
	}
	from.Close()
	from.send() // returns, since it is closed

	// A datagram that is not a batch is dropped, and so is the invalid part of a batch.
	from = open(a, 1)
	good := testPacket(1, 5)
	for _, d := range [][]byte{
		{}, {0x20}, {batchMark}, {batchMark, 0}, {batchMark, 0, 0}, {batchMark, 0, 1}, {batchMark, 0, 0, 0, 1, 0x40},
		{batchMark, 0, 2, 0x40}, {batchMark, 0xff, 0xff, 0x40}, {batchMark, 0, 1, batchMark},
	} {
		if _, err := from.PacketConn.WriteTo(d, to.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range [][]byte{
		good, append([]byte{batchMark, 0, 5}, good...), append(append([]byte{batchMark, 0, 5}, good...), 0, 9, 0x40),
	} {
		if _, err := from.PacketConn.WriteTo(d, to.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	read(to, good, good, good)
	to.PacketConn.SetReadDeadline(past)
	if n, _, err := to.ReadFrom(make([]byte, packetSize)); err == nil {
		t.Errorf("%d bytes were left", n)
	}
	for _, c := range []*socket{from, to, other} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
