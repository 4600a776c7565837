package compat

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
)

// A datagram is a user message with this value, as JS writes it:
//
//	{"buffer":{"type":"Buffer","data":[…]},"address":"<40 hex, the sender>","port":6881}
//
// The port is the sender's. The receiver's port is not sent: every socket has its own peer, and
// so its own id.

// MaxDatagram is the largest number of bytes in a datagram, in both directions. Any bytes of
// this number fit in a message. It is enough for what is sent over UDP (QUIC's 1,200, DNS's
// 4,096).
const MaxDatagram = 63_900

// Family is the family of every address of a Socket.
const Family = "peer-relay"

// Random ports. JS uses 0 to 9,998, but many programs refuse port 0.
const (
	firstRandomPort = 1
	lastRandomPort  = 9998

	// randomTries is the number of tries to find a free port, before a used one is taken.
	randomTries = 100
)

var (
	// ErrNotRunning means that the socket, or its peer, was closed. It wraps net.ErrClosed.
	ErrNotRunning = fmt.Errorf("peer-relay: the socket is not running: %w", net.ErrClosed)

	// ErrBound means that the socket was already bound.
	ErrBound = errors.New("peer-relay: the socket is already bound")

	// ErrNotImplemented means that a call of dgram has no meaning here. It wraps
	// errors.ErrUnsupported.
	ErrNotImplemented = fmt.Errorf("peer-relay: not implemented: %w", errors.ErrUnsupported)
)

// A SocketAddress is the address of a socket.
type SocketAddress struct {
	Address string // the peer's id, 40 lower-case hexadecimal digits
	Family  string // Family
	Port    int    // 0 to 65535
}

// A RemoteInfo describes a received datagram, with the fields of dgram. The address is the
// sender's id in the envelope. The port is the one that the datagram names, without a proof.
type RemoteInfo struct {
	SocketAddress
	Size   int  // bytes
	Proved bool // Address has been proved to be the sender
}

// A Socket sends datagrams between peers, with the API of the npm package's Socket, which
// is that of Node's dgram. All its methods may be called from any goroutine and from its
// handlers. Neither delivery nor order is guaranteed.
type Socket struct {
	peer *PeerRelay

	message   listeners[datagram]
	listening listeners[struct{}]
	err       listeners[error]
	closed    listeners[struct{}]

	mu    sync.Mutex
	port  int
	state bindState
}

type datagram struct {
	buffer []byte
	from   RemoteInfo
}

type bindState uint8

const (
	unbound bindState = iota
	binding           // until a peer is linked
	bound
)

// NewSocket starts a peer with a socket on it. Its options and errors are those of New. The
// socket has a random port until Bind.
func NewSocket(o Options) (*Socket, error) {
	p := newPeerRelay()
	s := newSocket(p)
	if err := p.start(o, node.New); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.port = local.put(s, 0)
	return s, nil
}

func newSocket(p *PeerRelay) *Socket {
	s := &Socket{peer: p}
	s.message.init(p.calls, func(d datagram) int { return len(d.buffer) })
	s.listening.init(p.calls, nil)
	s.err.init(p.calls, nil)
	s.closed.init(p.calls, nil)
	p.socket = s
	return s
}

// Peer returns the underlying peer. Its OnMessage gets all messages, datagrams included. Unlike
// a peer without a socket, it keeps no messages for its first listener. Its Destroy closes the
// socket.
func (s *Socket) Peer() *PeerRelay { return s.peer }

// Address returns the socket's own address, also after Close.
func (s *Socket) Address() SocketAddress {
	s.mu.Lock()
	defer s.mu.Unlock()
	return SocketAddress{Address: s.peer.ID().String(), Family: Family, Port: s.port}
}

// Bind sets the socket's port, and listens: the callback and the listening event come when the
// first peer is linked. Bind does not wait for that.
//
//	socket.bind()             s.Bind(0)
//	socket.bind(cb)           s.Bind(0, cb)
//	socket.bind(port[, cb])   s.Bind(port, cb…)
//
// Port 0 means a random one. Several sockets may have the same port, since their ids differ.
// The last one that was bound has that port of "localhost".
func (s *Socket) Bind(port int, cb ...func()) error {
	if err := checkPort(port); err != nil {
		return fmt.Errorf("peer-relay: bind: %w", err)
	}
	if err := s.take(port, cb); err != nil {
		return err
	}
	if len(s.peer.node.Router().Peers()) > 0 {
		s.onPeer()
	}
	return nil
}

// take takes the port for Bind.
func (s *Socket) take(port int, cb []func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peer.isEnding() {
		return ErrNotRunning
	}
	if s.state != unbound {
		return ErrBound
	}
	s.state = binding
	local.drop(s, s.port)
	s.port = local.put(s, port)
	for _, f := range cb {
		s.OnListening(f)
	}
	return nil
}

// onPeer emits the listening event if this is the first link of a socket that is being bound.
func (s *Socket) onPeer() {
	s.mu.Lock()
	now := s.state == binding && !s.peer.isEnding()
	if now {
		s.state = bound
	}
	s.mu.Unlock()
	if now {
		s.listening.emitSoon(struct{}{})
	}
}

