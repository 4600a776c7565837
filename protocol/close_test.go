package protocol_test

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/packet"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// TestRefusedLinkEndsWithRouter checks that a refused link, which stays open for the bye, does
// not outlive Close.
func TestRefusedLinkEndsWithRouter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
		r := n.Router(quiet(1))
		mine, ended := lone(t, r, protocol.LinkInfo{ID: r.ID(), Kind: protocol.LinkNative}) // to itself
		if f, err := mine.ReadFrame(); err != nil || f.Type != wire.FrameBye {
			t.Fatalf("the first frame is %v, error %v, want a bye", f, err)
		}
		begun := time.Now()
		r.Close()
		if took := time.Since(begun); took > 0 {
			t.Errorf("Close took %v, although there was no link", took)
		}
		synctest.Wait()
		select {
		case err := <-ended:
			if !errors.Is(err, protocol.ErrSelf) {
				t.Errorf("the link ended with %v", err)
			}
		default:
			t.Error("the refused link outlives Close")
		}
	})
}

// Close waits for a handler that runs.
func TestCloseWaitsForAHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const runs = 9 * time.Second
		o := quiet(1)
		o.OnMessage = func(protocol.Message) { time.Sleep(runs) }
		r := must(protocol.NewRouter(o))
		if err := r.Send(r.ID(), protocol.FormRaw, []byte("to itself")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		begun := time.Now()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took < runs {
			t.Errorf("Close returned after %v, while a handler was running", took)
		}
	})
}

// TestCloseLeavesAStuckHandler checks that Close does not wait for ever for a handler, says so,
// and lets no other handler be called after it.
func TestCloseLeavesAStuckHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, calls := make(chan struct{}), 0
		o := quiet(1)
		o.OnMessage = func(protocol.Message) {
			calls++
			<-release
		}
		r := must(protocol.NewRouter(o))
		for range 3 {
			if err := r.Send(r.ID(), protocol.FormRaw, []byte("to itself")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // the first call holds the first message only
		}
		for try := range 2 {
			begun := time.Now()
			if err := r.Close(); !errors.Is(err, protocol.ErrHandlerRuns) || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Close %d: %v", try, err)
			}
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("Close %d took %v", try, took)
			}
		}
		if _, err := r.Receive(t.Context()); !errors.Is(err, protocol.ErrClosed) {
			t.Errorf("Receive after Close: %v", err)
		}
		close(release)
		synctest.Wait()
		if calls != 1 {
			t.Errorf("%d messages were delivered, want the first only", calls)
		}
		if n := r.Stats().Dropped[protocol.DropInboxFull]; n != 2 {
			t.Errorf("%d messages were counted as dropped, want 2", n)
		}
	})
}

// A slowLink takes a minute to close.
type slowLink struct{ protocol.Link }

func (l slowLink) Close() error {
	defer time.Sleep(time.Minute)
	return l.Link.Close()
}

// Close waits for the Serve of a link, also of one that is refused.
func TestCloseWaitsForServe(t *testing.T) {
	for name, id := range map[string]protocol.ID{"served": {1}, "refused": quiet(1).ID} {
		synctest.Test(t, func(t *testing.T) {
			r := must(protocol.NewRouter(quiet(1)))
			a, b := protocoltest.Pipe(protocol.LinkInfo{ID: id, Kind: protocol.LinkNative}, protocol.LinkInfo{}, protocoltest.PipeOptions{})
			defer b.Close()
			ended := false
			go func() { // ends with r
				r.Serve(t.Context(), slowLink{a})
				ended = true
			}()
			synctest.Wait()
			begun := time.Now()
			r.Close()
			if took := time.Since(begun); took < time.Minute {
				t.Errorf("%s: Close returned after %v, while the link was being closed", name, took)
			}
			synctest.Wait()
			if !ended {
				t.Errorf("%s: Serve outlives Close", name)
			}
		})
	}
}

