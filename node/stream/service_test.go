package stream

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/protocol/packet"
)

// TestServices checks that several services have listeners at once, and that each gets its own
// streams.
func TestServices(t *testing.T) {
	a, b := overRelay(t)
	services := []uint16{0, 1, testService, 0xffff}
	listeners := make(map[uint16]*Listener)
	for _, service := range services {
		l, err := b.Listen(service)
		if err != nil {
			t.Fatal(err)
		}
		if want := (packet.Addr{ID: b.ID(), Port: service}); l.Addr() != want {
			t.Errorf("the listener is at %v, want %v", l.Addr(), want)
		}
		listeners[service] = l
	}
	dial := func(service uint16) (*Conn, error) { return a.Dial(streamContext(t), b.ID(), service) }
	for _, service := range services {
		d, err := dial(service)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		c, err := listeners[service].AcceptStream()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if c.Service() != service || d.Service() != service {
			t.Errorf("a stream to service %d is to %d and %d", service, c.Service(), d.Service())
		}
	}
	if n := sessions(a); n != 1 {
		t.Errorf("there are %d sessions, want one", n)
	}

	// A service without a listener refuses at once, with the reason.
	begun := time.Now()
	_, err := dial(2)
	if !errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(err.Error(), "no listener for this service") || !strings.Contains(err.Error(), packet.Addr{ID: b.ID(), Port: 2}.String()) {
		t.Errorf("a service without a listener: %v", err)
	}
	if took := time.Since(begun); took > handshakeTimeout/2 {
		t.Errorf("it was refused after %v", took)
	}

	// The other services outlive one that ends.
	waits, err := dial(1)
	if err != nil {
		t.Fatal(err)
	}
	defer waits.Close()
	listeners[1].Close()
	waits.SetDeadline(time.Now().Add(nodetest.Patience))
	if _, err := waits.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a stream that was not accepted: %v", err)
	}
	if _, err := dial(1); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a service whose listener was closed: %v", err)
	}
	if l, err := b.Listen(1); err != nil {
		t.Errorf("its next listener: %v", err)
	} else if d, err := dial(1); err != nil {
		t.Errorf("a stream to its next listener: %v", err)
	} else if c, err := l.AcceptStream(); err != nil || c.Service() != 1 {
		t.Errorf("its next listener accepts %v, %v", c, err)
	} else {
		d.Close()
		c.Close()
	}
	b.Close()
	for _, service := range services {
		if _, err := listeners[service].Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the listener of service %d after Close: %v", service, err)
		}
	}
}

// TestHeaderOfSpec checks that the header in SPEC.md opens a stream.
func TestHeaderOfSpec(t *testing.T) {
	a, b := overRelay(t)
	l, err := b.Listen(0x1234)
	if err != nil {
		t.Fatal(err)
	}
	d, err := a.Dial(streamContext(t), b.ID(), 0x1234)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	first, err := l.AcceptStream()
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	stream, err := d.session.conn.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	header := append([]byte{0x01, 0x00, 0x12, 0x34}, make([]byte, 28)...)
	if _, err := stream.Write(header); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 1)
	stream.SetDeadline(time.Now().Add(nodetest.Patience))
	if _, err := stream.Read(answer); err != nil || answer[0] != 1 {
		t.Errorf("the answer is %x, %v", answer, err)
	}
	c, err := l.AcceptStream()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Service() != 0x1234 {
		t.Errorf("the service is %#x", c.Service())
	}
	stream.Close()
	stream.CancelRead(codeDone)
}
