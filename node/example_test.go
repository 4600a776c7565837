package node_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/packet"
)

// ExampleAttach makes the program's own host a peer. With identify the two peers find each
// other when their hosts are connected.
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

// ExampleNode_DialStream serves HTTP between two nodes that do not listen. The relay between
// them cannot read it.
func ExampleNode_DialStream() {
	relay, err := node.New(node.Options{Listen: true, ListenHost: "127.0.0.1"})
	if err != nil {
		log.Fatal(err)
	}
	defer relay.Close()
	var nodes [2]*node.Node
	for i := range nodes {
		if nodes[i], err = node.New(node.Options{Bootstraps: []string{relay.Addrs()[0].String()}}); err != nil {
			log.Fatal(err)
		}
		defer nodes[i].Close()
	}
	client, server := nodes[0], nodes[1]

	streams, err := server.ListenStream(80)
	if err != nil {
		log.Fatal(err)
	}
	web := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		addr, err := packet.ParseAddr(r.RemoteAddr) // the id in it is proved
		fmt.Fprint(w, err == nil && addr.ID == client.ID())
	})}
	defer web.Close()
	go web.Serve(streams) // until Close

	browser := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		id, err := protocol.ParseID(host)
		if err != nil {
			return nil, err
		}
		return client.DialStream(ctx, id, 80)
	}}}
	defer browser.CloseIdleConnections()
	page, err := browser.Get("http://" + server.ID().String() + "/")
	if err != nil {
		log.Fatal(err)
	}
	defer page.Body.Close()
	text, err := io.ReadAll(page.Body)
	fmt.Println(string(text), err)
	// Output:
	// true <nil>
}
