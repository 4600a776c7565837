package packet_test

import (
	"errors"
	"net"
	"syscall"
	"testing"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/packet"
	"github.com/peer-relay/peer-relay/protocol/ula"
)

// quic-go and other code for a *net.UDPConn set the buffers of a socket.
var _ = []interface {
	SetReadBuffer(int) error
	SetWriteBuffer(int) error
}{(*packet.PacketConn)(nil), (*ula.Conn)(nil), (*net.UDPConn)(nil)}

func TestReadBuffer(t *testing.T) {
	r, err := protocol.NewRouter(quiet(1))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := listen(t, r, 0)
	waiting := func() (n int) {
		t.Helper()
		before := c.Stats()
		const sent = 100
		for range sent {
			write(t, c, c.LocalAddr(), make([]byte, packet.MaxDatagram))
		}
		after := c.Stats()
		kept := sent - int(after.Overflowed-before.Overflowed)
		for range kept {
			if _, _, err := c.ReadFrom(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		return kept
	}
	const most = 66 // datagrams of MaxDatagram bytes in 4 MiB
	for _, test := range []struct{ bytes, want int }{{1, 1}, {64 << 10, 1}, {256 << 10, 4}, {7 << 20, most}} {
		if err := c.SetReadBuffer(test.bytes); err != nil {
			t.Error(err)
		}
		if err := c.SetWriteBuffer(test.bytes); err != nil {
			t.Error(err)
		}
		if got := waiting(); got != test.want {
			t.Errorf("with a read buffer of %d bytes %d datagrams wait, want %d", test.bytes, got, test.want)
		}
	}
	for _, bytes := range []int{0, -1} {
		if err := errors.Join(c.SetReadBuffer(bytes), c.SetWriteBuffer(bytes)); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("buffers of %d bytes: %v, want EINVAL", bytes, err)
		}
	}
	c.Close()
	for _, err := range []error{c.SetReadBuffer(1), c.SetWriteBuffer(1)} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("buffers of a closed socket: %v", err)
		}
	}
}
