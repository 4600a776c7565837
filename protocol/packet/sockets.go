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

// A Sender sends a message of [wire.FormRaw] with an extra, and never blocks. full says
// that it was dropped because there was no room in any queue. An error is a failure of the
// call.
type Sender func(to wire.ID, payload, extra []byte) (full bool, err error)

// Sockets are the datagram sockets of one peer. Its router makes them, hands them what
// arrives, and closes them. Programs get theirs from the router.
type Sockets struct {
	// Fixed after NewSockets.
	self wire.ID
	send Sender

	held atomic.Int64 // bytes of the datagrams that wait in all sockets

	mu     sync.Mutex
	byPort map[uint16]*PacketConn
	closed error // why no socket is opened any more
}

// NewSockets returns the sockets, none yet, of the peer self.
func NewSockets(self wire.ID, send Sender) *Sockets {
	return &Sockets{self: self, send: send, byPort: make(map[uint16]*PacketConn)}
}

// Listen opens a socket on a port of this peer. Port 0 stands for any that is free, of
// 49152 to 65535. The error is a *net.OpError and matches syscall.EADDRINUSE if there is a
// socket with that port, or no port left.
func (s *Sockets) Listen(port uint16) (*PacketConn, error) { return s.open("listen", port, Addr{}) }

// Dial opens a socket on a free port that exchanges datagrams with one address only. It
// sends nothing and asks no peer.
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

// freePort returns an ephemeral port that has no socket. It is random, so that a forger of
// answers has to guess it.
func (s *Sockets) freePort() (uint16, error) {
	for i, start := 0, rand.IntN(ephemerals); i < ephemerals; i++ {
		port := uint16(firstEphemeral + (start+i)%ephemerals)
		if s.byPort[port] == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no port is free: %w", syscall.EADDRINUSE)
}

// Deliver hands a message for which [IsDatagram] holds to its socket. It reports whether a
// socket took it, and how many older ones were dropped to make room for it.
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

// Close closes every socket. Listen and Dial fail with why from then on.
func (s *Sockets) Close(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = why
	for port, c := range s.byPort {
		delete(s.byPort, port)
		c.shut()
	}
}

// remove takes a socket out.
func (s *Sockets) remove(c *PacketConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byPort[c.local.Port] == c {
		delete(s.byPort, c.local.Port)
	}
}
