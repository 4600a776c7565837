package node_test

import (
	"context"
	"fmt"
	"log"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
)

// A host that a program has already becomes a peer. Identify tells the two of each
// other as soon as the hosts are connected.
func ExampleAttach() {
	relay, err := node.New(node.Options{Listen: true, ListenHost: "127.0.0.1"})
	if err != nil {
		log.Fatal(err)
	}
	defer relay.Close()
	host, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		log.Fatal(err)
	}
	defer host.Close()

	linked, answer := make(chan protocol.ID, 1), make(chan protocol.Message, 1)
	n, err := node.Attach(host, node.Options{
		OnPeer:    func(i protocol.LinkInfo) { linked <- i.ID },
		OnMessage: func(m protocol.Message) { answer <- m },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	if err := host.Connect(context.Background(), peer.AddrInfo{ID: relay.Host().ID(), Addrs: relay.Host().Addrs()}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-linked == relay.ID())
	relay.Send(n.ID(), []byte("hello"))
	m := <-answer
	fmt.Printf("%s %v\n", m.Payload, m.Proved)
	// Output:
	// true
	// hello true
}
