package itest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/node"
)

// goSocket starts a socket of ours in this process. It ends with the test.
func goSocket(t *testing.T, o compat.Options) (*compat.Socket, *peers.Log[peers.SocketEvent]) {
	t.Helper()
	o.ListenHost = peers.Loopback
	s, err := compat.NewSocket(o)
	harness.Must(t, err)
	t.Cleanup(func() {
		if err := s.Peer().Close(); err != nil {
			t.Error(err)
		}
	})
	got := peers.NewLog[peers.SocketEvent]("go socket")
	s.OnMessage(func(b []byte, r compat.RemoteInfo) {
		got.Add(peers.SocketEvent{Name: "datagram", Bytes: b, From: peers.SocketAddress(r.SocketAddress)})
		if r.Size != len(b) || r.Proved {
			t.Errorf("a datagram of %d bytes from a JS socket has rinfo %+v", len(b), r)
		}
	})
	return s, got
}

// TestSockets lets a socket of the npm package and one of ours exchange datagrams, each
// as the other's bootstrap, and over a relay of the other kind.
func TestSockets(t *testing.T) {
	d := harness.StartDriver(t)
	ctx := harness.Context(t)
	goRelay := harness.GoPeer(t, peers.Spec{Name: "go relay", Listen: true})
	jsRelay := harness.NPMPeer(t, d, peers.NPMSpec{Spec: peers.Spec{Name: "js relay", Listen: true}})
	for i, way := range []string{"to each other from JS", "to each other from Go", "over a Go relay", "over a JS relay"} {
		var js *peers.NPMSocket
		var err error
		name := fmt.Sprint("socket", i)
		options := compat.Options{Options: node.Options{Listen: true}}
		switch i {
		case 0:
		case 1:
			js, err = d.Socket(ctx, name)
			harness.Must(t, err)
			options.Bootstraps = []string{js.URL}
		case 2:
			options.Bootstraps = []string{goRelay.URL()}
		case 3:
			options.Bootstraps = []string{jsRelay.URL()}
		}
		ours, got := goSocket(t, options)
		if i == 0 {
			js, err = d.Socket(ctx, name, ours.Peer().URL())
		} else if js == nil {
			js, err = d.Socket(ctx, name, options.Bootstraps...)
		}
		harness.Must(t, err)

		listening := make(chan struct{})
		harness.Must(t, ours.Bind(7000+i, func() { close(listening) }))
		theirs, err := js.Bind(ctx, 6000+i)
		harness.Must(t, err)
		select {
		case <-listening:
		case <-ctx.Done():
			t.Fatalf("%s: our socket never listens", way)
		}
		mine := peers.SocketAddress(ours.Address())
		if want := (peers.SocketAddress{Address: js.Address.Address, Family: mine.Family, Port: 6000 + i}); theirs != want || mine.Port != 7000+i {
			t.Errorf("%s: the JS socket is at %+v, want %+v; ours at %+v", way, theirs, want, mine)
		}

		wire := peers.NewLog[string]("what our socket's peer hears")
		ours.Peer().OnReceive(func(m compat.Message) { wire.Add(string(m.JSON)) })
		r := rand.NewChaCha8([32]byte{byte(i)})
		payloads := [][]byte{{}, []byte("text ü"), allBytes()}
		for _, size := range []int{1200, compat.MaxDatagram} {
			b := make([]byte, size)
			r.Read(b)
			payloads = append(payloads, b)
		}
		// One after the other, since datagrams may overtake each other.
		for n, data := range payloads {
			padded := append([]byte("off"), data...)
			harness.Must(t, js.Send(ctx, padded, 3, len(padded), mine.Port, mine.Address))
			at, err := got.WaitN(ctx, n+1, peers.IsDatagram)
			harness.Must(t, err)
			checkDatagram(t, way+" from JS", at[n], theirs, data)
			texts, err := wire.WaitN(ctx, n+1, func(string) bool { return true })
			harness.Must(t, err)
			want := fmt.Sprintf(`{"buffer":%s,"address":"%s","port":%d}`, peers.BufferText(data), theirs.Address, theirs.Port)
			if texts[n] != want {
				t.Errorf("%s: JS writes a datagram of %d bytes as %.200s, want %.200s", way, len(data), texts[n], want)
			}

			harness.Must(t, ours.Send(padded, 3, len(data), theirs.Port, theirs.Address))
			at, err = js.Events().WaitN(ctx, n+1, peers.IsDatagram)
			harness.Must(t, err)
			checkDatagram(t, way+" from Go", at[n], mine, data)
		}
		t.Logf("%s: %d datagrams each way, of 0 to %d bytes, between port %d of JS and %d of Go", way, len(payloads), compat.MaxDatagram, theirs.Port, mine.Port)
		harness.Must(t, js.Close(ctx))
		_, err = js.Events().Wait(ctx, func(e peers.SocketEvent) bool { return e.Name == "close" })
		harness.Must(t, err)
		harness.Must(t, ours.Close())
	}
}