// sendAll sends n messages of size bytes.
func sendAll(t *testing.T, r *protocol.Router, to protocol.ID, n, size int) {
	t.Helper()
	for range n {
		if err := r.Send(to, protocol.FormRaw, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
}

// A closing is the outcome of a Close.
type closing struct {
	unsent protocol.UnsentError // zero if there was no error
	took   time.Duration
}

func closed(t *testing.T, r *protocol.Router) (c closing) {
	t.Helper()
	begun := time.Now()
	err := r.Close()
	c.took = time.Since(begun)
	var unsent *protocol.UnsentError
	if errors.As(err, &unsent) {
		c.unsent = *unsent
	} else if err != nil {
		t.Fatal(err)
	}
	if again := r.Close(); again != err {
		t.Errorf("a second Close returns %v, the first one %v", again, err)
	}
	return c
}

// counted returns the options of a router that counts the messages for it.
func counted(seed byte, got *atomic.Int64) protocol.Options {
	o := quiet(seed)
	o.OnMessage = func(protocol.Message) { got.Add(1) }
	return o
}

// Close waits for a first link. Then all messages and datagrams arrive that were sent before it.
func TestCloseWaitsForALink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{Latency: 50 * time.Millisecond})
		var got atomic.Int64
		to := counted(2, &got)
		o := quiet(1)
		o.Bootstraps = []protocol.Contact{{URL: to.ID.String()}}
		r := n.Router(o)
		sendAll(t, r, to.ID, 20, 100)
		c := must(r.ListenPacket(0))
		for range 20 {
			if _, err := c.WriteTo([]byte("x"), packet.Addr{ID: to.ID, Port: 7}); err != nil {
				t.Fatal(err)
			}
		}
		c.Close()
		datagrams := make(chan uint64)
		go func() { // ends below
			time.Sleep(3 * time.Second)
			socket := must(n.Router(to).ListenPacket(7))
			time.Sleep(7 * time.Second)
			datagrams <- socket.Stats().Received
		}()
		if c := closed(t, r); c.unsent != (protocol.UnsentError{}) || c.took >= protocol.DefaultLinger {
			t.Errorf("Close took %v, and says that %+v were not sent", c.took, c.unsent)
		}
		if n, m := got.Load(), <-datagrams; n != 20 || m != 20 {
			t.Errorf("%d of 20 messages and %d of 20 datagrams arrived", n, m)
		}
	})
}

// Close does not wait if no link can come, and counts what was sent.
func TestCloseWithoutHope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := must(protocol.NewRouter(quiet(1)))
		sendAll(t, r, protocol.ID{2}, 3, 1)
		c := must(r.ListenPacket(0))
		resends := must(r.ListenPacket(0))
		resends.SetResends(true)
		for range 2 {
			c.WriteTo([]byte("x"), packet.Addr{ID: protocol.ID{2}, Port: 7})
			resends.WriteTo([]byte("x"), packet.Addr{ID: protocol.ID{2}, Port: 7})
		}
		want := closing{unsent: protocol.UnsentError{Messages: 3, Datagrams: 2}}
		if c := closed(t, r); c != want {
			t.Errorf("Close: %+v, want %+v", c, want)
		}
	})
}

// A handshake that brings no link is not waited for longer than it holds messages.
func TestCloseAwaitsAHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := must(protocol.NewRouter(quiet(1)))
		r.Expect(protocol.ID{2})
		sendAll(t, r, protocol.ID{2}, 1, 1)
		want := closing{protocol.UnsentError{Messages: 1}, time.Second}
		if c := closed(t, r); c != want {
			t.Errorf("Close: %+v, want %+v", c, want)
		}
	})
}

