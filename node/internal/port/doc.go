// Package port is a libp2p host with one port number for everything.
//
//	TCP ── portConn ── HTTP ──── GET ───────────────────────────> Options.HTTP
//	       (TLS or            └─ WebSocket ── first is text ────> Options.AcceptText
//	       plain text)                     └─ first is binary ──> libp2p
//	UDP ── webrtc-direct, quic-v1 ──────────────────────────────> libp2p
//
// Both kinds of WebSocket client send first: a legacy peer sends its id as JSON text, libp2p
// sends multistream in binary. go-libp2p still does dialling, HTTP, gating and limits. This
// package only wraps the upgrader of its WebSocket transport.
//
// A stranger costs one goroutine and a slot of the resource manager's transient scope. It has
// at most 10 s until its HTTP request is complete, and 10 s more until its first message.
package port
