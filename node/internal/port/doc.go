// Package port is a libp2p host with one port number for everything.
//
//	TCP ── portConn ── HTTP ──── GET ───────────────────────────> Options.HTTP
//	       (TLS or            └─ WebSocket ── first is text ────> Options.AcceptText
//	       plain text)                     └─ first is binary ──> libp2p
//	UDP ── webrtc-direct, quic-v1 ──────────────────────────────> libp2p
//
// Both kinds of WebSocket client speak first: a legacy peer sends its id as JSON text, libp2p
// sends multistream in binary. Dialling, HTTP, gating and limits stay go-libp2p's. This
// package only wraps the upgrader that its WebSocket transport is given.
//
// A stranger costs one goroutine and a slot of the resource manager's transient scope, for at
// most 10 s until its HTTP request is whole and 10 s more until its first message.
package port
