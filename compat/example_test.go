package compat_test

import (
	"fmt"
	"log"

	"github.com/peer-relay/peer-relay/compat"
)

// Two peers, as two programs would be: one with a port, one that knows its URL.
func Example() {
	relay, err := compat.New(compat.Options{Port: compat.Port(0), Host: "127.0.0.1"})
	if err != nil {
		log.Fatal(err)
	}
	defer relay.Close()
	peer, err := compat.New(compat.Options{Bootstrap: []string{relay.URL()}})
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

// A datagram there and one back, as with Node's dgram.
func ExampleSocket() {
	server, err := compat.NewSocket(compat.Options{Port: compat.Port(0), Host: "127.0.0.1"})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Peer().Close() // waits until all is freed, unlike server.Close
	client, err := compat.NewSocket(compat.Options{Bootstrap: []string{server.Peer().URL()}})
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
