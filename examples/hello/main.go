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
	"fmt"
	"log"
	"os"
	"time"

	"github.com/peer-relay/peer-relay/compat"
)

func main() {
	bootstraps := os.Args[1:]
	if len(bootstraps) == 0 {
		relay, err := compat.New(compat.Options{Port: compat.Port(0), Host: "127.0.0.1"})
		if err != nil {
			log.Fatal(err)
		}
		defer relay.Close()
		bootstraps = []string{relay.URL()}
	}

	listener, err := compat.New(compat.Options{Bootstrap: bootstraps})
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	listener.OnMessage(func(data any, from compat.ID) {
		fmt.Println(from, "says", data)
		if err := listener.Send(from, map[string]any{"you said": data}); err != nil {
			log.Print(err)
		}
	})

	sender, err := compat.New(compat.Options{Bootstrap: bootstraps})
	if err != nil {
		log.Fatal(err)
	}
	defer sender.Close()
	answer := make(chan any, 1)
	sender.OnMessage(func(data any, from compat.ID) {
		select {
		case answer <- data:
		default: // a second answer
		}
	})
	for {
		if err := sender.Send(listener.ID(), "hello"); err != nil {
			log.Fatal(err)
		}
		select {
		case data := <-answer:
			fmt.Println("the answer is", data)
			return
		case <-time.After(time.Second): // a message can be lost, as with UDP: send it again
		}
	}
}
