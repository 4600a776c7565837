// Package port is a libp2p host with one port number for everything.
//
//	TCP ── gate ── portConn ── HTTP ──── GET ───────────────────────────> Options.HTTP
//	        │      (TLS or      │     └─ WebSocket ── first is text ────> Options.AcceptText
//	        │      plain text)  │                  └─ first is binary ──> libp2p
//	        │                   └─ multistream ─────────────────────────> libp2p
//	        └─ 429 or 503: a limit is reached
//	UDP ── webrtc-direct, quic-v1 ──────────────────────────────────────> libp2p
//
// All clients send first. The first byte of a TCP connection tells multistream, with which libp2p
// begins, from HTTP and TLS. In a WebSocket a legacy peer sends its id as JSON text, and libp2p
// sends multistream in binary. go-libp2p still does dialling, HTTP and limits. This package only
// wraps the upgrader of its WebSocket transport, and the resource manager.
//
// Each limit has a name. A connection that is refused for a limit is counted by that name, and
// the log has a line about it at most every 10 s. Over TCP the client gets an answer in HTTP with
// the time after which it may try again. The package keeps a spare file open. So it can also
// answer when the process may open no more files, and it recovers by itself.
//
// A stranger costs one goroutine and a slot of the resource manager's transient scope. It has
// at most 10 s until its HTTP request is complete, and 10 s more until its first message.
package port
