package packet_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/protocol/packet"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
	"github.com/peer-relay/peer-relay/protocol/ula"
)

// A socket is a *net.UDPConn, a *packet.PacketConn or a *ula.Conn.
type socket interface {
	net.PacketConn
	net.Conn
}

// A family makes sockets of one kind. They are closed at the end of the test.
type family struct {
	t       *testing.T
	here    func(port int) (socket, error) // port 0 means any
	there   func() (socket, error)         // at another peer
	dial    func(to net.Addr) (socket, error)
	most    int      // bytes of the largest datagram
	foreign net.Addr // an address of another kind
}

func (f family) open(s socket, err error) socket {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { s.Close() })
	return s
}

// read reads one datagram.
func (f family) read(s net.PacketConn) (string, net.Addr) {
	f.t.Helper()
	s.SetReadDeadline(time.Now().Add(patience))
	p := make([]byte, f.most+1)
	n, from, err := s.ReadFrom(p)
	if err != nil {
		f.t.Fatal(err)
	}
	s.SetReadDeadline(time.Time{})
	return string(p[:n]), from
}

// filled returns a socket in which these datagrams wait.
func (f family) filled(texts ...string) socket {
	f.t.Helper()
	s, probe := f.open(f.here(0)), f.open(f.there())
	for _, text := range texts {
		f.send(probe, s.LocalAddr(), text)
	}
	// Datagrams keep their order here, so all have arrived when this one has.
	other := f.open(f.here(0))
	f.send(probe, other.LocalAddr(), "last")
	f.read(other)
	return s
}

func udp(t *testing.T) family {
	listen := func(port int) (socket, error) {
		return net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	}
	return family{
		t: t, here: listen, most: 65507, foreign: packet.Addr{ID: id(1), Port: 1},
		there: func() (socket, error) { return listen(0) },
		dial:  func(to net.Addr) (socket, error) { return net.DialUDP("udp", nil, to.(*net.UDPAddr)) },
	}
}

func overlay(t *testing.T) family {
	n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
	a, b := n.Router(quiet(1)), n.Router(quiet(2))
	n.Link(a, b)
	return family{
		t: t, most: packet.MaxDatagram, foreign: &net.UDPAddr{IP: net.IPv6loopback, Port: 1},
		here:  func(port int) (socket, error) { return a.ListenPacket(uint16(port)) },
		there: func() (socket, error) { return b.ListenPacket(0) },
		dial: func(to net.Addr) (socket, error) {
			return b.DialPacket(to.(packet.Addr).ID, to.(packet.Addr).Port)
		},
	}
}

// virtual is overlay with *net.UDPAddr addresses.
func virtual(t *testing.T) family {
	n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
	a, b := n.Router(quiet(1)), n.Router(quiet(2))
	n.Link(a, b)
	table := ula.NewTable()
	wrap := func(c *packet.PacketConn, err error) (socket, error) {
		if err != nil {
			return nil, err
		}
		return ula.Wrap(c, table, nil), nil
	}
	return family{
		t: t, most: packet.MaxDatagram, foreign: packet.Addr{ID: id(1), Port: 1},
		here:  func(port int) (socket, error) { return wrap(a.ListenPacket(uint16(port))) },
		there: func() (socket, error) { return wrap(b.ListenPacket(0)) },
		dial:  func(to net.Addr) (socket, error) { return wrap(b.DialPacket(a.ID(), uint16(portOf(to)))) },
	}
}

func portOf(a net.Addr) int {
	if u, ok := a.(*net.UDPAddr); ok {
		return u.Port
	}
	return int(a.(packet.Addr).Port)
}

// result describes the results of a call, so that two kinds of sockets can be compared.
func result(n int, err error) string {
	if err == nil {
		return fmt.Sprint(n, " bytes")
	}
	what := "another error"
	for _, known := range []error{net.ErrClosed, os.ErrDeadlineExceeded, net.ErrWriteToConnected,
		syscall.EMSGSIZE, syscall.EADDRINUSE, syscall.EDESTADDRREQ} {
		if errors.Is(err, known) {
			what = known.Error()
		}
	}
	var op *net.OpError
	if !errors.As(err, &op) {
		return fmt.Sprintf("%d bytes, no OpError: %s", n, what)
	}
	return fmt.Sprintf("%d bytes, %s: %s, source %v, address %v, timeout %v",
		n, op.Op, what, op.Source != nil, op.Addr != nil, op.Timeout())
}

func readFrom(s net.PacketConn, size int) string {
	n, _, err := s.ReadFrom(make([]byte, size))
	return result(n, err)
}

