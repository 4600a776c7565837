// run:
// want: ^pong from [0-9a-f]{40}:6881$

// Command socket sends datagrams from one peer to another, with the interface of Node's
// dgram. Either end may be a PeerRelay.Socket of the npm package.
//
//	go run ./examples/socket [BOOTSTRAP…]
//
// A BOOTSTRAP is a peer of the network to join, such as ws://localhost:8001. Without one
// the program starts a relay of its own.
package main

import (
	"fmt"
	"log"
	"os"
	"time"

	"github.com/peer-relay/peer-relay/compat"
)

func main() {
	bootstraps := os.Args[1:]
	if len(bootstraps) == 0 {
		var o compat.Options
		o.Listen, o.ListenHost = true, "127.0.0.1"
		relay, err := compat.New(o)
		if err != nil {
			log.Fatal(err)
		}
		defer relay.Close()
		bootstraps = []string{relay.URL()}
	}

	server := open(bootstraps)
	defer server.Peer().Close() // waits until all is freed, unlike server.Close
	server.OnMessage(func(msg []byte, rinfo compat.RemoteInfo) {
		fmt.Printf("%s from %s:%d\n", msg, rinfo.Address, rinfo.Port)
		if err := server.SendTo([]byte("pong"), rinfo.Port, rinfo.Address); err != nil {
			log.Print(err)
		}
	})
	if err := server.Bind(6881, func() { fmt.Println("listening on", server.Address().Address) }); err != nil {
		log.Fatal(err)
	}

	client := open(bootstraps)
	defer client.Peer().Close()
	answer := make(chan string, 1)
	client.OnMessage(func(msg []byte, rinfo compat.RemoteInfo) {
		select {
		case answer <- fmt.Sprintf("%s from %s:%d", msg, rinfo.Address, rinfo.Port):
		default: // a second answer
		}
	})
	for {
		if err := client.SendTo([]byte("ping"), 6881, server.Address().Address); err != nil {
			log.Fatal(err)
		}
		select {
		case text := <-answer:
			fmt.Println(text)
			return
		case <-time.After(time.Second): // a datagram can be lost: send it again
		}
	}
}

func open(bootstraps []string) *compat.Socket {
	var o compat.Options
	o.Bootstraps = bootstraps
	s, err := compat.NewSocket(o)
	if err != nil {
		log.Fatal(err)
	}
	return s
}
