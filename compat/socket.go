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

// A datagram is a user message whose value is, as JS writes it:
//
//	{"buffer":{"type":"Buffer","data":[…]},"address":"<40 hex, the sender>","port":6881}
//
// The port is the sender's. None of the receiver's is sent: every socket has a peer, and
// so an id, of its own.

// MaxDatagram is how many bytes a datagram may have, in both directions: as many as fit in a message,
// whatever they are. It is enough for what is sent over UDP (QUIC's 1,200, DNS's 4,096).
const MaxDatagram = 63_900

// Family is the family of every address of a Socket.
const Family = "peer-relay"

// The ports that are taken at random. JS takes 0 to 9,998; much that takes a port refuses 0.
const (
	firstChancePort = 1
	lastChancePort  = 9998

	// chanceTries is how often a free one is sought before any is taken.
	chanceTries = 100
)

var (
	// ErrNotRunning says that the socket, or its peer, was closed. It wraps net.ErrClosed.
	ErrNotRunning = fmt.Errorf("peer-relay: the socket is not running: %w", net.ErrClosed)

	// ErrBound says that the socket was bound before.
	ErrBound = errors.New("peer-relay: the socket is already bound")

	// ErrNotImplemented says that a call of dgram's has no meaning here. It wraps
	// errors.ErrUnsupported.
	ErrNotImplemented = fmt.Errorf("peer-relay: not implemented: %w", errors.ErrUnsupported)
)

// SocketAddress is where a socket is.
type SocketAddress struct {
	Address string // the peer's id, 40 lower-case hexadecimal digits
	Family  string // Family
	Port    int    // 0 to 65535
}

// RemoteInfo describes a datagram that came: where its sender is, by the id of the envelope
// and the port that the datagram itself claims, and what dgram says besides.
type RemoteInfo struct {
	SocketAddress
	Size   int  // bytes
	Proved bool // Address has been proved to be who sent it
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
	binding           // until there is a peer
	bound
)

// NewSocket starts a peer with a socket on it. It takes what New takes, and says what New
// says. The socket has a random port until Bind.
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

// Peer returns the underlying peer. Its OnMessage hears all messages, the datagrams too;
// those that came before its first listener are not kept, unlike a bare peer's. Its
// Destroy closes the socket.
func (s *Socket) Peer() *PeerRelay { return s.peer }

// Address returns the socket's own address, also when it is closed.
func (s *Socket) Address() SocketAddress {
	s.mu.Lock()
	defer s.mu.Unlock()
	return SocketAddress{Address: s.peer.ID().String(), Family: Family, Port: s.port}
}

// Bind assigns a port to the socket, and listens: the callback and the listening event come
// when the first peer is linked. It does not wait for that.
//
//	socket.bind()             s.Bind(0)
//	socket.bind(cb)           s.Bind(0, cb)
//	socket.bind(port[, cb])   s.Bind(port, cb…)
//
// Port 0 is a random one. Sockets are told apart by their ids, so several may have one
// port; that of "localhost" is the last one's that was bound.
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

// take takes the port that Bind is for.
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

// onPeer takes that a peer has been linked.
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

// Send sends length bytes of buffer, from offset on, to the socket of the peer that
// address names: 40 hexadecimal digits. "localhost" and "127.0.0.1", or "" where dgram
// would have none, mean the socket in this process that has the port. Any other IP address
// is refused.
//
//	socket.send(buffer, offset, length, port, id[, cb])   s.Send(buffer, offset, length, port, id, cb…)
//	socket.send(buffer, offset, length, port)             s.Send(buffer, offset, length, port, "")
//	socket.send(buffer, port, id[, cb])                   s.SendTo(buffer, port, id, cb…)
//	socket.send(buffer, port)                             s.SendTo(buffer, port, "")
//	socket.send(list, port, id[, cb])                     s.SendList(list, port, id, cb…)
//	socket.send(list, port)                               s.SendList(list, port, "")
//
// The error says that the datagram is lost already: it is larger than MaxDatagram, the
// address or a number is wrong, every queue is full, the socket is closed. The callbacks
// get the same before Send returns. Unlike dgram's, an unbound socket is not bound by it.
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
			break // SendTo says so, and nothing need be put together
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

