package packet_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/packet"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
)

const patience = 30 * time.Second // wait of a failing test

func id(b byte) protocol.ID { return protocol.ID{b} }

// quiet returns the options of a router that seeks no links.
func quiet(b byte) protocol.Options { return protocol.Options{ID: id(b), NoOverlay: true} }

// heard returns o with a handler that records the payloads of messages. They may be read after
// synctest.Wait.
func heard(o protocol.Options, payloads *[]string) protocol.Options {
	o.OnMessage = func(m protocol.Message) { *payloads = append(*payloads, string(m.Payload)) }
	return o
}

func send(t *testing.T, r *protocol.Router, to protocol.ID, text string) {
	t.Helper()
	if err := r.Send(to, protocol.FormJSON, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// pair returns two linked routers.
func pair(t *testing.T) (a, b *protocol.Router) {
	n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
	a, b = n.Router(quiet(1)), n.Router(quiet(2))
	n.Link(a, b)
	return a, b
}

func listen(t *testing.T, r *protocol.Router, port uint16) *packet.PacketConn {
	t.Helper()
	c, err := r.ListenPacket(port)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// write sends a datagram, which may be dropped, without an error.
func write(t *testing.T, c *packet.PacketConn, to net.Addr, p []byte) {
	t.Helper()
	if n, err := c.WriteTo(p, to); n != len(p) || err != nil {
		t.Fatalf("wrote %d bytes of %d: %v", n, len(p), err)
	}
}

// TestPacketConnUnblocks checks that a read that waits ends with its deadline, its socket and
// its router.
func TestPacketConnUnblocks(t *testing.T) {
	for name, end := range map[string]struct {
		do   func(*packet.PacketConn, *protocol.Router)
		want error
	}{
		"close":        {func(c *packet.PacketConn, _ *protocol.Router) { c.Close() }, net.ErrClosed},
		"router close": {func(_ *packet.PacketConn, r *protocol.Router) { r.Close() }, net.ErrClosed},
		"deadline moved": {func(c *packet.PacketConn, _ *protocol.Router) {
			c.SetReadDeadline(time.Now().Add(time.Minute))
			c.SetReadDeadline(time.Unix(1, 0))
		}, os.ErrDeadlineExceeded},
		"deadline passes": {func(c *packet.PacketConn, _ *protocol.Router) {
			c.SetReadDeadline(time.Now().Add(time.Minute))
		}, os.ErrDeadlineExceeded},
		"deadline moved away and back": {func(c *packet.PacketConn, _ *protocol.Router) {
			c.SetReadDeadline(time.Now().Add(time.Minute))
			c.SetReadDeadline(time.Time{})
			time.Sleep(time.Hour)
			c.SetReadDeadline(time.Now().Add(time.Second))
		}, os.ErrDeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, _ := pair(t)
				c := listen(t, a, 0)
				errs := make(chan error, 3)
				for range cap(errs) {
					go func() { // ends with the read
						_, _, err := c.ReadFrom(make([]byte, 10))
						errs <- err
					}()
				}
				synctest.Wait()
				if len(errs) > 0 {
					t.Fatalf("a read did not wait: %v", <-errs)
				}
				end.do(c, a)
				for range cap(errs) {
					if err := <-errs; !errors.Is(err, end.want) {
						t.Errorf("the read ended with %v", err)
					}
				}
			})
		})
	}
}

// TestPacketConnOfClosedRouter checks that a closed router closes its sockets and opens none.
func TestPacketConnOfClosedRouter(t *testing.T) {
	a, b := pair(t)
	c := listen(t, a, 53)
	a.Close()
	if _, err := c.WriteTo([]byte("x"), packet.Addr{ID: b.ID(), Port: 1}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write: %v", err)
	}
	if _, err := a.ListenPacket(0); !errors.Is(err, protocol.ErrClosed) {
		t.Errorf("listen: %v", err)
	}
	if _, err := a.DialPacket(b.ID(), 1); !errors.Is(err, protocol.ErrClosed) {
		t.Errorf("dial: %v", err)
	}
}

