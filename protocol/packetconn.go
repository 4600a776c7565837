package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// A datagram is a message of KindUser and FormRaw whose extra begins with
//
//	{"dgram":"<source port>,<destination port>"
//
// both in decimal without leading zeros, and not 0. As a member of the legacy message it
// crosses JS relays, which pass on what they do not know; a string, since JSON's numbers
// come back rounded. What follows is the end of the object or another member.

// The limits of datagrams.
const (
	// MaxDatagram is how many bytes one datagram has at most: [MaxPayload] less room for
	// the ports, and for what may come to stand beside them, in its legacy form.
	MaxDatagram = 63000

	maxPort        = 1<<16 - 1
	firstEphemeral = 49152 // the range that RFC 6335 leaves to whoever comes
	ephemerals     = maxPort - firstEphemeral + 1

	maxSocket    = 2048     // datagrams that wait for one socket's reader,
	socketBytes  = 4 << 20  // their bytes,
	socketsBytes = 64 << 20 // and those of all sockets of a router together,
	socketShare  = 64 << 10 // of which each has so many, or one datagram, whatever the others hold
)

var dgramStart = []byte(`{"dgram":"`)

// maxPorts is the most bytes of the extra of a datagram that we send.
const maxPorts = len(`{"dgram":"65535,65535"}`)

// appendPorts writes the extra of a datagram.
func appendPorts(b []byte, from, to uint16) []byte {
	b = strconv.AppendUint(append(b, dgramStart...), uint64(from), 10)
	b = strconv.AppendUint(append(b, ','), uint64(to), 10)
	return append(b, `"}`...)
}

// parsePorts reads the extra of a datagram.
func parsePorts(extra []byte) (from, to uint16, ok bool) {
	ports, ok := bytes.CutPrefix(extra, dgramStart)
	if !ok {
		return 0, 0, false
	}
	ports, rest, ok := bytes.Cut(ports, []byte{'"'})
	if !ok || len(rest) == 0 || rest[0] != '}' && rest[0] != ',' {
		return 0, 0, false
	}
	source, destination, _ := bytes.Cut(ports, []byte{','})
	from, ok = parsePort(source)
	if !ok {
		return 0, 0, false
	}
	to, ok = parsePort(destination)
	return from, to, ok && from != 0 && to != 0
}

// isDatagram reports whether a message is for a socket and not for OnMessage.
func (b *Body) isDatagram() bool { return b.Kind == KindUser && bytes.HasPrefix(b.Extra, dgramStart) }

// A PacketConn is a datagram socket: a net.PacketConn, and after [Router.Dial] a
// connected net.Conn too. It behaves as a *net.UDPConn does, with [Addr] in place of
// *net.UDPAddr:
//
//   - A datagram arrives whole, or not at all; what the reader's buffer is too short for
//     is cut off. A datagram of no bytes is one.
//   - A send never blocks. A datagram for which there is no room on the way, here or at
//     a relay, or no way at all, is dropped and counted, and that is no error: what sends
//     datagrams must expect to lose some, and would take an error for the end.
//   - Up to 2,048 datagrams or 4 MiB wait for the reader. What comes then takes the
//     place of the oldest, and [PacketConn.Stats] counts.
//   - One of more than [MaxDatagram] bytes is an error that matches ErrTooBig and
//     syscall.EMSGSIZE. Errors are *net.OpError and match net.ErrClosed and
//     os.ErrDeadlineExceeded.
//
// Datagrams are signed as [Options].SignMessages says. Who needs to know their sender
// asks [PacketConn.ReadMsg].
//
// All methods may be called from any goroutine.
type PacketConn struct {
	// Fixed after listen.
	router *Router
	local  Addr
	remote Addr // the zero Addr: not connected

	mu            sync.Mutex
	queue         datagrams
	closed        bool
	readDeadline  deadline
	writeDeadline time.Time
	stats         PacketStats
	changed       *sync.Cond // there is a datagram, the read deadline has passed, or closed
}

var (
	_ net.PacketConn = (*PacketConn)(nil)
	_ net.Conn       = (*PacketConn)(nil)
)

