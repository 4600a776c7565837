// Command hop plays relays that others wrote, for accept hop: nats-server with TLS, and ironwood with
// the ends that it needs. It says where it is, as JSON on standard output, and ends when standard input
// does.
//
//	hop nats
//	hop ironwood
//	hop ironwood-ends ADDR    follows the commands of accept hop
package main

import (
	"errors"
	"fmt"
	"os"
)

func main() {
	err := errors.New("usage: hop nats|ironwood|ironwood-ends ADDR")
	switch args := os.Args[1:]; {
	case len(args) == 1 && args[0] == "nats":
		err = serveNATS()
	case len(args) == 1 && args[0] == "ironwood":
		err = serveIronwood()
	case len(args) == 2 && args[0] == "ironwood-ends":
		err = playIronwood(args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hop:", err)
		os.Exit(1)
	}
}
