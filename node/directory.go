package node

import (
	"context"
	"errors"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/peer-relay/peer-relay/node/dht"
	"github.com/peer-relay/peer-relay/node/internal/scope"
	"github.com/peer-relay/peer-relay/protocol"
)

// newDirectory makes the DHT on the node's host.
func (n *Node) newDirectory() (*dht.Directory, error) {
	c := dht.Config{
		Host: n.host, Overlay: overlay{n}, Key: n.key, Logger: n.log, Protocol: StreamProtocol,
		Addrs: n.toldAddrs, Gateway: n.opts.Legacy != nil && n.opts.Listen, NoSuggest: n.opts.NoOverlay,
	}
	if n.own != nil {
		c.Listens, c.Public, c.Announced = n.opts.Listen, n.own.ListensPublicly(), n.own.Announced()
	} else if listen, err := n.host.Network().InterfaceListenAddresses(); err == nil {
		widest := scope.None
		for _, a := range listen {
			widest = max(widest, scope.OfMultiaddr(a))
		}
		c.Listens, c.Public = widest > scope.None, widest == scope.Public
	}
	return dht.New(c, *n.opts.DHT)
}

// An overlay presents the node's links to the DHT.
type overlay struct{ n *Node }

func (o overlay) Links() int                   { return o.n.router.Stats().Links }
func (o overlay) Suggest(ids ...protocol.ID)   { o.n.router.Suggest(ids...) }
func (o overlay) Introduce(c protocol.Contact) { o.n.router.Introduce(c) }

func (o overlay) Linked(id protocol.ID) bool {
	o.n.mu.Lock()
	defer o.n.mu.Unlock()
	_, yes := o.n.remotes[id]
	return yes
}

func (o overlay) NextLink() <-chan struct{} {
	o.n.mu.Lock()
	defer o.n.mu.Unlock()
	if o.n.linkUp == nil {
		o.n.linkUp = make(chan struct{})
	}
	return o.n.linkUp
}

// Directory returns the node's side of the DHT, or nil if there is none.
func (n *Node) Directory() *dht.Directory { return n.dht }

// Connect asks for a direct link to a peer. It asks over the overlay until there is a link or
// six attempts have failed, and once in the DHT, if there is one. It does not wait.
func (n *Node) Connect(id protocol.ID) {
	n.router.Connect(id)
	if n.dht != nil {
		n.task(func(ctx context.Context) { n.dht.Connect(ctx, id) })
	}
}

// ErrNoDHT is the error of Gateways when the node has no DHT.
var ErrNoDHT = errors.New("node: there is no DHT")

// Gateways returns nodes that have announced in the DHT that they accept legacy peers.
func (n *Node) Gateways(ctx context.Context) ([]peer.AddrInfo, error) {
	if n.dht == nil {
		return nil, ErrNoDHT
	}
	return n.dht.Gateways(ctx)
}
