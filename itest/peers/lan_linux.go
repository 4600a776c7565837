package peers

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Dial opens a connection from the host to an IP address and port.
func (h *LANHost) Dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	err = h.do(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// ListenUDP opens a UDP socket on the host.
func (h *LANHost) ListenUDP(ctx context.Context, addr string) (conn net.PacketConn, err error) {
	err = h.do(func() (err error) {
		conn, err = new(net.ListenConfig).ListenPacket(ctx, "udp4", addr)
		return err
	})
	return conn, err
}

// ListenTCP opens a TCP listener on the host.
func (h *LANHost) ListenTCP(ctx context.Context, addr string) (l net.Listener, err error) {
	err = h.do(func() (err error) {
		l, err = new(net.ListenConfig).Listen(ctx, "tcp4", addr)
		return err
	})
	return l, err
}

// do calls f, which makes a socket, in the namespace of the host.
func (h *LANHost) do(f func() error) error {
	there, err := os.Open("/run/netns/" + h.space)
	if err != nil {
		return fmt.Errorf("itest: socket in a namespace: %w", err)
	}
	defer there.Close()
	done := make(chan error, 1)
	go func() { // ends with f
		// A socket belongs to the namespace of the thread that makes it. The thread ends with
		// this goroutine, which does not unlock it.
		runtime.LockOSThread()
		err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET)
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		return fmt.Errorf("itest: socket in a namespace: %w", err)
	}
	return nil
}