// parseDatagram reads what new Buffer(msg.buffer) and msg.port of JS can be. The
// address in the message means nothing, and is not read.
func parseDatagram(text []byte) (buffer []byte, port int, ok bool) {
	data, number := twoMembers(text, "buffer", "port")
	// A port that came from a command line is a string there.
	n, err := strconv.ParseUint(strings.Trim(string(number), `"`), 10, 16)
	if err != nil {
		return nil, 0, false
	}
	buffer, ok = parseBuffer(data)
	return buffer, int(n), ok
}

// twoMembers returns the values that two keys have in an object, nil for none.
func twoMembers(text []byte, a, b string) (ofA, ofB []byte) {
	members, err := rawjson.AppendMembers(nil, text)
	if err != nil {
		return nil, nil
	}
	for _, m := range members { // of equal keys the last one counts
		switch string(m.Key) {
		case a:
			ofA = m.Value
		case b:
			ofB = m.Value
		}
	}
	return ofA, ofB
}

// parseBuffer reads a Buffer, a string, which stands for its UTF-8, or an array of bytes.
func parseBuffer(text []byte) (buffer []byte, ok bool) {
	if len(text) == 0 {
		return nil, false
	}
	switch text[0] {
	case '{':
		if buffer, ok = rawjson.DecodeBuffer([]byte{}, text); ok {
			return buffer, true
		}
		// Others may write the same object otherwise.
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

// parseBytes reads an array of numbers, of which JS takes the lowest eight bits.
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

// onMessage takes a message that came for the peer. A message that is no datagram
// ends a JS socket; here only the peer's listeners hear it, as one that is too large.
func (s *Socket) onMessage(m protocol.Message) {
	if m.Form != protocol.FormJSON || s.peer.isEnding() {
		return
	}
	buffer, port, ok := parseDatagram(m.Payload)
	if !ok || len(buffer) > MaxDatagram {
		return
	}
	s.message.emit(datagram{buffer, RemoteInfo{
		SocketAddress: SocketAddress{Address: m.From.String(), Family: Family, Port: port},
		Size:          len(buffer),
		Proved:        m.Proved,
	}})
}

// Close closes the socket and its peer. It does not wait: the callbacks, and before them
// the close event, come when all is freed. It works without a port to listen on, too.
// Closing again returns ErrNotRunning; then no callback is called.
func (s *Socket) Close(cb ...func()) error {
	if !s.peer.end() {
		return ErrNotRunning
	}
	s.peer.Destroy(cb...)
	return nil
}

// leave frees the port. The peer is ending, so that there is no Bind after it.
func (s *Socket) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	local.drop(s, s.port)
}

// OnMessage adds a listener for datagrams. The buffer is the listeners' own. Listeners
// are called as a PeerRelay's are, and events before the first one kept as there.
func (s *Socket) OnMessage(f func(buffer []byte, rinfo RemoteInfo)) {
	if f != nil {
		s.message.add(func(d datagram) { f(d.buffer, d.from) })
	}
}

// OnListening adds a listener for what Bind awaits: a peer that is linked.
func (s *Socket) OnListening(f func()) { addPlain(&s.listening, f) }

// OnError adds a listener for the errors of the peer: see PeerRelay.OnError. None of
// them ends the socket.
func (s *Socket) OnError(f func(error)) { s.err.add(f) }

// OnClose adds a listener for the end of the socket: by Close, or by its peer's Destroy
// or Close, which waits for these listeners.
func (s *Socket) OnClose(f func()) { addPlain(&s.closed, f) }

// addPlain adds a listener for an event that has nothing to tell. Nil is none.
func addPlain(l *listeners[struct{}], f func()) {
	if f != nil {
		l.add(func(struct{}) { f() })
	}
}

// localPorts are the sockets that "localhost" means, by port.
type localPorts struct {
	mu      sync.Mutex
	sockets map[int]*Socket
}

// local is of the whole process, as the package's own table is, and as the ports of a
// host are to programs that speak of localhost. A socket is in it from NewSocket to its
// end, once.
var local = localPorts{sockets: make(map[int]*Socket)}

// put assigns a port to a socket; another socket that has it loses it. Port 0 is a free one.
func (l *localPorts) put(s *Socket, port int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for tries := 0; port == 0; tries++ {
		p := firstChancePort + rand.IntN(lastChancePort-firstChancePort+1)
		if _, taken := l.sockets[p]; !taken || tries >= chanceTries {
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

// drop takes a port from a socket, if it still has it.
func (l *localPorts) drop(s *Socket, port int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sockets[port] == s {
		delete(l.sockets, port)
	}
}
