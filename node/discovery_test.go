package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/peer-relay/peer-relay/node/internal/contact"
	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/node/internal/scope"
	"github.com/peer-relay/peer-relay/protocol"
)

// TestFoundPeersAreBounded checks that a peer that reports the protocol many times costs no
// more than one that reports it once, and that all peers together are bounded.
func TestFoundPeersAreBounded(t *testing.T) {
	n := start(t, Options{})
	waiting := func() int {
		n.finder.mu.Lock()
		defer n.finder.mu.Unlock()
		return len(n.finder.found)
	}
	for range 100 {
		n.found("one peer")
	}
	if got := waiting(); got != 1 {
		t.Errorf("one peer waits for %d turns", got)
	}
	for i := range 2 * maxFound {
		n.found(peer.ID(fmt.Sprint("peer ", i)))
	}
	if got := waiting(); got != maxFound {
		t.Errorf("%d peers wait, want %d", got, maxFound)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if got := waiting(); got != 0 {
		t.Errorf("%d peers wait after Close", got)
	}
}

// TestFoundPeersTakeTurns checks that few streams are opened at once, so that the overlay can
// refuse the rest when it has enough links.
func TestFoundPeersTakeTurns(t *testing.T) {
	relay := start(t, local(Options{}))
	o, _, peers := inboxOf(Options{})
	n := start(t, o)
	n.finder.begin("another") // makes finder.turns
	n.finder.end("another")
	for range maxOpening {
		n.finder.turns <- struct{}{}
	}
	nodetest.Connect(t, n.Host(), peer.AddrInfo{ID: relay.Host().ID(), Addrs: relay.Host().Addrs()})
	nodetest.Eventually(t, "the relay is found", func() bool {
		n.finder.mu.Lock()
		defer n.finder.mu.Unlock()
		return len(n.finder.found) == 1
	})
	select {
	case i := <-peers:
		// The relay, which was dialled, waits for openPatience and then opens a stream itself.
		if i.Dialed {
			t.Errorf("linked to %+v before its turn", i)
		}
	case <-time.After(100 * time.Millisecond):
	}
	for range maxOpening {
		<-n.finder.turns
	}
	nodetest.Eventually(t, "a link", func() bool { return n.Router().Stats().Links == 1 })
}

// TestHandshakesOfOnePeerAreBounded checks that a peer that opens silent streams has few
// handshakes here.
func TestHandshakesOfOnePeerAreBounded(t *testing.T) {
	o, _, peers := inboxOf(local(Options{}))
	n := start(t, o)
	h := nodetest.StockHost(t)
	nodetest.Connect(t, h, peer.AddrInfo{ID: n.Host().ID(), Addrs: n.Host().Addrs()})
	greeted := 0
	for range 3 * maxGreeted {
		s, err := h.NewStream(t.Context(), n.Host().ID(), StreamProtocol)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Reset()
		if _, err := io.ReadFull(s, make([]byte, 1)); err == nil { // the node's hello
			greeted++
		}
	}
	if greeted != maxGreeted {
		t.Errorf("%d handshakes are in progress, want %d", greeted, maxGreeted)
	}
	// Other peers are served.
	x := meet(t, n, []byte{0x0a, 9, 0x19, 1, 2, 3, 4, 5, 6, 7, 8})
	if got := nodetest.Receive(t, "peer", peers); got.ID != x.id {
		t.Errorf("linked to %v, want %v", got.ID, x.id)
	}
	for _, c := range h.Network().ConnsToPeer(n.Host().ID()) {
		c.Close()
	}
	nodetest.Eventually(t, "no handshake is counted", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(n.greeted) == 0
	})
}

// The connection of a peer that does not answer a handshake may be dead in one direction. A node
// closes it on its own host, so that the next try takes another one.
func TestConnectionWithoutAnAnswerIsClosed(t *testing.T) {
	for _, attached := range []bool{false, true} {
		t.Run(fmt.Sprint("attached ", attached), func(t *testing.T) {
			t.Parallel() // it waits for helloTimeout
			h := nodetest.Listening(t)
			if attached {
				n, err := Attach(h, Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer n.Close()
			} else {
				h = start(t, local(Options{})).Host()
			}
			other := nodetest.StockHost(t)
			nodetest.Connect(t, other, peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()})
			s, err := other.NewStream(t.Context(), h.ID(), StreamProtocol)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.SetReadDeadline(time.Now().Add(nodetest.Patience)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, s); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("the stream ended with %v, want a reset", err)
			}
			if !attached {
				nodetest.Eventually(t, "no connection", func() bool { return len(other.Network().Conns()) == 0 })
			} else if len(other.Network().Conns()) == 0 {
				t.Error("the connection of the host's owner was closed")
			}
		})
	}
}