// Send sends length bytes of buffer, beginning at offset, to the socket of the peer that
// address names: 40 hexadecimal digits. "localhost", "127.0.0.1", and "" for dgram's missing
// address mean the socket in this process that has the port. Any other IP address is refused.
//
//	socket.send(buffer, offset, length, port, id[, cb])   s.Send(buffer, offset, length, port, id, cb…)
//	socket.send(buffer, offset, length, port)             s.Send(buffer, offset, length, port, "")
//	socket.send(buffer, port, id[, cb])                   s.SendTo(buffer, port, id, cb…)
//	socket.send(buffer, port)                             s.SendTo(buffer, port, "")
//	socket.send(list, port, id[, cb])                     s.SendList(list, port, id, cb…)
//	socket.send(list, port)                               s.SendList(list, port, "")
//
// An error means that the datagram is lost already: it is larger than MaxDatagram, the address
// or a number is invalid, every queue is full, or the socket is closed. The callbacks get the
// same error before Send returns. Unlike in dgram, Send does not bind an unbound socket.
func (s *Socket) Send(buffer []byte, offset, length, port int, address string, cb ...func(error)) error {
	if offset < 0 || length < 0 || offset > len(buffer) || length > len(buffer)-offset {
		return called(cb, fmt.Errorf("peer-relay: send: %d bytes from offset %d: there are %d", length, offset, len(buffer)))
	}
	return s.SendTo(buffer[offset:offset+length], port, address, cb...)
}

// SendList sends several pieces as one datagram. See Send.
func (s *Socket) SendList(list [][]byte, port int, address string, cb ...func(error)) error {
	size := 0
	for _, b := range list {
		if size += len(b); size > MaxDatagram {
			break // SendTo refuses it, so the rest need not be copied
		}
	}
	whole := make([]byte, 0, min(size, MaxDatagram+1))
	for _, b := range list {
		whole = append(whole, b[:min(len(b), cap(whole)-len(whole))]...)
	}
	return s.SendTo(whole, port, address, cb...)
}

// SendTo sends a whole buffer. See Send.
func (s *Socket) SendTo(buffer []byte, port int, address string, cb ...func(error)) error {
	return called(cb, s.send(buffer, port, address))
}

func called(cb []func(error), err error) error {
	for _, f := range cb {
		if f != nil {
			f(err)
		}
	}
	return err
}

func (s *Socket) send(buffer []byte, port int, address string) error {
	if s.peer.isEnding() {
		return ErrNotRunning
	}
	if err := checkPort(port); err != nil {
		return fmt.Errorf("peer-relay: send: %w", err)
	}
	if len(buffer) > MaxDatagram {
		return fmt.Errorf("%w: a datagram of %d bytes, at most %d", protocol.ErrTooBig, len(buffer), MaxDatagram)
	}
	id, err := lookUp(port, address)
	if err != nil {
		return err
	}
	text := appendDatagram(nil, buffer, s.peer.ID(), s.Address().Port)
	return s.peer.node.Router().Send(id, protocol.FormJSON, text)
}

// lookUp returns the id that an address means.
func lookUp(port int, address string) (protocol.ID, error) {
	switch address {
	case "", "localhost", "127.0.0.1":
		if s := local.get(port); s != nil {
			return s.peer.ID(), nil
		}
		return protocol.ID{}, fmt.Errorf("peer-relay: send to port %d of this process: no socket has it", port)
	}
	if net.ParseIP(address) != nil {
		return protocol.ID{}, fmt.Errorf("peer-relay: send to %s: want the id of a peer, not an IP address", address)
	}
	return protocol.ParseID(address)
}

func checkPort(port int) error {
	if port < 0 || port > math.MaxUint16 {
		return fmt.Errorf("port %d: want 0 to %d", port, math.MaxUint16)
	}
	return nil
}

// appendDatagram appends a datagram as JSON.stringify writes it.
func appendDatagram(b, buffer []byte, from protocol.ID, port int) []byte {
	b = append(b, `{"buffer":`...)
	b = rawjson.AppendBuffer(b, buffer)
	b = append(b, `,"address":`...)
	b = rawjson.AppendID(b, from)
	b = append(b, `,"port":`...)
	b = strconv.AppendInt(b, int64(port), 10)
	return append(b, '}')
}

// parseDatagram returns what JS reads with new Buffer(msg.buffer) and msg.port. It ignores the
// address in the message, which proves nothing.
func parseDatagram(text []byte) (buffer []byte, port int, ok bool) {
	data, number := twoMembers(text, "buffer", "port")
	// JS sends a port that came from a command line as a string.
	n, err := strconv.ParseUint(strings.Trim(string(number), `"`), 10, 16)
	if err != nil {
		return nil, 0, false
	}
	buffer, ok = parseBuffer(data)
	return buffer, int(n), ok
}

