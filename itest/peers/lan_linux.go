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
func (h *LANHost) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	there, err := os.Open("/run/netns/" + h.space)
	if err != nil {
		return nil, fmt.Errorf("itest: dial from a namespace: %w", err)
	}
	defer there.Close()
	type result struct {
		conn net.Conn
		err  error
	}
	dialled := make(chan result, 1)
	go func() { // ends with the dial
		// A socket belongs to the namespace of the thread that makes it. The thread ends with
		// this goroutine, which does not unlock it.
		runtime.LockOSThread()
		var r result
		if r.err = unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); r.err == nil {
			r.conn, r.err = new(net.Dialer).DialContext(ctx, network, addr)
		}
		dialled <- r
	}()
	r := <-dialled
	if r.err != nil {
		return nil, fmt.Errorf("itest: dial from a namespace: %w", r.err)
	}
	return r.conn, nil
}
