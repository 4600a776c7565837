package protocoltest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A Network is a set of routers and the links between them. It closes everything at the end of
// its test.
type Network struct {
	t     testing.TB
	ctx   context.Context
	value atomic.Uint64
	tasks sync.WaitGroup

	mu      sync.Mutex
	routers map[protocol.ID]*protocol.Router
	pipe    PipeOptions
}

// NewNetwork returns a network without routers. Its links have the options o.
func NewNetwork(t testing.TB, o PipeOptions) *Network {
	ctx, cancel := context.WithCancel(context.Background())
	n := &Network{t: t, ctx: ctx, routers: make(map[protocol.ID]*protocol.Router), pipe: o}
	t.Cleanup(func() {
		n.mu.Lock()
		routers := n.routers
		n.routers = nil
		n.mu.Unlock()
		var closing sync.WaitGroup
		for _, r := range routers {
			closing.Go(func() { r.Close() })
		}
		closing.Wait()
		cancel()
		n.tasks.Wait()
	})
	return n
}

// Router starts a router in the network. The router dials its bootstraps, and the peers that
// its overlay finds, within the network. The URL or record of a contact is the peer's id in
// hexadecimal.
func (n *Network) Router(o protocol.Options) *protocol.Router {
	n.t.Helper()
	o.Dialers = append(o.Dialers[:len(o.Dialers):len(o.Dialers)], dialer{n})
	r, err := protocol.NewRouter(o)
	if err != nil {
		n.t.Fatal(err)
	}
	r.SetContact(protocol.Contact{ID: r.ID(), Record: []byte(r.ID().String())})
	n.mu.Lock()
	n.routers[r.ID()] = r
	n.mu.Unlock()
	return r
}

// Contact returns the contact of r, for use as a bootstrap.
func Contact(r *protocol.Router) protocol.Contact { return protocol.Contact{URL: r.ID().String()} }

// Infos returns the LinkInfos at the two ends of a native link that a opened to b.
func Infos(a, b protocol.ID, value uint64) (atA, atB protocol.LinkInfo) {
	atA = protocol.LinkInfo{ID: b, Kind: protocol.LinkNative, Proved: true, Dialed: true, Opener: string(a[:]), Value: value, Addr: "memory", Features: wire.Features()}
	atB = protocol.LinkInfo{ID: a, Kind: protocol.LinkNative, Proved: true, Opener: string(a[:]), Value: value, Addr: "memory", Features: wire.Features()}
	return atA, atB
}

// Link opens a native link from a to b. Both routers serve it until it ends.
func (n *Network) Link(a, b *protocol.Router) (atA, atB *End) {
	atA, atB = n.pipeBetween(a, b)
	n.Serve(a, atA)
	n.Serve(b, atB)
	return atA, atB
}

// pipeBetween returns the two ends of a native link that a opens to b.
func (n *Network) pipeBetween(a, b *protocol.Router) (atA, atB *End) {
	x, y := Infos(a.ID(), b.ID(), n.value.Add(1))
	x.Features, y.Features = b.Features(), a.Features()
	return Pipe(x, y, n.pipe)
}

// Serve has a router serve a link until it ends. The end of the test waits for it.
func (n *Network) Serve(r *protocol.Router, l protocol.Link) {
	n.tasks.Go(func() { r.Serve(n.ctx, l) }) // ends with the link, or with r
}

// Go runs f on a goroutine. f must end soon after the routers are closed, since the end of the
// test waits for it.
func (n *Network) Go(f func()) { n.tasks.Go(f) }

// Kill closes a router and removes it from the network.
func (n *Network) Kill(r *protocol.Router) {
	n.mu.Lock()
	delete(n.routers, r.ID())
	n.mu.Unlock()
	r.Close()
}

func (n *Network) find(id protocol.ID) *protocol.Router {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.routers[id]
}

// A dialer opens links within a network.
type dialer struct{ n *Network }

var errNoPeer = errors.New("protocoltest: no router has this id")

// CanDial implements protocol.Dialer.
func (d dialer) CanDial(c protocol.Contact) bool { return len(c.Record) > 0 || c.URL != "" }

// Dial implements protocol.Dialer.
func (d dialer) Dial(_ context.Context, r *protocol.Router, c protocol.Contact) (protocol.Link, error) {
	address := c.URL
	if len(c.Record) > 0 {
		address = string(c.Record)
	}
	id, err := protocol.ParseID(address)
	if err != nil {
		return nil, fmt.Errorf("protocoltest: dial: %w", err)
	}
	to := d.n.find(id)
	if to == nil {
		return nil, errNoPeer
	}
	atR, atTo := d.n.pipeBetween(r, to)
	d.n.Serve(to, atTo)
	return atR, nil
}
