package compat_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/protocol"
)

type packet struct {
	buffer []byte
	rinfo  compat.RemoteInfo
}

// newSocket returns a socket that signs, and its datagrams. The socket is closed when the test
// ends.
func newSocket(t *testing.T, o compat.Options) (*compat.Socket, <-chan packet) {
	t.Helper()
	o.ListenHost, o.SignMessages = "127.0.0.1", true
	s, err := compat.NewSocket(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Peer().Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	got := make(chan packet, 100)
	s.OnMessage(func(b []byte, rinfo compat.RemoteInfo) { got <- packet{b, rinfo} })
	return s, got
}

// bind binds a socket and waits until it listens.
func bind(t *testing.T, s *compat.Socket, port int) {
	t.Helper()
	listening := make(chan struct{})
	if err := s.Bind(port, func() { close(listening) }); err != nil {
		t.Fatal(err)
	}
	await(t, "listening", listening)
}

type end struct {
	*compat.Socket
	got <-chan packet
}

// sockets returns two linked sockets, bound to 6881 and 6882. Only a has a port for WebSockets.
func sockets(t *testing.T) (a, b end) {
	t.Helper()
	a.Socket, a.got = newSocket(t, listening())
	b.Socket, b.got = newSocket(t, joining(a.Peer().URL()))
	bind(t, b.Socket, 6882) // before or while it is linked
	bind(t, a.Socket, 6881)
	return a, b
}

func (p packet) check(t *testing.T, what string, from *compat.Socket, buffer []byte) {
	t.Helper()
	if !bytes.Equal(p.buffer, buffer) {
		t.Errorf("%s: %d bytes arrived, not the %d that were sent", what, len(p.buffer), len(buffer))
	}
	if p.rinfo.SocketAddress != from.Address() || p.rinfo.Size != len(buffer) || !p.rinfo.Proved {
		t.Errorf("%s: rinfo %+v, sent from %+v", what, p.rinfo, from.Address())
	}
}

func TestDatagramsOfEverySize(t *testing.T) {
	a, b := sockets(t)
	r := rand.NewChaCha8([32]byte{1})
	for _, size := range []int{0, 1, 5, 1200, 4096, compat.MaxDatagram} {
		data := make([]byte, size)
		r.Read(data)
		if err := b.SendTo(data, 6881, a.Address().Address); err != nil {
			t.Fatal(err)
		}
		await(t, "datagram", a.got).check(t, fmt.Sprint(size, " bytes"), b.Socket, data)
		if err := a.SendTo(data, 6882, strings.ToUpper(b.Address().Address)); err != nil {
			t.Fatal(err)
		}
		await(t, "datagram", b.got).check(t, fmt.Sprint(size, " bytes back"), a.Socket, data)
	}
	if err := b.SendTo(make([]byte, compat.MaxDatagram+1), 6881, a.Address().Address); !errors.Is(err, protocol.ErrTooBig) || !strings.Contains(err.Error(), "63900") {
		t.Errorf("a datagram of one byte too many: %v", err)
	}
}

func TestSendOverloads(t *testing.T) {
	a, b := sockets(t)
	id, buf := a.Address().Address, []byte("hello world")
	called := make(chan error, 1)
	cb := func(err error) { called <- err }
	for _, test := range []struct {
		name string
		send func() error
		want string
		cb   bool
	}{
		// The npm package sends nothing here: it takes the length for the end.
		{"send(buffer, 6, 5, port, id, cb)", func() error { return b.Send(buf, 6, 5, 6881, id, cb) }, "world", true},
		{"send(buffer, 6, 5, port, id)", func() error { return b.Send(buf, 6, 5, 6881, id) }, "world", false},
		{"send(buffer, 11, 0, port, id)", func() error { return b.Send(buf, 11, 0, 6881, id) }, "", false},
		{"send(buffer, 0, 5, port)", func() error { return b.Send(buf, 0, 5, 6881, "") }, "hello", false},
		{"send(buffer, port, id, cb)", func() error { return b.SendTo(buf, 6881, id, cb) }, "hello world", true},
		{"send(buffer, port, id)", func() error { return b.SendTo(buf, 6881, id) }, "hello world", false},
		{"send(buffer, port)", func() error { return b.SendTo(buf, 6881, "") }, "hello world", false},
		{"send(buffer, port, 'localhost')", func() error { return b.SendTo(buf, 6881, "localhost") }, "hello world", false},
		{"send(buffer, port, '127.0.0.1')", func() error { return b.SendTo(buf, 6881, "127.0.0.1") }, "hello world", false},
		{"send(list, port, id, cb)", func() error { return b.SendList([][]byte{buf[:6], {}, buf[:5]}, 6881, id, cb) }, "hello hello", true},
		{"send(list, port)", func() error { return b.SendList([][]byte{buf[6:], buf[:5]}, 6881, "") }, "worldhello", false},
		{"send([], port, id)", func() error { return b.SendList(nil, 6881, id) }, "", false},
	} {
		if err := test.send(); err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		await(t, test.name, a.got).check(t, test.name, b.Socket, []byte(test.want))
		if test.cb {
			if err := await(t, "callback of "+test.name, called); err != nil {
				t.Errorf("%s calls back with %v", test.name, err)
			}
		}
	}
}

func TestSocketSendRefuses(t *testing.T) {
	a, b := sockets(t)
	id, buf := a.Address().Address, []byte("hello")
	const maxInt = int(^uint(0) >> 1)
	for name, send := range map[string]func(cb func(error)) error{
		"a length beyond the end": func(cb func(error)) error { return b.Send(buf, 1, 5, 6881, id, cb) },
		"an overflowing length":   func(cb func(error)) error { return b.Send(buf, 1, maxInt, 6881, id, cb) },
		"an offset beyond":        func(cb func(error)) error { return b.Send(buf, 6, 0, 6881, id, cb) },
		"a negative offset":       func(cb func(error)) error { return b.Send(buf, -1, 1, 6881, id, cb) },
		"a negative length":       func(cb func(error)) error { return b.Send(buf, 1, -1, 6881, id, cb) },
		"port 65536":              func(cb func(error)) error { return b.SendTo(buf, 65536, id, cb) },
		"port -1":                 func(cb func(error)) error { return b.SendTo(buf, -1, id, cb) },
		"an IPv4 address":         func(cb func(error)) error { return b.SendTo(buf, 6881, "192.0.2.1", cb) },
		"an IPv6 address":         func(cb func(error)) error { return b.SendTo(buf, 6881, "2001:db8::1", cb) },
		"a host's name":           func(cb func(error)) error { return b.SendTo(buf, 6881, "example.com", cb) },
		"a port without a socket": func(cb func(error)) error { return b.SendTo(buf, 60999, "localhost", cb) },
		"too large a list": func(cb func(error)) error {
			return b.SendList([][]byte{make([]byte, compat.MaxDatagram), buf}, 6881, id, cb)
		},
	} {
		var told error
		err := send(func(err error) { told = err })
		if err == nil || told != err || !strings.HasPrefix(err.Error(), "peer-relay: ") {
			t.Errorf("%s: %v, calls back with %v", name, err, told)
		}
	}
	if err := b.SendTo(buf, 6881, id); err != nil {
		t.Fatal(err)
	}
	await(t, "datagram", a.got).check(t, "the next", b.Socket, buf)
}

// TestSocketBelievesTheEnvelope checks that the address is the envelope's sender, whatever the
// datagram claims, and that a message that is not a datagram reaches only the peer's listeners.
func TestSocketBelievesTheEnvelope(t *testing.T) {
	a, b := sockets(t)
	heard := make(chan any, 10)
	a.Peer().OnMessage(func(data any, from compat.ID) { heard <- data })
	for _, data := range []any{"text", nil, []byte("raw"), map[string]any{"buffer": "x"}} {
		if err := b.Peer().Send(a.Peer().ID(), data); err != nil {
			t.Fatal(err)
		}
		await(t, "message of the peer", heard)
	}
	err := b.Peer().Send(a.Peer().ID(), map[string]any{"buffer": []int{1, 2}, "address": strings.Repeat("0", 40), "port": 6882})
	if err != nil {
		t.Fatal(err)
	}
	await(t, "datagram", a.got).check(t, "the forged one", b.Socket, []byte{1, 2})
	await(t, "message of the peer", heard)
	if len(a.got) > 0 {
		t.Errorf("another datagram came: %v", <-a.got)
	}
}

func TestSocketToItself(t *testing.T) {
	a, got := newSocket(t, compat.Options{})
	if err := a.SendTo([]byte("me"), a.Address().Port, "localhost"); err != nil {
		t.Fatal(err)
	}
	await(t, "datagram", got).check(t, "own", a, []byte("me"))
}

func TestBind(t *testing.T) {
	a, _ := newSocket(t, listening())
	if port := a.Address().Port; port < 1 || port > 9998 {
		t.Errorf("a new socket has port %d", port)
	}
	for _, port := range []int{-1, 65536} {
		if err := a.Bind(port); err == nil {
			t.Errorf("bound to %d", port)
		}
	}
	early := make(chan struct{})
	if err := a.Bind(53, func() { close(early) }); err != nil {
		t.Fatal(err)
	}
	if a.Address().Port != 53 {
		t.Errorf("bound to 53, has %d", a.Address().Port)
	}
	if err := a.Bind(54); !errors.Is(err, compat.ErrBound) {
		t.Errorf("bound again: %v", err)
	}
	select {
	case <-early:
		t.Error("it listens without a linked peer")
	default:
	}
	b, got := newSocket(t, joining(a.Peer().URL()))
	await(t, "listening", early)
	// A handler binds, to the same port: the ids tell them apart, and localhost is the last one.
	listening := make(chan struct{})
	b.Peer().OnPeer(func(compat.ID) {
		if err := b.Bind(53, func() { close(listening) }); err != nil {
			t.Error(err)
		}
	})
	await(t, "listening in a handler", listening)
	if err := a.SendTo([]byte("x"), 53, "localhost"); err != nil {
		t.Fatal(err)
	}
	await(t, "datagram", got).check(t, "to localhost", a, []byte("x"))
}

func TestCloseOfASocket(t *testing.T) {
	for name, close := range map[string]func(s *compat.Socket) error{
		"Close":        func(s *compat.Socket) error { return s.Close() },
		"Peer().Close": func(s *compat.Socket) error { return s.Peer().Close() },
		"Peer().Destroy": func(s *compat.Socket) error {
			s.Peer().Destroy()
			return nil
		},
	} {
		s, _ := newSocket(t, compat.Options{}) // without a port to listen on JS throws
		closed := make(chan struct{}, 2)
		s.OnClose(func() { closed <- struct{}{} })
		if err := s.Bind(4000); err != nil {
			t.Fatal(err)
		}
		own := s.Address()
		if err := close(s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		await(t, "close by "+name, closed)
		for call, err := range map[string]error{
			"Close": s.Close(func() { t.Error("a second close calls back") }), "Bind": s.Bind(1), "SendTo": s.SendTo(nil, 1, own.Address),
		} {
			if !errors.Is(err, compat.ErrNotRunning) || !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s after %s: %v", call, name, err)
			}
		}
		if s.Address() != own {
			t.Errorf("the address was %v, is %v", own, s.Address())
		}
		other, _ := newSocket(t, compat.Options{})
		if err := other.SendTo(nil, 4000, "localhost"); err == nil {
			t.Errorf("after %s the port is still in use", name)
		}
	}
}

func TestCloseFromAHandler(t *testing.T) {
	a, b := sockets(t)
	var order []string
	done := make(chan struct{})
	a.OnClose(func() { order = append(order, "close") })
	a.OnMessage(func([]byte, compat.RemoteInfo) {
		if err := a.Close(func() { order = append(order, "callback"); close(done) }); err != nil {
			t.Error(err)
		}
	})
	if err := b.SendTo([]byte("end"), 6881, a.Address().Address); err != nil {
		t.Fatal(err)
	}
	await(t, "closed", done)
	if fmt.Sprint(order) != "[close callback]" {
		t.Errorf("in this order: %v", order)
	}
}

// TestCloseFromEveryHandler checks that every handler may close the socket, and that a listener
// it adds is called.
func TestCloseFromEveryHandler(t *testing.T) {
	relay := newPeer(t, listening())
	for name, register := range map[string]func(s *compat.Socket, end func()){
		"listening":            func(s *compat.Socket, end func()) { s.OnListening(end); s.Bind(0) },
		"bind's callback":      func(s *compat.Socket, end func()) { s.Bind(0, end) },
		"the peer's own event": func(s *compat.Socket, end func()) { s.Peer().OnPeer(func(compat.ID) { end() }) },
		"the peer's message": func(s *compat.Socket, end func()) {
			s.Peer().OnReceive(func(compat.Message) { end() })
			s.SendTo(nil, s.Address().Port, s.Address().Address)
		},
		"a datagram that waited": func(s *compat.Socket, end func()) {
			s.SendTo(nil, s.Address().Port, s.Address().Address)
			s.OnMessage(func([]byte, compat.RemoteInfo) { end() })
		},
		"send's callback": func(s *compat.Socket, end func()) {
			s.SendTo(nil, s.Address().Port, s.Address().Address, func(error) { end() })
		},
	} {
		s, err := compat.NewSocket(joining(relay.URL()))
		if err != nil {
			t.Fatal(err)
		}
		var once sync.Once
		closed, done := make(chan error, 1), make(chan struct{})
		register(s, func() {
			once.Do(func() {
				s.OnClose(func() { closed <- s.Close() }) // too late, and no deadlock
				if err := s.Close(func() { close(done) }); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		})
		if err := await(t, "close event after close in "+name, closed); !errors.Is(err, compat.ErrNotRunning) {
			t.Errorf("%s: closing in the close event: %v", name, err)
		}
		await(t, "callback of close in "+name, done)
		if err := s.Peer().Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOneCloseOfMany(t *testing.T) {
	s, _ := newSocket(t, compat.Options{})
	var group sync.WaitGroup
	results, called := make(chan error, 10), make(chan struct{}, 10)
	for range cap(results) {
		group.Go(func() { results <- s.Close(func() { called <- struct{}{} }) })
		group.Go(func() { s.Bind(0) })
	}
	group.Wait()
	await(t, "callback", called)
	good := 0
	for range cap(results) {
		if err := <-results; err == nil {
			good++
		} else if !errors.Is(err, compat.ErrNotRunning) {
			t.Error(err)
		}
	}
	if good != 1 || len(called) != 0 {
		t.Errorf("%d calls closed it, and %d callbacks too many", good, len(called))
	}
}

func TestSocketHearsErrorsOfItsPeer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "ws://" + l.Addr().String()
	l.Close()
	s, _ := newSocket(t, joining(url))
	failed := make(chan error, 100)
	s.OnError(func(err error) { failed <- err })
	if err := await(t, "error", failed); !strings.Contains(err.Error(), url) {
		t.Errorf("the error does not name the bootstrap: %v", err)
	}
}

func TestNewSocketSaysWhatIsWrong(t *testing.T) {
	if s, err := compat.NewSocket(joining("localhost:1")); err == nil || s != nil {
		t.Errorf("a socket %v, error %v", s, err)
	}
}

func TestWhatDgramHasAndPeersHaveNot(t *testing.T) {
	s, _ := newSocket(t, compat.Options{})
	var told error
	_, recvSize := s.GetRecvBufferSize()
	_, sendSize := s.GetSendBufferSize()
	_, queued := s.GetSendQueueSize()
	_, count := s.GetSendQueueCount()
	_, remote := s.RemoteAddress()
	for call, err := range map[string]error{
		"setBroadcast":                 s.SetBroadcast(true),
		"setTTL":                       s.SetTTL(1),
		"setMulticastTTL":              s.SetMulticastTTL(1),
		"setMulticastLoopback":         s.SetMulticastLoopback(true),
		"addMembership":                s.AddMembership("224.0.0.1"),
		"dropMembership":               s.DropMembership("224.0.0.1"),
		"ref":                          s.Ref(),
		"unref":                        s.Unref(),
		"setMulticastInterface":        s.SetMulticastInterface("127.0.0.1"),
		"addSourceSpecificMembership":  s.AddSourceSpecificMembership("192.0.2.1", "224.0.0.1"),
		"dropSourceSpecificMembership": s.DropSourceSpecificMembership("192.0.2.1", "224.0.0.1"),
		"setRecvBufferSize":            s.SetRecvBufferSize(1),
		"setSendBufferSize":            s.SetSendBufferSize(1),
		"getRecvBufferSize":            recvSize,
		"getSendBufferSize":            sendSize,
		"getSendQueueSize":             queued,
		"getSendQueueCount":            count,
		"connect":                      s.Connect(1, "localhost", func(err error) { told = err }),
		"disconnect":                   s.Disconnect(),
		"remoteAddress":                remote,
	} {
		if !errors.Is(err, compat.ErrNotImplemented) || !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), " "+call+": ") {
			t.Errorf("%s: %v", call, err)
		}
	}
	if !errors.Is(told, compat.ErrNotImplemented) {
		t.Errorf("connect calls back with %v", told)
	}
}
