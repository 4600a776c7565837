package ula

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/packet"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
	"github.com/peer-relay/peer-relay/protocol/wire"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func mustID(t *testing.T, s string) wire.ID {
	t.Helper()
	id, err := wire.ParseID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestAddrOf(t *testing.T) {
	id := mustID(t, "2ea99e04b7226ebb09856fdd2c3df7aad5dbc53d")
	if got, want := AddrOf(id), netip.MustParseAddr("fd2e:a99e:4b7:226e:bb09:856f:dd2c:3df7"); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	if !AddrOf(id).IsPrivate() {
		t.Error("the address is not one of RFC 4193")
	}
}

// twins returns ids with the same address.
func twins() (ids [4]wire.ID) {
	for i := range ids {
		ids[i] = wire.ID{1, 2, 3, wire.IDSize - 1: byte(i)}
	}
	return ids
}

// check checks that the table has exactly these peers and addresses.
func (t *Table) check(test *testing.T, want map[wire.ID]netip.Addr) {
	test.Helper()
	if t.used.Len() != len(want) || len(t.byAddr) != len(want) || len(t.byID) != len(want) {
		test.Errorf("%d, %d and %d entries, want %d", t.used.Len(), len(t.byAddr), len(t.byID), len(want))
	}
	for id, addr := range want {
		if got, ok := t.ID(addr); !ok || got != id {
			test.Errorf("%v is %v, %v, want %v", addr, got, ok, id)
		}
		if got := t.Add(id, false); got != addr {
			test.Errorf("%v has %v, want %v", id, got, addr)
		}
	}
}

// TestTableCollisions checks that the first of several peers with the same address has it,
// unless its id is only claimed.
func TestTableCollisions(t *testing.T) {
	ids := twins()
	table := NewTable()
	first, second := table.Add(ids[0], false), table.Add(ids[1], false)
	if first != AddrOf(ids[0]) || second == first || !second.IsPrivate() {
		t.Errorf("addresses %v and %v", first, second)
	}
	table.check(t, map[wire.ID]netip.Addr{ids[0]: first, ids[1]: second})

	third := table.Add(ids[2], true)
	moved := table.Add(ids[0], false)
	if third != first || moved == first || moved == second {
		t.Errorf("the proved peer has %v, the peer that had the address has %v", third, moved)
	}
	fourth := table.Add(ids[3], true)
	if fourth == third {
		t.Error("a proved peer lost its address")
	}
	table.check(t, map[wire.ID]netip.Addr{ids[0]: moved, ids[1]: second, ids[2]: third, ids[3]: fourth})

	// A later proof counts too, for the peer that has the address and for the other one.
	table = NewTable()
	table.Add(ids[0], false)
	table.Add(ids[0], true)
	table.Add(ids[1], true)
	if got := table.Add(ids[0], false); got != AddrOf(ids[0]) {
		t.Errorf("the peer that was proved first has %v", got)
	}
	table = NewTable()
	table.Add(ids[0], false)
	other := table.Add(ids[1], false)
	if got := table.Add(ids[1], true); got != AddrOf(ids[1]) {
		t.Errorf("the only proved peer has %v", got)
	}
	moved = table.Add(ids[0], true) // too late
	if moved == AddrOf(ids[0]) || moved == other {
		t.Errorf("the peer that was proved too late has %v, the other one had %v", moved, other)
	}
	if id, ok := table.ID(other); ok {
		t.Errorf("the former address of %v is that of %v", ids[1], id)
	}
	table.check(t, map[wire.ID]netip.Addr{ids[0]: moved, ids[1]: AddrOf(ids[1])})
}

// TestTableIsBounded checks that a full table evicts the least recently used peer.
func TestTableIsBounded(t *testing.T) {
	id := func(n int) wire.ID { return wire.ID{9, byte(n >> 16), byte(n >> 8), byte(n)} }
	table := NewTable()
	for n := range MaxPeers {
		table.Add(id(n), false)
	}
	table.Add(id(0), false)
	table.ID(AddrOf(id(1)))
	for n := range 10 {
		table.Add(id(MaxPeers+n), false)
	}
	for n := range 20 {
		got, ok := table.ID(AddrOf(id(n)))
		if want := n < 2 || n >= 12; ok != want || ok && got != id(n) {
			t.Errorf("ID of the address of peer %d = %v, %v", n, got, ok)
		}
	}
	// The address of an evicted peer is free for another one.
	twin := id(50)
	twin[wire.IDSize-1]++
	if table.Add(twin, false) == AddrOf(twin) {
		t.Error("two peers have the same address")
	}
	for n := range MaxPeers - 1 {
		table.Add(id(MaxPeers+20+n), false)
	}
	if _, ok := table.ID(AddrOf(twin)); ok || table.Add(twin, false) != AddrOf(twin) {
		t.Error("the address of an evicted peer is not free")
	}
	if table.used.Len() != MaxPeers || len(table.byID) != MaxPeers || len(table.byAddr) != MaxPeers {
		t.Errorf("%d peers", table.used.Len())
	}
}

func TestTableAtOnce(t *testing.T) {
	table := NewTable()
	var tasks sync.WaitGroup
	for range 4 {
		tasks.Go(func() {
			for n := range 1000 {
				for _, id := range twins() {
					id[0] = byte(n)
					addr := table.Add(id, n%2 == 0)
					table.ID(addr)
				}
			}
		})
	}
	tasks.Wait()
	if got := len(table.byAddr); got != 4*256 || len(table.byID) != got {
		t.Errorf("%d addresses of %d peers", got, len(table.byID))
	}
}

// row returns linked routers, each with an id nearer to that of the last one.
func row(t *testing.T) (routers []*protocol.Router) {
	n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{Latency: 10 * time.Millisecond})
	for i, first := range []byte{0x00, 0x80, 0xc0, 0xe0} {
		routers = append(routers, n.Router(protocol.Options{ID: wire.ID{first, 1, wire.IDSize - 1: 1}, NoOverlay: true}))
		if i > 0 {
			n.Link(routers[i-1], routers[i])
		}
	}
	return routers
}