// TestPacketConnPorts opens a socket on every ephemeral port.
func TestPacketConnPorts(t *testing.T) {
	a, b := pair(t)
	seen := make(map[net.Addr]bool)
	var conns []*packet.PacketConn
	for range 1 << 14 {
		c := listen(t, a, 0)
		conns = append(conns, c)
		seen[c.LocalAddr()] = true
		if port := portOf(c.LocalAddr()); port < 49152 {
			t.Fatalf("port %d is not ephemeral", port)
		}
	}
	if len(seen) != 1<<14 {
		t.Errorf("%d different addresses", len(seen))
	}
	if _, err := a.ListenPacket(0); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("one more: %v", err)
	}
	if _, err := a.DialPacket(b.ID(), 1); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("one more, connected: %v", err)
	}
	last := conns[len(conns)-1]
	for _, c := range conns[:len(conns)-1] {
		c.Close()
	}
	write(t, last, last.LocalAddr(), []byte("to itself"))
	p := make([]byte, 100)
	if n, from, proved, err := last.ReadMsg(p); string(p[:n]) != "to itself" || from != last.LocalAddr() || !proved || err != nil {
		t.Errorf("read %q from %v, proved %v: %v", p[:n], from, proved, err)
	}
	for _, to := range []packet.Addr{{}, {ID: b.ID()}, {Port: 1}} {
		var op *net.OpError
		if _, err := last.WriteTo(nil, to); !errors.As(err, &op) {
			t.Errorf("write to %v: %v", to, err)
		}
		if _, err := a.DialPacket(to.ID, to.Port); !errors.As(err, &op) {
			t.Errorf("dial %v: %v", to, err)
		}
	}
}

// TestPacketConnsAreApart checks that two sockets of a router do not get each other's
// datagrams, that OnMessage gets none, and that datagrams without a socket are counted.
func TestPacketConnsAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
		var got []string
		a, b := n.Router(quiet(1)), n.Router(heard(quiet(2), &got))
		n.Link(a, b)
		from := listen(t, a, 7)
		first, second := listen(t, b, 7), listen(t, b, 8)
		for _, port := range []uint16{8, 9, 7, 8} {
			write(t, from, packet.Addr{ID: b.ID(), Port: port}, fmt.Append(nil, "to ", port))
		}
		send(t, a, b.ID(), `"message"`)
		synctest.Wait()
		if s := first.Stats(); s.Received != 1 {
			t.Errorf("the first got %+v", s)
		}
		if s := second.Stats(); s.Received != 2 {
			t.Errorf("the second got %+v", s)
		}
		p := make([]byte, 100)
		if n, addr, err := first.ReadFrom(p); string(p[:n]) != "to 7" || addr != from.LocalAddr() || err != nil {
			t.Errorf("the first read %q from %v: %v", p[:n], addr, err)
		}
		if s := strings.Join(got, " "); s != `"message"` {
			t.Errorf("OnMessage got %s", s)
		}
		if s := b.Stats(); s.Dropped[protocol.DropNoPort] != 1 || s.Dropped.Total() != 1 || s.Delivered != 4 {
			t.Errorf("delivered %d, dropped %v", s.Delivered, s.Dropped)
		}
	})
}

