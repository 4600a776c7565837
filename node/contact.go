package node

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/node/internal/contact"
	"github.com/peer-relay/peer-relay/node/internal/netif"
	"github.com/peer-relay/peer-relay/node/internal/port"
	"github.com/peer-relay/peer-relay/node/internal/scope"
	"github.com/peer-relay/peer-relay/protocol"
)

// Port returns the number of the node's own port, in TCP and in UDP, or 0 if it has none.
func (n *Node) Port() uint16 {
	if n.own == nil {
		return 0
	}
	return n.own.Port()
}

// Addrs returns the multiaddrs at which the node listens, each with /p2p/….
func (n *Node) Addrs() []ma.Multiaddr {
	suffix, err := ma.NewComponent("p2p", n.host.ID().String())
	if err != nil {
		return nil
	}
	var addrs []ma.Multiaddr
	for _, a := range n.listenAddrs() {
		addrs = append(addrs, a.AppendComponent(suffix))
	}
	return addrs
}

func (n *Node) listenAddrs() []ma.Multiaddr {
	if n.own != nil {
		return n.own.PortAddrs()
	}
	return n.host.Addrs()
}

// URLs returns the ws:// and wss:// URLs at which legacy peers can dial the node.
func (n *Node) URLs() (urls []string) {
	if n.opts.Legacy == nil {
		return nil
	}
	if n.own == nil {
		return slices.Clone(n.opts.URLs)
	}
	for _, a := range n.own.PortAddrs() {
		if u, ok := port.WebSocketURL(a); ok {
			urls = append(urls, u)
		}
	}
	return urls
}

// home returns the scopes in which this node may dial the addresses of strangers.
func (n *Node) home() scope.Home {
	bootstraps := n.opts.Bootstraps
	if d := n.opts.DHT; d != nil {
		if d.Closed {
			return scope.Everywhere
		}
		bootstraps = slices.Concat(bootstraps, d.Bootstraps)
	}
	return scope.NewHome(n.listenAddrs(), bootstraps)
}

// MayDial reports whether an address that a stranger has named may be dialled. A public address
// may be. A private or loopback address may be if the node has a bootstrap in that scope, or
// listens in that scope and nowhere in public.
func (n *Node) MayDial(addr netip.Addr) bool { return n.home()[scope.Of(addr)] }

// toldAddrs returns the addresses that are sent to other peers: the announced ones, otherwise
// those of the widest scope in which this node has peers. If all its peers are on this machine,
// it sends its loopback address. If one is elsewhere, it does not.
func (n *Node) toldAddrs() []ma.Multiaddr {
	if n.own != nil {
		if announced := n.own.Announced(); len(announced) > 0 {
			return announced
		}
	}
	widest := scope.Loopback
	for _, b := range n.opts.Bootstraps {
		widest = max(widest, scope.OfContact(b))
	}
	n.mu.Lock()
	for s, peers := range n.scopes {
		if peers > 0 {
			widest = max(widest, scope.Scope(s))
		}
	}
	n.mu.Unlock()
	addrs := n.withoutLost(ma.Unique(append(n.host.Addrs(), n.listenAddrs()...)))
	sortTold(addrs, n.ownIPs())
	for s := widest; s > scope.None; s-- {
		var told []ma.Multiaddr
		for _, a := range addrs {
			if scope.OfMultiaddr(a) >= s {
				told = append(told, a)
			}
		}
		if len(told) > 0 {
			return told
		}
	}
	return nil
}

// withoutLost takes out the addresses that this machine has lost.
func (n *Node) withoutLost(addrs []ma.Multiaddr) []ma.Multiaddr {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.DeleteFunc(addrs, func(a ma.Multiaddr) bool { return slices.Contains(n.lost, netif.OfMultiaddr(a)) })
}

