// run:
// want: ^the answer is map\[you said:hello\]$

// Command hello sends a message from one peer to another by way of a relay.
//
//	go run ./examples/hello [BOOTSTRAP…]
//
// A BOOTSTRAP is a peer of the network to join, such as ws://localhost:8001. Without one
// the program starts a relay of its own.
package main

import (
	"context"
	"errors"
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
		o.Listen, o.ListenHost = true, "127.0.0.1" // on any free port; o.Port names one
		relay := start(o)
		defer relay.Close()
		bootstraps = []string{relay.URL()}
	}
	var o compat.Options
	o.Bootstraps = bootstraps

	listener := start(o)
	defer listener.Close()
	listener.OnMessage(func(data any, from compat.ID) {
		fmt.Println(from, "says", data)
		if err := listener.Send(from, map[string]any{"you said": data}); err != nil {
			log.Print(err)
		}
	})

	sender := start(o)
	defer sender.Close()
	for {
		if err := sender.Send(listener.ID(), "hello"); err != nil {
			log.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		answer, err := sender.Receive(ctx)
		cancel()
		switch {
		case err == nil:
			fmt.Println("the answer is", answer.Data)
			return
		case errors.Is(err, context.DeadlineExceeded):
			// A message can be lost, as with UDP: send it again.
		default:
			log.Fatal(err)
		}
	}
}

func start(o compat.Options) *compat.PeerRelay {
	p, err := compat.New(o)
	if err != nil {
		log.Fatal(err)
	}
	return p
}