// A countingKey counts its signatures.
type countingKey struct {
	crypto.PrivKey
	signed int
}

func (k *countingKey) Sign(data []byte) ([]byte, error) {
	k.signed++
	return k.PrivKey.Sign(data)
}

// TestRecordIsSignedOnce checks that the record is signed again only when its content changes.
func TestRecordIsSignedOnce(t *testing.T) {
	n := mounted(t, Options{NoOverlay: true, NoDiscovery: true, Announce: []string{"wss://relay.example.com"}})
	key := &countingKey{PrivKey: n.key}
	n.key = key
	for i := range 10 {
		n.peerUp(protocol.LinkInfo{ID: protocol.ID{byte(i + 1)}, Kind: protocol.LinkNative, Proved: true, Addr: "/ip4/127.0.0.1/tcp/1/ws"})
	}
	if key.signed != 1 {
		t.Errorf("%d records were signed for one address", key.signed)
	}
	record := n.contact.record
	if _, err := contact.OpenRecord(record, n.ID()); err != nil {
		t.Error(err)
	}
	n.contact.addrs = n.contact.addrs[:0] // as if another address had been sent
	n.updateContact()
	if key.signed != 2 || bytes.Equal(n.contact.record, record) {
		t.Errorf("%d records were signed for two addresses", key.signed)
	}
}

// TestToldScopeFollowsLinks checks that the scope of the sent addresses follows the linked
// peers.
func TestToldScopeFollowsLinks(t *testing.T) {
	n := mounted(t, Options{NoOverlay: true, NoDiscovery: true})
	widest := func() (w scope.Scope) {
		for s, peers := range n.scopes {
			if peers > 0 {
				w = scope.Scope(s)
			}
		}
		return w
	}
	up := func(id byte, addr string) { n.peerUp(protocol.LinkInfo{ID: protocol.ID{id}, Addr: addr}) }
	for _, step := range []struct {
		do   func()
		want scope.Scope
	}{
		{func() { up(1, "127.0.0.1:1") }, scope.Loopback},
		{func() { up(2, "8.8.8.8:1") }, scope.Public},
		{func() { up(2, "10.0.0.1:1") }, scope.Private}, // a better link to the same peer
		{func() { n.peerDown(protocol.ID{2}, nil) }, scope.Loopback},
		{func() { n.peerDown(protocol.ID{2}, nil) }, scope.Loopback},
		{func() { n.peerDown(protocol.ID{1}, nil) }, scope.None},
	} {
		if step.do(); widest() != step.want {
			t.Errorf("the widest scope is %v, want %v; counts %v", widest(), step.want, n.scopes)
		}
	}
}

// TestADialIsOneAttempt checks that a peer that is dialled gets one link, although identify also
// tells discovery of it.
func TestADialIsOneAttempt(t *testing.T) {
	relay := start(t, local(Options{}))
	const rounds = 20
	for range rounds {
		o, _, peers := inboxOf(Options{Bootstraps: []string{relay.Addrs()[0].String()}})
		n := start(t, o)
		nodetest.Receive(t, "peer", peers)
		nodetest.Eventually(t, "discovery has looked", func() bool {
			n.finder.mu.Lock()
			defer n.finder.mu.Unlock()
			return len(n.finder.found) == 0
		})
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if s := relay.Router().Stats(); s.LinksOpened+s.LinksRefused != rounds {
		t.Errorf("%d links were opened and %d refused for %d dials", s.LinksOpened, s.LinksRefused, rounds)
	}
}

// TestDialsAreAwaited checks that wait returns when the last dial of the peer has ended, and
// that other peers do not matter.
func TestDialsAreAwaited(t *testing.T) {
	var d dials
	d.wait(t.Context(), "one")
	first, second := d.begin("one"), d.begin("one")
	d.wait(t.Context(), "another")
	ended := make(chan struct{})
	go func() { // ends below
		d.wait(t.Context(), "one")
		close(ended)
	}()
	first()
	select {
	case <-ended:
		t.Error("wait returned during a dial")
	case <-time.After(50 * time.Millisecond):
	}
	second()
	<-ended
	if len(d.of) != 0 {
		t.Errorf("%d peers are kept", len(d.of))
	}
}