// PacketStats counts what a socket did.
type PacketStats struct {
	Received   uint64 // datagrams that came for it
	Overflowed uint64 // of those, dropped because the reader was too slow
	Sent       uint64 // datagrams that it was given to send
	Unsent     uint64 // of those, dropped at once: there was no room in any queue
}

// A datagram waits for the reader of its socket.
type datagram struct {
	from    Addr
	proved  bool
	payload []byte // a part of what size counts
	size    int
}

// datagrams is a queue. Taking from it and dropping its oldest are the same.
type datagrams struct {
	items []datagram
	head  int // of items, so many were taken
	bytes int
}

func (q *datagrams) len() int { return len(q.items) - q.head }

func (q *datagrams) put(d datagram) {
	if q.head > len(q.items)/2 { // what is moved was paid for by what was taken
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, d)
	q.bytes += d.size
}

func (q *datagrams) take() datagram {
	d := q.items[q.head]
	q.items[q.head] = datagram{}
	q.head++
	q.bytes -= d.size
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return d
}

// A deadline is a time and whether it has passed.
type deadline struct {
	timer  *time.Timer
	passed bool
}

// --- making sockets

// ListenPacket opens a datagram socket on a port of this peer. Port 0 stands for any
// that is free, of 49152 to 65535. The error is a *net.OpError and matches
// syscall.EADDRINUSE if there is a socket with that port, or no port left, and ErrClosed
// if the router is closed.
func (r *Router) ListenPacket(port uint16) (*PacketConn, error) {
	return r.listen("listen", port, Addr{})
}

// Dial opens a socket on a free port that exchanges datagrams with one address alone.
// Nothing is sent and nobody is asked.
func (r *Router) Dial(id ID, port uint16) (*PacketConn, error) {
	to := Addr{ID: id, Port: port}
	if err := to.check(); err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: to, Err: err}
	}
	return r.listen("dial", 0, to)
}

func (r *Router) listen(op string, port uint16, remote Addr) (*PacketConn, error) {
	c := &PacketConn{router: r, local: Addr{ID: r.id, Port: port}, remote: remote}
	c.changed = sync.NewCond(&c.mu)
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	switch {
	case r.closed:
		err = ErrClosed
	case port == 0:
		c.local.Port, err = r.freePort()
	case r.sockets[port] != nil:
		err = syscall.EADDRINUSE
	}
	if err != nil {
		e := &net.OpError{Op: op, Net: network, Addr: c.local, Err: err}
		if c.connected() {
			e.Source, e.Addr = c.local, remote
		}
		return nil, e
	}
	r.sockets[c.local.Port] = c
	return c, nil
}

