package peers

import (
	"context"
	"errors"
	"net"
	"sync"
)

// natPacket is the most bytes of a packet.
const natPacket = 64 << 10

// A NAT forwards UDP packets of an inner network to one address of an outer one, and the answers
// back. Each inner address gets a port of its own.
type NAT struct {
	host  *LANHost
	inner net.PacketConn
	outer string // the address of its sockets, with port 0
	to    net.Addr

	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
	ports  map[string]net.PacketConn // the outer sockets, by inner address
}

// NewNAT starts a NAT on a host. inner is the address and port where it takes packets, outer the
// address from which it forwards them. Close ends it.
func NewNAT(ctx context.Context, host *LANHost, inner, outer, to string) (*NAT, error) {
	addr, err := net.ResolveUDPAddr("udp4", to)
	if err != nil {
		return nil, err
	}
	n := &NAT{host: host, outer: net.JoinHostPort(outer, "0"), to: addr, ports: make(map[string]net.PacketConn)}
	if n.inner, err = host.ListenUDP(ctx, inner); err != nil {
		return nil, err
	}
	n.running.Go(func() { // ends with the inner socket; Close waits
		b := make([]byte, natPacket)
		for {
			size, from, err := n.inner.ReadFrom(b)
			if err != nil {
				return
			}
			if port := n.port(ctx, from); port != nil {
				port.WriteTo(b[:size], n.to) // as a network does, it reports no loss
			}
		}
	})
	return n, nil
}

// port returns the outer socket of an inner address, nil if there can be none.
func (n *NAT) port(ctx context.Context, inner net.Addr) net.PacketConn {
	n.mu.Lock()
	defer n.mu.Unlock()
	if port := n.ports[inner.String()]; port != nil || n.closed {
		return port
	}
	port, err := n.host.ListenUDP(ctx, n.outer)
	if err != nil {
		return nil
	}
	n.ports[inner.String()] = port
	n.running.Go(func() { // ends with the socket; Close waits
		b := make([]byte, natPacket)
		for {
			size, from, err := port.ReadFrom(b)
			if err != nil {
				return
			}
			if from.String() == n.to.String() {
				n.inner.WriteTo(b[:size], inner)
			}
		}
	})
	return port
}

// Rebind forgets all ports: each inner address gets another one with its next packet.
func (n *NAT) Rebind() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	for _, port := range n.ports {
		errs = append(errs, port.Close())
	}
	clear(n.ports)
	return errors.Join(errs...)
}

// Close ends the NAT.
func (n *NAT) Close() error {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	err := errors.Join(n.inner.Close(), n.Rebind())
	n.running.Wait()
	return err
}
