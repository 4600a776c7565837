package node

import (
	"context"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/protocol"
)

// inboxOf returns options that pass messages and peers on to channels.
func inboxOf(o Options) (Options, chan protocol.Message, chan protocol.LinkInfo) {
	messages, peers := make(chan protocol.Message, 100), make(chan protocol.LinkInfo, 100)
	o.OnMessage = func(m protocol.Message) { messages <- m }
	o.OnPeer = func(i protocol.LinkInfo) { peers <- i }
	return o, messages, peers
}

func start(t *testing.T, o Options) *Node {
	t.Helper()
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return n
}

func local(o Options) Options {
	o.Listen, o.ListenHost = true, "127.0.0.1"
	return o
}

func TestMessagesCrossByBootstrap(t *testing.T) {
	ao, aMessages, aPeers := inboxOf(local(Options{}))
	a := start(t, ao)
	bo, bMessages, bPeers := inboxOf(Options{Bootstraps: []string{a.Addrs()[0].String()}})
	b := start(t, bo)
	co, cMessages, cPeers := inboxOf(Options{Bootstraps: []string{a.Addrs()[0].String()}})
	c := start(t, co)

	nodetest.Receive(t, "peer at a", aPeers)
	nodetest.Receive(t, "peer at a", aPeers)
	if got := nodetest.Receive(t, "peer at b", bPeers); got.ID != a.ID() || !got.Proved || got.Kind != protocol.LinkNative {
		t.Errorf("b is linked to %+v", got)
	}
	nodetest.Receive(t, "peer at c", cPeers)
	// b and c do not listen, so their messages go through a.
	b.Send(c.ID(), []byte("from b"))
	if m := nodetest.Receive(t, "message at c", cMessages); m.From != b.ID() || string(m.Payload) != "from b" || m.Proved {
		t.Errorf("c got %+v", m)
	}
	c.Send(b.ID(), []byte("from c"))
	if m := nodetest.Receive(t, "message at b", bMessages); m.From != c.ID() || len(m.Path) != 2 || m.Path[1] != a.ID() {
		t.Errorf("b got %+v", m)
	}
	b.Send(a.ID(), []byte("to a"))
	if m := nodetest.Receive(t, "message at a", aMessages); !m.Proved || m.From != b.ID() {
		t.Errorf("a got %+v", m)
	}
	if s := a.Router().Stats(); s.Forwarded != 2 {
		t.Errorf("a forwarded %d messages, want 2; drops: %v", s.Forwarded, s.Dropped)
	}
}

func TestSignedMessagesAreProvedOverAnyNumberOfHops(t *testing.T) {
	a := start(t, local(Options{}))
	boot := []string{a.Addrs()[0].String()}
	bo, _, bPeers := inboxOf(Options{Bootstraps: boot, SignMessages: true})
	b := start(t, bo)
	co, cMessages, cPeers := inboxOf(Options{Bootstraps: boot})
	c := start(t, co)
	nodetest.Receive(t, "peer", bPeers)
	nodetest.Receive(t, "peer", cPeers)
	b.Send(c.ID(), []byte("signed"))
	if m := nodetest.Receive(t, "message", cMessages); !m.Proved || m.From != b.ID() {
		t.Errorf("got %+v", m)
	}
}

func TestAttachedHostIsFoundByIdentify(t *testing.T) {
	ao, aMessages, _ := inboxOf(local(Options{}))
	a := start(t, ao)
	h, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	bo, bMessages, bPeers := inboxOf(Options{})
	b, err := Attach(h, bo)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), nodetest.Patience)
	defer cancel()
	if err := h.Connect(ctx, peer.AddrInfo{ID: a.Host().ID(), Addrs: a.Host().Addrs()}); err != nil {
		t.Fatal(err)
	}
	nodetest.Receive(t, "peer", bPeers)
	b.Send(a.ID(), []byte("hello"))
	nodetest.Receive(t, "message", aMessages)
	a.Send(b.ID(), []byte("hello"))
	nodetest.Receive(t, "message", bMessages)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if len(h.Mux().Protocols()) == 0 {
		t.Error("the host was closed with the node")
	}
}
