package packet

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A PacketConn is a datagram socket. It is a net.PacketConn, and a connected net.Conn too if it
// was dialled. It behaves like a *net.UDPConn, with [Addr] in place of *net.UDPAddr:
//
//   - A datagram arrives whole, or not at all. A reader whose buffer is too short loses the
//     rest of it. A datagram may have no bytes.
//   - A send never blocks. If a queue here or at a relay has no room, or there is no route, the
//     datagram is dropped and counted. That is no error: a sender of datagrams expects to lose
//     some, and an error would make it stop. The error of the router's Close has the number that no
//     link took. Those that wait after Close are still sent.
//   - Up to 2,048 datagrams or 4 MiB wait for the reader. A datagram beyond that evicts the
//     oldest ones, which [PacketConn.Stats] counts. [PacketConn.SetReadBuffer] sets a lower
//     limit.
//   - A datagram of more than [MaxDatagram] bytes is an error that wraps [wire.ErrTooBig] and
//     syscall.EMSGSIZE. Every error is a *net.OpError. After Close it wraps net.ErrClosed, and
//     after a deadline os.ErrDeadlineExceeded.
//
// Datagrams are signed if the router signs the messages of the application.
// [PacketConn.ReadMsg] reports whether the sender of a datagram is proved.
//
// All methods may be called from any goroutine.
type PacketConn struct {
	// Fixed after open.
	sockets *Sockets
	local   Addr
	remote  Addr // the zero Addr means not connected
	resends atomic.Bool

	mu            sync.Mutex
	queue         datagrams
	room          int // bytes that the queue may hold
	closed        bool
	readDeadline  deadline
	writeDeadline time.Time
	stats         Stats
	changed       *sync.Cond // signalled for a datagram, a passed read deadline and Close
}

var (
	_ net.PacketConn = (*PacketConn)(nil)
	_ net.Conn       = (*PacketConn)(nil)
)

// Stats are the counters of a socket.
type Stats struct {
	Received   uint64 // datagrams that arrived
	Overflowed uint64 // datagrams of Received that were evicted, since the reader was too slow
	Sent       uint64 // datagrams that were written
	Unsent     uint64 // datagrams of Sent that were dropped at once, since no queue had room
}

// A deadline is a timer, and whether it has fired.
type deadline struct {
	timer  *time.Timer
	passed bool
}

func (c *PacketConn) connected() bool { return c.remote != Addr{} }

// --- receiving

// put queues a datagram and returns the number of datagrams that it evicted. The caller holds
// the lock of c.sockets. A socket is removed under that lock before it is shut, so c is open.
func (c *PacketConn) put(d datagram) (dropped int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := &c.sockets.held
	for c.queue.len() > 0 && (c.queue.len() >= maxSocket || c.queue.bytes+d.size > c.room ||
		c.queue.bytes+d.size > socketShare && all.Load()+int64(d.size) > socketsBytes) {
		all.Add(-int64(c.queue.take().size))
		dropped++
	}
	all.Add(int64(d.size))
	c.queue.put(d)
	c.stats.Received++
	c.stats.Overflowed += uint64(dropped)
	c.changed.Signal()
	return dropped
}

// take waits for a datagram.
func (c *PacketConn) take() (datagram, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.closed:
			return datagram{}, c.failed("read", c.RemoteAddr(), net.ErrClosed)
		case c.readDeadline.passed:
			return datagram{}, c.failed("read", c.RemoteAddr(), os.ErrDeadlineExceeded)
		case c.queue.len() > 0:
			d := c.queue.take()
			c.sockets.held.Add(-int64(d.size))
			return d, nil
		}
		c.changed.Wait()
	}
}

// ReadFrom implements net.PacketConn. The address is an [Addr].
func (c *PacketConn) ReadFrom(p []byte) (n int, addr net.Addr, err error) {
	d, err := c.take()
	if err != nil {
		return 0, nil, err
	}
	return copy(p, d.payload), d.from, nil
}

// ReadMsg is like ReadFrom, and also reports whether the sender is proved to be from.ID. It is
// if the datagram was signed with the key that hashes to the id, or came straight from that
// peer. Otherwise any peer may have sent the datagram.
func (c *PacketConn) ReadMsg(p []byte) (n int, from Addr, proved bool, err error) {
	d, err := c.take()
	return copy(p, d.payload), d.from, d.proved, err
}

// Read implements net.Conn. It copies the beginning of a datagram that p has room for. With an
// empty p it reads no datagram.
func (c *PacketConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.closed {
			return 0, c.failed("read", c.RemoteAddr(), net.ErrClosed)
		}
		return 0, nil
	}
	d, err := c.take()
	return copy(p, d.payload), err
}

// --- sending

// WriteTo implements net.PacketConn. The address must be an [Addr]. It fails on a connected
// socket.
func (c *PacketConn) WriteTo(p []byte, addr net.Addr) (int, error) {
	to, ok := addr.(Addr)
	switch {
	case addr == nil:
		return 0, c.failed("write", nil, errors.New("missing address"))
	case !ok:
		return 0, c.failed("write", addr, &net.AddrError{Err: "want a packet.Addr, have another type", Addr: addr.String()})
	case c.connected():
		return 0, c.failed("write", addr, net.ErrWriteToConnected)
	}
	return c.write(p, to)
}