// TestPacketConnFlooded checks that a flooded socket keeps its newest datagrams, and that other
// sockets and OnMessage lose nothing.
func TestPacketConnFlooded(t *testing.T) {
	for size, most := range map[int]int{0: 2048, 1000: 2048, 60_000: 69} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
				var got []string
				a, b := n.Router(quiet(1)), n.Router(heard(quiet(2), &got))
				n.Link(a, b)
				from, flooded, other := listen(t, a, 0), listen(t, b, 0), listen(t, b, 0)
				const sent = 5000
				for i := range sent {
					p := make([]byte, size, size+4)
					write(t, from, flooded.LocalAddr(), append(p, byte(i>>24), byte(i>>16), byte(i>>8), byte(i)))
					if i%50 > 0 {
						continue
					}
					write(t, from, other.LocalAddr(), []byte("beside"))
					synctest.Wait()                                        // keeps the queue of the link from filling
					other.SetReadDeadline(time.Now().Add(time.Nanosecond)) // the datagram has arrived
					text := make([]byte, 10)
					if n, _, err := other.ReadFrom(text); string(text[:n]) != "beside" || err != nil {
						t.Fatalf("after %d datagrams to the flooded socket the other one reads %q: %v", i+1, text[:n], err)
					}
				}
				send(t, a, b.ID(), `"message"`)
				synctest.Wait()
				if s := flooded.Stats(); s.Received != sent || s.Overflowed != uint64(sent-most) {
					t.Errorf("the flooded socket has %+v, want %d kept", s, most)
				}
				if s := b.Stats(); s.Dropped[protocol.DropSocketFull] != uint64(sent-most) || s.Delivered != uint64(most+sent/50+1) {
					t.Errorf("delivered %d, dropped %v", s.Delivered, s.Dropped)
				}
				p := make([]byte, size+4)
				for i := sent - most; i < sent; i++ {
					if n, _, err := flooded.ReadFrom(p); n != len(p) || !bytes.Equal(p[size:], []byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}) || err != nil {
						t.Fatalf("read %x of %d bytes, want the one numbered %d: %v", p[size:], n, i, err)
					}
				}
				if s := strings.Join(got, " "); s != `"message"` {
					t.Errorf("OnMessage got %s", s)
				}
			})
		})
	}
}

// TestPacketConnsTogether checks that all sockets of a router together hold a bounded number of
// bytes, and that each may hold its share even if these are used up.
func TestPacketConnsTogether(t *testing.T) {
	const sockets, each = 40, 60
	r, err := protocol.NewRouter(quiet(1))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var conns []*packet.PacketConn
	held := 0
	for i := range sockets {
		c := listen(t, r, 0)
		conns = append(conns, c)
		for range each {
			write(t, c, c.LocalAddr(), make([]byte, packet.MaxDatagram))
		}
		s := c.Stats()
		if i == sockets-1 && s.Received-s.Overflowed != 1 {
			t.Errorf("the last socket has %+v", s)
		}
		held += int(s.Received-s.Overflowed) * packet.MaxDatagram
	}
	if most := 64<<20 + sockets*packet.MaxDatagram; held > most || held < 60<<20 {
		t.Errorf("%d bytes wait, want at most %d", held, most)
	}
	// A usual burst fits into the share of a socket.
	const burst = 40
	usual := listen(t, r, 0)
	for range burst {
		write(t, usual, usual.LocalAddr(), make([]byte, 1200))
	}
	if s := usual.Stats(); s.Received != burst || s.Overflowed > 0 {
		t.Errorf("a socket with only its share has %+v", s)
	}
	conns[0].Close() // frees the bytes that it held
	last := conns[len(conns)-1]
	before := last.Stats().Overflowed
	for range 10 {
		write(t, last, last.LocalAddr(), make([]byte, packet.MaxDatagram))
	}
	if s := last.Stats(); s.Overflowed != before {
		t.Errorf("with room again the last socket has %+v, before %d", s, before)
	}
}

// TestPacketConnDrops checks that a datagram that cannot be sent is dropped and counted,
// without an error.
func TestPacketConnDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
		a, b := n.Router(quiet(1)), n.Router(quiet(2))
		atA, _ := n.Link(a, b)
		c := listen(t, a, 0)
		synctest.Wait()
		atA.Block()
		const sent = 10_000
		for range sent {
			write(t, c, packet.Addr{ID: b.ID(), Port: 1}, []byte("to a peer that does not read"))
		}
		if s := c.Stats(); s.Sent != sent || s.Unsent == 0 || s.Unsent != a.Stats().Dropped[protocol.DropQueueFull] {
			t.Errorf("%+v, dropped %v", s, a.Stats().Dropped)
		}
		atA.Unblock()
		synctest.Wait()
		write(t, c, packet.Addr{ID: id(9), Port: 1}, []byte("to no peer"))
		a.Disconnect(b.ID())
		time.Sleep(time.Minute)
		for range sent { // of which some wait for a first link
			write(t, c, packet.Addr{ID: b.ID(), Port: 1}, []byte("without any link"))
		}
		if s := c.Stats(); s.Sent != 2*sent+1 {
			t.Errorf("%+v", s)
		}
	})
}

