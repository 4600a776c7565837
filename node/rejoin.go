package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/peer-relay/peer-relay/protocol"
)

const (
	// rejoinEvery is the mean time between two tries to link to former peers while no link is
	// left. Bootstraps are dialled at first, and at least as often for the first minutes.
	rejoinEvery = 3 * time.Second

	// rejoinDials is the number of former peers in one try.
	rejoinDials = 3

	// maxFormer is the number of former peers that are kept, the latest ones.
	maxFormer = 32
)

// rejoin dials peers that were linked, as long as no link is left, until ctx is done. The
// bootstraps may be gone for good, while peers of the network that this node knows are there. The
// overlay cannot seek those, since no peer is there to pass its offers on.
func (n *Node) rejoin(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(rejoinEvery/2 + rand.N(rejoinEvery)):
		}
		for _, to := range n.formerPeers() {
			n.router.Introduce(to)
		}
	}
}

// left notes why the link to a peer ended which has proved its id; n.mu is held. A peer is not
// dialled again if the application ended the link, or the peer did wrong.
func (n *Node) left(id protocol.ID, why error) {
	n.former = slices.DeleteFunc(n.former, func(x protocol.ID) bool { return x == id })
	if errors.Is(why, protocol.ErrDisconnected) || errors.Is(why, protocol.ErrOffences) {
		return
	}
	n.former = append(n.former, id)
	n.former = n.former[max(0, len(n.former)-maxFormer):]
}

// formerPeers returns some peers that were linked, at random, if no link is left. libp2p keeps
// the addresses of a peer for some minutes after the last connection with it.
func (n *Node) formerPeers() []protocol.Contact {
	n.mu.Lock()
	var former []protocol.ID
	if len(n.remotes) == 0 {
		former = slices.Clone(n.former)
	}
	n.mu.Unlock()
	if len(former) == 0 {
		return nil
	}
	var found []protocol.Contact
	store := n.host.Peerstore()
	for _, p := range store.PeersWithAddrs() {
		id := IDOf(p)
		if !slices.Contains(former, id) {
			continue
		}
		info := peer.AddrInfo{ID: p, Addrs: store.Addrs(p)}
		if len(info.Addrs) == 0 {
			continue
		}
		info.Addrs = info.Addrs[:1] // the dial uses all that the host knows
		if named, err := peer.AddrInfoToP2pAddrs(&info); err == nil {
			found = append(found, protocol.Contact{ID: id, URL: named[0].String()})
		}
	}
	rand.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	return found[:min(len(found), rejoinDials)]
}