// Write implements net.Conn. It fails on an unconnected socket.
func (c *PacketConn) Write(p []byte) (int, error) {
	if !c.connected() {
		return 0, c.failed("write", nil, syscall.EDESTADDRREQ)
	}
	return c.write(p, c.remote)
}

func (c *PacketConn) write(p []byte, to Addr) (int, error) {
	if err := c.writable(); err != nil {
		return 0, c.failed("write", to, err)
	}
	if err := to.check(); err != nil {
		return 0, c.failed("write", to, err)
	}
	if len(p) > MaxDatagram {
		err := fmt.Errorf("%w: %d bytes, a datagram has at most %d (%w)", wire.ErrTooBig, len(p), MaxDatagram, syscall.EMSGSIZE)
		return 0, c.failed("write", to, err)
	}
	full, err := c.sockets.send(to.ID, p, appendPorts(make([]byte, 0, maxPorts), c.local.Port, to.Port), c.resends.Load())
	if err != nil {
		return 0, c.failed("write", to, err)
	}
	c.mu.Lock()
	c.stats.Sent++
	if full {
		c.stats.Unsent++
	}
	c.mu.Unlock()
	return len(p), nil
}

// --- deadlines and the end

// writable returns an error if the socket is closed or the write deadline has passed.
func (c *PacketConn) writable() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	if t := c.writeDeadline; !t.IsZero() && !time.Now().Before(t) {
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (c *PacketConn) failed(op string, addr net.Addr, err error) error {
	return &net.OpError{Op: op, Net: network, Source: c.local, Addr: addr, Err: err}
}

// LocalAddr implements net.PacketConn. It is an [Addr].
func (c *PacketConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn. It is an [Addr]. Nil means that the socket is not connected.
func (c *PacketConn) RemoteAddr() net.Addr {
	if !c.connected() {
		return nil
	}
	return c.remote
}

// Stats returns the counters.
func (c *PacketConn) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// SetDeadline implements net.PacketConn.
func (c *PacketConn) SetDeadline(t time.Time) error { return c.setDeadlines(t, true, true) }

// SetReadDeadline implements net.PacketConn. It also applies to reads that wait.
func (c *PacketConn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, true, false) }

// SetWriteDeadline implements net.PacketConn. Writes never wait, but fail after the deadline.
func (c *PacketConn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, false, true) }

// SetResends says whether the program sends again what is lost, as QUIC does. Then the end of the
// router neither waits for the datagrams of this socket nor counts those that were not sent.
func (c *PacketConn) SetResends(resends bool) { c.resends.Store(resends) }

// SetReadBuffer sets the number of bytes of datagrams that wait for the reader. Like a
// *net.UDPConn it accepts any positive number and applies the nearest allowed one. That is
// 64 KiB to 4 MiB here. The default is 4 MiB.
func (c *PacketConn) SetReadBuffer(bytes int) error {
	return c.setBuffer(bytes, func() { c.room = min(max(bytes, socketShare), socketBytes) })
}

// SetWriteBuffer only checks its argument, since a socket has no write buffer. A datagram is
// queued for a link at once, or dropped.
func (c *PacketConn) SetWriteBuffer(bytes int) error { return c.setBuffer(bytes, func() {}) }

func (c *PacketConn) setBuffer(bytes int, set func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return c.failed("set", nil, net.ErrClosed)
	case bytes <= 0:
		return c.failed("set", nil, syscall.EINVAL)
	}
	set()
	return nil
}

func (c *PacketConn) setDeadlines(t time.Time, read, write bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return &net.OpError{Op: "set", Net: network, Addr: c.local, Err: net.ErrClosed}
	}
	if write {
		c.writeDeadline = t
	}
	if read {
		c.setReadDeadline(t)
	}
	return nil
}

// setReadDeadline moves the deadline. The caller holds c.mu.
func (c *PacketConn) setReadDeadline(t time.Time) {
	d := &c.readDeadline
	if d.timer != nil {
		d.timer.Stop()
	}
	*d = deadline{}
	if t.IsZero() {
		return
	}
	wait := time.Until(t)
	if wait <= 0 {
		d.passed = true
		c.changed.Broadcast()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(wait, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if d.timer == timer { // otherwise the deadline was moved when the timer had fired
			d.passed = true
			c.changed.Broadcast()
		}
	})
	d.timer = timer
}

// Close implements net.PacketConn. It ends every read that waits, and frees the port. Datagrams
// that were not read are lost.
func (c *PacketConn) Close() error {
	c.sockets.remove(c)
	return c.shut()
}

// shut closes the socket without freeing its port.
func (c *PacketConn) shut() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.failed("close", c.RemoteAddr(), net.ErrClosed)
	}
	c.setReadDeadline(time.Time{})
	c.closed = true
	c.sockets.held.Add(-int64(c.queue.bytes))
	c.queue = datagrams{}
	c.changed.Broadcast()
	return nil
}
