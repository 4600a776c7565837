package packet

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A Sender sends a message of [wire.FormRaw] with an extra. It must not block. resends is that of
// [PacketConn.SetResends]. If full is true, no queue had room and the message was dropped, which
// is no error.
type Sender func(to wire.ID, payload, extra []byte, resends bool) (full bool, err error)

// Sockets are the datagram sockets of one peer. The peer's router has one Sockets, passes the
// datagrams that arrive to it, and closes it. Programs open sockets with the router.
type Sockets struct {
	// Fixed after NewSockets.
	self wire.ID
	send Sender

	held atomic.Int64 // bytes of the datagrams that wait in all sockets

	mu     sync.Mutex
	byPort map[uint16]*PacketConn
	closed error // the error of Listen and Dial after Close; nil means open
}

// NewSockets returns the Sockets of the peer self, without any socket.
func NewSockets(self wire.ID, send Sender) *Sockets {
	return &Sockets{self: self, send: send, byPort: make(map[uint16]*PacketConn)}
}

// Listen opens a socket on a port of this peer. Port 0 means a random free port of 49152 to
// 65535. The error is a *net.OpError. It wraps syscall.EADDRINUSE if a socket has that port or
// no port is free.
func (s *Sockets) Listen(port uint16) (*PacketConn, error) { return s.open("listen", port, Addr{}) }

// Dial opens a socket on a free port, which exchanges datagrams with only one address. It sends
// nothing and does not check whether the peer exists.
func (s *Sockets) Dial(to Addr) (*PacketConn, error) {
	if err := to.check(); err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: to, Err: err}
	}
	return s.open("dial", 0, to)
}

func (s *Sockets) open(op string, port uint16, remote Addr) (*PacketConn, error) {
	c := &PacketConn{sockets: s, local: Addr{ID: s.self, Port: port}, remote: remote, room: socketBytes}
	c.changed = sync.NewCond(&c.mu)
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	switch {
	case s.closed != nil:
		err = s.closed
	case port == 0:
		c.local.Port, err = s.freePort()
	case s.byPort[port] != nil:
		err = syscall.EADDRINUSE
	}
	if err != nil {
		e := &net.OpError{Op: op, Net: network, Addr: c.local, Err: err}
		if c.connected() {
			e.Source, e.Addr = c.local, remote
		}
		return nil, e
	}
	s.byPort[c.local.Port] = c
	return c, nil
}

// freePort returns a random ephemeral port without a socket. It is random so that a forger of
// answers has to guess it. The caller holds s.mu.
func (s *Sockets) freePort() (uint16, error) {
	for i, start := 0, rand.IntN(ephemerals); i < ephemerals; i++ {
		port := uint16(firstEphemeral + (start+i)%ephemerals)
		if s.byPort[port] == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no port is free: %w", syscall.EADDRINUSE)
}

// Deliver passes a message for which [IsDatagram] returns true to its socket. It reports
// whether a socket took it, and returns the number of older datagrams that it evicted.
func (s *Sockets) Deliver(f *wire.Frame, proved bool) (taken bool, evicted int) {
	from, to, ok := parsePorts(f.Body.Extra)
	if !ok || f.Body.Form != wire.FormRaw || len(f.Body.Payload) > MaxDatagram {
		return false, 0
	}
	d := datagram{from: Addr{ID: f.Body.From, Port: from}, proved: proved, payload: f.Body.Payload, size: f.Size()}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.byPort[to]
	if c == nil || c.connected() && d.from != c.remote {
		return false, 0
	}
	return true, c.put(d)
}

// Close closes every socket. After it, Listen and Dial fail with the error why.
func (s *Sockets) Close(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = why
	for port, c := range s.byPort {
		delete(s.byPort, port)
		c.shut()
	}
}

// remove frees the port of a socket.
func (s *Sockets) remove(c *PacketConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byPort[c.local.Port] == c {
		delete(s.byPort, c.local.Port)
	}
}
