package protocol_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
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
// the dropped ones counted, and that no link is refused, however many events wait.
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
				t.Fatalf("link %d: %v", i, err)
			}
		}
		if n := a.Stats().EventsMissed; n == 0 {
			t.Error("no event was left out")
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
