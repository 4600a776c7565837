package legacy

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/peer-relay/peer-relay/protocol"
)

// maxHandled is the largest number of connections of a Handler.
const maxHandled = 4096

// A Handler is an http.Handler that accepts the WebSockets of legacy peers, for a program with
// its own HTTP server. It accepts them on any path, from pages of any origin. Other requests
// are answered with an error.
type Handler struct {
	// Fixed after NewHandler.
	ws       *WebSocket
	router   *protocol.Router
	upgrader websocket.Upgrader
	ctx      context.Context // done when the handler closes
	stop     context.CancelFunc
	places   chan struct{} // holds a token for each connection

	mu     sync.Mutex
	closed bool
	tasks  sync.WaitGroup // one for each request
}

// NewHandler returns a handler whose links a router serves. It may be closed before or after
// the router.
func (w *WebSocket) NewHandler(r *protocol.Router) *Handler {
	h := &Handler{
		ws: w, router: r, places: make(chan struct{}, maxHandled),
		upgrader: websocket.Upgrader{
			HandshakeTimeout: connectTimeout,
			ReadBufferSize:   readBuffer,
			WriteBufferPool:  &w.packs,
			CheckOrigin:      func(*http.Request) bool { return true }, // a page proves nothing by its origin
		},
	}
	h.ctx, h.stop = context.WithCancel(context.Background())
	return h
}

// ServeHTTP implements http.Handler. It returns when the connection has ended.
func (h *Handler) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if !h.enter() {
		http.Error(w, "try again later", http.StatusServiceUnavailable)
		return
	}
	defer h.leave()
	ws, err := h.upgrader.Upgrade(w, req, http.Header{goHeader: {"1"}})
	if err != nil {
		return // Upgrade has answered
	}
	h.serve(&plainConn{ws: ws})
}

// serve reads the hello of a client, and then serves its link until it ends.
func (h *Handler) serve(c *plainConn) {
	unhook := context.AfterFunc(h.ctx, func() { c.CloseWith(websocket.CloseGoingAway, "shutting down") })
	defer unhook()
	c.ws.SetReadDeadline(time.Now().Add(helloTimeout))
	first, err := readFirst(c.ws)
	c.ws.SetReadDeadline(time.Time{})
	switch {
	case errors.Is(err, errHello):
		c.CloseWith(websocket.CloseMessageTooBig, "first message too big")
	case err != nil:
		c.CloseWith(websocket.ClosePolicyViolation, "no message in time")
	default:
		h.ws.AcceptText(h.ctx, h.router, c, first) // the router logs why the link ended
	}
}

// enter takes a place, and reports whether there was one.
func (h *Handler) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	select {
	case h.places <- struct{}{}:
		h.tasks.Add(1)
		return true
	default:
		return false
	}
}

func (h *Handler) leave() {
	<-h.places
	h.tasks.Done()
}

// Close ends all connections and waits for their goroutines. Later requests are refused.
func (h *Handler) Close() error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.stop()
	h.tasks.Wait()
	return nil
}
