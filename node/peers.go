package node

import (
	"context"
	"errors"

	"github.com/peer-relay/peer-relay/node/internal/scope"
	"github.com/peer-relay/peer-relay/protocol"
)

// A remote is the node's record of a linked peer.
type remote struct {
	scope scope.Scope
	known bool // the peer has proved its id, on a stream of the host
}

// peerUp is the router's OnPeer.
func (n *Node) peerUp(info protocol.LinkInfo) {
	n.mu.Lock()
	n.forget(info.ID)
	r := remote{scope: scope.OfRemote(info.Addr), known: info.Proved && info.Kind == protocol.LinkNative}
	n.remotes[info.ID] = r
	n.scopes[r.scope]++
	if n.linkUp != nil {
		close(n.linkUp)
		n.linkUp = nil
	}
	n.mu.Unlock()
	n.updateContact()
	if n.dht != nil && !info.Proved {
		n.dht.Hold(info.ID)
	}
	if n.opts.OnPeer != nil {
		n.opts.OnPeer(info)
	}
}

// peerDown is the router's OnPeerDown.
func (n *Node) peerDown(id protocol.ID, err error) {
	n.mu.Lock()
	known := n.remotes[id].known
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
	if n.opts.OnPeerDown != nil {
		n.opts.OnPeerDown(id, err)
	}
}

// forget removes a peer from the linked ones; n.mu is held.
func (n *Node) forget(id protocol.ID) {
	if r, ok := n.remotes[id]; ok {
		delete(n.remotes, id)
		n.scopes[r.scope]--
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
