package stream

import (
	"encoding/binary"
	"net"
	"sync"

	"github.com/peer-relay/peer-relay/protocol/packet"
)

// QUIC packets are small. Most of a message's cost to a relay, and of what the relay keeps of
// it for a minute, is the same for a small message as for a large one. So packets that are
// written faster than they are sent are joined. A datagram of the streams is a QUIC packet, or
// it is batchMark and then packets, each after its length in two bytes. No QUIC packet begins
// with that mark: bit 0x40 is set in all of them, except in Version Negotiation, which has bit
// 0x80.
const (
	batchMark   = 0
	packetBits  = 0xc0     // a packet has one of these bits in its first byte
	batchLength = 2        // bytes before each packet
	batchSize   = 16 << 10 // bytes of a batch, at most; larger ones are no faster and delay others
)

// A socket is the datagram socket that quic-go gets. Another goroutine sends what WriteTo
// takes, at once. Packets that are written before it runs are sent together.
type socket struct {
	net.PacketConn

	// Owned by the reading goroutine; quic-go has one.
	buf  []byte
	rest []byte // rest of a batch
	from net.Addr

	mu      sync.Mutex
	pending []byte // the batch to send; empty means none
	packets int    // number of packets in it
	to      net.Addr
	closed  bool
	ready   chan struct{} // holds one token while something may be pending
}

func newSocket(c net.PacketConn) *socket {
	return &socket{PacketConn: c, buf: make([]byte, packet.MaxDatagram), ready: make(chan struct{}, 1)}
}

// SetReadBuffer and SetWriteBuffer tell quic-go that the socket's buffers are large enough.
func (*socket) SetReadBuffer(int) error  { return nil }
func (*socket) SetWriteBuffer(int) error { return nil }

// send sends pending batches, until Close.
func (c *socket) send() {
	for range c.ready {
		c.mu.Lock()
		c.flush()
		c.mu.Unlock()
	}
}

// flush sends the pending batch; c.mu is held. It never blocks. An error means that the socket
// is closed, which the reader learns too.
func (c *socket) flush() {
	switch {
	case c.packets == 1: // as a plain packet
		c.PacketConn.WriteTo(c.pending[1+batchLength:], c.to)
	case c.packets > 1:
		c.PacketConn.WriteTo(c.pending, c.to)
	}
	c.pending, c.packets = c.pending[:0], 0
}

// WriteTo queues a packet of quic-go.
func (c *socket) WriteTo(p []byte, to net.Addr) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.PacketConn.WriteTo(p, to) // returns the error
	}
	if c.packets > 0 && (to != c.to || len(c.pending)+batchLength+len(p) > batchSize) {
		c.flush()
	}
	if c.packets == 0 {
		c.pending, c.to = append(c.pending, batchMark), to
		select {
		case c.ready <- struct{}{}:
		default:
		}
	}
	c.pending = binary.BigEndian.AppendUint16(c.pending, uint16(len(p)))
	c.pending = append(c.pending, p...)
	c.packets++
	return len(p), nil
}

// ReadFrom returns the next packet. A datagram that is neither a packet nor a batch is
// dropped.
func (c *socket) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		if packet, ok := c.next(); ok {
			return copy(p, packet), c.from, nil
		}
		n, from, err := c.PacketConn.ReadFrom(c.buf)
		if err != nil {
			return 0, nil, err
		}
		c.from = from
		switch {
		case n == 0:
		case c.buf[0]&packetBits != 0:
			return copy(p, c.buf[:n]), from, nil
		case c.buf[0] == batchMark:
			c.rest = c.buf[1:n]
		}
	}
}

// next removes a packet from the batch. Bytes that are not a whole packet end the batch.
func (c *socket) next() (packet []byte, ok bool) {
	if len(c.rest) > batchLength {
		packet = c.rest[batchLength:]
		if n := int(binary.BigEndian.Uint16(c.rest)); n > 0 && n <= len(packet) && packet[0]&packetBits != 0 {
			packet, c.rest = packet[:n], packet[n:]
			return packet, true
		}
	}
	c.rest = nil
	return nil, false
}

// Close sends the pending batch and ends send. It may be called again.
func (c *socket) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		c.flush()
		close(c.ready)
	}
	c.mu.Unlock()
	return c.PacketConn.Close()
}
