package stream

import (
	"net"
	"sync"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/packet"
)

// A crowd counts the sessions that other peers have opened, or are opening. The zero value
// works.
type crowd struct {
	mu  sync.Mutex
	all int
	of  map[protocol.ID]int // no entry means 0
}

// idOf returns the id in an address of the datagram socket, whose addresses are all
// packet.Addr.
func idOf(addr net.Addr) protocol.ID { return addr.(packet.Addr).ID }

// many reports whether the opener of a session must first show that it receives what is sent
// to this address. Otherwise a peer that forges the address could use up the share of its id.
func (c *crowd) many(from net.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all >= fewSessions || c.of[idOf(from)] >= fewOpening
}

// enter counts a session, unless there are too many.
func (c *crowd) enter(from net.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := idOf(from)
	if c.all >= maxSessions || c.of[id] >= maxOpening {
		return false
	}
	if c.of == nil {
		c.of = make(map[protocol.ID]int)
	}
	c.all++
	c.of[id]++
	return true
}

// leave undoes enter.
func (c *crowd) leave(from net.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := idOf(from)
	c.all--
	if c.of[id]--; c.of[id] == 0 {
		delete(c.of, id)
	}
}