// sortTold puts addresses of this machine in the order in which others are told them: a legacy
// peer is told only one, and a record may have no room for all. Names come first, which a host's
// owner has chosen, then the best of its IP addresses, cheap transports before others.
func sortTold(addrs []ma.Multiaddr, best []netip.Addr) {
	rank := func(a ma.Multiaddr) int {
		ip := netif.OfMultiaddr(a)
		if !ip.IsValid() {
			return -1
		}
		if i := slices.Index(best, ip); i >= 0 {
			return i
		}
		if scope.Secondary(ip) {
			return len(best) + 1
		}
		return len(best)
	}
	slices.SortStableFunc(addrs, func(a, b ma.Multiaddr) int {
		return cmp.Or(rank(a)-rank(b), port.CostOf(a)-port.CostOf(b))
	})
}

// ownIPs returns the addresses of this machine at which others reach it, the best first. Those of
// links come before those of default routes without a link. Of the links, those with bootstraps
// come first, then those on a default route. The bridge of a container, a VPN and the network of
// a virtual machine appear only if peers are there.
func (n *Node) ownIPs() []netip.Addr {
	defaults := netif.Default()
	n.mu.Lock()
	defer n.mu.Unlock()
	rank := func(ip netip.Addr) int {
		switch {
		case n.locals[ip].bootstraps > 0:
			return 0
		case slices.Contains(defaults, ip):
			return 1
		}
		return 2
	}
	own := slices.SortedFunc(maps.Keys(n.locals), func(a, b netip.Addr) int {
		return cmp.Or(rank(a)-rank(b), a.Compare(b))
	})
	return append(own, defaults...)
}

// A contactStore keeps contacts in order.
type contactStore struct {
	mu sync.Mutex // held from make to store, so that the last contact made is the last stored

	// Guarded by mu.
	addrs  []ma.Multiaddr // the last addresses sent
	record []byte         // the signed record with addrs
}

// update makes a contact of the present state, and stores it.
func (s *contactStore) update(make func() protocol.Contact, store func(protocol.Contact)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	store(make())
}

// updateContact sets the contact that the router sends to other peers.
func (n *Node) updateContact() { n.contact.update(n.makeContact, n.router.SetContact) }

// makeContact returns how others can reach this node; n.contact.mu is held. It is called for
// every link, and signing takes long. So it signs a record only if the addresses have changed.
func (n *Node) makeContact() protocol.Contact {
	told := n.toldAddrs()
	if s := &n.contact; !slices.EqualFunc(told, s.addrs, ma.Multiaddr.Equal) {
		var err error
		if s.record, err = contact.SealRecord(n.host.ID(), n.key, told); err == nil {
			s.addrs = told
		} else { // the old s.addrs stay, so the next call tries again
			n.log.Debug("no peer record", "err", err)
		}
	}
	c := protocol.Contact{ID: n.ID(), WebRTC: n.opts.WebRTC != nil, Record: n.contact.record}
	switch {
	case n.opts.Legacy != nil && n.own == nil && len(n.opts.URLs) > 0:
		c.URL = n.opts.URLs[0]
	case n.opts.Legacy != nil && n.own != nil:
		for _, a := range told {
			if u, ok := port.WebSocketURL(a); ok {
				c.URL = u
				break
			}
		}
	}
	return c
}

// parseBootstrap returns the contact of a bootstrap, or an error if no dialer can dial it.
func parseBootstrap(s string, legacy LegacyTransport) (protocol.Contact, error) {
	c := protocol.Contact{URL: s}
	switch {
	case strings.HasPrefix(s, "/"):
		info, err := contact.ParseP2P(s)
		if err != nil {
			return c, err
		}
		c.ID = IDOf(info.ID)
		return c, nil
	case !strings.HasPrefix(s, "ws://") && !strings.HasPrefix(s, "wss://"):
		return c, fmt.Errorf("node: bootstrap %q: want a ws:// or wss:// URL, or a multiaddr", s)
	case legacy == nil || !legacy.CanDial(c):
		return c, fmt.Errorf("node: bootstrap %q: cannot be dialled", s)
	}
	return c, nil
}
