// run:
// want: ^200 OK: hello, [0-9a-f]{40}$

// Command http serves HTTP at an id and asks for a page there. A program for TCP runs on
// streams: net/http needs only a net.Listener and a DialContext.
//
//	go run ./examples/http [MULTIADDR…]
//
// A MULTIADDR is a peer of the network to join, as a relay prints it: it ends in /p2p/….
// Without one the program starts a relay of its own.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/packet"
)

// service is the number under which the server listens, as on a TCP port.
const service = 80

func main() {
	bootstraps := os.Args[1:]
	if len(bootstraps) == 0 {
		relay := start(node.Options{Listen: true, ListenHost: "127.0.0.1"})
		defer relay.Close()
		bootstraps = []string{relay.Addrs()[0].String()}
	}

	server := start(node.Options{Bootstraps: bootstraps})
	defer server.Close()
	listener, err := server.ListenStream(service)
	if err != nil {
		log.Fatal(err)
	}
	web := http.Server{Handler: http.HandlerFunc(greet)}
	defer web.Close()
	go web.Serve(listener) // ends with Close

	client := start(node.Options{Bootstraps: bootstraps})
	defer client.Close()
	browser := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			id, err := protocol.ParseID(host)
			if err != nil {
				return nil, err
			}
			return client.DialStream(ctx, id, service)
		},
	}}
	defer browser.CloseIdleConnections()
	answer, err := browser.Get("http://" + server.ID().String() + "/")
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", answer.Status, text)
}

func start(o node.Options) *node.Node {
	n, err := node.New(o)
	if err != nil {
		log.Fatal(err)
	}
	return n
}

// greet answers a request. RemoteAddr holds the client's id, which is proved.
func greet(w http.ResponseWriter, r *http.Request) {
	client, err := packet.ParseAddr(r.RemoteAddr)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "hello, %v", client.ID)
}
