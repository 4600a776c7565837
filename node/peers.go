package node

import (
	"context"
	"errors"
	"net/netip"

	"github.com/peer-relay/peer-relay/node/internal/scope"
	"github.com/peer-relay/peer-relay/protocol"
)

// A remote is the node's record of a linked peer.
type remote struct {
	scope     scope.Scope
	local     netip.Addr // address of this end of the link
	bootstrap bool
	known     bool // the peer has proved its id, on a stream of the host
}

// An ownEnd counts the links that have one address of this machine at this end.
type ownEnd struct {
	links      int
	bootstraps int // of these, links to bootstraps
}

// peerUp is the router's OnLinkUp.
func (n *Node) peerUp(info protocol.LinkInfo) {
	n.mu.Lock()
	n.forget(info.ID)
	n.remember(info)
	if n.linkUp != nil {
		close(n.linkUp)
		n.linkUp = nil
	}
	n.mu.Unlock()
	n.updateContact()
	if n.dht != nil && !info.Proved {
		n.dht.Hold(info.ID)
	}
}

// peerDown is the router's OnLinkDown.
func (n *Node) peerDown(id protocol.ID, err error) {
	n.mu.Lock()
	known := n.remotes[id].known
	if known {
		n.left(id, err)
	}
	n.forget(id)
	n.mu.Unlock()
	// A legacy peer that only claimed the id and then fell silent must not close the
	// connections of the peer with this id.
	if n.own != nil && known && errors.Is(err, protocol.ErrSilent) {
		n.task(func(context.Context) { n.hangUp(id) })
	}
	if n.dht != nil {
		n.dht.Drop(id)
	}
}

// remember adds a peer to the linked ones; n.mu is held.
func (n *Node) remember(info protocol.LinkInfo) {
	if _, named := n.boots[info.Addr]; named && info.Dialed {
		n.boots[info.Addr] = info.ID
	}
	r := remote{scope: scope.OfRemote(info.Addr), local: info.Local, known: info.Proved && info.Kind == protocol.LinkNative}
	for _, id := range n.boots {
		r.bootstrap = r.bootstrap || id == info.ID
	}
	n.remotes[info.ID] = r
	n.scopes[r.scope]++
	if !r.local.IsValid() {
		return
	}
	l := n.locals[r.local]
	if l == nil {
		l = new(ownEnd)
		n.locals[r.local] = l
	}
	l.links++
	if r.bootstrap {
		l.bootstraps++
	}
}

// prove notes that a linked peer has proved its id on a stream of the host: the link that it had
// before may be a legacy one.
func (n *Node) prove(id protocol.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r, ok := n.remotes[id]; ok {
		r.known = true
		n.remotes[id] = r
	}
}

// forget removes a peer from the linked ones; n.mu is held.
func (n *Node) forget(id protocol.ID) {
	r, ok := n.remotes[id]
	if !ok {
		return
	}
	delete(n.remotes, id)
	n.scopes[r.scope]--
	l := n.locals[r.local]
	if l == nil {
		return
	}
	if r.bootstrap {
		l.bootstraps--
	}
	if l.links--; l.links == 0 {
		delete(n.locals, r.local)
	}
}

// hangUp closes the connections to a peer that is gone. Over webrtc-direct libp2p would use one
// for most of a minute, and try every new stream on it.
func (n *Node) hangUp(id protocol.ID) {
	for _, p := range n.host.Network().Peers() {
		if IDOf(p) == id {
			n.host.Network().ClosePeer(p)
		}
	}
}
