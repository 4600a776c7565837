// Package legacy makes links to the unmodified JS peers of npm peer-relay@0.0.2, in Node
// and in browsers, and carries their messages.
//
//	JS peer ── legacy JSON on a WebSocket ───┐
//	JS peer ── legacy JSON on a WebSocket ───┤ Router ── other links
//	a page  ── legacy JSON on a data channel ┘
//
// It needs package protocol only, so that it works on any host. A program that has a
// Router, or a node on a libp2p host of its own, hands it a WebSocket as a Dialer and a
// WebRTC as a Dialer and Signaller; the WebSocket's Handler takes what comes in at an HTTP
// server. PeerRelay in package compat does all of that.
//
// The parts, from the wire up:
//
//   - parse.go, emit.go and data.go turn the text of a message into a protocol.Frame and
//     back, without decoding a value to encode it again (internal/rawjson).
//   - websocket.go, wsdial.go, wslink.go and handler.go make links over WebSockets.
//   - signal.go and attempt.go make the connections for data channels, by messages that
//     other peers pass on. webrtc.go, rtcconn.go and rtclink.go are the links over them,
//     and home.go says which addresses they use.
//
// In a build for js all of it compiles, and all but WebRTC works as far as the browser
// allows: NewWebRTC returns ErrNoWebRTC there.
//
// # Limits
//
// A message of legacy JSON has at most 20 entries in its path and 1,000 levels of nesting.
// Over WebSocket it has at most 1,153,433 bytes of text, on a data channel 262,144. A Handler
// has at most 4,096 connections at once.
//
// At most twelve connections are made by WebRTC at once because other peers want them, and
// six that this peer wants. Each takes up to 15 s. At most 512 that others wanted are alive
// at once, links among them; beyond that no offer is answered. Malformed messages are dropped
// and counted. They do not end the link, since a JS peer passes on whatever it is sent.
//
// # Threat model
//
// A legacy peer proves nothing. It chooses its id, and can claim any id as the origin of a
// message; such messages are not Proved. It cannot take the place of a linked peer that
// proves its own id by a key, nor, while that peer answers pings, of another legacy peer.
// It can claim the id of a peer that is not linked here. Where that peer has sent a signed
// message by another way in the last minute, messages for it go that way as well. Relays
// read and can change what passes through them, also the signals by which two legacy peers
// agree on a data channel, with the addresses of both. Signals between two Go peers are
// signed. Signals start nothing except after a handshake.
//
// ICE sends small UDP packets to the addresses that the other end names, and the other end
// may be any peer. At most 32 candidates of an attempt are looked at, in its description and
// beside it, 6 of them mDNS names. With 18 attempts at once these are some 600 addresses. An
// attempt takes its place for up to 15 s. A peer that breaks it off frees the place after half
// a second: under many ids, each after a handshake, that makes at most 36 attempts and 1,152
// addresses a second. An attempt that becomes a link leaves its place at once; links are
// bounded by their number.
//
// None of the addresses is on the loopback interface unless this peer has a bootstrap there or
// listens only there, or WebRTCOptions.Loopback says so. None is private where this machine has
// a public address of that family and the peer is not at home in the private network. None
// has a port below 1024 except 80 and 443 of public addresses. None is link-local, multicast
// or broadcast. An mDNS name is asked for in the networks of this machine, once a second
// until there is an answer or the connection ends, also while it is a link. The answer is
// believed, whatever the address.
//
// A peer names its own addresses by the same rule. So the relays of its signals, and the
// peer that gets them, see the private address of a machine that has no public one.
//
// # The other end of a data channel
//
// A JS peer answers whatever comes last, and expects an open channel to write to. So this side
// leaves the channel open for another 200 ms after its last message before it closes it. A peer
// that has one link already is never sent a signal.
//
// JS never forgets a link by WebRTC. A page whose channel has closed, for whatever reason,
// keeps it among its links, sends all that is for the peer into it, and takes no other from
// that peer. So a connection whose peer falls silent is not closed: it leaves routing at once,
// and is a link again when the peer lives again within 30 s. A page that was linked with a Go
// peer which ends, and comes back with its key, cannot send to that peer until it is
// reloaded; relays do not help, since it does not ask them. A peer that restarts often under
// one id, and has to hear pages, should make no such links: compat.Options.NoWebRTC, or
// --no-webrtc. Pages then send to it by relays, or by its port.
package legacy
