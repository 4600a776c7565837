package compat

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/node/dht"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// Options are the publication's, and what a Go program may want besides. The zero
// value is a peer without a port that knows nobody.
type Options struct {
	// Port is the TCP port to listen on, and the UDP port: nil for none, as a page in a
	// browser has none, 0 for any that is free in both. Port(8001) gives the pointer.
	Port *int

	// Bootstrap are peers of the network to join: ws:// and wss:// URLs, and
	// multiaddrs that end in /p2p/…. All are dialled, each until it answers.
	Bootstrap []string

	// Host is the IP address or "localhost" to listen on, "" for every address of
	// the machine, as in JS.
	Host string

	// Announce are the URLs or multiaddrs that others are told in place of the
	// peer's own, behind a reverse proxy.
	Announce []string

	// KeyFile keeps the identity, and so the id, from one run to the next. The file
	// is made if it is missing. Without it every run has a new id, as in JS.
	KeyFile string

	// WRTC says how links are made by WebRTC, to pages in browsers and to other peers
	// that have no port. Its zero value makes them; WRTC.Off does not.
	WRTC WebRTCOptions

	// NoWebRTCDirect does without libp2p's webrtc-direct, by which pages on js-libp2p come
	// in over UDP; QUIC adds its quic-v1. See node.Options.
	NoWebRTCDirect bool
	QUIC           bool

	// DHT puts a kad-dht on the peer's libp2p host, which Connect asks for ids beside
	// the overlay. Nil: there is none.
	DHT *dht.Options

	// Sign signs every message, so that peers that understand it know it to be
	// this peer's. JS peers ignore signatures.
	Sign bool

	// ShowPeers lets the status page tell the ids of linked peers.
	ShowPeers bool

	// Version is what the status page and other peers are told.
	Version string

	// Logger hears of links, dials and drops at debug level. Nil: nobody does.
	Logger *slog.Logger
}

// ID is a peer's address: 160 bits.
type ID = protocol.ID

// Port gives a pointer to a port number, for Options.
func Port(n int) *int { return &n }

// Undefined is the value of a message that was sent without one: JavaScript's
// undefined, which JSON leaves out. Null is nil.
var Undefined = undefined{}

type undefined struct{}

func (undefined) String() string { return "undefined" }

// A PeerRelay is a peer with the npm package's API. All its methods may be called
// from any goroutine, and from its own handlers.
type PeerRelay struct {
	node   *node.Node
	wrtc   *WebRTC // nil: there is none
	socket *Socket // whose peer this is; nil: nobody's

	calls   calls
	message listeners[*incoming]
	peer    listeners[protocol.ID]
	down    listeners[protocol.ID]
	err     listeners[error]

	destroy sync.Once
	ending  atomic.Bool   // Destroy was called
	done    chan struct{} // closed when all is freed
	doneErr error
}

// A Message is what OnReceive hears.
type Message struct {
	From   protocol.ID
	Data   any             // see OnMessage
	JSON   json.RawMessage // the same as its sender wrote it; nil for Undefined
	Proved bool            // From has been proved to be who sent it
	Path   []protocol.ID   // the peers it went through, its origin first; a hint
}

// optionError makes an error one that matches node.ErrOptions.
type optionError struct{ error }

func (e optionError) Unwrap() error        { return e.error }
func (e optionError) Is(target error) bool { return target == node.ErrOptions }

// New starts a peer. The error says what is wrong with the options, and matches
// node.ErrOptions, or that a port is in use, which matches syscall.EADDRINUSE.
func New(o Options) (*PeerRelay, error) {
	p := newPeerRelay()
	if err := p.start(o); err != nil {
		return nil, err
	}
	return p, nil
}

func newPeerRelay() *PeerRelay {
	p := &PeerRelay{done: make(chan struct{})}
	p.message.size = func(i *incoming) int { return len(i.m.Payload) + len(i.m.Extra) }
	p.message.calls, p.peer.calls, p.down.calls, p.err.calls = &p.calls, &p.calls, &p.calls, &p.calls
	return p
}

