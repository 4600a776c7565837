// Package itest runs real peers that others wrote against ours: the npm package
// peer-relay@0.0.2 in Node and in Chromium, bare WebSockets, js-libp2p, plain go-libp2p
// hosts.
//
//	go test, go run ./itest/accept
//	   │ scenario.go      what happens, whoever plays the parts
//	   │ first.go         server.js is replaced by our binary
//	   │ load.go          crowds of npm clients around one node
//	   │ values.go        generated JSON through two relays
//	   │ webrtc.go        one of ours and one of the npm package, which nobody can dial
//	   │ browser.go       pages, and what becomes of them; alone.go is where they play
//	   │ mixed.go         one network of Go peers and of pages of both kinds
//	   │ simultaneous.go  two peers that dial each other at the same instant
//	   │ cost.go          the CPU time of one relay, ours or the npm package's
//	   │ bulk.go          much data over one relay; bulkpart.go is the processes that move it
//	   │ gone.go          a linked process is killed
//	   │ dht.go           a hundred hosts that share a kad-dht, in the processes of fleet.go
//	   │ peer.go       Peer, Spec, Kind: a part, and who can play it
//	   ├─ npmpeer.go   the npm package ─┐
//	   ├─ npmsocket.go  and its sockets ┤
//	   ├─ raw.go       bare WebSockets ─┼─ driver.go ── process.go ── node js/driver.js
//	   ├─ tap.go       one in the middle┘
//	   ├─ gopeer.go    our own binary ─────────────────── process.go ── peer-relay --json
//	   ├─ jslibp2p.go  js-libp2p in Node 22
//	   └─ pagepeer.go  the npm package in pages of chromium.go
//	programs/     a module of its own: programs for *net.UDPAddr, on virtual addresses
//	bundle.go     the JavaScript of pages; try.go the bundle that package node embeds
//
// Nothing here imports testing: the same helpers serve the tests and the acceptance
// runs of itest/accept. What the tests need of a *testing.T is in harness_test.go.
//
// A foreign peer runs in a process of its own, started here, driven by JSON lines and
// ended by closing its standard input; one that does not end is killed by its process
// id. A process that crashes fails whoever waits for it, with the tail of its standard
// error: no peer dies unnoticed. Values cross the harness as JSON text, never decoded
// and encoded again on the way, because how a number or a string was spelled is part
// of what the tests compare.
//
// The npm dependencies are pinned by js/package-lock.json, which names no registry, and
// are installed by whoever needs them first. Without node or npm there is nothing to
// run: the helpers then return an error that matches ErrNoTool.
package itest
