package port

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/transport"
	libp2pws "github.com/libp2p/go-libp2p/p2p/transport/websocket"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// A splitListener is between go-libp2p's WebSocket listener and its upgrader. It reads the
// first message of each connection, passes binary connections on and keeps text connections. It
// also passes on the libp2p connections over plain TCP.
// The end of ctx closes every connection that it keeps.
type splitListener struct {
	// Fixed after construction.
	transport.GatedMaListener
	front  *front
	libp2p chan libp2pConn
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{} // closed when run has ended

	conns sync.WaitGroup // one for each classify; Add only in run
}

type libp2pConn struct {
	conn  manet.Conn
	scope network.ConnManagementScope
}

// take passes a libp2p connection over plain TCP on.
func (s *splitListener) take(c manet.Conn, scope network.ConnManagementScope) {
	select {
	case s.libp2p <- libp2pConn{c, scope}:
		s.front.count.libp2p.Add(1)
	case <-s.ctx.Done():
		c.Close()
		scope.Done()
	}
}

// run ends when the WebSocket listener is closed; Close waits for it.
func (s *splitListener) run() {
	defer close(s.done)
	defer s.cancel()
	for {
		c, scope, err := s.GatedMaListener.Accept()
		if err != nil {
			return
		}
		ws, ok := c.(*libp2pws.Conn)
		if !ok { // go-libp2p makes no other kind
			c.Close()
			scope.Done()
			continue
		}
		s.conns.Go(func() { s.classify(ws, scope) })
	}
}

func (s *splitListener) Accept() (manet.Conn, network.ConnManagementScope, error) {
	select {
	case b := <-s.libp2p:
		return b.conn, b.scope, nil
	case <-s.ctx.Done():
		return nil, nil, transport.ErrListenerClosed
	}
}

// Close closes every connection that has not been passed on to libp2p. It waits for the
// goroutines that serve them, AcceptText included.
func (s *splitListener) Close() error {
	s.cancel()
	err := s.GatedMaListener.Close()
	<-s.done
	s.conns.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil // go-libp2p closes the socket twice; swarm would print that
	}
	return err
}

// classify serves one WebSocket, until it is closed or passed on to libp2p. Close closes the
// connection and waits for classify.
func (s *splitListener) classify(ws *libp2pws.Conn, scope network.ConnManagementScope) {
	under := portConnAt(ws.NetConn().LocalAddr())
	c := &TextConn{conn: ws, scope: scope, under: under, secured: under.isSecured()}
	release := context.AfterFunc(s.ctx, func() { c.CloseWith(websocket.CloseGoingAway, "shutting down") })
	defer release()

	upgraded := time.Now()
	ws.SetReadDeadline(upgraded.Add(s.front.opts.FirstMessageTimeout))
	kind, r, err := ws.NextReader()
	c.rtt = time.Since(upgraded)
	if err == nil && kind == websocket.BinaryMessage {
		ws.SetReadDeadline(time.Time{}) // libp2p sets its own deadlines
		if !release() {
			c.Close() // waits for the close in progress
			return
		}
		select {
		case s.libp2p <- libp2pConn{&prefixedConn{Conn: ws, first: r, secured: c.secured}, scope}:
			s.front.count.libp2p.Add(1)
		case <-s.ctx.Done():
			c.CloseWith(websocket.CloseGoingAway, "shutting down")
		}
		return
	}
	if err == nil {
		err = s.front.admit(c, r)
	}
	if err == nil {
		s.front.count.text.Add(1)
		s.front.opts.AcceptText(c)
		c.Close()
		return
	}
	s.front.refuse(c, err)
}

// A prefixedConn returns the first binary message again, and then reads on.
type prefixedConn struct {
	*libp2pws.Conn
	secured bool

	mu    sync.Mutex // held while reading first; a Close unblocks the read
	first io.Reader  // nil once it is read
}

func (c *prefixedConn) Read(b []byte) (int, error) {
	c.mu.Lock()
	if c.first == nil {
		c.mu.Unlock()
		return c.Conn.Read(b)
	}
	n, err := c.first.Read(b)
	if err == io.EOF {
		c.first, err = nil, nil
	}
	c.mu.Unlock()
	if n == 0 && err == nil && len(b) > 0 {
		return c.Read(b)
	}
	return n, err
}

func (c *prefixedConn) LocalMultiaddr() ma.Multiaddr {
	return addrOver(c.Conn.LocalMultiaddr(), c.secured)
}

func (c *prefixedConn) RemoteMultiaddr() ma.Multiaddr {
	return addrOver(c.Conn.RemoteMultiaddr(), c.secured)
}

func addrOver(a ma.Multiaddr, secured bool) ma.Multiaddr {
	if secured {
		return securedAddr(a)
	}
	return a
}
