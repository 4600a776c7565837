package compat

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/host"

	"github.com/peer-relay/peer-relay/compat/legacy"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
)

// ID is a peer's address: 160 bits.
type ID = protocol.ID

// A PeerRelay is a peer with the npm package's API. All its methods may be called
// from any goroutine, and from its own handlers.
type PeerRelay struct {
	// Fixed after New.
	node    *node.Node
	wrtc    *legacy.WebRTC // nil means none
	handler *legacy.Handler
	socket  *Socket // the socket on this peer, nil if there is none

	calls   *calls
	message listeners[*incoming]
	peer    listeners[protocol.ID]
	down    listeners[protocol.ID]
	err     listeners[error]

	destroy sync.Once
	ending  chan struct{} // closed by the first Destroy
	done    chan struct{} // closed when all is freed
	doneErr error
}

// A Message is a message as OnReceive and Receive have it.
type Message struct {
	From   protocol.ID
	Data   any             // see OnMessage
	JSON   json.RawMessage // the same as its sender wrote it; nil for Undefined
	Proved bool            // From has been proved to be the sender
	Path   []protocol.ID   // the peers that it passed, its origin first; a hint
}

// New starts a peer on a libp2p host of its own. The error says what is wrong with the
// options, and matches node.ErrOptions, or that a port is in use, which matches
// syscall.EADDRINUSE.
func New(o Options) (*PeerRelay, error) {
	return started(newPeerRelay(), o, node.New)
}

// Attach starts a peer on a libp2p host that is the caller's, and stays open when the peer
// ends. The host opens no port for legacy peers: Handler serves them on an HTTP server of
// the caller's, and Options.URLs are where they find it.
func Attach(h host.Host, o Options) (*PeerRelay, error) {
	return started(newPeerRelay(), o, func(no node.Options) (*node.Node, error) { return node.Attach(h, no) })
}

func started(p *PeerRelay, o Options, newNode func(node.Options) (*node.Node, error)) (*PeerRelay, error) {
	if err := p.start(o, newNode); err != nil {
		return nil, err
	}
	return p, nil
}

func newPeerRelay() *PeerRelay {
	p := &PeerRelay{calls: newCalls(), ending: make(chan struct{}), done: make(chan struct{})}
	p.message.init(p.calls, func(i *incoming) int { return len(i.m.Payload) + len(i.m.Extra) })
	p.peer.init(p.calls, nil)
	p.down.init(p.calls, nil)
	p.err.init(p.calls, nil)
	return p
}

// start makes the transports and the node. After an error nothing is left of them.
func (p *PeerRelay) start(o Options, newNode func(node.Options) (*node.Node, error)) error {
	if err := o.check(); err != nil {
		return err
	}
	no := p.heard(o.Options)
	// A dial may ask while the node is being made. It must not wait: should that fail, the
	// node's end waits for the dial.
	var made atomic.Pointer[node.Node]
	mayDial := func(addr netip.Addr) bool {
		n := made.Load()
		return n != nil && n.MayDial(addr)
	}
	if !o.NoWebRTC {
		if o.WRTC.Logger == nil {
			o.WRTC.Logger = o.Logger
		}
		if o.WRTC.MayDial == nil {
			o.WRTC.MayDial = mayDial
		}
		var err error
		if p.wrtc, err = legacy.NewWebRTC(o.WRTC); err != nil {
			return err
		}
		no.WebRTC = p.wrtc
	}
	ws := &legacy.WebSocket{TLSClient: o.TLSClient, MayDial: mayDial}
	no.Legacy = textTransport{ws}
	n, err := newNode(no)
	if err != nil {
		if p.wrtc != nil {
			p.wrtc.Close()
		}
		return err
	}
	p.node = n
	p.handler = ws.NewHandler(n.Router())
	made.Store(n)
	go p.calls.run() // ends with the peer, which waits for it
	return nil
}

// heard returns the options of a node whose events reach the peer's listeners, after the
// handlers that the options have.
func (p *PeerRelay) heard(o node.Options) node.Options {
	first := o
	o.OnMessage = func(m protocol.Message) {
		if first.OnMessage != nil {
			first.OnMessage(m)
		}
		p.onMessage(m)
	}
	o.OnPeer = func(i protocol.LinkInfo) {
		if first.OnPeer != nil {
			first.OnPeer(i)
		}
		p.onPeer(i.ID)
	}
	o.OnPeerDown = func(id protocol.ID, err error) {
		if first.OnPeerDown != nil {
			first.OnPeerDown(id, err)
		}
		p.down.emit(id)
	}
	o.OnDialError = func(c protocol.Contact, err error) {
		if first.OnDialError != nil {
			first.OnDialError(c, err)
		}
		p.onError(fmt.Errorf("peer-relay: bootstrap %s does not answer, trying again: %w", c.URL, err))
	}
	return o
}

// A textTransport is the WebSocket transport as package node takes it.
type textTransport struct{ *legacy.WebSocket }

func (t textTransport) AcceptText(ctx context.Context, r *protocol.Router, c *node.TextConn) {
	t.WebSocket.AcceptText(ctx, r, c, c.First()) // the router logs why the link ended
}

// ID returns the peer's id: 160 bits.
func (p *PeerRelay) ID() protocol.ID { return p.node.ID() }

// Node returns the node on which the peer runs.
func (p *PeerRelay) Node() *node.Node { return p.node }

// URL returns the ws:// URL of the peer's port on this machine, "" if it has none. Of a
// peer that Attach has made it is the first of Options.URLs.
func (p *PeerRelay) URL() string {
	if urls := p.node.URLs(); len(urls) > 0 {
		return urls[0]
	}
	port := p.node.Port()
	if port == 0 {
		return ""
	}
	return "ws://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))
}

