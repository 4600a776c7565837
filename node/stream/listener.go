package stream

import (
	"net"

	"github.com/quic-go/quic-go"
)

// A Listener accepts the streams to one service. It is a net.Listener.
type Listener struct {
	endpoint *Endpoint
	service  uint16
	backlog  chan *Conn
	done     chan struct{} // closed by Close

	reserved int // places in backlog for streams that are being answered; guarded by endpoint.mu
}

var _ net.Listener = (*Listener)(nil)

// Accept implements net.Listener. It returns a *Conn.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.AcceptStream()
	if err != nil {
		return nil, err // not a net.Conn that holds a nil *Conn
	}
	return c, nil
}

// AcceptStream waits for the next stream.
func (l *Listener) AcceptStream() (*Conn, error) {
	select {
	case c := <-l.backlog:
		return c, nil
	case <-l.done:
		return nil, l.failed("accept")
	}
}

// Close implements net.Listener. Streams that were not accepted are refused.
func (l *Listener) Close() error {
	e := l.endpoint
	e.mu.Lock()
	if e.listeners[l.service] != l {
		e.mu.Unlock()
		return l.failed("close")
	}
	delete(e.listeners, l.service)
	close(l.done)
	e.mu.Unlock() // no stream is added to the backlog after this
	for {
		select {
		case c := <-l.backlog:
			c.abort(codeRefused)
		default:
			return nil
		}
	}
}

// Addr implements net.Listener. It returns a packet.Addr, whose port is the service.
func (l *Listener) Addr() net.Addr { return l.endpoint.addr(l.service) }

func (l *Listener) failed(op string) error {
	return &net.OpError{Op: op, Net: network, Addr: l.Addr(), Err: net.ErrClosed}
}

// reserve returns the listener for a service, with a place in its backlog for one stream. It
// returns nil and the reason if there is none.
func (e *Endpoint) reserve(service uint16) (*Listener, quic.StreamErrorCode) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.listeners[service]
	switch {
	case l == nil:
		return nil, codeNoService
	case len(l.backlog)+l.reserved >= cap(l.backlog):
		return nil, codeRefused
	}
	l.reserved++
	return l, 0
}

// hand puts a stream into its place, or frees the place if the stream is not good. It reports
// whether the stream waits in the backlog.
func (e *Endpoint) hand(l *Listener, c *Conn, good bool) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	l.reserved--
	if !good || e.listeners[l.service] != l {
		return false
	}
	c.session.conns[c] = struct{}{}
	l.backlog <- c // has room
	return true
}
