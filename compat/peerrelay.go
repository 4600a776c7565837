package compat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"

	"github.com/peer-relay/peer-relay/compat/legacy"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
)

// ID is a peer's address: 160 bits.
type ID = protocol.ID

// A PeerRelay is a peer with the npm package's API. All its methods may be called from any
// goroutine, and from its own handlers, except Close.
type PeerRelay struct {
	// Fixed after New.
	node    *node.Node
	wrtc    *legacy.WebRTC // nil means none
	handler *legacy.Handler
	socket  *Socket // nil means no socket on this peer

	dropped func() // counts a message that has no room; nil means that it is not counted

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

// A Message is the argument of OnReceive and the result of Receive.
type Message struct {
	From   protocol.ID
	Data   any             // see OnMessage
	JSON   json.RawMessage // the value as its sender wrote it; nil means Undefined
	Proved bool            // From has been proved to be the sender
	Path   []protocol.ID   // the peers that it passed, its origin first; unproved
}

// New starts a peer on a libp2p host of its own. The error matches node.ErrOptions if an option
// is invalid, and syscall.EADDRINUSE if a port is in use.
func New(o Options) (*PeerRelay, error) {
	return started(newPeerRelay(), o, node.New)
}

// Attach starts a peer on the caller's libp2p host, which stays open when the peer ends. It
// opens no port for legacy peers. Handler serves them on the caller's HTTP server, and
// Options.URLs are the URLs at which they find it.
// Options.TLSClient is only for dialling wss:// URLs.
func Attach(h host.Host, o Options) (*PeerRelay, error) {
	return started(newPeerRelay(), o, func(no node.Options) (*node.Node, error) {
		no.TLSClient = nil // the legacy transport has it; those of the host have their own
		return node.Attach(h, no)
	})
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

// start makes the transports and the node. If it fails, it closes what it has opened.
func (p *PeerRelay) start(o Options, newNode func(node.Options) (*node.Node, error)) error {
	if err := o.check(); err != nil {
		return err
	}
	no := p.heard(o.Options)
	// A dial may call mayDial while the node is being made. It must not wait for the node: if
	// the node cannot be made, its end waits for the dial.
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
	ws := &legacy.WebSocket{TLSClient: o.TLSClient, MayDial: mayDial, TCPProgress: node.TCPProgress}
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
	p.dropped = func() { n.Router().Drop(protocol.DropInboxFull) }
	made.Store(n)
	go p.calls.run() // ends with the peer, which waits for it
	return nil
}

// heard returns the options of a node whose events reach the peer's listeners after the
// handlers in o.
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
		p.onDown(id)
	}
	o.OnDialError = func(c protocol.Contact, err error) {
		if first.OnDialError != nil {
			first.OnDialError(c, err)
		}
		p.onError(bootstrapError(c.URL, err))
	}
	return o
}

// bootstrapError returns the error event for a bootstrap that could not be linked.
func bootstrapError(url string, err error) error {
	switch {
	case errors.Is(err, protocol.ErrSelf): // it is left out
		return fmt.Errorf("peer-relay: bootstrap %s: %w", url, err)
	case errors.Is(err, protocol.ErrIDInUse): // it answers, and this is told once
		return fmt.Errorf("peer-relay: bootstrap %s refuses this peer, will be tried again: %w", url, err)
	}
	return fmt.Errorf("peer-relay: bootstrap %s does not answer, will be tried again: %w", url, err)
}

// A textTransport adapts the WebSocket transport to package node.
type textTransport struct{ *legacy.WebSocket }

func (t textTransport) AcceptText(ctx context.Context, r *protocol.Router, c *node.TextConn) {
	t.WebSocket.AcceptText(ctx, r, c, c.First()) // the router logs why the link ended
}

// ID returns the peer's id: 160 bits.
func (p *PeerRelay) ID() protocol.ID { return p.node.ID() }

// Node returns the node on which the peer runs.
func (p *PeerRelay) Node() *node.Node { return p.node }

// URL returns the ws:// URL of the peer's port on this machine, or "" if it has none. For a
// peer that Attach has made, it is the first of Options.URLs.
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

