package ula

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/peer-relay/peer-relay/protocol/packet"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

const (
	maxQuestions = 256              // addresses that are asked for, or were not found
	maxHeld      = 8                // datagrams that wait for one address
	askTimes     = 3                // questions for one address, as in RFC 4861
	askEvery     = time.Second      // interval of these questions, as in RFC 4861
	failedFor    = 10 * time.Second // time without questions after an address was not found
)

// A Finder asks the network for peers near an id, as [protocol.Router.Nearest] does.
type Finder func(ctx context.Context, near wire.ID) ([]wire.ID, error)

// A Conn is a datagram socket whose addresses are *net.UDPAddr. It is a net.PacketConn, and a
// net.Conn if the socket under it is connected. It behaves like that socket. Its errors name a
// known peer by its id.
type Conn struct {
	// Fixed after Wrap.
	conn   *packet.PacketConn
	table  *Table
	find   Finder
	self   wire.ID
	local  netip.AddrPort
	remote netip.AddrPort // the zero AddrPort means not connected
	ctx    context.Context
	stop   context.CancelFunc
	tasks  sync.WaitGroup

	mu            sync.Mutex
	closed        bool
	writeDeadline time.Time
	asked         map[netip.Addr]*question // at most maxQuestions
	unresolved    uint64
}

// A question is the search for the peer with an address.
type question struct {
	held   []held
	failed time.Time // when the search failed; the zero time means that it is in flight
}

// A held datagram waits for the answer to a question.
type held struct {
	port    uint16
	payload []byte
}

// Stats are the counters of a Conn.
type Stats struct {
	packet.Stats
	Unresolved uint64 // datagrams that were dropped, since no peer with the address was found in time
}

var (
	_ net.PacketConn = (*Conn)(nil)
	_ net.Conn       = (*Conn)(nil)
)

// Wrap returns a socket over conn with the addresses of t. It takes over conn. Sockets that
// share a table know the same peers. find finds peers that t does not know. A nil find means
// that they are not found.
func Wrap(conn *packet.PacketConn, t *Table, find Finder) *Conn {
	local := conn.LocalAddr().(packet.Addr)
	c := &Conn{conn: conn, table: t, find: find, self: local.ID, asked: make(map[netip.Addr]*question)}
	c.local = netip.AddrPortFrom(t.Add(local.ID, true), local.Port)
	if remote, ok := conn.RemoteAddr().(packet.Addr); ok {
		c.remote = netip.AddrPortFrom(t.Add(remote.ID, false), remote.Port)
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

// ReadFrom implements net.PacketConn. The address is a *net.UDPAddr. ReadFrom adds the peer to
// the table.
func (c *Conn) ReadFrom(p []byte) (n int, addr net.Addr, err error) {
	n, from, proved, err := c.conn.ReadMsg(p)
	if err != nil {
		return 0, nil, err
	}
	ip := c.table.Add(from.ID, proved)
	return n, net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, from.Port)), nil
}

// WriteTo implements net.PacketConn. The address must be a *net.UDPAddr. The error wraps
// ErrUnknown if no peer with the address was found.
func (c *Conn) WriteTo(p []byte, addr net.Addr) (int, error) {
	to, ok := addr.(*net.UDPAddr)
	switch {
	case addr == nil || ok && to == nil:
		return 0, c.failed(nil, errors.New("missing address"))
	case !ok:
		return 0, c.failed(addr, &net.AddrError{Err: "want a *net.UDPAddr, have another type", Addr: addr.String()})
	case c.remote.IsValid():
		return 0, c.failed(addr, net.ErrWriteToConnected)
	case to.Port < 1 || to.Port > 1<<16-1:
		return 0, c.failed(addr, &net.AddrError{Err: "want a port from 1 to 65535", Addr: addr.String()})
	}
	ip, _ := netip.AddrFromSlice(to.IP)
	if id, ok := c.peer(ip); ok {
		return c.conn.WriteTo(p, packet.Addr{ID: id, Port: uint16(to.Port)})
	}
	if err := c.hold(p, ip, uint16(to.Port)); err != nil {
		return 0, c.failed(addr, err)
	}
	return len(p), nil
}

// peer returns the id of the peer with an address, and whether it is known.
func (c *Conn) peer(ip netip.Addr) (wire.ID, bool) {
	if ip == c.local.Addr() { // the table may have evicted this peer
		return c.self, true
	}
	return c.table.ID(ip)
}

