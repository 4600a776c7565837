package port

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	// maxAnswering is the most refused connections that are answered at once. Others are
	// closed without an answer.
	maxAnswering = 16
	// answerTime bounds the time for one answer: TLS, the request, and the answer itself.
	answerTime = time.Second
)

// A gate lets TCP connections in if the gater and the resource manager allow them. go-libp2p's
// own gate silently closes the others. This one answers those that are refused for a limit in
// HTTP, so that the client, or a proxy in front, knows that it may try again.
type gate struct {
	// Fixed after newGate.
	manet.Listener
	front     *front
	resources network.ResourceManager
	ctx       context.Context // done when the gate closes
	cancel    context.CancelFunc
	answering chan struct{} // holds a token for each connection that is being answered

	// Owned by Accept.
	spare *os.File // nil: the process has no file left

	mu      sync.Mutex
	closed  bool
	answers sync.WaitGroup // Add only while closed is false
}

func newGate(l manet.Listener, f *front, resources network.ResourceManager) *gate {
	g := &gate{Listener: l, front: f, resources: resources, answering: make(chan struct{}, maxAnswering)}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.spare, _ = os.Open(os.DevNull)
	return g
}

// Accept returns the next connection that is let in. An error for want of a file is temporary:
// the HTTP server waits and accepts again.
func (g *gate) Accept() (manet.Conn, network.ConnManagementScope, error) {
	for {
		c, err := g.Listener.Accept()
		switch {
		case outOfFiles(err) && g.spare != nil:
			// The next client gets the place of the spare file, and an answer.
			g.spare.Close()
			g.spare = nil
			continue
		case err != nil:
			if errors.Is(err, net.ErrClosed) && g.spare != nil {
				g.spare.Close()
			}
			return nil, nil, err
		case g.spare == nil && !g.haveFile():
			g.front.refused.note(limitFiles)
			g.refuse(c, limitFiles)
			continue
		}
		if gater := g.front.opts.Gater; gater != nil && !gater.InterceptAccept(c) {
			g.front.count.gated.Add(1)
			c.Close()
			continue
		}
		scope, err := g.resources.OpenConnection(network.DirInbound, true, c.RemoteMultiaddr())
		if err != nil {
			g.refuse(c, limitOf(err))
			continue
		}
		if p, ok := c.(*portConn); ok {
			p.scope = scope
			scope = &portScope{scope, p}
		}
		return c, scope, nil
	}
}

// haveFile reports whether the process may open files again.
func (g *gate) haveFile() bool {
	var err error
	g.spare, err = os.Open(os.DevNull)
	return !outOfFiles(err)
}

func outOfFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// refuse answers a connection and closes it, without waiting for that.
func (g *gate) refuse(c manet.Conn, why limit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case g.answering <- struct{}{}:
	default:
		c.Close()
		return
	}
	if g.closed {
		c.Close()
		return
	}
	g.answers.Go(func() { // ends within answerTime, or with the gate
		defer func() { <-g.answering }()
		defer c.Close()
		defer context.AfterFunc(g.ctx, func() { c.Close() })()
		g.answer(c, why)
	})
}

// answer reads the request of a refused client, and says why there is no other answer. Without
// the read, the close would reset the connection, and the answer could be lost.
func (g *gate) answer(c manet.Conn, why limit) {
	c.SetDeadline(time.Now().Add(answerTime))
	if _, err := http.ReadRequest(bufio.NewReader(io.LimitReader(c, maxHTTPHeader))); err != nil {
		return
	}
	text := limitTexts[why]
	body := "refused: " + text.says + "\n"
	fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nConnection: close\r\nRetry-After: %d\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s",
		text.status, http.StatusText(text.status), text.retry/time.Second, len(body), body)
}

// Close closes the listener and what is being answered, and waits for that.
func (g *gate) Close() error {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.cancel()
	err := g.Listener.Close()
	g.answers.Wait()
	return err
}
