// Package itest runs our peers against real peers that others wrote: the npm package
// peer-relay@0.0.2 in Node and in Chromium, bare WebSockets, js-libp2p, and plain
// go-libp2p hosts. Each test in this folder is of one feature.
//
//	go run ./itest/accept            go test ./itest/...
//	        │                                │
//	     accept/   long runs that print tables
//	        │                                │
//	     plays/    what happens, for any cast of the parts
//	        │                                │
//	     measure/  what a relay costs: CPU time, memory, speed
//	        │                                │
//	        │                             harness/  what tests need of a *testing.T
//	        └───────────────┬────────────────┘
//	     peers/    who can play: processes, pages, and hosts
//	        │
//	     js/       the Node side: driver.js and what it starts, pages
//
//	jsongen/       generates JSON documents that are hard to carry
//	programs/      a module of its own: programs for *net.UDPAddr, on virtual addresses, and relays of
//	               others, to measure beside ours
//
// An arrow means "imports"; there is none upward. Nothing but harness and the tests
// imports testing, so that go test and the acceptance runs share all the rest.
//
// The npm dependencies are pinned by js/package-lock.json and compat/js/package-lock.json,
// which name no registry. The first caller that needs them installs them. Without node or npm there is nothing to
// run: the helpers then return an error that matches peers.ErrNoTool.
package itest
