// run:
// want: ^[0-9a-f]{40} \(proved: true\) says "hello"$

// Command attach makes a peer of a libp2p host that the program has already.
//
//	go run ./examples/attach [MULTIADDR…]
//
// A MULTIADDR is a peer of the network to join, as a relay prints it: it ends in /p2p/….
// Without one the program starts a relay of its own.
package main

import (
	"fmt"
	"log"
	"os"
	"time"

	"github.com/libp2p/go-libp2p"

	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
)

func main() {
	bootstraps := os.Args[1:]
	if len(bootstraps) == 0 {
		relay, err := node.New(node.Options{Listen: true, ListenHost: "127.0.0.1"})
		if err != nil {
			log.Fatal(err)
		}
		defer relay.Close()
		bootstraps = []string{relay.Addrs()[0].String()}
	}

	host, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		log.Fatal(err)
	}
	defer host.Close()
	messages := make(chan protocol.Message, 1)
	attached, err := node.Attach(host, node.Options{
		Bootstraps: bootstraps,
		OnMessage: func(m protocol.Message) {
			select {
			case messages <- m:
			default: // a second copy
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer attached.Close() // leaves the host open

	// Another peer, on a host that New makes. It signs, so that the receiver knows it
	// behind the relay too.
	other, err := node.New(node.Options{Bootstraps: bootstraps, SignMessages: true})
	if err != nil {
		log.Fatal(err)
	}
	defer other.Close()
	for {
		if err := other.Send(attached.ID(), []byte("hello")); err != nil {
			log.Fatal(err)
		}
		select {
		case m := <-messages:
			fmt.Printf("%v (proved: %v) says %q\n", m.From, m.Proved, m.Payload)
			return
		case <-time.After(time.Second): // lost: send it again
		}
	}
}