// Handler returns a handler that accepts the WebSockets of legacy peers, for the caller's HTTP
// server. A peer that listens accepts them on its own port as well.
func (p *PeerRelay) Handler() http.Handler { return p.handler }

// Connect asks for a direct link with the peer that has this id. It does not wait: the peer
// event comes when there is one.
func (p *PeerRelay) Connect(id protocol.ID) { p.node.Connect(id) }

// Disconnect ends the direct link with a peer.
func (p *PeerRelay) Disconnect(id protocol.ID) { p.node.Router().Disconnect(id) }

// Send sends data to the peer that has this id, which need not be linked. As with UDP, neither
// delivery nor order is guaranteed. A []byte is sent as a Node Buffer, Undefined as no value,
// and a json.RawMessage as its JSON. Other values are sent as encoding/json writes them, with
// numbers and the order of keys as in JSON.stringify.
//
// An error means that the message is lost already: data is not JSON, or is too big (at most
// 64,000 bytes, or 256,000 bytes of JSON text), every queue is full, or the peer was destroyed.
// Close returns the number of other messages that no link took.
func (p *PeerRelay) Send(id protocol.ID, data any) error {
	form, payload, err := encodeData(data)
	if err != nil {
		return fmt.Errorf("peer-relay: send to %v: %w", id, err)
	}
	return p.node.Router().Send(id, form, payload)
}

// SendReliable sends data, as Send does, until the receipt of the receiver arrives. The npm package
// has no such call. Its bounds and errors are those of Router.SendReliable in package protocol. An
// npm peer makes no receipt: for one, the peer in front of it says that it handed the message on.
func (p *PeerRelay) SendReliable(ctx context.Context, id protocol.ID, data any) (protocol.Receipt, error) {
	wait, err := p.StartReliable(id, data)
	if err != nil {
		return protocol.Receipt{}, err
	}
	return wait(ctx)
}

// SendKept is SendReliable, and has mailboxes near the receiver keep the message for a time if that one
// is offline. Its bounds and errors are those of Router.SendKept in package protocol. An npm peer gets
// the message once it is linked with the mailbox.
func (p *PeerRelay) SendKept(ctx context.Context, id protocol.ID, data any, keep time.Duration) (protocol.Receipt, error) {
	wait, err := p.StartKept(id, data, keep)
	if err != nil {
		return protocol.Receipt{}, err
	}
	return wait(ctx)
}

// StartKept is to SendKept what StartReliable is to SendReliable.
func (p *PeerRelay) StartKept(id protocol.ID, data any, keep time.Duration) (wait func(context.Context) (protocol.Receipt, error), err error) {
	form, payload, err := encodeData(data)
	if err != nil {
		return nil, fmt.Errorf("peer-relay: send to %v: %w", id, err)
	}
	return p.node.Router().StartKept(id, form, payload, keep)
}

// StartReliable is the first half of SendReliable, for many messages in flight. It never blocks, and its
// errors are those of Send. Without an error the caller must call wait once, which is the second half.
func (p *PeerRelay) StartReliable(id protocol.ID, data any) (wait func(context.Context) (protocol.Receipt, error), err error) {
	form, payload, err := encodeData(data)
	if err != nil {
		return nil, fmt.Errorf("peer-relay: send to %v: %w", id, err)
	}
	return p.node.Router().StartReliable(id, form, payload)
}

// Ping asks the peer that has this id whether it is there. The npm package has no such call. The result
// and the errors are those of Router.Ping in package protocol. An npm peer makes no answer: for one, the
// peer in front of it says that it handed the ping on. No peer's application gets a ping.
func (p *PeerRelay) Ping(ctx context.Context, id protocol.ID) (protocol.Receipt, error) {
	return p.node.Ping(ctx, id)
}

// Trace is Ping, and returns the peers on the way, with the receiver as the last one. Its result is that
// of Router.Trace in package protocol. Of npm peers it has only the ids, from the path.
func (p *PeerRelay) Trace(ctx context.Context, id protocol.ID) ([]protocol.Hop, protocol.Receipt, error) {
	return p.node.Trace(ctx, id)
}