func listen(t *testing.T, r *protocol.Router, port uint16) *Conn {
	t.Helper()
	c, err := r.ListenPacket(port)
	if err != nil {
		t.Fatal(err)
	}
	return Wrap(c, NewTable(), r.Nearest)
}

func at(id wire.ID, port int) *net.UDPAddr {
	return &net.UDPAddr{IP: AddrOf(id).AsSlice(), Port: port}
}

func write(t *testing.T, c *Conn, to net.Addr, text string) {
	t.Helper()
	if n, err := c.WriteTo([]byte(text), to); n != len(text) || err != nil {
		t.Errorf("wrote %d bytes of %q to %v: %v", n, text, to, err)
	}
}

func read(t *testing.T, c *Conn) (string, *net.UDPAddr) {
	t.Helper()
	p := make([]byte, 100)
	n, from, err := c.ReadFrom(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(p[:n]), from.(*net.UDPAddr)
}

// TestConnFindsPeers checks that a socket finds the peer with an address, that it holds the
// last datagrams in the meantime, and that the peer can answer.
func TestConnFindsPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		routers := row(t)
		last := routers[len(routers)-1]
		a, b := listen(t, routers[0], 7), listen(t, last, 8)
		defer a.Close()
		defer b.Close()
		time.Sleep(time.Second)
		if a.LocalAddr().String() != at(routers[0].ID(), 7).String() || a.RemoteAddr() != nil {
			t.Errorf("the first one is at %v, connected to %v", a.LocalAddr(), a.RemoteAddr())
		}
		text := func(i int) string { return fmt.Sprint("number ", i) }
		for i := range 10 {
			write(t, a, at(last.ID(), 8), text(i))
		}
		var from *net.UDPAddr
		for i := 2; i < 10; i++ {
			var got string
			if got, from = read(t, b); got != text(i) || from.String() != a.LocalAddr().String() {
				t.Errorf("read %q from %v, want %q", got, from, text(i))
			}
		}
		if s := a.Stats(); s.Unresolved != 2 || s.Sent != 8 {
			t.Errorf("%+v", s)
		}
		write(t, b, from, "answer")
		if got, from := read(t, a); got != "answer" || from.String() != b.LocalAddr().String() {
			t.Errorf("read %q from %v", got, from)
		}
		write(t, a, a.LocalAddr(), "to itself")
		if got, from := read(t, a); got != "to itself" || from.String() != a.LocalAddr().String() {
			t.Errorf("read %q from %v", got, from)
		}
	})
}