func (p *PeerRelay) start(o Options) error {
	no := node.Options{
		ListenHost: o.Host, Announce: o.Announce, Bootstraps: o.Bootstrap, KeyFile: o.KeyFile, SignMessages: o.Sign,
		ShowPeers: o.ShowPeers, Version: o.Version, Logger: o.Logger, NoWebRTCDirect: o.NoWebRTCDirect, QUIC: o.QUIC, DHT: o.DHT,
		OnMessage:  p.onMessage,
		OnPeer:     func(i protocol.LinkInfo) { p.onPeer(i.ID) },
		OnPeerDown: func(id protocol.ID, _ error) { p.down.emit(id) },
		OnDialError: func(c protocol.Contact, err error) {
			p.onError(fmt.Errorf("peer-relay: bootstrap %s does not answer, trying again: %w", c.URL, err))
		},
	}
	if o.Port != nil {
		if *o.Port < 0 || *o.Port > math.MaxUint16 {
			return optionError{fmt.Errorf("peer-relay: port %d: want 0 to %d", *o.Port, math.MaxUint16)}
		}
		no.Listen, no.Port = true, uint16(*o.Port)
	}
	// A dial may ask while the node is being made. It must not wait: should that fail, the
	// node's end waits for the dial.
	var made atomic.Pointer[node.Node]
	mayDial := func(addr netip.Addr) bool {
		n := made.Load()
		return n != nil && n.MayDial(addr)
	}
	if !o.WRTC.Off {
		if err := o.WRTC.check(); err != nil {
			return optionError{err}
		}
		if o.WRTC.Logger == nil {
			o.WRTC.Logger = o.Logger
		}
		if o.WRTC.MayDial == nil {
			o.WRTC.MayDial = mayDial
		}
		var err error
		if p.wrtc, err = NewWebRTC(o.WRTC); err != nil {
			return err
		}
		no.WebRTC = p.wrtc
	}
	no.Legacy = legacy{&WebSocket{MayDial: mayDial}}
	n, err := node.New(no)
	if err != nil {
		if p.wrtc != nil {
			p.wrtc.Close()
		}
		return err
	}
	p.node = n
	made.Store(n)
	return nil
}

// legacy is the transport as package node takes it.
type legacy struct{ *WebSocket }

func (l legacy) AcceptText(ctx context.Context, r *protocol.Router, c *node.TextConn) {
	l.WebSocket.AcceptText(ctx, r, c, c.First()) // the router logs why the link ended
}

// ID gives the peer's id: 160 bits.
func (p *PeerRelay) ID() protocol.ID { return p.node.ID() }

// Node gives the node on which the peer runs.
func (p *PeerRelay) Node() *node.Node { return p.node }

// URL gives the ws:// URL of the peer's port on this machine, "" if it has none.
func (p *PeerRelay) URL() string {
	port := p.node.Port()
	if port == 0 {
		return ""
	}
	if urls := p.node.URLs(); len(urls) > 0 {
		return urls[0]
	}
	return "ws://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))
}

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

func encodeData(data any) (wire.Form, []byte, error) {
	switch data := data.(type) {
	case []byte:
		return wire.FormRaw, data, nil
	case undefined:
		return wire.FormNone, nil, nil
	case json.RawMessage:
		return canonical(data)
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(data); err != nil {
		return 0, nil, err
	}
	return canonical(text.Bytes())
}

// canonical makes JSON text the fixed point of JSON.stringify(JSON.parse(text)), so
// that it crosses JS relays unchanged and a signature over it stays good. The exact
// form of a Buffer is one.
func canonical(text []byte) (wire.Form, []byte, error) {
	out, err := rawjson.Canonical(nil, text)
	if err != nil {
		return 0, nil, err
	}
	if raw, ok := rawjson.DecodeBuffer(nil, out); ok {
		return wire.FormRaw, raw, nil
	}
	return wire.FormJSON, out, nil
}

// Destroy ends the peer and frees what it holds. It does not wait; each callback
// that is given is called when all is freed, however often Destroy was called.
func (p *PeerRelay) Destroy(cb ...func()) {
	p.end()
	for _, f := range cb {
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
		p.ending.Store(true)
		if p.socket != nil {
			p.socket.leave()
		}
		go func() { // ends when the node has closed; Close waits for it
			p.doneErr = p.node.Close()
			if p.wrtc != nil {
				p.wrtc.Close()
			}
			p.calls.tasks.Wait()
			if p.socket != nil {
				p.socket.closed.emit(struct{}{})
			}
			close(p.done)
		}()
	})
	return first
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
// Listeners are called one at a time. What happens before the first one of a kind is
// added is kept for it, up to 1,024 events, and of messages up to 1 MiB.
func (p *PeerRelay) OnMessage(f func(data any, from protocol.ID)) {
	p.OnReceive(func(m Message) { f(m.Data, m.From) })
}

// OnReceive adds a listener for the same messages that hears all about them.
func (p *PeerRelay) OnReceive(f func(Message)) {
	p.message.add(func(i *incoming) {
		if i.open() {
			f(i.opened)
		}
	})
}

// OnPeer adds a listener for peers that have been directly linked.
func (p *PeerRelay) OnPeer(f func(id protocol.ID)) { p.peer.add(f) }

// OnDisconnect adds a listener for peers whose direct link has ended.
func (p *PeerRelay) OnDisconnect(f func(id protocol.ID)) { p.down.add(f) }

// OnError adds a listener for what went wrong and is tried again: a bootstrap that
// does not answer. What ends a call is that call's own error.
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
	if m.Kind != wire.KindUser {
		return // legacy data of a type that is not the API's: JS ignores it too
	}
	if p.socket != nil {
		p.socket.onMessage(m)
		if !p.message.heard() {
			return // datagrams are kept for the socket's listeners alone
		}
	}
	p.message.emit(&incoming{m: m})
}

