package protocol_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
)

// A bell is the Signaller of one router. One peer rings, the other lets it in, and the link
// between them is in memory.
type bell struct {
	n    *protocoltest.Network
	hall *sync.Map          // the id of the peer that is let in -> its end of the link
	open chan protocol.Link // this peer's end of the link

	mu    sync.Mutex
	heard []protocol.Signal
}

func (b *bell) CanDial(c protocol.Contact) bool { return c.WebRTC }

func (b *bell) Dial(ctx context.Context, r *protocol.Router, c protocol.Contact) (protocol.Link, error) {
	if err := r.Signal(c.ID, []byte(`"ring"`)); err != nil {
		return nil, err
	}
	select {
	case link := <-b.open:
		return link, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (b *bell) Signal(r *protocol.Router, s protocol.Signal) {
	b.mu.Lock()
	b.heard = append(b.heard, s)
	b.mu.Unlock()
	switch string(s.Payload) {
	case `"ring"`:
		theirs, mine := protocoltest.Infos(s.From, r.ID(), 1)
		theirs.Kind, mine.Kind = protocol.LinkWebRTC, protocol.LinkWebRTC
		theirs.Proved, mine.Proved = false, false
		there, here := protocoltest.Pipe(theirs, mine, protocoltest.PipeOptions{Latency: latency})
		b.hall.Store(s.From, there)
		b.n.Serve(r, here)
		r.Signal(s.From, []byte(`"come in"`))
	case `"come in"`:
		if link, ok := b.hall.LoadAndDelete(r.ID()); ok {
			b.open <- link.(protocol.Link)
		}
	}
}

func TestRouterSignals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{Latency: latency})
		hub := n.Router(quiet(1))
		var got [2]diary
		var bells [2]bell
		var routers [2]*protocol.Router
		hall := new(sync.Map)
		for i := range routers {
			bells[i].n, bells[i].hall, bells[i].open = n, hall, make(chan protocol.Link, 1)
			o := protocoltest.NewIdentity(uint64(i)).Options()
			o.NoOverlay, o.Dialers = true, []protocol.Dialer{&bells[i]}
			routers[i] = n.Router(got[i].options(o))
			routers[i].SetContact(protocol.Contact{ID: o.ID, WebRTC: true}) // it has no port
			n.Link(routers[i], hub)
		}
		a, b := routers[0], routers[1]
		time.Sleep(time.Second)
		a.Connect(b.ID())
		time.Sleep(time.Second)
		synctest.Wait()
		if len(a.Peers()) != 2 || len(b.Peers()) != 2 {
			t.Fatalf("%d and %d peers, want each other and the hub", len(a.Peers()), len(b.Peers()))
		}
		for i, want := range []string{`"come in"`, `"ring"`} {
			if h := bells[i].heard; len(h) != 1 || string(h[0].Payload) != want || h[0].From != routers[1-i].ID() || !h[0].Proved {
				t.Errorf("peer %d got the signals %+v, want %s", i, h, want)
			}
		}
		// Only a peer that has answered an offer may send signals.
		before := b.Stats().Dropped[protocol.DropUnasked]
		if err := hub.Signal(b.ID(), []byte(`"ring"`)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if n := b.Stats().Dropped[protocol.DropUnasked] - before; n != 1 || len(bells[1].heard) != 1 {
			t.Errorf("a signal of another peer: %d dropped, %d accepted in all", n, len(bells[1].heard))
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if err := a.Signal(b.ID(), []byte(`1`)); err == nil {
			t.Error("a closed router sent a signal")
		}
	})
}