// Close waits for a bootstrap that never answers no longer than Linger.
func TestCloseLingers(t *testing.T) {
	for linger, most := range map[time.Duration]time.Duration{0: protocol.DefaultLinger, time.Second: time.Second, -1: 0} {
		synctest.Test(t, func(t *testing.T) {
			n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
			o := quiet(1)
			o.Linger = linger
			o.Bootstraps = []protocol.Contact{{URL: quiet(2).ID.String()}}
			r := n.Router(o)
			sendAll(t, r, quiet(2).ID, 1, 1)
			want := closing{protocol.UnsentError{Messages: 1}, most}
			if c := closed(t, r); c != want {
				t.Errorf("Linger %v: %+v, want %+v", linger, c, want)
			}
		})
	}
}

// Close waits for a slow line while it moves. The rest is named.
func TestCloseOverASlowLine(t *testing.T) {
	for _, test := range []struct {
		name      string
		bandwidth int // bytes per second
		window    int // bytes in the buffers of the line
		all       bool
	}{
		{"256 kbit/s", 32_000, 16 << 10, true},
		{"256 kbit/s, with all in the buffers of the line", 32_000, 1 << 20, true},
		{"64 kbit/s", 8_000, 16 << 10, false},
		{"64 kbit/s, with all in the buffers of the line", 8_000, 1 << 20, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{Bandwidth: test.bandwidth, Window: test.window})
			var got atomic.Int64
			a, b := n.Router(quiet(1)), n.Router(counted(2, &got))
			n.Link(a, b)
			synctest.Wait()
			const messages, size = 200, 1000
			sendAll(t, a, b.ID(), messages, size)
			c := closed(t, a)
			synctest.Wait()
			arrived := int(got.Load())
			if named := c.unsent.Messages + c.unsent.Unconfirmed; test.all && (arrived != messages || named != 0) ||
				arrived+named < messages || named > messages || c.unsent.Messages > messages-arrived || c.took > protocol.DefaultLinger+time.Second {
				t.Errorf("%s: %d of %d arrived, Close took %v and says %+v", test.name, arrived, messages, c.took, c.unsent)
			}
			if !test.all && c.unsent == (protocol.UnsentError{}) {
				t.Errorf("%s: nothing is named", test.name)
			}
		})
	}
}

// Close of a relay sends the messages of others while they move, and does not count them.
func TestCloseRelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
		slow := protocoltest.NewNetwork(t, protocoltest.PipeOptions{Bandwidth: 64_000, Window: 4 << 10})
		var got atomic.Int64
		a, relay, b := n.Router(quiet(1)), n.Router(quiet(2)), n.Router(counted(3, &got))
		n.Link(a, relay)
		slow.Link(relay, b)
		synctest.Wait()
		sendAll(t, a, b.ID(), 200, 1000) // 3 s
		synctest.Wait()
		c := closed(t, relay)
		synctest.Wait()
		if c.unsent != (protocol.UnsentError{}) || got.Load() != 200 {
			t.Errorf("%d of 200 arrived, Close took %v and says %+v", got.Load(), c.took, c.unsent)
		}
	})
}

// Close of a relay does not wait for a peer that does not read the messages of others.
func TestCloseLeavesAStuckPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
		a, relay, b := n.Router(quiet(1)), n.Router(quiet(2)), n.Router(quiet(3))
		n.Link(a, relay)
		atRelay, _ := n.Link(relay, b)
		synctest.Wait()
		atRelay.Block()
		sendAll(t, a, b.ID(), 20, 1000)
		synctest.Wait()
		if c, want := closed(t, relay), (closing{took: time.Second}); c != want {
			t.Errorf("Close: %+v, want %+v", c, want)
		}
	})
}

