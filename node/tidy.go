package node

import (
	"context"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// idleConn is the time for which a connection without a stream is kept although the overlay needs
// it no more: the two peers may need another one soon.
const idleConn = 10 * time.Second

// A tidying is what is known of a peer with connections that may be closed.
type tidying struct {
	left bool // a link with it has ended
	more bool // something has changed since the last look
}

// tidy closes the idle connections with a peer: all but the one with a link, or all if a link has
// ended and there is no other. libp2p closes none, and may make one over each transport: as long as
// an older dial of the peer waits for an address that does not answer, it tries the other addresses
// of a newer dial too, although that one has its connection. One over webrtc-direct takes more memory
// than the rest of a link. A caller's host closes its connections by rules of its own.
func (n *Node) tidy(p peer.ID, left bool) {
	if n.own == nil {
		return
	}
	n.mu.Lock()
	t, runs := n.tidied[p]
	if !runs {
		t = &tidying{}
		n.tidied[p] = t
	}
	t.left, t.more = t.left || left, true
	n.mu.Unlock()
	if runs {
		return
	}
	n.task(func(ctx context.Context) {
		look := time.NewTicker(n.idleConn)
		defer look.Stop()
		idle := n.idleConns(p)
		for n.untidy(p, t) {
			select {
			case <-look.C:
			case <-ctx.Done():
				return
			}
			before := idle
			idle = n.idleConns(p)
			if !n.mayClose(p, t) {
				continue
			}
			for _, c := range idle {
				if slices.Contains(before, c) {
					c.Close()
				}
			}
		}
	})
}

// untidy reports whether a peer has connections that may have to be closed. If not, it ends the
// tidying.
func (n *Node) untidy(p peer.ID, t *tidying) bool {
	n.mu.Lock()
	left := t.left
	t.more = false
	n.mu.Unlock()
	conns := n.host.Network().ConnsToPeer(p)
	if len(conns) > 1 || len(conns) == 1 && left && !linkOver(conns[0]) {
		return true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !t.more {
		delete(n.tidied, p)
	}
	return t.more
}

// mayClose reports whether the idle connections with a peer are needed no more.
func (n *Node) mayClose(p peer.ID, t *tidying) bool {
	if slices.ContainsFunc(n.host.Network().ConnsToPeer(p), linkOver) {
		return true // the next link can use that one
	}
	n.mu.Lock()
	left := t.left
	n.mu.Unlock()
	return left && !n.host.ConnManager().IsProtected(p, "")
}

// idleConns returns the connections with a peer that have no stream.
func (n *Node) idleConns(p peer.ID) []network.Conn {
	return slices.DeleteFunc(n.host.Network().ConnsToPeer(p), func(c network.Conn) bool { return len(c.GetStreams()) > 0 })
}

// linkOver reports whether there is a link over a connection.
func linkOver(c network.Conn) bool {
	return slices.ContainsFunc(c.GetStreams(), func(s network.Stream) bool { return s.Protocol() == StreamProtocol })
}
