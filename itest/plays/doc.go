// Package plays has peers do things together. Each play starts fresh peers of package
// peers, has them act, and returns an error if anything else than the expected happened.
// The tests here play each a few times, the acceptance runs many times with larger numbers.
//
//	scenario.go      the scenarios of the npm package's own test.js, with any cast
//	first.go         our binary replaces server.js
//	load.go          crowds of npm clients around one node
//	values.go        generated JSON through two relays
//	webrtc.go        two peers meet that cannot be dialled
//	trio.go          two pages and a node; hall.go is pages and a peer without a port
//	mixed.go         one network of Go peers and of pages of both kinds
//	versions.go      two builds of ours and the npm package in one network;
//	                 versionsreliable.go has the newer one send reliable messages
//	fleets.go        nodes in several processes write to each other, and some processes are killed
//	crowd.go         many peers of two kinds do the same; letters.go counts what arrives
//	simultaneous.go  two peers dial each other at the same instant
//	gone.go          a linked process is killed
//	mailbox.go       messages are kept for a receiver that is off
//	hostile.go       a node under siege; hostilities.go lists the attacks
//	dht.go           hosts in several processes share a kad-dht; forged.go and stale.go are
//	                 records that are wrong or old, shareddht.go is a DHT of other hosts
package plays
