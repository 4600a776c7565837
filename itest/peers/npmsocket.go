package peers

import (
	"context"
	"encoding/base64"
	"fmt"
)

// A SocketAddress is where a socket of the npm package is.
type SocketAddress struct {
	Address string
	Family  string
	Port    int
}

// A SocketEvent is what a socket of the npm package reported: a datagram, "listening" or
// "close".
type SocketEvent struct {
	Name  string
	Bytes []byte        // of a datagram
	From  SocketAddress // its rinfo
}

// IsDatagram matches datagrams.
func IsDatagram(e SocketEvent) bool { return e.Name == "datagram" }

// An NPMSocket is a PeerRelay.Socket of the npm package in a Driver. Its peer has a port,
// without which the package cannot close it. It ends with the driver.
type NPMSocket struct {
	driver *Driver
	name   string
	events *Log[SocketEvent]

	// Address is where the socket was at its start, with a random port.
	Address SocketAddress

	// URL is the ws:// URL of its peer.
	URL string
}

// Socket starts a socket. Names are unique in a driver.
func (d *Driver) Socket(ctx context.Context, name string, bootstrap ...string) (*NPMSocket, error) {
	s := &NPMSocket{driver: d, name: name, events: NewLog[SocketEvent]("npm socket " + name)}
	d.listen("socket", name, s.event, s.events.End)
	var result struct {
		SocketAddress
		URL string
	}
	if err := s.call(ctx, "socket", map[string]any{"bootstrap": bootstrap}, &result); err != nil {
		return nil, err
	}
	s.Address, s.URL = result.SocketAddress, result.URL
	return s, nil
}

func (s *NPMSocket) event(e driverEvent) {
	ev := SocketEvent{Name: e.Event, From: SocketAddress{e.Address, e.Family, e.Port}}
	if e.Base64 != nil {
		var err error
		if ev.Bytes, err = base64.StdEncoding.DecodeString(*e.Base64); err != nil {
			s.events.End(fmt.Errorf("itest: datagram of npm socket %s: %w", s.name, err))
			return
		}
	}
	s.events.Add(ev)
}

// Events is everything that the socket reported so far.
func (s *NPMSocket) Events() *Log[SocketEvent] { return s.events }

// Bind binds the socket and returns when it listens, with its address then. It awaits the
// first link.
func (s *NPMSocket) Bind(ctx context.Context, port int) (SocketAddress, error) {
	var a SocketAddress
	err := s.call(ctx, "socketBind", map[string]any{"port": port}, &a)
	return a, err
}

// Send sends the bytes from offset to end. The package calls the end a length.
func (s *NPMSocket) Send(ctx context.Context, data []byte, offset, end, port int, address string) error {
	return s.call(ctx, "socketSend", map[string]any{
		"base64": base64.StdEncoding.EncodeToString(data), "offset": offset, "length": end, "port": port, "address": address,
	}, nil)
}

// Close closes the socket as the package does.
func (s *NPMSocket) Close(ctx context.Context) error { return s.call(ctx, "socketClose", nil, nil) }

// An NPMDHT is a bittorrent-dht over an NPMSocket.
type NPMDHT struct {
	socket *NPMSocket

	// Nodes is how many others it knew when it was ready.
	Nodes int
}

// DHT runs a DHT over the socket, bound to port, and returns when it is ready.
func (s *NPMSocket) DHT(ctx context.Context, port int, nodes []SocketAddress) (*NPMDHT, error) {
	type node struct {
		Host string `json:"host"`
		Port int    `json:"port"`
	}
	list := []node{}
	for _, n := range nodes {
		list = append(list, node{n.Address, n.Port})
	}
	d := &NPMDHT{socket: s}
	var result struct{ Nodes int }
	err := s.call(ctx, "dht", map[string]any{"port": port, "nodes": list}, &result)
	d.Nodes = result.Nodes
	return d, err
}

// Put stores a value, and returns its key and the number of other nodes that store it.
func (d *NPMDHT) Put(ctx context.Context, text string) (hash string, nodes int, err error) {
	var result struct {
		Hash  string
		Nodes int
	}
	err = d.socket.call(ctx, "dhtPut", map[string]any{"text": text}, &result)
	return result.Hash, result.Nodes, err
}

// A DHTValue is the result of Get.
type DHTValue struct {
	Text *string // nil means not found
	Held bool    // the node had it itself, and asked no other node
}

// Get looks for a value.
func (d *NPMDHT) Get(ctx context.Context, hash string) (DHTValue, error) {
	var v DHTValue
	err := d.socket.call(ctx, "dhtGet", map[string]any{"hash": hash}, &v)
	return v, err
}

// Close closes the DHT and its socket, as the package does.
func (d *NPMDHT) Close(ctx context.Context) error { return d.socket.call(ctx, "dhtClose", nil, nil) }

func (s *NPMSocket) call(ctx context.Context, op string, args map[string]any, result any) error {
	all := map[string]any{"socket": s.name}
	for k, v := range args {
		all[k] = v
	}
	if err := s.driver.call(ctx, op, all, result); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return nil
}