// freePort gives an ephemeral port that has no socket. It is a random one: who forges
// answers has to guess it.
func (r *Router) freePort() (uint16, error) {
	for i, start := 0, rand.IntN(ephemerals); i < ephemerals; i++ {
		port := uint16(firstEphemeral + (start+i)%ephemerals)
		if r.sockets[port] == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no port is free: %w", syscall.EADDRINUSE)
}

// check refuses an address that can be nobody's.
func (a Addr) check() error {
	switch {
	case a.ID == ID{}:
		return &net.AddrError{Err: "the zero id is no peer's", Addr: a.String()}
	case a.Port == 0:
		return &net.AddrError{Err: "port 0 is nobody's", Addr: a.String()}
	}
	return nil
}

func (c *PacketConn) connected() bool { return c.remote != Addr{} }

// --- receiving

// deliverDatagram hands a datagram to its socket; r.mu is held.
func (r *Router) deliverDatagram(f *Frame, proved bool) {
	from, to, ok := parsePorts(f.Body.Extra)
	c := r.sockets[to]
	if !ok || c == nil || f.Body.Form != FormRaw || len(f.Body.Payload) > MaxDatagram {
		r.core.Drop(DropNoPort)
		return
	}
	d := datagram{from: Addr{ID: f.Body.From, Port: from}, proved: proved, payload: f.Body.Payload, size: f.Size()}
	if c.connected() && d.from != c.remote {
		r.core.Drop(DropNoPort)
		return
	}
	for range c.put(d) {
		r.core.Drop(DropSocketFull)
	}
}

// put queues a datagram and tells how many were dropped for it. r.mu is held, under
// which a socket leaves r.sockets before it is shut, so c is open.
func (c *PacketConn) put(d datagram) (dropped int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := &c.router.datagramBytes
	for c.queue.len() > 0 && (c.queue.len() >= maxSocket || c.queue.bytes+d.size > socketBytes ||
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
			c.router.datagramBytes.Add(-int64(d.size))
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

// ReadMsg is ReadFrom that also tells whether the sender is proved to be from.ID: the
// datagram was signed with the key that hashes to it, or came straight from that peer.
// Anybody may have sent one that is not.
func (c *PacketConn) ReadMsg(p []byte) (n int, from Addr, proved bool, err error) {
	d, err := c.take()
	return copy(p, d.payload), d.from, d.proved, err
}

// Read implements net.Conn. Of a datagram it gives what p has room for; an empty p takes
// none.
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

// WriteTo implements net.PacketConn. The address must be an [Addr]. It fails on a socket
// that is connected.
func (c *PacketConn) WriteTo(p []byte, addr net.Addr) (int, error) {
	to, ok := addr.(Addr)
	switch {
	case addr == nil:
		return 0, c.failed("write", nil, errors.New("missing address"))
	case !ok:
		return 0, c.failed("write", addr, &net.AddrError{Err: "want a protocol.Addr, have another type", Addr: addr.String()})
	case c.connected():
		return 0, c.failed("write", addr, net.ErrWriteToConnected)
	}
	return c.write(p, to)
}

// Write implements net.Conn. It fails on a socket that is not connected.
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
		err := fmt.Errorf("%w: %d bytes, a datagram has at most %d (%w)", ErrTooBig, len(p), MaxDatagram, syscall.EMSGSIZE)
		return 0, c.failed("write", to, err)
	}
	err := c.router.send(Outgoing{To: to.ID, Form: FormRaw, Payload: p, Sign: c.router.opts.SignMessages,
		Extra: appendPorts(make([]byte, 0, maxPorts), c.local.Port, to.Port)})
	full := errors.Is(err, ErrQueueFull)
	if err != nil && !full {
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

// writable gives the error of a socket that is closed, or of a write deadline that has
// passed.
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

// LocalAddr implements net.PacketConn. It gives an [Addr].
func (c *PacketConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn. It gives an [Addr], nil if the socket is not connected.
func (c *PacketConn) RemoteAddr() net.Addr {
	if !c.connected() {
		return nil
	}
	return c.remote
}

// Stats gives the counters.
func (c *PacketConn) Stats() PacketStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// SetDeadline implements net.PacketConn.
func (c *PacketConn) SetDeadline(t time.Time) error { return c.setDeadlines(t, true, true) }

// SetReadDeadline implements net.PacketConn. It counts for a read that waits, too.
func (c *PacketConn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, true, false) }

// SetWriteDeadline implements net.PacketConn. Writes never wait: one after the deadline
// fails.
func (c *PacketConn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, false, true) }

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

// setReadDeadline moves the deadline; c.mu is held.
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
		if d.timer == timer { // else the deadline was moved while this began
			d.passed = true
			c.changed.Broadcast()
		}
	})
	d.timer = timer
}

// Close implements net.PacketConn: it ends every read that waits, and gives the port
// back. What nobody has read is lost.
func (c *PacketConn) Close() error {
	c.router.mu.Lock()
	if c.router.sockets[c.local.Port] == c {
		delete(c.router.sockets, c.local.Port)
	}
	c.router.mu.Unlock()
	return c.shut()
}

// shut is the part of Close that concerns the socket alone.
func (c *PacketConn) shut() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.failed("close", c.RemoteAddr(), net.ErrClosed)
	}
	c.setReadDeadline(time.Time{})
	c.closed = true
	c.router.datagramBytes.Add(-int64(c.queue.bytes))
	c.queue = datagrams{}
	c.changed.Broadcast()
	return nil
}