func allBytes() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func checkDatagram(t *testing.T, what string, e peers.SocketEvent, from peers.SocketAddress, data []byte) {
	t.Helper()
	if !bytes.Equal(e.Bytes, data) || e.From != from {
		t.Errorf("%s: %d bytes from %+v, want the %d that were sent, from %+v", what, len(e.Bytes), e.From, len(data), from)
	}
}

// TestBittorrentDHT runs bittorrent-dht, unchanged, over sockets of the npm package that
// know each other through a node of ours: what one of them puts the others get.
func TestBittorrentDHT(t *testing.T) {
	const (
		nodes     = 20
		wellKnown = 3 // of the nodes
	)
	d := harness.StartDriver(t)
	ctx := harness.Context(t)
	relay := harness.GoPeer(t, peers.Spec{Name: "bootstrap", Listen: true})
	var sockets [nodes]*peers.NPMSocket
	var addresses []peers.SocketAddress
	for i := range sockets {
		var err error
		sockets[i], err = d.Socket(ctx, fmt.Sprint("dht", i), relay.URL())
		harness.Must(t, err)
		addresses = append(addresses, peers.SocketAddress{Address: sockets[i].Address.Address, Family: compat.Family, Port: 6881 + i})
	}
	harness.Must(t, peers.WaitLinks(ctx, relay.URL(), nodes))

	var dhts [nodes]*peers.NPMDHT
	inParallel(t, nodes, func(i int) (err error) {
		// The lists of nodes that nodes send have room for an IPv4 address and none for an id.
		// So these few are all that most of them ever know.
		known := slices.DeleteFunc(slices.Clone(addresses[:wellKnown]), func(a peers.SocketAddress) bool { return a == addresses[i] })
		dhts[i], err = sockets[i].DHT(ctx, addresses[i].Port, known)
		return err
	})
	var texts, hashes [nodes]string
	inParallel(t, nodes, func(i int) (err error) {
		texts[i] = fmt.Sprint("value of node ", i)
		var stored int
		hashes[i], stored, err = dhts[i].Put(ctx, texts[i])
		if err == nil && stored == 0 {
			err = fmt.Errorf("node %d put its value nowhere", i)
		}
		return err
	})
	var gets, held atomic.Int64
	for distance := 1; distance < nodes; distance++ {
		inParallel(t, nodes, func(i int) error {
			from := (i + distance) % nodes
			v, err := dhts[i].Get(ctx, hashes[from])
			if err == nil && (v.Text == nil || *v.Text != texts[from]) {
				err = fmt.Errorf("node %d does not get what node %d put, but %+v", i, from, v)
			}
			gets.Add(1)
			if v.Held {
				held.Add(1)
			}
			return err
		})
	}
	t.Logf("%d gets, of which %d of what the node held itself", gets.Load(), held.Load())
	if held.Load() > gets.Load()/2 {
		t.Error("most gets asked nobody")
	}
	inParallel(t, nodes, func(i int) error { return dhts[i].Close(ctx) })
}

// inParallel calls f with 0 to n-1 at once, and fails the test for an error.
func inParallel(t *testing.T, n int, f func(int) error) {
	t.Helper()
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = f(i) })
	}
	all.Wait()
	harness.Must(t, errors.Join(errs...))
}
