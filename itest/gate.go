package itest

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
)

// A Gate stands before a listening peer. Connections are accepted at once but reach the
// peer only when the gate opens: whatever happens before that happens before any link,
// for certain.
type Gate struct {
	target string
	ln     net.Listener
	opened chan struct{}
	closed chan struct{}
	wg     sync.WaitGroup // all goroutines

	mu    sync.Mutex
	open  bool
	done  bool
	conns []net.Conn
}

// NewGate puts a closed gate before the peer that listens at a ws:// URL.
func NewGate(url string) (*Gate, error) {
	target, ok := strings.CutPrefix(url, "ws://")
	if !ok {
		return nil, fmt.Errorf("itest: gate to %q: want a ws:// URL", url)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("itest: gate: %w", err)
	}
	g := &Gate{target: strings.TrimSuffix(target, "/"), ln: ln, opened: make(chan struct{}), closed: make(chan struct{})}
	// Close ends every goroutine by closing the listener and the connections, and waits.
	g.wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			g.wg.Go(func() { g.pass(conn) })
		}
	})
	return g, nil
}

// URL is where the gate stands.
func (g *Gate) URL() string { return "ws://" + g.ln.Addr().String() }

// Open lets everybody through.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.open {
		g.open = true
		close(g.opened)
	}
}

func (g *Gate) pass(in net.Conn) {
	defer in.Close()
	if !g.keep(in) {
		return
	}
	select {
	case <-g.opened:
	case <-g.closed:
		return
	}
	out, err := net.Dial("tcp", g.target)
	if err != nil {
		return // the dialler sees its connection close, as if nobody listened
	}
	defer out.Close()
	if !g.keep(out) {
		return
	}
	g.wg.Go(func() {
		io.Copy(out, in)
		out.Close()
	})
	io.Copy(in, out)
}

// keep registers a connection for Close, unless that was already.
func (g *Gate) keep(c net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.done {
		g.conns = append(g.conns, c)
	}
	return !g.done
}

// Close ends the gate and every connection through it.
func (g *Gate) Close() error {
	g.mu.Lock()
	if !g.done {
		g.done = true
		close(g.closed)
		g.ln.Close()
		for _, c := range g.conns {
			c.Close()
		}
	}
	g.mu.Unlock()
	g.wg.Wait()
	return nil
}
