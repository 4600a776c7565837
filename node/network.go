package node

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/peer-relay/peer-relay/node/internal/netif"
	"github.com/peer-relay/peer-relay/protocol"
)

// lookEvery is the time between two looks at the addresses of this machine. libp2p looks every
// 5 s, and says nothing of the addresses of a host that does not listen.
const lookEvery = time.Second

// maxLost is the number of lost addresses that are kept, so that others are not told them: libp2p
// has them for up to a minute longer.
const maxLost = 64

// watchNetwork notes when the addresses of this machine change, until ctx is done.
func (n *Node) watchNetwork(ctx context.Context) {
	watch := netif.NewWatch()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	blind := false
	for {
		changed, gone, err := watch.Look()
		if err != nil && !blind { // the system hides them, or has no file left for the question
			n.log.Debug("no look at the addresses of this machine", "err", err)
		}
		if blind = err != nil; changed {
			n.networkChanged(gone, watch.Addrs())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// networkChanged tries those links again that the machine may have lost with the addresses that
// are gone, and makes them again. have are the addresses that it has now. A connection from an
// address that is gone is dead, but its ends learn that late.
func (n *Node) networkChanged(gone, have []netip.Addr) {
	n.mu.Lock()
	n.lost = slices.DeleteFunc(append(n.lost, gone...), func(ip netip.Addr) bool { return slices.Contains(have, ip) })
	n.lost = n.lost[max(0, len(n.lost)-maxLost):]
	n.mu.Unlock()
	n.log.Debug("the addresses of this machine changed", "gone", gone)
	for _, c := range n.host.Network().Conns() {
		if slices.Contains(gone, n.ends.of(c)) {
			n.task(func(context.Context) { c.Close() }) // otherwise libp2p dials no other
		}
	}
	n.router.NetworkChanged(func(i protocol.LinkInfo) bool { return slices.Contains(gone, i.Local) })
	n.updateContact()
}

// ends holds the addresses of this machine's ends of those connections that do not tell it: one
// over UDP may only say that its socket has all addresses of the machine. The zero value works.
type ends struct {
	mu  sync.Mutex
	own map[network.Conn]netip.Addr
}

// note notes the end of a new connection.
func (e *ends) note(c network.Conn) {
	if netif.OfMultiaddr(c.LocalMultiaddr()).IsValid() {
		return
	}
	own := localIP(c)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.own == nil {
		e.own = make(map[network.Conn]netip.Addr)
	}
	if !c.IsClosed() { // otherwise forget may have been called before
		e.own[c] = own
	}
}

func (e *ends) forget(_ network.Network, c network.Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.own, c)
}

// of returns the address of this machine at the end of a connection, the zero Addr if it is not
// known.
func (e *ends) of(c network.Conn) netip.Addr {
	if ip := netif.OfMultiaddr(c.LocalMultiaddr()); ip.IsValid() {
		return ip
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.own[c]
}

// watchConns notes the connections of the host, those that it has and those that come.
func (n *Node) watchConns() (stop func()) {
	noted := &network.NotifyBundle{
		ConnectedF: func(_ network.Network, c network.Conn) {
			n.ends.note(c)
			if p := c.RemotePeer(); len(n.host.Network().ConnsToPeer(p)) > 1 {
				n.tidy(p, false)
			}
		},
		DisconnectedF: n.ends.forget,
	}
	n.host.Network().Notify(noted)
	for _, c := range n.host.Network().Conns() {
		n.ends.note(c)
	}
	return func() { n.host.Network().StopNotify(noted) }
}
