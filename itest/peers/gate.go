package peers

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Gate stands before a listening peer. Connections are accepted at once but reach the
// peer only when the gate opens: no link comes up before that. It also counts the bytes
// that pass.
type Gate struct {
	ln     net.Listener
	opened chan struct{}
	closed chan struct{}
	wg     sync.WaitGroup // all goroutines

	mu      sync.Mutex
	target  string // host:port, "" as long as it is not known
	delay   time.Duration
	open    bool
	done    bool
	conns   []net.Conn
	passing []*passage // in the order in which they came
	changed chan struct{}
}

// A passage is a connection through a gate.
type passage struct {
	up, down int64 // bytes
	ended    bool
}

// A Passage is what went through a gate over one connection.
type Passage struct {
	Up, Down int64 // bytes from and to the end that dialled
	Live     bool
}

// NewGate puts a closed gate before the peer that listens at a ws:// URL, "" for one that
// SetTarget names before the gate opens.
func NewGate(url string) (*Gate, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort(Loopback, "0"))
	if err != nil {
		return nil, fmt.Errorf("itest: gate: %w", err)
	}
	g := &Gate{ln: ln, opened: make(chan struct{}), closed: make(chan struct{}), changed: make(chan struct{})}
	if url != "" {
		if err := g.SetTarget(url); err != nil {
			ln.Close()
			return nil, err
		}
	}
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

// SetTarget sets where the peer listens.
func (g *Gate) SetTarget(url string) error {
	target, ok := strings.CutPrefix(strings.TrimSuffix(url, "/"), "ws://")
	if !ok {
		return fmt.Errorf("itest: gate to %q: want a ws:// URL", url)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.target = target
	return nil
}

// SetDelay makes what passes arrive later, in both directions. It is called before Open.
func (g *Gate) SetDelay(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.delay = d
}

// Addr is where the gate stands: host and port.
func (g *Gate) Addr() *net.TCPAddr { return g.ln.Addr().(*net.TCPAddr) }

// URL is where the gate stands.
func (g *Gate) URL() string { return "ws://" + g.ln.Addr().String() }

// Multiaddr is where the gate stands, for libp2p.
func (g *Gate) Multiaddr() string {
	return fmt.Sprintf("/ip4/%s/tcp/%d/ws", g.Addr().IP, g.Addr().Port)
}

// Open lets every connection through.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.open {
		g.open = true
		close(g.opened)
	}
}

// Held waits until a connection stands at the gate, or has passed it.
func (g *Gate) Held(ctx context.Context) error {
	for {
		g.mu.Lock()
		n, changed := len(g.passing), g.changed
		g.mu.Unlock()
		if n > 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("itest: no connection at the gate: %w", ctx.Err())
		}
	}
}

// Passed returns what went through the gate over each connection so far.
func (g *Gate) Passed() []Passage {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]Passage, len(g.passing))
	for i, p := range g.passing {
		all[i] = Passage{Up: p.up, Down: p.down, Live: !p.ended}
	}
	return all
}

func (g *Gate) pass(in net.Conn) {
	defer in.Close()
	p := &passage{}
	if !g.keep(in, p) {
		return
	}
	defer func() {
		g.mu.Lock()
		p.ended = true
		g.mu.Unlock()
	}()
	select {
	case <-g.opened:
	case <-g.closed:
		return
	}
	g.mu.Lock()
	target, delay := g.target, g.delay
	g.mu.Unlock()
	out, err := net.Dial("tcp", target)
	if err != nil {
		return // the dialler sees its connection close, as if no peer listened
	}
	defer out.Close()
	if !g.keep(out, nil) {
		return
	}
	g.wg.Go(func() {
		g.copy(out, in, delay, &p.up)
		out.Close()
	})
	g.copy(in, out, delay, &p.down)
}

// copy copies until one of the two ends, and counts.
func (g *Gate) copy(to, from net.Conn, delay time.Duration, count *int64) {
	var out io.Writer = to
	if delay > 0 {
		late := &lateWriter{to: to, delay: delay, line: make(chan latePiece, maxLate)}
		var wg sync.WaitGroup
		wg.Go(late.run)
		defer wg.Wait()
		defer close(late.line)
		out = late
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		g.mu.Lock()
		*count += int64(n)
		g.mu.Unlock()
		if _, werr := out.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// maxLate is the number of pieces on a late line, after which it takes no more.
const maxLate = 1 << 12

// A lateWriter writes each piece some time after it got it.
type lateWriter struct {
	to    net.Conn
	delay time.Duration
	line  chan latePiece
}

type latePiece struct {
	due  time.Time
	data []byte
}

func (w *lateWriter) Write(b []byte) (int, error) {
	w.line <- latePiece{time.Now().Add(w.delay), slices.Clone(b)}
	return len(b), nil
}

// run ends when the line is closed and all on it is written.
func (w *lateWriter) run() {
	for p := range w.line {
		time.Sleep(time.Until(p.due))
		w.to.Write(p.data) // an error ends the reader of the other direction too
	}
}

// keep registers a connection for Close, unless that was already, and with p for Passed.
func (g *Gate) keep(c net.Conn, p *passage) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.done {
		return false
	}
	g.conns = append(g.conns, c)
	if p != nil {
		g.passing = append(g.passing, p)
		close(g.changed)
		g.changed = make(chan struct{})
	}
	return true
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