// hold keeps a datagram until the peer with its address is found, and starts the search if
// none is in flight.
func (c *Conn) hold(p []byte, ip netip.Addr, port uint16) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	switch {
	case c.closed:
		return net.ErrClosed
	case !c.writeDeadline.IsZero() && !now.Before(c.writeDeadline):
		return os.ErrDeadlineExceeded
	case len(p) > packet.MaxDatagram:
		return fmt.Errorf("%w: %d bytes, a datagram has at most %d (%w)", wire.ErrTooBig, len(p), packet.MaxDatagram, syscall.EMSGSIZE)
	case c.find == nil || !ip.Is6() || ip.As16()[0] != prefix:
		return ErrUnknown
	}
	q := c.asked[ip]
	if q != nil && !q.failed.IsZero() && now.Sub(q.failed) < failedFor {
		return ErrUnknown
	}
	if q == nil || !q.failed.IsZero() {
		if len(c.asked) >= maxQuestions {
			maps.DeleteFunc(c.asked, func(_ netip.Addr, q *question) bool { return !q.failed.IsZero() })
		}
		if len(c.asked) >= maxQuestions {
			return fmt.Errorf("%w: too many searches are in flight", ErrUnknown)
		}
		q = &question{}
		c.asked[ip] = q
		c.tasks.Go(func() { c.resolve(ip, q) }) // ends with the answer or with ctx; Close waits
	}
	if len(q.held) >= maxHeld {
		q.held = q.held[1:]
		c.unresolved++
	}
	q.held = append(q.held, held{port, bytes.Clone(p)})
	return nil
}

// resolve asks for the peer with an address, and sends or drops the datagrams that were held.
func (c *Conn) resolve(ip netip.Addr, q *question) {
	id, ok := c.ask(ip)
	c.mu.Lock()
	sent := q.held
	q.held = nil
	if ok {
		delete(c.asked, ip)
	} else {
		q.failed = time.Now()
		c.unresolved += uint64(len(sent))
		sent = nil
	}
	c.mu.Unlock()
	for _, d := range sent {
		c.conn.WriteTo(d.payload, packet.Addr{ID: id, Port: d.port}) // the caller of WriteTo has returned, so an error is lost
	}
}

// ask asks up to askTimes for the peer with an address. It returns its id when an answer to
// any of the questions, or a datagram from that peer, has added it to the table.
func (c *Conn) ask(ip netip.Addr) (wire.ID, bool) {
	b := ip.As16()
	var near wire.ID
	copy(near[:], b[1:])
	var searches sync.WaitGroup
	defer searches.Wait()
	ctx, cancel := context.WithTimeout(c.ctx, askTimes*askEvery)
	defer cancel()
	answered := make(chan struct{}, askTimes)
	again := time.NewTicker(askEvery)
	defer again.Stop()
	for range askTimes {
		searches.Go(func() { // ends with its answer or with ctx; ask waits
			ids, _ := c.find(ctx, near)
			for _, id := range ids {
				if AddrOf(id) == ip {
					c.table.Add(id, false)
				}
			}
			answered <- struct{}{}
		})
		for waits := true; waits; {
			select {
			case <-answered:
			case <-again.C:
				waits = false
			case <-ctx.Done():
				return c.peer(ip)
			}
			if id, ok := c.peer(ip); ok {
				return id, true
			}
		}
	}
	return wire.ID{}, false
}

func (c *Conn) failed(addr net.Addr, err error) error {
	return &net.OpError{Op: "write", Net: packet.Addr{}.Network(), Source: c.LocalAddr(), Addr: addr, Err: err}
}

// Stats returns the counters.
func (c *Conn) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{c.conn.Stats(), c.unresolved}
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) { return c.conn.Read(p) }

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) { return c.conn.Write(p) }

// LocalAddr implements net.PacketConn. It is a *net.UDPAddr.
func (c *Conn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.local) }

// RemoteAddr implements net.Conn. It is a *net.UDPAddr. Nil means that the socket is not
// connected.
func (c *Conn) RemoteAddr() net.Addr {
	if !c.remote.IsValid() {
		return nil
	}
	return net.UDPAddrFromAddrPort(c.remote)
}

// SetDeadline implements net.PacketConn.
func (c *Conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	c.writeDeadline = t
	c.mu.Unlock()
	return c.conn.SetDeadline(t)
}

// SetReadDeadline implements net.PacketConn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.conn.SetReadDeadline(t) }

// SetWriteDeadline implements net.PacketConn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	c.writeDeadline = t
	c.mu.Unlock()
	return c.conn.SetWriteDeadline(t)
}

// SetReadBuffer calls that of the [packet.PacketConn].
func (c *Conn) SetReadBuffer(bytes int) error { return c.conn.SetReadBuffer(bytes) }

// SetWriteBuffer calls that of the [packet.PacketConn].
func (c *Conn) SetWriteBuffer(bytes int) error { return c.conn.SetWriteBuffer(bytes) }

// Close implements net.PacketConn. Datagrams that are held or were not read are lost.
func (c *Conn) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.stop()
	err := c.conn.Close()
	c.tasks.Wait()
	return err
}
