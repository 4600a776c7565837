package protocol_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// TestRouterEndsBlockedLink checks that a link whose peer does not read can be ended.
func TestRouterEndsBlockedLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
		var got diary
		a, b := n.Router(got.options(quiet(1))), n.Router(quiet(2))
		atA, _ := n.Link(a, b)
		time.Sleep(time.Second)
		atA.Block()
		for range 100 {
			send(t, a, b.ID(), `1`)
		}
		a.Disconnect(b.ID())
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if _, err := atA.ReadFrame(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the link is open: %v", err)
		}
		if s := got.all(); s != "up 0200, down 0200: peer-relay: disconnected" {
			t.Errorf("events: %s", s)
		}
	})
}

// lone has a router serve one end of a link, and returns the other end and the result of Serve.
func lone(t *testing.T, r *protocol.Router, info protocol.LinkInfo) (mine *protocoltest.End, ended chan error) {
	theirs, mine := protocoltest.Pipe(info, protocol.LinkInfo{ID: r.ID()}, protocoltest.PipeOptions{})
	ended = make(chan error, 1)
	go func() { ended <- r.Serve(t.Context(), theirs) }() // ends with the link
	return mine, ended
}

func TestRouterEndsSilentLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
		r := n.Router(quiet(1))
		start := time.Now()
		_, ended := lone(t, r, protocol.LinkInfo{ID: id(2), Kind: protocol.LinkNative})
		if err := <-ended; !errors.Is(err, protocol.ErrSilent) {
			t.Errorf("the link ended with %v", err)
		}
		if took := time.Since(start); took < 23*time.Second || took > 25*time.Second {
			t.Errorf("after %v", took)
		}
		start = time.Now()
		_, ended = lone(t, r, protocol.LinkInfo{ID: id(3), Kind: protocol.LinkWebSocket})
		if err := <-ended; !errors.Is(err, protocol.ErrMute) {
			t.Errorf("the legacy link ended with %v", err)
		}
		if took := time.Since(start); took < 5*time.Second || took > 7*time.Second {
			t.Errorf("after %v", took)
		}
	})
}

func TestRouterSaysWhyLinksEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{Latency: latency})
		var got diary
		a := n.Router(got.options(quiet(1)))
		b, c, d := n.Router(quiet(2)), n.Router(quiet(3)), n.Router(quiet(4))
		n.Link(a, b)
		time.Sleep(time.Second)
		torn, _ := n.Link(a, c)
		time.Sleep(time.Second)
		n.Link(a, d)
		time.Sleep(time.Second)
		n.Kill(b)
		time.Sleep(time.Second)
		torn.Break()
		time.Sleep(time.Second)
		d.Disconnect(a.ID())
		time.Sleep(time.Second)
		synctest.Wait()
		want := "up 0200, up 0300, up 0400, down 0200: <nil>, down 0300: protocoltest: read: " + protocoltest.ErrBroken.Error() + ", down 0400: <nil>"
		if s := got.all(); s != want {
			t.Errorf("events: %s\nwant    %s", s, want)
		}
	})
}

// TestRouterOneLink has two peers open two links at the same instant with different latencies.
// Both keep the same one, and no message is lost.
func TestRouterOneLink(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 0))
			n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
			var got [2]diary
			r := []*protocol.Router{n.Router(got[0].options(quiet(1))), n.Router(got[1].options(quiet(2)))}
			for opener := range 2 {
				x, y := protocoltest.Infos(r[opener].ID(), r[1-opener].ID(), rng.Uint64())
				a, b := protocoltest.Pipe(x, y, protocoltest.PipeOptions{Latency: time.Duration(rng.IntN(200)) * time.Millisecond})
				for i, end := range []*protocoltest.End{a, b} {
					wait := time.Duration(rng.IntN(200)) * time.Millisecond
					to := r[(opener+i)%2]
					n.Go(func() {
						time.Sleep(wait)
						n.Serve(to, end)
					})
				}
			}
			for i := range 10 {
				time.Sleep(time.Duration(rng.IntN(100)) * time.Millisecond)
				send(t, r[i%2], r[1-i%2].ID(), fmt.Sprint(i))
			}
			time.Sleep(5 * time.Second)
			synctest.Wait()
			for i := range r {
				peers := r[i].Peers()
				if len(peers) != 1 || peers[0].Opener != string(idBytes(r[0])) {
					t.Errorf("seed %d: peers %+v", seed, peers)
				}
				if s := r[i].Stats(); s.Dropped.Total() != 0 {
					t.Errorf("seed %d: dropped %v", seed, s.Dropped)
				}
			}
			if a, b := len(got[0].messages), len(got[1].messages); a != 5 || b != 5 {
				t.Errorf("seed %d: %d and %d messages of 5", seed, a, b)
			}
		})
	}
}

func idBytes(r *protocol.Router) []byte {
	id := r.ID()
	return id[:]
}

func TestRouterClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
		r := n.Router(quiet(1))
		phone := protocol.LinkInfo{ID: id(2), Kind: protocol.LinkWebSocket}
		claim := func() (func(), time.Duration, error) {
			start := time.Now()
			release, err := r.Claim(t.Context(), phone)
			return release, time.Since(start), err
		}
		release, _, err := claim()
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := claim(); !errors.Is(err, protocol.ErrDuplicate) {
			t.Errorf("a second claim: %v", err)
		}
		release()
		release()
		if _, _, err = claim(); err != nil {
			t.Fatalf("after the release: %v", err)
		}
		mine, ended := lone(t, r, phone)
		hello := message(t, id(2), id(1), `"hello"`)
		if err := errors.Join(mine.WriteFrame(hello), mine.Flush()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)

		// The link lives: its peer answers the ping.
		stop := make(chan struct{})
		go func() { // ends with the link
			defer close(stop)
			for {
				f, err := mine.ReadFrame()
				if err != nil {
					return
				}
				if f.Type == wire.FramePing {
					mine.WriteFrame(wire.NewPong(f.Num))
					mine.Flush()
				}
			}
		}()
		if _, took, err := claim(); !errors.Is(err, protocol.ErrDuplicate) || took >= 3*time.Second {
			t.Errorf("a claim to a live id: %v after %v", err, took)
		}
		mine.Block() // the phone sleeps
		if _, took, err := claim(); err != nil || took != 3*time.Second {
			t.Errorf("a claim to a dead link's id: %v after %v", err, took)
		}
		if err := <-ended; !errors.Is(err, protocol.ErrSilent) {
			t.Errorf("the dead link ended with %v", err)
		}
		mine.Close()
		<-stop

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := r.Claim(ctx, protocol.LinkInfo{ID: id(3), Kind: protocol.LinkWebSocket}); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("a claim with a cancelled context: %v", err)
		}
		r.Close()
		if _, _, err := claim(); !errors.Is(err, protocol.ErrClosed) || !errors.Is(err, net.ErrClosed) {
			t.Errorf("a claim after Close: %v", err)
		}
	})
}

// message returns a frame as a legacy link makes it, with full budgets.
func message(t *testing.T, from, to protocol.ID, text string) *wire.Frame {
	b := wire.Body{From: from, To: to, Form: protocol.FormJSON, Payload: []byte(text)}
	if err := b.Encode(); err != nil {
		t.Fatal(err)
	}
	f, err := wire.NewMessageFrame(wire.MessageFields{Hop: wire.NewHop(), Nonce: []byte("1"), Body: b, Path: []protocol.ID{from}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}
