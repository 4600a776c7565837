// Package legacy makes links to the unmodified JS peers of npm peer-relay@0.0.2, in Node and in
// browsers, and carries their messages.
//
//	JS peer ── legacy JSON on a WebSocket ───┐
//	JS peer ── legacy JSON on a WebSocket ───┤ Router ── other links
//	a page  ── legacy JSON on a data channel ┘
//
// It needs only package protocol, so it works on any host. A program that has a Router, or a
// node on its own libp2p host, adds a WebSocket as a Dialer and a WebRTC as a Dialer and
// Signaller. The WebSocket's Handler accepts connections from an HTTP server. PeerRelay in
// package compat does all of that.
//
// The parts, from the wire up:
//
//   - parse.go, emit.go and data.go turn the text of a message into a wire.Frame and back. They
//     never decode a value to encode it again (internal/rawjson).
//   - websocket.go, wsdial.go, wslink.go and handler.go make links over WebSockets.
//   - signal.go and attempt.go make the connections for data channels, with messages that other
//     peers forward. webrtc.go, rtcconn.go and rtclink.go have the links over them, and home.go
//     decides which addresses they use.
//
// In a build for js all of it compiles, and all but WebRTC works as far as the browser allows.
// NewWebRTC returns ErrNoWebRTC there.
//
// # Limits
//
// A message of legacy JSON has at most 20 entries in its path and 1,000 levels of nesting. Over
// a WebSocket it has at most 1,153,433 bytes of text, on a data channel 262,144. A Handler has
// at most 4,096 connections at once.
//
// At most twelve WebRTC connections are made at once because other peers want them, and six
// that this peer wants. Each takes up to 15 s. At most 512 that others wanted are open at once,
// links included. Beyond that no offer is answered. A malformed message is dropped and counted.
// It does not end the link, since a JS peer forwards whatever it receives.
//
// # Threat model
//
// A legacy peer proves nothing. It chooses its id, and can claim any id as the origin of a
// message; such messages are not Proved. It cannot take the place of a linked peer that proves
// its id with a key, nor of another legacy peer while that peer answers pings. It can claim the
// id of a peer that is not linked here. If that peer has sent a signed message by another way
// in the last minute, messages for it go that way as well. Relays read and can change what
// passes through them. This includes the signals that two legacy peers exchange for a data
// channel, with the addresses of both. Signals between two Go peers are signed. Signals have no
// effect except after a handshake.
//
// ICE sends small UDP packets to the addresses that the other end names, and the other end may
// be any peer. At most 32 candidates of an attempt are used, in its description and beside it,
// and 6 of them may be mDNS names. With 18 attempts at once that makes about 600 addresses. An
// attempt holds its place for up to 15 s. A peer that ends it early frees the place after half
// a second. With many ids, each after a handshake, that makes at most 36 attempts and 1,152
// addresses a second. An attempt that becomes a link frees its place at once. The number of
// links is bounded too.
//
// None of the addresses is on the loopback interface unless this peer has a bootstrap there or
// listens only there, or WebRTCOptions.Loopback is set. None is private if this machine has a
// public address of that family and the peer is not at home in the private network. None has a
// port below 1024 except 80 and 443 of public addresses. None is link-local, multicast or
// broadcast. An mDNS name is asked for in the networks of this machine, once a second, until
// there is an answer or the connection ends, also while it is a link. The answer is trusted,
// whatever the address.
//
// A peer sends its own addresses by the same rule. So the relays of its signals, and the peer
// that gets them, see the private address of a machine that has no public one.
//
// # The other end of a data channel
//
// A JS peer answers each message, and does not expect a channel to close in the meantime. So this
// side leaves the channel open for another 200 ms after its last message before it closes it. It
// never sends a signal to a peer that already has a link.
//
// JS never drops a WebRTC link. A page whose channel has closed keeps the link, sends all
// messages for the peer into it, and accepts no other link from that peer. So a connection
// whose peer falls silent is not closed. It leaves routing at once, and gets a new link if the
// peer answers within 30 s. If a Go peer ends and comes back with its key, a page that had a
// link to it cannot send to it until the page is reloaded. Relays do not help, since the page
// does not ask them. A peer that often restarts under one id, and must get messages from pages,
// should make no such links: see compat.Options.NoWebRTC and --no-webrtc. Then pages send to it
// by relays, or by its port.
package legacy