// A message that a link took is named if the other end does not answer the bye, and only if it
// was taken lately. It is not named if the other end closes the connection: a peer that has read
// everything does so as well.
func TestCloseNamesTheUnconfirmed(t *testing.T) {
	for _, test := range []struct {
		wait   time.Duration
		breaks bool // the other end closes the connection, and does not only stay silent
		want   closing
	}{
		{0, false, closing{protocol.UnsentError{Unconfirmed: 3}, protocol.DefaultLinger}},
		{15 * time.Second, false, closing{took: time.Second}},
		{0, true, closing{took: 100 * time.Millisecond}},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := must(protocol.NewRouter(quiet(1)))
			mine, _ := lone(t, r, protocol.LinkInfo{ID: protocol.ID{2}, Kind: protocol.LinkNative})
			synctest.Wait()
			sendAll(t, r, protocol.ID{2}, 3, 1)
			synctest.Wait()
			time.Sleep(test.wait)
			if test.breaks {
				time.AfterFunc(100*time.Millisecond, mine.Break)
			}
			if c := closed(t, r); c != test.want {
				t.Errorf("%+v: %+v", test, c)
			}
			mine.Close()
		})
	}
}

// A reportingLink has all acknowledged that was written, except pending bytes.
type reportingLink struct {
	protocol.Link
	pending uint64
}

func (l reportingLink) Progress() protocol.Progress {
	return protocol.Progress{Known: true, Acked: 1000, Pending: l.pending}
}

// sentOver has a router send 3 messages over a reportingLink, and returns the other end.
func sentOver(t *testing.T, r *protocol.Router, pending uint64) (theirs *protocoltest.End) {
	mine, theirs := protocoltest.Pipe(protocol.LinkInfo{ID: protocol.ID{2}, Kind: protocol.LinkNative}, protocol.LinkInfo{}, protocoltest.PipeOptions{})
	go r.Serve(t.Context(), reportingLink{mine, pending}) // ends with r
	synctest.Wait()
	sendAll(t, r, protocol.ID{2}, 3, 1)
	synctest.Wait()
	return theirs
}

// A message that the system of the other end has is not waited for longer than without it.
func TestCloseBelievesTheTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := must(protocol.NewRouter(quiet(1)))
		defer sentOver(t, r, 0).Close()
		if c, want := closed(t, r), (closing{took: time.Second}); c != want {
			t.Errorf("Close: %+v, want %+v", c, want)
		}
	})
}

// Others may keep a connection busy. So an answer to the bye is believed after a second. The bye
// of a peer that ends a duplicate, or that comes before ours, is no answer.
func TestCloseOverABusyConnection(t *testing.T) {
	waited := closing{protocol.UnsentError{Unconfirmed: 3}, protocol.DefaultLinger}
	for _, test := range []struct {
		reason wire.ByeReason
		first  bool // the other end says bye first
		want   closing
	}{
		{wire.ByeNormal, false, closing{took: time.Second}},
		{wire.ByeShutdown, false, closing{took: time.Second}},
		{wire.ByeDuplicate, false, waited},
		{wire.ByeDuplicate, true, waited},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := must(protocol.NewRouter(quiet(1)))
			theirs := sentOver(t, r, 10_000)
			defer theirs.Close()
			go func() { // ends with the link
				for !test.first {
					if f, err := theirs.ReadFrame(); err != nil || f.Type == wire.FrameBye {
						break
					}
				}
				theirs.WriteFrame(wire.NewBye(test.reason))
				theirs.Flush()
			}()
			if c := closed(t, r); c != test.want {
				t.Errorf("%+v: %+v", test, c)
			}
		})
	}
}

// A deafLink reads nothing more after deafen, and is not closed by that.
type deafLink struct {
	protocol.Link
	deaf  atomic.Bool
	ended chan struct{}
	once  sync.Once
}

func (l *deafLink) ReadFrame() (*wire.Frame, error) {
	f, err := l.Link.ReadFrame()
	if l.deaf.Load() {
		<-l.ended
		return nil, net.ErrClosed
	}
	return f, err
}

func (l *deafLink) Close() error {
	l.once.Do(func() { close(l.ended) })
	return l.Link.Close()
}

