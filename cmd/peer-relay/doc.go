// Command peer-relay runs a peer of the network: a relay where the npm package's
// server.js ran, or a child process that lets a program in any language take part.
//
//	peer-relay PORT [BOOTSTRAP…]                     run a relay
//	peer-relay listen --bootstrap URL                print the messages that come
//	peer-relay send --bootstrap URL ID [DATA|-]      send one message
//	peer-relay version
//
// With --json each speaks one JSON object a line, on standard output and input; see
// json.go. The exit statuses stand in main.go.
package main
