package tcpinfo

import (
	"io"
	"net"
	"net/netip"
	"runtime"
	"testing"
)

// TestOf checks the figures of a connection whose other end reads what was written, and then
// reads nothing.
func TestOf(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		a, b := connect(t, address)
		defer a.Close()
		defer b.Close()
		before, ok := of(a)
		if !ok {
			if runtime.GOOS != "linux" {
				return
			}
			t.Fatalf("%s: no figures", address)
		}
		const size = 10_000
		if _, err := a.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(b, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		after, ok := of(a)
		for ok && after.Pending > 0 { // the acknowledgement may be late
			after, ok = of(a)
		}
		if got := after.Acked - before.Acked; !ok || got != size || after.Unsent != 0 {
			t.Errorf("%s: %d bytes were acknowledged, want %d; %+v, %v", address, got, size, after, ok)
		}
		a.(*net.TCPConn).SetWriteBuffer(256 << 10)
		go a.Write(make([]byte, 64<<20)) // ends with a
		for ok && (after.Unsent == 0 || after.Pending < after.Unsent) {
			after, ok = of(a)
		}
		if !ok {
			t.Errorf("%s: no figures of a connection whose other end reads nothing", address)
		}
	}
}

func TestOfNoConnection(t *testing.T) {
	nobody := netip.MustParseAddrPort("127.0.0.1:9")
	if i, ok := Of(nobody, nobody); ok {
		t.Errorf("figures of no connection: %+v", i)
	}
	if i, ok := Of(netip.AddrPort{}, nobody); ok {
		t.Errorf("figures of no address: %+v", i)
	}
}

func of(c net.Conn) (Info, bool) {
	return Of(c.LocalAddr().(*net.TCPAddr).AddrPort(), c.RemoteAddr().(*net.TCPAddr).AddrPort())
}

func connect(t *testing.T, address string) (a, b net.Conn) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return a, b
}
