// run:
// want: ^hello, [0-9a-f]{40}$

// Command stream opens a connection from one node to another by way of a relay, which
// cannot read it.
//
//	go run ./examples/stream                serves and reads, by a relay of its own
//	go run ./examples/stream MULTIADDR      serves
//	go run ./examples/stream MULTIADDR ID   reads what the node ID serves
//
// A MULTIADDR is a peer of the network to join, as a relay prints it: it ends in /p2p/….
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/node/stream"
	"github.com/peer-relay/peer-relay/protocol"
)

// service is the number under which the server listens, as on a TCP port.
const service = 7

func main() {
	switch args := os.Args[1:]; len(args) {
	case 0:
		relay := start(node.Options{Listen: true, ListenHost: "127.0.0.1"})
		defer relay.Close()
		bootstraps := []string{relay.Addrs()[0].String()}
		server := start(node.Options{Bootstraps: bootstraps})
		defer server.Close()
		client := start(node.Options{Bootstraps: bootstraps})
		defer client.Close()
		go serve(listen(server)) // ends with the listener
		read(client, server.ID())
	case 1:
		server := start(node.Options{Bootstraps: args})
		defer server.Close()
		fmt.Println("my id is", server.ID())
		serve(listen(server))
	default:
		client := start(node.Options{Bootstraps: args[:1]})
		defer client.Close()
		id, err := protocol.ParseID(args[1])
		if err != nil {
			log.Fatal(err)
		}
		read(client, id)
	}
}

func start(o node.Options) *node.Node {
	n, err := node.New(o)
	if err != nil {
		log.Fatal(err)
	}
	return n
}

func listen(n *node.Node) *stream.Listener {
	l, err := n.ListenStream(service)
	if err != nil {
		log.Fatal(err)
	}
	return l
}

// serve greets each node that opens a stream. Its id is proved.
func serve(l *stream.Listener) {
	for {
		c, err := l.AcceptStream()
		if err != nil {
			return
		}
		fmt.Fprintf(c, "hello, %v\n", c.RemoteID())
		c.Close()
	}
}

// read prints what the node with this id serves.
func read(n *node.Node, id protocol.ID) {
	c, err := n.DialStream(context.Background(), id, service)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if _, err := io.Copy(os.Stdout, c); err != nil {
		log.Fatal(err)
	}
}