// Destroy ends the peer and frees what it holds. It does not wait. The messages that were sent
// before still leave the peer, as Close describes. When all is freed Destroy calls each callback,
// also those of later calls. An error of Close goes to the listeners of OnError.
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

// end begins to end the peer, and reports whether this call was the first.
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
			if p.doneErr != nil { // Destroy has no result
				p.err.emitSoon(p.doneErr)
			}
			if p.socket != nil {
				if p.doneErr != nil {
					p.socket.err.emitSoon(p.doneErr)
				}
				p.socket.closed.emitSoon(struct{}{})
			}
			most := handlerTime
			if errors.Is(p.doneErr, protocol.ErrHandlerRuns) {
				most = stuckTime
			}
			if err := p.calls.end(most); err != nil && !errors.Is(p.doneErr, err) {
				p.doneErr = errors.Join(p.doneErr, err)
			}
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

// Close calls Destroy and waits until all is freed. Before it ends the peer, it waits for what was
// sent, for at most Options.Linger: for a first link, for slow lines, and until streams are read
// that were closed. The error says what may be lost. It wraps a *protocol.UnsentError or a
// *stream.UnreadError.
//
// Close also waits up to 10 s for a handler that runs, so a handler must not call it. If one runs
// longer, the error matches protocol.ErrHandlerRuns, and no other handler is called.
func (p *PeerRelay) Close() error {
	p.Destroy()
	<-p.done
	return p.doneErr
}

// OnMessage adds a listener for messages that are addressed to this peer. data is a string,
// float64, bool, nil, map[string]any or []any for JSON, []byte for a Buffer, and Undefined for
// no value. A number beyond float64 is infinite, and half a surrogate pair in a string becomes
// U+FFFD. OnReceive has the text itself.
//
// Only one listener is called at once, and none after Close has returned. Events that happen
// before the first listener of their kind is added are kept for it: up to 1,024, and up to 1
// MiB of messages. Messages beyond that are dropped and counted. Events that happen while a
// listener runs wait as protocol.Options describes: a slow listener holds up nothing else.
func (p *PeerRelay) OnMessage(f func(data any, from protocol.ID)) {
	if f != nil {
		p.OnReceive(func(m Message) { f(m.Data, m.From) })
	}
}

// OnReceive adds a listener for the same messages with all that is known about them.
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

// Receive waits for the next message and returns it, for a program that uses a loop instead of
// a listener. It takes the messages that are kept while there is no listener, with the same
// bounds. It returns ErrListening once there is a listener, and protocol.ErrClosed after
// Destroy or Close. Several goroutines may call it, and each message goes to one of them. The
// peer of a Socket keeps no messages: there Receive returns only what comes while it waits.
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

// OnError adds a listener for failures that are tried again: a bootstrap that does not answer, or,
// once, that refuses this peer's id (protocol.ErrIDInUse). A call that fails returns its own error.
// The error of Close is also the last one for this listener, since Destroy has no result.
func (p *PeerRelay) OnError(f func(error)) { p.err.add(f) }

func (p *PeerRelay) onPeer(id protocol.ID) {
	if p.socket != nil {
		p.socket.onPeer()
	}
	p.peer.emit(id)
}

// onDown emits the disconnect event, unless no listener has learned that the peer was linked.
func (p *PeerRelay) onDown(id protocol.ID) {
	if p.down.heard() || !p.peer.withdraw(func(kept protocol.ID) bool { return kept == id }) {
		p.down.emit(id)
	}
}

func (p *PeerRelay) onError(err error) {
	if p.socket != nil {
		p.socket.err.emit(err)
	}
	p.err.emit(err)
}

func (p *PeerRelay) onMessage(m protocol.Message) {
	if m.Kind != protocol.KindUser {
		return // legacy data of another type, which JS ignores too
	}
	if p.socket != nil {
		p.socket.onMessage(m)
		if !p.message.heard() {
			return // datagrams are kept for the socket's listeners only
		}
	}
	p.count(p.message.emit(&incoming{m: m}))
}

// count counts a message of the router that was dropped, unless it was kept.
func (p *PeerRelay) count(kept bool) {
	if !kept && p.dropped != nil {
		p.dropped()
	}
}
