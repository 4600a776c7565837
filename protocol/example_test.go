package protocol_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/packet"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
)

// Three routers in a row. The first and the last have no link to each other, so the one
// between them relays.
func ExampleRouter() {
	arrived := make(chan protocol.Message, 1)
	linked := make(chan protocol.LinkInfo, 2)
	var routers []*protocol.Router
	for i := range 3 {
		options := protocoltest.NewIdentity(uint64(i)).Options()
		options.NoOverlay = true // the links are made below
		options.SignMessages = true
		switch i {
		case 1:
			options.OnPeer = func(i protocol.LinkInfo) { linked <- i }
		case 2:
			options.OnMessage = func(m protocol.Message) { arrived <- m }
		}
		r, err := protocol.NewRouter(options)
		if err != nil {
			fmt.Println(err)
			return
		}
		routers = append(routers, r)
	}
	var serving sync.WaitGroup
	for i := range 2 {
		a, b := routers[i], routers[i+1]
		atA, atB := protocoltest.Infos(a.ID(), b.ID(), 1)
		x, y := protocoltest.Pipe(atA, atB, protocoltest.PipeOptions{})
		// Each Serve ends with its link, and the links end with the routers.
		serving.Go(func() { a.Serve(context.Background(), x) })
		serving.Go(func() { b.Serve(context.Background(), y) })
	}

	<-linked
	<-linked
	if err := routers[0].Send(routers[2].ID(), protocol.FormRaw, []byte("hello")); err != nil {
		fmt.Println(err)
	}
	m := <-arrived
	fmt.Printf("%s, proved: %v, through %d peers\n", m.Payload, m.Proved, len(m.Path))

	for _, r := range routers {
		r.Close()
	}
	serving.Wait()
	// Output:
	// hello, proved: true, through 2 peers
}

// A server on a port of one peer, and a client that is connected to it.
func ExampleRouter_ListenPacket() {
	options := protocoltest.NewIdentity(1).Options()
	r, err := protocol.NewRouter(options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close() // and its sockets
	server, err := r.ListenPacket(7)
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := r.DialPacket(r.ID(), 7) // of this peer, or of any other
	if err != nil {
		fmt.Println(err)
		return
	}
	client.Write([]byte("hello"))
	p := make([]byte, packet.MaxDatagram)
	n, from, err := server.ReadFrom(p)
	fmt.Println(string(p[:n]), err, from == client.LocalAddr())
	server.WriteTo(p[:n], from)
	n, err = client.Read(p)
	fmt.Println(string(p[:n]), err)
	// Output:
	// hello <nil> true
	// hello <nil>
}