// twoMembers returns the values of two keys in an object, nil for a missing one.
func twoMembers(text []byte, a, b string) (ofA, ofB []byte) {
	members, err := rawjson.AppendMembers(nil, text)
	if err != nil {
		return nil, nil
	}
	for _, m := range members { // the last of equal keys counts
		switch string(m.Key) {
		case a:
			ofA = m.Value
		case b:
			ofB = m.Value
		}
	}
	return ofA, ofB
}

// parseBuffer returns the bytes of a Buffer, of a string in UTF-8, or of an array of bytes.
func parseBuffer(text []byte) (buffer []byte, ok bool) {
	if len(text) == 0 {
		return nil, false
	}
	switch text[0] {
	case '{':
		if buffer, ok = rawjson.DecodeBuffer([]byte{}, text); ok {
			return buffer, true
		}
		// Another sender may write the same object differently.
		kind, data := twoMembers(text, "type", "data")
		if string(kind) != `"Buffer"` {
			return nil, false
		}
		return parseBytes(data)
	case '"':
		var s string
		err := json.Unmarshal(text, &s)
		return []byte(s), err == nil
	}
	return parseBytes(text)
}

// parseBytes returns the bytes of an array of numbers, the lowest eight bits of each as in JS.
func parseBytes(text []byte) (bytes []byte, ok bool) {
	if len(text) == 0 || text[0] != '[' {
		return nil, false
	}
	var numbers []float64
	if err := json.Unmarshal(text, &numbers); err != nil {
		return nil, false
	}
	bytes = make([]byte, len(numbers))
	for i, n := range numbers {
		bytes[i] = byte(int(math.Mod(math.Trunc(n), 1<<8)))
	}
	return bytes, true
}

// onMessage handles a message for the peer. If it is not a datagram, or too large, only the
// peer's listeners get it. A JS socket would end.
func (s *Socket) onMessage(m protocol.Message) {
	if m.Form != protocol.FormJSON || s.peer.isEnding() {
		return
	}
	buffer, port, ok := parseDatagram(m.Payload)
	if !ok || len(buffer) > MaxDatagram {
		return
	}
	s.peer.count(s.message.emit(datagram{buffer, RemoteInfo{
		SocketAddress: SocketAddress{Address: m.From.String(), Family: Family, Port: port},
		Size:          len(buffer),
		Proved:        m.Proved,
	}}))
}

// Close closes the socket and its peer. It does not wait: the close event, and then the
// callbacks, come when all is freed, after the datagrams that were sent. If some of these may be
// lost, an error event comes before, which the peer's Close returns too. Close also works without
// a port to listen on. A second Close returns ErrNotRunning and calls no callback.
func (s *Socket) Close(cb ...func()) error {
	if !s.peer.end() {
		return ErrNotRunning
	}
	s.peer.Destroy(cb...)
	return nil
}

// leave frees the port. The peer is ending, so no Bind follows.
func (s *Socket) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	local.drop(s, s.port)
}

// OnMessage adds a listener for datagrams, which may keep the buffer. Listeners are called as a
// PeerRelay's are, and early events are kept in the same way.
func (s *Socket) OnMessage(f func(buffer []byte, rinfo RemoteInfo)) {
	if f != nil {
		s.message.add(func(d datagram) { f(d.buffer, d.from) })
	}
}

// OnListening adds a listener for the event that follows Bind: a peer is linked.
func (s *Socket) OnListening(f func()) { addPlain(&s.listening, f) }

// OnError adds a listener for the errors of the peer, as PeerRelay.OnError does. None of them
// ends the socket.
func (s *Socket) OnError(f func(error)) { s.err.add(f) }

// OnClose adds a listener for the end of the socket, by its Close or by its peer's Destroy or
// Close. The peer's Close waits for these listeners.
func (s *Socket) OnClose(f func()) { addPlain(&s.closed, f) }

// addPlain adds a listener for an event without a value. A nil f is ignored.
func addPlain(l *listeners[struct{}], f func()) {
	if f != nil {
		l.add(func(struct{}) { f() })
	}
}

// A localPorts holds the sockets that "localhost" means, by port.
type localPorts struct {
	mu      sync.Mutex
	sockets map[int]*Socket
}

// local belongs to the whole process, as the npm package's table does, and as the ports of
// localhost belong to a host. A socket is in it once, from NewSocket to its end.
var local = localPorts{sockets: make(map[int]*Socket)}

// put sets the port of a socket, and returns it. Another socket with that port loses it. Port 0
// means a random one.
func (l *localPorts) put(s *Socket, port int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for tries := 0; port == 0; tries++ {
		p := firstRandomPort + rand.IntN(lastRandomPort-firstRandomPort+1)
		if _, taken := l.sockets[p]; !taken || tries >= randomTries {
			port = p
		}
	}
	l.sockets[port] = s
	return port
}

func (l *localPorts) get(port int) *Socket {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sockets[port]
}

// drop removes a port from a socket, if it still has the port.
func (l *localPorts) drop(s *Socket, port int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sockets[port] == s {
		delete(l.sockets, port)
	}
}
