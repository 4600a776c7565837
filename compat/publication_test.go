package compat_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/peer-relay/peer-relay/compat"
)

// The tests here follow the README of npm peer-relay@0.0.2, sentence by sentence.

func TestPublicationOfPeerRelay(t *testing.T) {
	// peer = new PeerRelay([opts])
	// Creates a new peer that becomes apart of the relay network
	//  * port - The port for the web socket server to listen on
	first, err := compat.New(listening())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	joined := make(chan compat.ID, 100)
	first.OnPeer(func(id compat.ID) { joined <- id })

	//  * bootstrap - an array of web socket urls to peers already connected to the network
	//  * wrtc - custom webrtc implementation
	bootstrap := []string{first.URL()}
	peers := make(map[*compat.PeerRelay]chan compat.ID)
	newPeer := func(o compat.Options) *compat.PeerRelay {
		o.Bootstraps, o.NoWebRTC = bootstrap, true
		p, err := compat.New(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })

		// peer.on('peer', function (id) {})
		// Fired when a peer has been directly connected to
		linked := make(chan compat.ID, 100)
		peers[p] = linked
		p.OnPeer(func(id compat.ID) { linked <- id })
		return p
	}
	a, b := newPeer(listening()), newPeer(listening())
	for _, p := range []*compat.PeerRelay{a, b} {
		awaitValue(t, "the bootstrap's peer event", peers[p], first.ID())
	}
	// A message is lost that comes to a relay before the receiver's link does.
	await(t, "the bootstrap's first peer event", joined)
	await(t, "the bootstrap's second peer event", joined)

	// peer.id
	// The peer's id. `id` is 160 bit Buffer.
	if len(a.ID()) != 160/8 || a.ID() == b.ID() {
		t.Errorf("ids %v and %v", a.ID(), b.ID())
	}

	// peer.send(id, data)
	// Send `data` to the peer with and id equal to `id`. The peer does not have to be directly
	// connected to because it will be relayed through other peers.
	//
	// peer.on('message', function (data, from) {})
	// Fired when a message addressed to the peer was received. `from` is the Buffer id of the
	// peer that sent the message.
	type message struct {
		data any
		from compat.ID
	}
	got := make(chan message, 1)
	b.OnMessage(func(data any, from compat.ID) { got <- message{data, from} })
	if err := a.Send(b.ID(), "hello"); err != nil {
		t.Error(err)
	}
	awaitValue(t, "message", got, message{"hello", a.ID()})

	// peer.connect(id)
	// Forms a direct connection with the given peer. `id` is the id of the peer to connect to
	a.Connect(b.ID())
	awaitValue(t, "a's peer event", peers[a], b.ID())
	awaitValue(t, "b's peer event", peers[b], a.ID())

	// peer.disconnect(id)
	// Disconnect the a currently connected peer with `id`.
	gone := make(chan compat.ID, 100)
	a.OnDisconnect(func(id compat.ID) { gone <- id })
	a.Disconnect(b.ID())
	awaitValue(t, "disconnect", gone, b.ID())

	// peer.destroy([cb])
	// Destroy the peer and free it's resources. An optional callback can be specified and will
	// be called when all the resources are freed.
	freed := make(chan struct{})
	b.Destroy(func() { close(freed) })
	await(t, "destroy's callback", freed)
	a.Destroy()
}