// An incoming is a message as it waits for listeners: a value may take forty times the
// room of its text. They hear it one at a time, so nothing guards it.
type incoming struct {
	m      protocol.Message
	done   bool // open was called
	good   bool // and there is something to hear
	opened Message
}

// open decodes the message for its first listener, and reports whether it can be heard.
func (i *incoming) open() bool {
	if i.done {
		return i.good
	}
	i.done = true
	out := Message{From: i.m.From, Proved: i.m.Proved, Path: i.m.Path}
	switch i.m.Form {
	case wire.FormNone:
		out.Data = Undefined
	case wire.FormRaw:
		out.Data, out.JSON = i.m.Payload, rawjson.AppendBuffer(nil, i.m.Payload)
	case wire.FormJSON:
		data, err := decode(i.m.Payload)
		if err != nil {
			return false // a native peer said JSON and sent none
		}
		out.Data, out.JSON = data, i.m.Payload
	default:
		return false
	}
	i.opened, i.good = out, true
	return true
}

// decode reads JSON as JSON.parse does, as far as Go's types can hold it.
func decode(text []byte) (any, error) {
	if !rawjson.Valid(text) {
		return nil, fmt.Errorf("%w: the payload is no JSON", wire.ErrMalformed)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	return floats(v), nil
}

// floats replaces json.Number by float64; what is too large becomes infinite.
func floats(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, _ := strconv.ParseFloat(string(v), 64)
		return f
	case []any:
		for i := range v {
			v[i] = floats(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = floats(v[k])
		}
	}
	return v
}

// Events of one kind that wait for their first listener. What comes then is dropped.
const (
	maxKept      = 1024
	maxKeptBytes = 1 << 20 // that listeners.size counts
)

// calls are the calls of a peer's handlers: one at a time, whatever they hear.
type calls struct {
	now   sync.Mutex     // held while handlers run
	tasks sync.WaitGroup // those that give out what was kept
}

// listeners are the functions that hear one kind of event, in the order in which
// they were added.
type listeners[E any] struct {
	calls *calls
	size  func(E) int // bytes that an event holds; nil: few

	mu    sync.Mutex
	fs    []func(E)
	kept  []E
	bytes int // that kept holds
}

func (l *listeners[E]) add(f func(E)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fs = append(l.fs, f)
	if len(l.kept) > 0 {
		l.calls.tasks.Go(l.drain) // ends when the kept events are given out; Close waits
	}
}

// heard reports whether there is a listener.
func (l *listeners[E]) heard() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.fs) > 0
}

func (l *listeners[E]) emit(e E) {
	size := l.sizeOf(e)
	l.mu.Lock()
	heard := len(l.fs) > 0
	if heard || len(l.kept) < maxKept && l.bytes+size <= maxKeptBytes {
		l.kept = append(l.kept, e)
		l.bytes += size
	}
	l.mu.Unlock()
	if heard {
		l.drain()
	}
}

func (l *listeners[E]) sizeOf(e E) int {
	if l.size == nil {
		return 0
	}
	return l.size(e)
}

func (l *listeners[E]) drain() {
	var none E
	l.calls.now.Lock()
	defer l.calls.now.Unlock()
	for {
		l.mu.Lock()
		if len(l.kept) == 0 {
			l.mu.Unlock()
			return
		}
		e, fs := l.kept[0], l.fs
		l.kept[0] = none // the array may live on
		l.kept = l.kept[1:]
		l.bytes -= l.sizeOf(e)
		l.mu.Unlock()
		for _, f := range fs {
			f(e)
		}
	}
}