// TestPacketConnProof checks that ReadMsg reports whether the sender is proved.
func TestPacketConnProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
		var routers [3]*protocol.Router
		for i := range routers {
			o := protocoltest.NewIdentity(uint64(i)).Options()
			o.NoOverlay, o.SignMessages = true, i == 0
			routers[i] = n.Router(o)
		}
		n.Link(routers[0], routers[1])
		n.Link(routers[1], routers[2])
		synctest.Wait()
		var conns [3]*packet.PacketConn
		for i, r := range routers {
			conns[i] = listen(t, r, uint16(i+1))
		}
		for _, hop := range []struct {
			from, to int
			proved   bool
		}{{0, 2, true}, {1, 2, true}, {2, 0, false}} {
			write(t, conns[hop.from], conns[hop.to].LocalAddr(), []byte("who am I?"))
			p := make([]byte, 100)
			n, from, proved, err := conns[hop.to].ReadMsg(p)
			if string(p[:n]) != "who am I?" || from != conns[hop.from].LocalAddr() || proved != hop.proved || err != nil {
				t.Errorf("%d to %d: %q from %v, proved %v: %v", hop.from, hop.to, p[:n], from, proved, err)
			}
		}
	})
}

// TestPacketConnAtOnce opens, closes, reads, writes and moves deadlines concurrently, for the
// race detector.
func TestPacketConnAtOnce(t *testing.T) {
	a, b := pair(t)
	target := listen(t, b, 0)
	var tasks, readers sync.WaitGroup
	for range 2 {
		readers.Go(func() { // ends when the socket is closed
			for {
				p := make([]byte, 100)
				if _, _, err := target.ReadFrom(p); errors.Is(err, net.ErrClosed) {
					return
				}
			}
		})
	}
	for range 8 {
		tasks.Go(func() {
			for i := range 300 {
				c, err := a.ListenPacket(0)
				if err != nil {
					t.Error(err)
					return
				}
				tasks.Go(func() { c.ReadFrom(make([]byte, 10)) }) // ends when c is closed
				if _, err := c.WriteTo([]byte("x"), target.LocalAddr()); err != nil {
					t.Error(err)
				}
				target.SetReadDeadline(time.Now().Add(time.Duration(i) * time.Microsecond))
				target.Stats()
				c.Close()
			}
		})
	}
	tasks.Wait()
	target.Close()
	readers.Wait()
}

// BenchmarkPacketConn measures both ends of a link in memory that carries datagrams of a QUIC
// packet's size, with 32 in flight.
func BenchmarkPacketConn(b *testing.B) {
	n := protocoltest.NewNetwork(b, protocoltest.PipeOptions{})
	x, y := n.Router(quiet(1)), n.Router(quiet(2))
	n.Link(x, y)
	from, err := x.ListenPacket(0)
	if err != nil {
		b.Fatal(err)
	}
	to, err := y.ListenPacket(0)
	if err != nil {
		b.Fatal(err)
	}
	to.SetReadDeadline(time.Now().Add(10 * time.Minute))
	const window = 32
	p := make([]byte, 1280)
	q := make([]byte, len(p))
	write := func() {
		if _, err := from.WriteTo(p, to.LocalAddr()); err != nil {
			b.Fatal(err)
		}
	}
	for range window {
		write()
	}
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		write()
		if _, _, err := to.ReadFrom(q); err != nil {
			b.Fatal(err)
		}
	}
}