// TestConnUnknown checks that a write to an address without a peer fails after the search, and
// that a later write starts another search.
func TestConnUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		routers := row(t)
		a := listen(t, routers[0], 0)
		defer a.Close()
		time.Sleep(time.Second)
		nobody := at(wire.ID{0xee}, 1)
		for range 2 {
			write(t, a, nobody, "x")
			time.Sleep(askTimes*askEvery + time.Millisecond)
			synctest.Wait()
			var op *net.OpError
			if _, err := a.WriteTo([]byte("x"), nobody); !errors.Is(err, ErrUnknown) || !errors.Is(err, syscall.EHOSTUNREACH) || !errors.As(err, &op) || op.Addr != net.Addr(nobody) {
				t.Errorf("after the search: %v", err)
			}
			time.Sleep(failedFor)
		}
		if s := a.Stats(); s.Unresolved != 2 || s.Sent != 0 {
			t.Errorf("%+v", s)
		}
		for _, to := range []*net.UDPAddr{
			{}, {Port: 1}, {IP: net.IPv4(127, 0, 0, 1), Port: 1}, {IP: net.IPv4(127, 0, 0, 1).To4(), Port: 1},
			{IP: net.IPv6loopback, Port: 1}, {IP: net.IP{1, 2, 3}, Port: 1}, {IP: nobody.IP}, {IP: nobody.IP, Port: 1 << 16}, {IP: nobody.IP, Port: -1}, nil,
		} {
			var op *net.OpError
			if _, err := a.WriteTo([]byte("x"), to); !errors.As(err, &op) {
				t.Errorf("to %v: %v", to, err)
			}
		}
		other := at(wire.ID{0xef}, 1)
		if _, err := a.WriteTo(make([]byte, packet.MaxDatagram+1), other); !errors.Is(err, syscall.EMSGSIZE) {
			t.Errorf("too big: %v", err)
		}
		a.SetWriteDeadline(time.Unix(1, 0))
		if _, err := a.WriteTo([]byte("x"), other); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after the deadline: %v", err)
		}
		a.SetDeadline(time.Time{})
		write(t, a, other, "x")
		a.Close() // during the search
		if _, err := a.WriteTo([]byte("x"), at(wire.ID{0xed}, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

// TestConnQuestionsAreBounded checks that a program that scans addresses starts a bounded
// number of searches.
func TestConnQuestionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, err := row(t)[0].ListenPacket(0)
		if err != nil {
			t.Fatal(err)
		}
		asking, most := 0, 0
		var mu sync.Mutex
		c := Wrap(conn, NewTable(), func(ctx context.Context, _ wire.ID) ([]wire.ID, error) {
			mu.Lock()
			asking++
			most = max(most, asking)
			mu.Unlock()
			<-ctx.Done()
			mu.Lock()
			asking--
			mu.Unlock()
			return nil, ctx.Err()
		})
		t.Cleanup(func() { c.Close() })
		refused := 0
		for n := range 1000 {
			if _, err := c.WriteTo(nil, at(wire.ID{1, byte(n >> 8), byte(n)}, 1)); errors.Is(err, ErrUnknown) {
				refused++
			} else if err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		mu.Lock()
		if most != maxQuestions || refused != 1000-maxQuestions {
			t.Errorf("%d concurrent searches, %d writes refused", most, refused)
		}
		mu.Unlock()
		time.Sleep(askTimes*askEvery + time.Millisecond)
		write(t, c, at(wire.ID{2}, 1), "there is room again")
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.asked) != 1 {
			t.Errorf("%d questions are kept, want 1", len(c.asked))
		}
	})
}

