package protocol_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

const latency = 50 * time.Millisecond

// A diary records the calls of a router's handlers.
type diary struct {
	mu       sync.Mutex
	messages []protocol.Message
	events   []string
}

func (d *diary) options(o protocol.Options) protocol.Options {
	o.OnMessage = func(m protocol.Message) {
		d.mu.Lock()
		d.messages = append(d.messages, m)
		d.mu.Unlock()
	}
	o.OnPeer = func(i protocol.LinkInfo) { d.note("up %s", i.ID.Short()) }
	o.OnPeerDown = func(id protocol.ID, err error) { d.note("down %s: %v", id.Short(), err) }
	return o
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	d.events = append(d.events, fmt.Sprintf(format, args...))
	d.mu.Unlock()
}

// texts returns the payloads of the messages, in order.
func (d *diary) texts() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var s []string
	for _, m := range d.messages {
		s = append(s, string(m.Payload))
	}
	return strings.Join(s, " ")
}

func (d *diary) all() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.events, ", ")
}

func id(b byte) protocol.ID { return protocol.ID{b} }

// quiet returns the options of a router that seeks no links.
func quiet(b byte) protocol.Options { return protocol.Options{ID: id(b), NoOverlay: true} }

func send(t *testing.T, r *protocol.Router, to protocol.ID, text string) {
	t.Helper()
	if err := r.Send(to, protocol.FormJSON, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func TestRouterRelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{Latency: latency})
		var got [3]diary
		var routers [3]*protocol.Router
		for i := range routers {
			who := protocoltest.NewIdentity(uint64(i))
			o := who.Options()
			o.NoOverlay, o.SignMessages = true, i == 0
			routers[i] = n.Router(got[i].options(o))
		}
		n.Link(routers[0], routers[1])
		n.Link(routers[1], routers[2])
		time.Sleep(time.Second)
		send(t, routers[0], routers[2].ID(), `"signed"`)
		send(t, routers[1], routers[2].ID(), `"neighbour"`)
		send(t, routers[2], routers[0].ID(), `"plain"`)
		time.Sleep(time.Second)
		synctest.Wait()
		if s := got[2].texts(); s != `"neighbour" "signed"` {
			t.Errorf("the third got %s", s)
		}
		for _, m := range got[2].messages {
			if !m.Proved {
				t.Errorf("%s is not proved", m.Payload)
			}
		}
		if len(got[0].messages) != 1 || got[0].messages[0].Proved || len(got[0].messages[0].Path) != 2 {
			t.Errorf("the first got %+v", got[0].messages)
		}
		if s := routers[1].Stats(); s.Forwarded != 2 || s.Dropped.Total() != 0 {
			t.Errorf("the relay forwarded %d, dropped %v", s.Forwarded, s.Dropped)
		}
	})
}

func TestRouterWaitsForFirstLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{Latency: latency})
		var got diary
		a, b := n.Router(quiet(1)), n.Router(got.options(quiet(2)))
		send(t, a, b.ID(), `1`)
		send(t, a, b.ID(), `2`)
		time.Sleep(30 * time.Second)
		n.Link(a, b)
		time.Sleep(time.Second)
		synctest.Wait()
		if s := got.texts(); s != "1 2" {
			t.Errorf("got %s", s)
		}
	})
}

// TestRouterBlockedWriter checks that a peer that does not read fills only the queue of its
// own link.
func TestRouterBlockedWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{Latency: latency})
		var gotB, gotC diary
		a, b, c := n.Router(quiet(1)), n.Router(gotB.options(quiet(2))), n.Router(gotC.options(quiet(3)))
		atA, _ := n.Link(a, b)
		n.Link(a, c)
		time.Sleep(time.Second)
		atA.Block()
		sent := 0
		var err error
		for ; err == nil && sent < 100_000; sent++ {
			err = a.Send(b.ID(), protocol.FormRaw, []byte("message"))
		}
		if !errors.Is(err, protocol.ErrQueueFull) {
			t.Fatalf("after %d messages: %v", sent, err)
		}
		send(t, a, c.ID(), `"still here"`)
		time.Sleep(time.Second)
		synctest.Wait()
		if s := gotC.texts(); s != `"still here"` {
			t.Errorf("the other peer got %s", s)
		}
		atA.Unblock()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := len(gotB.messages); got != sent-1 {
			t.Errorf("%d of %d messages arrived after the peer read again", got, sent-1)
		}
		if s := a.Stats(); s.Dropped[protocol.DropQueueFull] != 1 || s.Dropped.Total() != 1 {
			t.Errorf("dropped %v", s.Dropped)
		}
	})
}

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

// TestRouterBulkIsNotSilence checks that a link is not ended as silent during a bulk transfer
// in one direction, behind which pings wait.
func TestRouterBulkIsNotSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{Latency: latency, Bandwidth: 50_000})
		var gotA, gotB diary
		a, b := n.Router(gotA.options(quiet(1))), n.Router(gotB.options(quiet(2)))
		n.Link(a, b)
		time.Sleep(time.Second)
		for range 65 { // 78 s
			if err := a.Send(b.ID(), protocol.FormRaw, make([]byte, 60_000)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(100 * time.Second)
		synctest.Wait()
		if s := gotA.all(); s != "up 0200" {
			t.Errorf("events: %s", s)
		}
		if len(gotB.messages) != 65 {
			t.Errorf("%d messages arrived", len(gotB.messages))
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

func TestRouterBootstraps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{Latency: latency})
		var got diary
		server := protocol.Options{ID: id(2)}
		missing := 0
		o := got.options(protocol.Options{ID: id(1), Bootstraps: []protocol.Contact{{URL: id(2).String()}},
			OnDialError: func(protocol.Contact, error) { missing++ }})
		n.Router(o)
		time.Sleep(10 * time.Second) // the bootstrap is not up yet
		first := n.Router(server)
		time.Sleep(10 * time.Second)
		if s := got.all(); s != "up 0200" {
			t.Errorf("events: %s", s)
		}
		n.Kill(first)
		time.Sleep(time.Minute)
		n.Router(server) // with the same id
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if s := got.all(); s != "up 0200, down 0200: <nil>, up 0200" {
			t.Errorf("events: %s", s)
		}
		if missing < 10 || missing > 60 {
			t.Errorf("%d dials failed in 70 s", missing)
		}
	})
}

func TestRouterCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{Latency: latency})
		a, b := n.Router(quiet(1)), n.Router(quiet(2))
		atA, _ := n.Link(a, b)
		n.Link(a, n.Router(quiet(3)))
		time.Sleep(time.Second)
		atA.Block() // Close must not wait for a blocked writer
		start := time.Now()
		var closing sync.WaitGroup
		for range 3 {
			closing.Go(func() { a.Close() })
		}
		closing.Wait()
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("Close took %v", took)
		}
		if err := a.Send(id(2), protocol.FormNone, nil); !errors.Is(err, protocol.ErrClosed) {
			t.Errorf("Send after Close: %v", err)
		}
		link, _ := protocoltest.Pipe(protocol.LinkInfo{ID: id(9)}, protocol.LinkInfo{}, protocoltest.PipeOptions{})
		if err := a.Serve(t.Context(), link); !errors.Is(err, protocol.ErrClosed) {
			t.Errorf("Serve after Close: %v", err)
		}
		a.Connect(id(5))
		if len(a.Peers()) != 0 {
			t.Errorf("peers %v", a.Peers())
		}
	})
}

// TestRouterSlowApplication checks that the messages for a blocked application are bounded, and
// the dropped ones counted, and that links are refused when too many events wait.
func TestRouterSlowApplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
		free := make(chan struct{})
		o := quiet(1)
		taken := 0
		o.OnMessage = func(protocol.Message) { <-free; taken++ }
		a, b := n.Router(o), n.Router(quiet(2))
		n.Link(b, a)
		time.Sleep(time.Second)
		const sent = 20_000
		for i := range sent {
			if i%5000 == 0 {
				time.Sleep(time.Second)
			}
			send(t, b, a.ID(), `1`)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		for i := range 10_000 { // links that end at once
			x, y := protocoltest.Infos(id(3), a.ID(), uint64(i))
			_, atA := protocoltest.Pipe(x, y, protocoltest.PipeOptions{})
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := a.Serve(ctx, atA); errors.Is(err, protocol.ErrQueueFull) {
				break
			} else if i == 9999 {
				t.Error("no link was refused")
			}
		}
		close(free)
		time.Sleep(time.Second)
		synctest.Wait()
		s := a.Stats()
		if lost := s.Dropped[protocol.DropInboxFull]; lost == 0 || int(s.Delivered) != taken || int(s.Delivered+lost) != sent {
			t.Errorf("%d delivered, %d taken, %d lost, of %d", s.Delivered, taken, lost, sent)
		}
	})
}

// TestRouterOverlay checks that peers with the same bootstrap find and reach each other.
func TestRouterOverlay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 20
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{Latency: latency})
		got := make([]diary, size)
		routers := make([]*protocol.Router, size)
		for i := range routers {
			o := protocoltest.NewIdentity(uint64(i)).Options()
			if i > 0 {
				o.Bootstraps = []protocol.Contact{protocoltest.Contact(routers[0])}
			}
			routers[i] = n.Router(got[i].options(o))
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		for i, r := range routers {
			if p := len(r.Peers()); p < 8 {
				t.Errorf("peer %d has %d links", i, p)
			}
			for j := range routers {
				if i != j {
					send(t, r, routers[j].ID(), fmt.Sprint(i))
				}
			}
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		for i := range got {
			if len(got[i].messages) != size-1 {
				t.Errorf("peer %d got %d messages", i, len(got[i].messages))
			}
		}
	})
}

// TestRouterNearest checks that the peer nearest to an id answers a search, with the peers that
// it knows.
func TestRouterNearest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{Latency: latency})
		var row []*protocol.Router
		for i, first := range []byte{0x00, 0x80, 0xc0, 0xe0, 0xf0} {
			row = append(row, n.Router(protocol.Options{ID: protocol.ID{first, 1}, NoOverlay: true}))
			if i > 0 {
				n.Link(row[i-1], row[i])
			}
		}
		time.Sleep(time.Second)
		ids, err := row[0].Nearest(t.Context(), protocol.ID{0xf0})
		if err != nil || len(ids) < 2 || ids[0] != row[4].ID() || ids[1] != row[3].ID() {
			t.Errorf("found %v: %v", ids, err)
		}
		if ids, err = row[4].Nearest(t.Context(), protocol.ID{0xf0}); err != nil || len(ids) != 2 || ids[0] != row[4].ID() {
			t.Errorf("the nearest peer found %v: %v", ids, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), latency)
		defer cancel()
		if ids, err = row[0].Nearest(ctx, protocol.ID{0xf0}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("within one latency found %v: %v", ids, err)
		}
		go func() { // ends with the search
			time.Sleep(latency / 2)
			row[0].Close()
		}()
		if ids, err = row[0].Nearest(t.Context(), protocol.ID{0xf0}); !errors.Is(err, protocol.ErrClosed) {
			t.Errorf("with the router closed during the search found %v: %v", ids, err)
		}
		if ids, err = row[0].Nearest(t.Context(), protocol.ID{0xf0}); !errors.Is(err, protocol.ErrClosed) {
			t.Errorf("with the router closed found %v: %v", ids, err)
		}
	})
}