// linkDeaf opens a link from a to b that b can stop to read. It is quicker than what is not known.
func linkDeaf(n *protocoltest.Network, a, b *protocol.Router) *deafLink {
	atA, atB := protocoltest.Infos(a.ID(), b.ID(), 1)
	atA.RTT, atB.RTT = 20*time.Millisecond, 20*time.Millisecond
	mine, theirs := protocoltest.Pipe(atA, atB, protocoltest.PipeOptions{Latency: 10 * time.Millisecond})
	l := &deafLink{Link: theirs, ended: make(chan struct{})}
	n.Serve(a, mine)
	n.Serve(b, l)
	return l
}

// Close waits for acknowledgements only if there is another relay that could bring the messages.
func TestCloseAwaitsAcknowledgements(t *testing.T) {
	const trip, delay = 20 * time.Millisecond, 20 * time.Millisecond
	for others, want := range []time.Duration{trip, trip + delay + trip, trip + delay + trip} {
		synctest.Test(t, func(t *testing.T) {
			n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{Latency: trip / 2})
			a, b := n.Router(quiet(1)), n.Router(quiet(2))
			n.Link(a, b)
			for i := range others {
				n.Link(a, n.Router(quiet(byte(3+i))))
			}
			time.Sleep(time.Second)
			sendAll(t, a, b.ID(), 20, 64)
			if c := closed(t, a); c != (closing{took: want}) {
				t.Errorf("with %d others Close took %v and says %+v, want %v", others, c.took, c.unsent, want)
			}
		})
	}
}

// A message that a stalled relay took just before Close goes another way, as at any other time.
func TestCloseHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages = 20
		f, near := newDeafFork(t)
		f.linkNear()
		near.deaf.Store(true)
		before := f.from.Stats().Copies
		sendAll(t, f.from, f.to.ID(), messages, 64)
		if c := closed(t, f.from); c.unsent != (protocol.UnsentError{}) || c.took > protocol.DefaultLinger/4 {
			t.Errorf("Close took %v, and says %+v", c.took, c.unsent)
		}
		if n := f.from.Stats().Copies - before; n != 2*messages {
			t.Errorf("%d copies were sent of %d messages, want one to each relay", n, messages)
		}
		f.check(t, messages)
	})
}

// A message that the other relay returns may not have arrived, although that one has acknowledged it.
func TestCloseNamesWhatCameBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, near := newDeafFork(t)
		f.linkNear()
		f.farTo.Break()
		synctest.Wait()
		near.deaf.Store(true)
		sendAll(t, f.from, f.to.ID(), 3, 64)
		if c := closed(t, f.from); c.unsent != (protocol.UnsentError{Unconfirmed: 3}) || c.took > protocol.DefaultLinger/4 {
			t.Errorf("Close took %v, and says %+v", c.took, c.unsent)
		}
	})
}

// A message for a stalled receiver may not have arrived, although a relay took a copy.
func TestCloseNamesWhatAStalledReceiverHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{Latency: 10 * time.Millisecond})
		var got atomic.Int64
		from, relay, to := n.Router(quiet(1)), n.Router(quiet(3)), n.Router(counted(2, &got))
		straight, beside := linkDeaf(n, from, to), linkDeaf(n, relay, to)
		n.Link(from, relay)
		time.Sleep(time.Second)
		straight.deaf.Store(true)
		beside.deaf.Store(true)
		sendAll(t, from, to.ID(), 3, 64)
		want := closing{protocol.UnsentError{Unconfirmed: 3}, protocol.DefaultLinger}
		if c := closed(t, from); c != want || got.Load() != 0 {
			t.Errorf("%d arrived, Close: %+v, want %+v", got.Load(), c, want)
		}
	})
}

