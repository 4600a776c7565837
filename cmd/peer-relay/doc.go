// Command peer-relay runs a peer of the network. It can replace the npm package's server.js as
// a relay, and as a child process it connects a program in any language.
//
//	peer-relay PORT [BOOTSTRAP…]                     run a relay
//	peer-relay listen --bootstrap URL                print the received messages
//	peer-relay send --bootstrap URL ID [DATA|-]      send one message, and await its receipt
//	peer-relay ping --bootstrap URL ID               ask a peer whether it is there
//	peer-relay trace --bootstrap URL ID              print the peers on the way to a peer
//	peer-relay sim --scenario NAME|all|list          simulate a network, and print its figures
//	peer-relay version
//
// With --json it writes and reads JSON, one object a line, on standard output and input: see
// json.go, ping.go and trace.go. The exit statuses are in main.go.
package main