// behaviours are scripts from Go's own tests of packet connections. Each returns its results as
// text.
var behaviours = map[string]func(f family) []string{
	"deadline in the past": func(f family) (got []string) {
		s := f.filled("one")
		got = append(got, result(0, s.SetDeadline(time.Now().Add(-time.Second))))
		got = append(got, readFrom(s, 10))
		n, err := s.WriteTo([]byte("x"), s.LocalAddr())
		got = append(got, result(n, err))
		got = append(got, result(0, s.SetDeadline(time.Time{})))
		n, err = s.WriteTo([]byte("four"), s.LocalAddr())
		return append(got, readFrom(s, 10), result(n, err), readFrom(s, 10))
	},
	"deadline of the wrong direction": func(f family) (got []string) {
		s := f.filled("one")
		s.SetWriteDeadline(time.Unix(1, 0))
		got = append(got, readFrom(s, 10))
		s.SetWriteDeadline(time.Time{})
		s.SetReadDeadline(time.Unix(1, 0))
		n, err := s.WriteTo([]byte("four"), s.LocalAddr())
		got = append(got, result(n, err), readFrom(s, 10))
		s.SetReadDeadline(time.Now().Add(patience))
		return append(got, readFrom(s, 10))
	},
	"deadline moved during a read": func(f family) (got []string) {
		s := f.open(f.here(0))
		s.SetReadDeadline(time.Now().Add(time.Hour))
		results := make(chan string)
		for range 3 {
			go func() { results <- readFrom(s, 10) }() // ends when the deadline is moved
		}
		runtime.Gosched()
		s.SetReadDeadline(time.Now().Add(2 * time.Hour))
		s.SetReadDeadline(time.Now())
		for range 3 {
			got = append(got, <-results)
		}
		return got
	},
	"close during read": func(f family) (got []string) {
		s := f.open(f.here(0))
		results := make(chan string)
		for range 3 {
			go func() { results <- readFrom(s, 10) }() // ends when the socket is closed
		}
		runtime.Gosched()
		got = append(got, result(0, s.Close()))
		for range 3 {
			got = append(got, <-results)
		}
		return got
	},
	"close twice and use after it": func(f family) (got []string) {
		s := f.filled("one")
		got = append(got, result(0, s.Close()), result(0, s.Close()), readFrom(s, 10))
		n, err := s.WriteTo([]byte("x"), s.LocalAddr())
		got = append(got, result(n, err))
		n, err = s.Read(nil)
		got = append(got, result(n, err))
		for _, set := range []func(time.Time) error{s.SetDeadline, s.SetReadDeadline, s.SetWriteDeadline} {
			got = append(got, result(0, set(time.Now().Add(time.Hour))))
		}
		return append(got, fmt.Sprint(portOf(s.LocalAddr()) > 0))
	},
	"a closed socket's port is free again": func(f family) (got []string) {
		s := f.open(f.here(0))
		_, err := f.here(portOf(s.LocalAddr()))
		got = append(got, result(0, err))
		s.Close()
		again := f.open(f.here(portOf(s.LocalAddr())))
		return append(got, fmt.Sprint(again.LocalAddr().String() == s.LocalAddr().String()))
	},
	"zero-length datagram": func(f family) (got []string) {
		s := f.filled("", "one", "two", "")
		got = append(got, readFrom(s, 10))
		got = append(got, readFrom(s, 0)) // takes one
		n, err := s.Read(nil)             // takes none
		return append(got, result(n, err), readFrom(s, 10), readFrom(s, 10))
	},
	"datagram above the MTU": func(f family) (got []string) {
		s, other := f.open(f.here(0)), f.open(f.there())
		for _, size := range []int{f.most, f.most + 1, 1 << 20} {
			n, err := other.WriteTo(make([]byte, size), s.LocalAddr())
			got = append(got, strings.Replace(result(n, err), fmt.Sprint(f.most), "all", 1))
		}
		text, _ := f.read(s)
		return append(got, fmt.Sprint(len(text) == f.most))
	},
	"short buffer": func(f family) (got []string) {
		s := f.filled("0123456789", "next")
		return append(got, readFrom(s, 3), readFrom(s, 10))
	},
	"addresses and boundaries": func(f family) (got []string) {
		s, other := f.open(f.here(0)), f.open(f.there())
		p := []byte("a")
		for range 20 {
			if _, err := other.WriteTo(p, s.LocalAddr()); err != nil {
				f.t.Fatal(err)
			}
			p = append(p, 'b')
			p[0]++ // the socket must not keep p
		}
		for range 20 {
			text, from := f.read(s)
			got = append(got, text, fmt.Sprint(from.String() == other.LocalAddr().String()))
			f.send(s, from, "back "+text)
			back, _ := f.read(other)
			got = append(got, back)
		}
		return got
	},
	"wrong addresses": func(f family) (got []string) {
		s := f.open(f.here(0))
		for _, to := range []net.Addr{nil, f.foreign} {
			n, err := s.WriteTo([]byte("x"), to)
			got = append(got, strings.Replace(result(n, err), "address false", "address any", 1))
		}
		n, err := s.Write([]byte("x"))
		return append(got, result(n, err), fmt.Sprint(s.RemoteAddr() == nil))
	},
	"connected": func(f family) (got []string) {
		s, third := f.open(f.here(0)), f.open(f.there())
		c := f.open(f.dial(s.LocalAddr()))
		got = append(got, fmt.Sprint(c.RemoteAddr().String() == s.LocalAddr().String()))
		n, err := c.WriteTo([]byte("x"), s.LocalAddr())
		got = append(got, result(n, err))
		n, err = c.Write([]byte("hello"))
		got = append(got, result(n, err))
		text, from := f.read(s)
		got = append(got, text, fmt.Sprint(from.String() == c.LocalAddr().String()))
		f.send(third, c.LocalAddr(), "not from the connected address")
		f.send(f.open(f.here(0)), c.LocalAddr(), "nor this")
		f.send(s, c.LocalAddr(), "first")
		f.send(s, c.LocalAddr(), "second")
		text, from = f.read(c)
		got = append(got, text, fmt.Sprint(from.String() == s.LocalAddr().String()))
		c.SetReadDeadline(time.Now().Add(patience))
		n, err = c.Read(make([]byte, 100))
		got = append(got, result(n, err))
		c.SetDeadline(time.Unix(1, 0))
		n, err = c.Read(make([]byte, 100))
		got = append(got, result(n, err))
		n, err = c.Write([]byte("late"))
		got = append(got, result(n, err), result(0, c.Close()), result(0, c.Close()))
		n, err = c.Write([]byte("closed"))
		got = append(got, result(n, err))
		n, err = c.Read(make([]byte, 100))
		return append(got, result(n, err))
	},
	"reader that never reads": func(f family) (got []string) {
		deaf, s, other := f.open(f.here(0)), f.open(f.here(0)), f.open(f.there())
		failed := 0
		for i := range 5000 { // 5 MB
			if _, err := other.WriteTo(make([]byte, 1000), deaf.LocalAddr()); err != nil {
				failed++
			}
			if i%100 == 0 { // another socket loses nothing
				f.send(other, s.LocalAddr(), "beside")
				text, _ := f.read(s)
				got = append(got, text)
			}
		}
		return append(got, fmt.Sprint(failed, " failed"), readFrom(deaf, 2000), result(0, deaf.Close()))
	},
	"many readers": func(f family) (got []string) {
		s := f.open(f.here(0))
		s.SetReadDeadline(time.Now().Add(patience))
		results := make(chan string)
		for range 50 {
			go func() { // ends with its datagram
				p := make([]byte, 10)
				n, _, err := s.ReadFrom(p)
				results <- fmt.Sprintf("%s %v", p[:n], err)
			}()
		}
		other := f.open(f.there())
		for i := range 50 {
			f.send(other, s.LocalAddr(), fmt.Sprint(i))
		}
		for range 50 {
			got = append(got, <-results)
		}
		slices.Sort(got)
		return got
	},
	"10,000 sockets opened and closed": func(f family) (got []string) {
		failed := 0
		for range 10_000 {
			s, err := f.here(0)
			if err != nil || portOf(s.LocalAddr()) == 0 || s.Close() != nil {
				failed++
			}
		}
		return append(got, fmt.Sprint(failed, " failed"))
	},
}

// TestPacketConnBehaves compares sockets over the overlay with a UDP socket of the system.
func TestPacketConnBehaves(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the comparison is with the UDP sockets of Linux")
	}
	for name, behaviour := range behaviours {
		t.Run(name, func(t *testing.T) {
			want := behaviour(udp(t))
			for kind, got := range map[string][]string{"Conn": behaviour(overlay(t)), "ula.Conn": behaviour(virtual(t))} {
				if !slices.Equal(got, want) {
					t.Errorf("%s has\n\t%s\nnet.UDPConn has\n\t%s", kind, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
				}
			}
		})
	}
}

func (f family) send(s net.PacketConn, to net.Addr, p string) {
	f.t.Helper()
	if n, err := s.WriteTo([]byte(p), to); err != nil || n != len(p) {
		f.t.Fatalf("sent %d bytes of %d: %v", n, len(p), err)
	}
}