// A message that was acknowledged is not doubted, also if the bye is not answered.
func TestCloseBelievesAcknowledgements(t *testing.T) {
	const sent = 3
	for unacked, want := range []closing{{took: time.Second}, {protocol.UnsentError{Unconfirmed: 1}, protocol.DefaultLinger}} {
		synctest.Test(t, func(t *testing.T) {
			r := must(protocol.NewRouter(quiet(1)))
			theirs, _ := lone(t, r, protocol.LinkInfo{ID: protocol.ID{2}, Kind: protocol.LinkNative, Features: wire.Features()})
			defer theirs.Close()
			go func() { // ends with the link
				for count := 0; count < sent+1-unacked; { // with the greeting of the overlay
					f, err := theirs.ReadFrame()
					if err != nil {
						return
					}
					if f.Type == wire.FrameMessage {
						count++
						theirs.WriteFrame(wire.NewAck(uint64(count)))
						theirs.Flush()
					}
				}
			}()
			synctest.Wait()
			sendAll(t, r, protocol.ID{2}, sent, 1)
			if c := closed(t, r); c != want {
				t.Errorf("%d of %d not acknowledged: %+v, want %+v", unacked, sent, c, want)
			}
		})
	}
}

// A datagram whose sender sends it again is not waited for.
func TestCloseLeavesRepeatables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := must(protocol.NewRouter(quiet(1)))
		theirs, _ := lone(t, r, protocol.LinkInfo{ID: protocol.ID{2}, Kind: protocol.LinkNative, Features: wire.Features()})
		defer theirs.Close()
		synctest.Wait()
		c := must(r.ListenPacket(0))
		c.SetResends(true)
		if _, err := c.WriteTo([]byte("x"), packet.Addr{ID: protocol.ID{2}, Port: 7}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if c, want := closed(t, r), (closing{took: time.Second}); c != want {
			t.Errorf("Close: %+v, want %+v", c, want)
		}
	})
}

// A peer that closes acknowledges the messages that it has just received, so they are not sent again.
func TestCloseAcknowledges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
		var got atomic.Int64
		a, b := n.Router(quiet(1)), n.Router(counted(2, &got))
		n.Link(a, b)
		synctest.Wait()
		sendAll(t, a, b.ID(), 3, 1)
		synctest.Wait()
		if c := closed(t, b); c != (closing{}) || got.Load() != 3 {
			t.Errorf("%d of 3 arrived, Close: %+v", got.Load(), c)
		}
		synctest.Wait()
		if d := a.Stats().Dropped; d.Total() > 0 {
			t.Errorf("the sender dropped %v", d)
		}
	})
}

// The queue of a link that ended goes on over the next one.
func TestUnwrittenGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
		var got atomic.Int64
		a, b := n.Router(quiet(1)), n.Router(counted(2, &got))
		atA, _ := n.Link(a, b)
		synctest.Wait()
		atA.Block()
		sendAll(t, a, b.ID(), 5, 60_000)
		synctest.Wait()
		atA.Break()
		synctest.Wait()
		n.Link(a, b)
		synctest.Wait()
		if got.Load() != 5 {
			t.Errorf("%d of 5 arrived", got.Load())
		}
		if c := closed(t, a); c != (closing{}) {
			t.Errorf("Close: %+v", c)
		}
	})
}

func TestUnsentError(t *testing.T) {
	for want, e := range map[string]protocol.UnsentError{
		"peer-relay: 1 message was not sent":                                        {Messages: 1},
		"peer-relay: 1 datagram was not sent":                                       {Datagrams: 1},
		"peer-relay: 20 messages were not sent":                                     {Messages: 20},
		"peer-relay: 3 messages and 2 datagrams were not sent":                      {Messages: 3, Datagrams: 2},
		"peer-relay: 1 message and 1 datagram were not sent":                        {Messages: 1, Datagrams: 1},
		"peer-relay: 4 messages may not have arrived":                               {Unconfirmed: 4},
		"peer-relay: 2 datagrams were not sent, and 1 message may not have arrived": {Datagrams: 2, Unconfirmed: 1},
	} {
		if e.Error() != want {
			t.Errorf("%+v is %q, want %q", e, e.Error(), want)
		}
	}
}