func TestPublicationOfSocket(t *testing.T) {
	relay := newPeer(t, listening())
	joined := make(chan compat.ID, 100)
	relay.OnPeer(func(id compat.ID) { joined <- id })

	// var socket = new PeerRelay.Socket([opts])
	// Creates a new dgram like socket that uses peer-relay to send messages between peers. This
	// method accepts the same arguments as the PeerRelay constructor.
	newSocket := func() *compat.Socket {
		s, err := compat.NewSocket(joining(relay.URL()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Peer().Close() })
		return s
	}
	server, client := newSocket(), newSocket()
	// A datagram is lost that comes to a relay before the receiver's link does.
	await(t, "the relay's first peer event", joined)
	await(t, "the relay's second peer event", joined)

	// The returned object tries to match the interface provided by dgram's Socket. The
	// following is the example of dgram's documentation.
	//
	// server.on('error', (err) => { console.error(`server error:\n${err.stack}`);
	// server.close() })
	server.OnError(func(err error) {
		t.Errorf("server error: %v", err)
		server.Close()
	})

	// server.on('message', (msg, rinfo) => {
	//   console.log(`server got: ${msg} from ${rinfo.address}:${rinfo.port}`) })
	type datagram struct {
		text    string
		address compat.SocketAddress
	}
	atServer, atClient := make(chan datagram, 1), make(chan datagram, 1)
	server.OnMessage(func(msg []byte, rinfo compat.RemoteInfo) {
		atServer <- datagram{string(msg), rinfo.SocketAddress}
		if err := server.Send(bytes.ToUpper(msg), 0, len(msg), rinfo.Port, rinfo.Address); err != nil {
			t.Error(err)
		}
	})
	client.OnMessage(func(msg []byte, rinfo compat.RemoteInfo) {
		atClient <- datagram{string(msg), rinfo.SocketAddress}
	})

	// server.on('listening', () => {
	//   const address = server.address()
	//   console.log(`server listening ${address.address}:${address.port}`) })
	listening := make(chan compat.SocketAddress, 1)
	server.OnListening(func() { listening <- server.Address() })

	// server.bind(41234)
	if err := server.Bind(41234); err != nil {
		t.Fatal(err)
	}
	awaitValue(t, "listening", listening,
		compat.SocketAddress{Address: server.Peer().ID().String(), Family: "peer-relay", Port: 41234})

	// client.bind(cb)
	bound := make(chan struct{})
	if err := client.Bind(0, func() { close(bound) }); err != nil {
		t.Fatal(err)
	}
	await(t, "bind's callback", bound)
	if port := client.Address().Port; port == 0 {
		t.Error("bound to port 0")
	}

	// const message = Buffer.from('Some bytes')
	// client.send(message, 41234, 'localhost', (err) => { client.close() })
	message := []byte("Some bytes")
	sent := make(chan error, 1)
	exchange := func(text string, err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
		awaitValue(t, "datagram of the client", atServer, datagram{text, client.Address()})
		awaitValue(t, "answer of the server", atClient, datagram{strings.ToUpper(text), server.Address()})
	}
	id := server.Address().Address
	exchange("Some bytes", client.SendTo(message, 41234, "localhost", func(err error) { sent <- err }))
	awaitValue(t, "send's callback", sent, nil)
	exchange("Some bytes", client.SendTo(message, 41234, id))

	// client.send([buf1, buf2], 41234, (err) => { client.close() })
	exchange("Some more", client.SendList([][]byte{[]byte("Some "), []byte("more")}, 41234, ""))

	// socket.send(msg, offset, length, port, address, callback)
	exchange("bytes", client.Send(message, 5, 5, 41234, id, func(err error) { sent <- err }))
	awaitValue(t, "send's callback", sent, nil)

	// socket.peer references the underlying PeerRelay instance.
	if client.Peer().ID().String() != client.Address().Address {
		t.Errorf("the peer has id %v, the socket address %v", client.Peer().ID(), client.Address())
	}

	// dgram: socket.setTTL(ttl)
	if err := client.SetTTL(64); err == nil {
		t.Error("SetTTL succeeded")
	}

	// dgram: socket.close([callback])
	// Close the underlying socket and stop listening for data on it. If a callback is provided,
	// it is added as a listener for the 'close' event.
	closed := make(chan string, 2)
	client.OnClose(func() { closed <- "event" })
	if err := client.Close(func() { closed <- "callback" }); err != nil {
		t.Error(err)
	}
	awaitValue(t, "close", closed, "event")
	awaitValue(t, "close", closed, "callback")
	server.OnClose(func() { closed <- "by its peer" })
	server.Peer().Destroy()
	awaitValue(t, "close", closed, "by its peer")
}

// awaitValue waits until a channel sends a value, and skips others.
func awaitValue[T comparable](t *testing.T, what string, c <-chan T, want T) {
	t.Helper()
	for got := await(t, what, c); got != want; got = await(t, what, c) {
		t.Logf("%s: %v, not %v", what, got, want)
	}
}
