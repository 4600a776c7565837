package plays

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
)

// Gone is a link to a process that is killed without a message. The kernel closes its TCP
// connections; with UDP the other end learns nothing.
type Gone struct {
	Name      string
	transport string
	dials     bool // the end that lives on dialled
	talks     bool // and sends small messages all the time, without waiting for any
}

// Gones returns all kinds.
func Gones() []Gone {
	return []Gone{
		{Name: "webrtc-direct, dialled by us", transport: "webrtc-direct", dials: true},
		{Name: "webrtc-direct, dialled by it", transport: "webrtc-direct"},
		{Name: "webrtc-direct, while we send", transport: "webrtc-direct", talks: true},
		{Name: "quic-v1, dialled by us", transport: "quic-v1", dials: true},
		{Name: "ws, dialled by us", transport: "ws", dials: true},
	}
}

// Sudden reports whether the link runs over WebRTC, where pings are frequent.
func (g Gone) Sudden() bool { return g.transport == "webrtc-direct" }

// talkEvery is the time between two messages of a few bytes. Buffers on the way hold far more
// than these until the peer must be missed.
const talkEvery = 100 * time.Millisecond

// Play links a node in this process and one in a process of its own, kills that process, and
// returns how long it took until the link was down.
func (g Gone) Play(ctx context.Context, binary string) (took time.Duration, err error) {
	events := peers.NewLog[peers.Event]("node that lives on")
	links := make(chan protocol.LinkInfo, 1)
	o := node.Options{
		QUIC: true,
		OnPeer: func(i protocol.LinkInfo) {
			events.Add(peers.Event{Kind: peers.EventPeer, Node: i.ID})
			select {
			case links <- i:
			default:
			}
		},
		OnPeerDown: func(id protocol.ID, _ error) { events.Add(peers.Event{Kind: peers.EventDisconnect, Node: id}) },
		OnMessage:  func(m protocol.Message) { events.Add(peers.Event{Kind: peers.EventMessage, Node: m.From}) },
	}
	spec := peers.Spec{Name: "to be killed", Listen: g.dials}
	if !g.dials {
		o.Listen, o.ListenHost = true, peers.Loopback
	}
	var n *node.Node
	var child *peers.GoPeer
	defer func() {
		if n != nil {
			closed := n.Close()
			var unsent *protocol.UnsentError
			if g.talks && errors.As(closed, &unsent) { // it names what was sent to the killed process
				closed = nil
			}
			err = errors.Join(err, closed)
		}
		if child != nil {
			child.Close() // it was killed, or err says more
		}
		if err != nil {
			took, err = 0, fmt.Errorf("itest: %s: %w", g.Name, err)
		}
	}()
	if g.dials {
		if child, err = peers.StartGo(ctx, binary, spec, "--quic"); err != nil {
			return 0, err
		}
		var addrs []ma.Multiaddr
		for _, s := range child.Ready.Addrs {
			a, err := ma.NewMultiaddr(s)
			if err != nil {
				return 0, err
			}
			addrs = append(addrs, a)
		}
		o.Bootstraps = []string{peers.AddrOver(addrs, g.transport)}
		if n, err = node.New(o); err != nil {
			return 0, err
		}
	} else {
		if n, err = node.New(o); err != nil {
			return 0, err
		}
		spec.Bootstrap = []string{peers.AddrOver(n.Addrs(), g.transport)}
		if child, err = peers.StartGo(ctx, binary, spec, "--quic"); err != nil {
			return 0, err
		}
	}
	if _, err := events.Wait(ctx, peers.IsPeer(child.ID())); err != nil {
		return 0, err
	}
	if i := <-links; i.OverWebRTC != g.Sudden() {
		return 0, fmt.Errorf("the link is %+v", i)
	}
	if _, err := child.Events().Wait(ctx, peers.IsPeer(n.ID())); err != nil {
		return 0, err
	}
	if err := child.Send(ctx, n.ID(), "alive"); err != nil {
		return 0, err
	}
	if _, err := events.Wait(ctx, peers.IsKind(peers.EventMessage)); err != nil {
		return 0, err
	}
	if g.talks {
		talking, stop := context.WithCancel(ctx)
		stopped := make(chan struct{})
		defer func() { stop(); <-stopped }() // before the node closes
		go func() {                          // ends with talking; awaited above
			defer close(stopped)
			tick := time.NewTicker(talkEvery)
			defer tick.Stop()
			for talking.Err() == nil {
				n.Router().Send(child.ID(), protocol.FormJSON, []byte("1"))
				select {
				case <-tick.C:
				case <-talking.Done():
				}
			}
		}()
	}
	start := time.Now()
	if err := child.Process().Signal(os.Kill); err != nil {
		return 0, err
	}
	if _, err := events.Wait(ctx, peers.IsDisconnect(child.ID())); err != nil {
		return 0, err
	}
	return time.Since(start), nil
}