// TestConnLearnsFromDatagram checks that a datagram from a peer answers the question for it.
func TestConnLearnsFromDatagram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		routers := row(t)
		conn, err := routers[0].ListenPacket(7)
		if err != nil {
			t.Fatal(err)
		}
		a := Wrap(conn, NewTable(), func(context.Context, wire.ID) ([]wire.ID, error) { return nil, errors.New("lost") })
		b := listen(t, routers[1], 8)
		defer a.Close()
		defer b.Close()
		time.Sleep(time.Second)
		write(t, a, b.LocalAddr(), "held")
		write(t, b, a.LocalAddr(), "knock")
		read(t, a)
		if got, _ := read(t, b); got != "held" {
			t.Errorf("read %q", got)
		}
	})
}

// TestConnTakesLateAnswers checks that an answer to the first question counts after the second
// question was sent, and that no third one is sent.
func TestConnTakesLateAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		routers := row(t)
		conn, err := routers[0].ListenPacket(7)
		if err != nil {
			t.Fatal(err)
		}
		var asked atomic.Int32
		a := Wrap(conn, NewTable(), func(ctx context.Context, _ wire.ID) ([]wire.ID, error) {
			if asked.Add(1) == 1 {
				time.Sleep(askEvery + askEvery/2)
				return []wire.ID{routers[1].ID()}, ctx.Err()
			}
			<-ctx.Done()
			return nil, ctx.Err()
		})
		b := listen(t, routers[1], 8)
		defer a.Close()
		defer b.Close()
		time.Sleep(time.Second)
		begin := time.Now()
		write(t, a, b.LocalAddr(), "held")
		if got, _ := read(t, b); got != "held" || asked.Load() != 2 || time.Since(begin) > 2*askEvery {
			t.Errorf("read %q after %v, asked %d times", got, time.Since(begin), asked.Load())
		}
	})
}

// TestConnConnected checks the addresses of a connected socket.
func TestConnConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		routers := row(t)
		b := listen(t, routers[1], 8)
		defer b.Close()
		conn, err := routers[0].DialPacket(routers[1].ID(), 8)
		if err != nil {
			t.Fatal(err)
		}
		a := Wrap(conn, NewTable(), nil)
		defer a.Close()
		if a.RemoteAddr().String() != b.LocalAddr().String() {
			t.Errorf("connected to %v", a.RemoteAddr())
		}
		if _, err := a.Write([]byte("hello")); err != nil {
			t.Error(err)
		}
		got, from := read(t, b)
		if got != "hello" || from.String() != a.LocalAddr().String() {
			t.Errorf("read %q from %v", got, from)
		}
	})
}

// TestConnsInOverlay checks that in a network of 20 peers each reaches every other one,
// knowing only its address.
func TestConnsInOverlay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const peers = 20
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{Latency: 20 * time.Millisecond})
		var routers []*protocol.Router
		var conns []*Conn
		for i := range peers {
			o := protocoltest.NewIdentity(uint64(i)).Options()
			if i > 0 {
				o.Bootstraps = []wire.Contact{protocoltest.Contact(routers[0])}
			}
			routers = append(routers, n.Router(o))
		}
		time.Sleep(30 * time.Second)
		for _, r := range routers {
			conns = append(conns, listen(t, r, 6881))
		}
		for i, c := range conns {
			for j, r := range routers {
				if i != j {
					write(t, c, at(r.ID(), 6881), fmt.Sprintf("%d to %d", i, j))
				}
			}
		}
		time.Sleep(askTimes * askEvery)
		for j, c := range conns {
			got := make(map[string]bool)
			c.SetReadDeadline(time.Now().Add(time.Second))
			p := make([]byte, 100)
			for {
				n, _, err := c.ReadFrom(p)
				if err != nil {
					break
				}
				got[string(p[:n])] = true
			}
			for i := range peers {
				if text := fmt.Sprintf("%d to %d", i, j); i != j && !got[text] {
					t.Errorf("lost: %s", text)
				}
			}
			c.Close()
		}
	})
}
