package compat_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"

	"github.com/libp2p/go-libp2p"

	"github.com/peer-relay/peer-relay/compat"
)

// Example links two peers, as two programs would: one with a port, one that knows its URL.
func Example() {
	var o compat.Options
	o.Listen, o.ListenHost = true, "127.0.0.1" // on any free port; set o.Port to choose one
	relay, err := compat.New(o)
	if err != nil {
		log.Fatal(err)
	}
	defer relay.Close()
	o = compat.Options{}
	o.Bootstraps = []string{relay.URL()}
	peer, err := compat.New(o)
	if err != nil {
		log.Fatal(err)
	}
	defer peer.Close()

	relay.OnMessage(func(data any, from compat.ID) {
		relay.Send(from, fmt.Sprint("you said ", data))
	})
	answer := make(chan any, 1)
	peer.OnMessage(func(data any, from compat.ID) { answer <- data })
	peer.Send(relay.ID(), "hello") // it waits for the first link
	fmt.Println(<-answer)
	// Output: you said hello
}

// ExampleSocket sends a datagram and answers it, as with Node's dgram.
func ExampleSocket() {
	var o compat.Options
	o.Listen, o.ListenHost = true, "127.0.0.1"
	server, err := compat.NewSocket(o)
	if err != nil {
		log.Fatal(err)
	}
	defer server.Peer().Close() // waits until all is freed, unlike server.Close
	o = compat.Options{}
	o.Bootstraps = []string{server.Peer().URL()}
	client, err := compat.NewSocket(o)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Peer().Close()

	server.OnMessage(func(msg []byte, rinfo compat.RemoteInfo) {
		fmt.Printf("%s from a port %d\n", msg, rinfo.Port)
		server.SendTo([]byte("pong"), rinfo.Port, rinfo.Address)
	})
	answer := make(chan string, 1)
	client.OnMessage(func(msg []byte, rinfo compat.RemoteInfo) { answer <- string(msg) })
	client.Bind(6881)
	client.SendTo([]byte("ping"), server.Address().Port, server.Address().Address)
	fmt.Println(<-answer)
	// Output:
	// ping from a port 6881
	// pong
}

// ExamplePeerRelay_Receive receives in a loop instead of in a handler.
func ExamplePeerRelay_Receive() {
	p, err := compat.New(compat.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()

	p.Send(p.ID(), "to itself")
	m, err := p.Receive(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Data)
	// Output: to itself
}

// ExampleAttach serves the peers of the npm package with the program's own libp2p host and HTTP
// server.
func ExampleAttach() {
	h, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		log.Fatal(err)
	}
	defer h.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	var o compat.Options
	o.URLs = []string{"ws://" + l.Addr().String() + "/peers"} // the URLs that other peers dial
	relay, err := compat.Attach(h, o)
	if err != nil {
		log.Fatal(err)
	}
	defer relay.Close()
	mux := http.NewServeMux()
	mux.Handle("/peers", relay.Handler())
	server := &http.Server{Handler: mux}
	go server.Serve(l)
	defer server.Close()

	got := make(chan any, 1)
	relay.OnMessage(func(data any, _ compat.ID) { got <- data })

	o = compat.Options{}
	o.Bootstraps = []string{relay.URL()} // like new PeerRelay({bootstrap: [url]})
	peer, err := compat.New(o)
	if err != nil {
		log.Fatal(err)
	}
	defer peer.Close()
	peer.Send(relay.ID(), "hello")
	fmt.Println(<-got)
	// Output: hello
}
