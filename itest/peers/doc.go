// Package peers is everything that can play a part in an integration test: peers that
// others wrote, and our own binary, each behind the interface Peer.
//
//	peer.go             Peer, Spec, Kind: a part, and what can play it
//	├─ npmpeer.go       the npm package ───┐
//	├─ npmsocket.go     and its sockets ───┤
//	├─ raw.go           bare WebSockets ───┼─ driver.go ── process.go ── node js/driver.js
//	├─ tap.go           one between two ───┘
//	├─ gopeer.go        our own binary ────────────────── process.go ── peer-relay --json
//	├─ server.go        a relay as an operator starts it
//	├─ jslibp2p.go      js-libp2p in Node 22
//	├─ pagepeer.go      the npm package, and our module, in pages of chromium.go
//	└─ fleet.go         many hosts in one process, which send what fleetmail.go has; plaindht.go is a
//	                    stock host with a DHT, delay.go are hosts that are far from each other
//
//	log.go        what was reported, and waiting for it
//	gate.go       holds connections back until a test lets them through
//	status.go     the status that a node shows at its port
//	lan.go        hosts on a switch, each with its own addresses
//	nat.go        a NAT for UDP, which changes its ports
//	namespace.go  runs this program again in a network of its own
//	npm.go        installs the npm dependencies; bundle.go bundles them for pages
//
// A foreign peer runs in a process of its own, which is started here, driven by JSON
// lines, and ended by closing its standard input. One that does not end is killed by its
// process id. When a process crashes, every caller that waits for it gets an error with
// the tail of its standard error: no peer dies unnoticed.
//
// Values cross the harness as JSON text and are never decoded and encoded again on the
// way, because the spelling of a number or a string is part of what the tests compare.
package peers