// Handler returns a handler that takes the WebSockets of legacy peers, for an HTTP server
// of the caller's. A peer that listens serves them on its own port as well.
func (p *PeerRelay) Handler() http.Handler { return p.handler }

// Connect forms a direct link with the peer that has this id. It does not wait: the
// peer event tells when there is one.
func (p *PeerRelay) Connect(id protocol.ID) { p.node.Connect(id) }

// Disconnect ends the direct link with a peer.
func (p *PeerRelay) Disconnect(id protocol.ID) { p.node.Router().Disconnect(id) }

// Send sends data to the peer that has this id, which need not be linked. As with
// UDP neither delivery nor order is guaranteed. A []byte travels as a Node Buffer;
// Undefined as no value; a json.RawMessage as the JSON that it holds; all else as
// encoding/json writes it, numbers and key order as JSON.stringify has them.
//
// The error says that the message is lost already: data is no JSON, or too big (at
// most 64,000 bytes, or 256,000 bytes of JSON text), every queue is full, or the
// peer was destroyed.
func (p *PeerRelay) Send(id protocol.ID, data any) error {
	form, payload, err := encodeData(data)
	if err != nil {
		return fmt.Errorf("peer-relay: send to %v: %w", id, err)
	}
	return p.node.Router().Send(id, form, payload)
}

// Destroy ends the peer and frees what it holds. It does not wait; each callback
// that is given is called when all is freed, however often Destroy was called.
func (p *PeerRelay) Destroy(cb ...func()) {
	p.end()
	for _, f := range cb {
		if f == nil {
			continue
		}
		go func() { // ends with the callback
			<-p.done
			f()
		}()
	}
}

// end starts to end the peer, and reports whether it is the first to do so.
func (p *PeerRelay) end() (first bool) {
	p.destroy.Do(func() {
		first = true
		close(p.ending)
		if p.socket != nil {
			p.socket.leave()
		}
		go func() { // ends when the node has closed; Close waits for it
			p.doneErr = p.node.Close()
			p.handler.Close()
			if p.wrtc != nil {
				p.wrtc.Close()
			}
			if p.socket != nil {
				p.socket.closed.emitSoon(struct{}{})
			}
			p.calls.end()
			close(p.done)
		}()
	})
	return first
}

// isEnding reports whether Destroy was called.
func (p *PeerRelay) isEnding() bool {
	select {
	case <-p.ending:
		return true
	default:
		return false
	}
}

// Close is Destroy that waits. A handler must not call it.
func (p *PeerRelay) Close() error {
	p.Destroy()
	<-p.done
	return p.doneErr
}

// OnMessage adds a listener for messages that are addressed to this peer. data is a
// string, float64, bool, nil, map[string]any or []any as JSON has it, []byte for a
// Buffer, and Undefined where there is none. A number beyond float64 is infinite, and
// half a surrogate pair in a string becomes U+FFFD: OnReceive has the text itself.
//
// Listeners are called one after the other, and none after Close has returned. Events that
// happen before the first listener of a kind is added are kept for it: up to 1,024, and of
// messages up to 1 MiB.
func (p *PeerRelay) OnMessage(f func(data any, from protocol.ID)) {
	if f != nil {
		p.OnReceive(func(m Message) { f(m.Data, m.From) })
	}
}

// OnReceive adds a listener for the same messages that hears all about them.
func (p *PeerRelay) OnReceive(f func(Message)) {
	if f == nil {
		return
	}
	p.message.add(func(i *incoming) {
		if i.open() {
			f(i.opened)
		}
	})
}

// Receive waits for the next message, for a program that would rather loop than be called.
// It takes the messages that are kept for want of a listener, and so has the same bounds;
// ErrListening is its error once there is a listener, protocol.ErrClosed after Destroy or
// Close. Several goroutines may call it; each message goes to one of them. The peer of a
// Socket keeps no messages: Receive takes what comes while it waits.
func (p *PeerRelay) Receive(ctx context.Context) (Message, error) {
	for {
		i, err := p.message.take(ctx, p.ending)
		if err != nil {
			return Message{}, err
		}
		if i.open() {
			return i.opened, nil
		}
	}
}

// OnPeer adds a listener for peers that have been directly linked.
func (p *PeerRelay) OnPeer(f func(id protocol.ID)) { p.peer.add(f) }

// OnDisconnect adds a listener for peers whose direct link has ended.
func (p *PeerRelay) OnDisconnect(f func(id protocol.ID)) { p.down.add(f) }

// OnError adds a listener for what went wrong and is tried again: a bootstrap that
// does not answer. An error that ends a call is returned by that call.
func (p *PeerRelay) OnError(f func(error)) { p.err.add(f) }

func (p *PeerRelay) onPeer(id protocol.ID) {
	if p.socket != nil {
		p.socket.onPeer()
	}
	p.peer.emit(id)
}

func (p *PeerRelay) onError(err error) {
	if p.socket != nil {
		p.socket.err.emit(err)
	}
	p.err.emit(err)
}

func (p *PeerRelay) onMessage(m protocol.Message) {
	if m.Kind != protocol.KindUser {
		return // legacy data of a type that is not the API's: JS ignores it too
	}
	if p.socket != nil {
		p.socket.onMessage(m)
		if !p.message.heard() {
			return // datagrams are kept for the socket's listeners only
		}
	}
	p.message.emit(&incoming{m: m})
}
