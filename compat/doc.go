// Package compat lets unmodified JS peers of npm peer-relay@0.0.2, in Node and in
// browsers, be full members of the network, and offers that package's API in Go.
//
//	JS peer ── legacy JSON on a WebSocket ──┐
//	JS peer ── legacy JSON on a WebSocket ──┤ Go peer ── /peer-relay/1 ── Go peer
//	a page  ── legacy JSON on a data channel ┘
//
// It has three layers: the text of the wire (internal/rawjson), which never decodes a
// value to encode it again; the legacy JSON message as a protocol.Frame and back
// (jsonwire.go); and the links: over a WebSocket (websocket.go), and over a WebRTC data
// channel (webrtc.go), which the two ends agree on by messages that other peers pass on
// (signal.go). On top stands PeerRelay, the published API, and on it Socket, which sends
// datagrams. Only PeerRelay imports package node.
//
// # From JavaScript to Go
//
//	new PeerRelay({port, bootstrap})     compat.New(compat.Options{Port: compat.Port(8001), Bootstrap: …})
//	peer.id                              p.ID()
//	peer.connect(id)                     p.Connect(id)
//	peer.disconnect(id)                  p.Disconnect(id)
//	peer.send(id, data)                  p.Send(id, data)
//	peer.destroy([cb])                   p.Destroy(cb…), or p.Close() to wait
//	peer.on('message', (data, from))     p.OnMessage(func(data any, from compat.ID))
//	peer.on('peer', (id))                p.OnPeer(func(id compat.ID))
//	Buffer                               []byte, in both directions
//	undefined, null                      compat.Undefined, nil
//
// What is different, and meant to be:
//
//   - New returns an error: the port is in use, a URL is wrong. JS throws later or
//     never says so.
//   - Send returns an error when the message is lost already; JS says nothing. It
//     refuses what is too big for every peer to pass on: more than 64,000 bytes, or
//     256,000 bytes of JSON text.
//   - A Buffer arrives as []byte. In JS it arrives as {type: 'Buffer', data: […]}.
//   - All bootstraps are used, tried again until they answer, and dialled again when
//     they are lost. JS dials each once.
//   - Connect tries again for a while if the peer is not there yet. In JS it then
//     never works.
//   - Disconnect lasts: the link is not sought again for a minute unless Connect asks.
//   - Destroy works without a port and calls back every time. In JS it throws, and
//     the second callback is never called.
//   - Events that happen before their first listener is added are kept for it, since
//     Go has no event loop that holds them back. OnReceive, OnDisconnect and OnError
//     have no counterpart in JS.
//   - Every peer that connects is heard. A JS peer with a full bucket leaves it deaf.
//   - WebRTC is built in: WRTC says how it is used, not by what. No STUN server is
//     named unless you name one; the simple-peer of JS asks two that others run.
//   - A URL or a libp2p address goes before WebRTC, which costs more. JS has it the
//     other way.
//   - A dead data channel is noticed within some 5 s. JS keeps it for ever.
//
// # Datagrams
//
//	new PeerRelay.Socket(opts)                   compat.NewSocket(compat.Options{…})
//	socket.peer                                  s.Peer()
//	socket.address()                             s.Address()
//	socket.bind([port], [cb])                    s.Bind(port, cb…); port 0 for none
//	socket.send(buf, offset, length, port, id)   s.Send(buf, offset, length, port, id)
//	socket.send(buf, port, id)                   s.SendTo(buf, port, id)
//	socket.send(list, port, id)                  s.SendList(list, port, id)
//	… without an id                              … with id ""
//	… with a callback                            … with func(error) at the end
//	socket.close([cb])                           s.Close(cb…)
//	socket.on('message', (buf, rinfo))           s.OnMessage(func(buf []byte, rinfo compat.RemoteInfo))
//	socket.on('listening'), 'error', 'close'     s.OnListening, s.OnError, s.OnClose
//
// The publication says that a socket tries to match dgram's. Where the code of the npm
// package does something else, this one does as it was published:
//
//   - Send of offset 6 and length 5 sends five bytes from offset six. In JS the length is
//     where they end, so that nothing is sent. What the buffer has not is an error.
//   - SendTo, SendList, and no id: JS names these overloads and throws at them. No id is
//     "localhost", as in dgram.
//   - Close without a port to listen on works and there is a close event. JS throws.
//   - The end of the socket's peer is the end of the socket, with a close event. In JS
//     the socket hears nothing of it.
//   - The close event and the callback come when all is freed, in this order. In JS they
//     come at once.
//   - RemoteInfo.Address is the sender's id by the envelope. In JS it is whatever the
//     datagram claims, such as "localhost". The port is only claimed in both.
//   - Send's error, which its callbacks hear too, says that the datagram is lost already.
//     JS says nothing, and calls nothing back, for an IP address or a port of localhost that
//     nobody has.
//   - What throws in JS is an error that is returned: ErrNotRunning, ErrBound.
//   - Size is in RemoteInfo, as in dgram; JS leaves it out.
//   - A message that is no datagram, on which a JS socket ends, reaches s.Peer().OnMessage
//     alone.
//   - What dgram has and peers have not, such as multicast, is refused by an error that
//     matches ErrNotImplemented. JS throws for eight of these calls and lacks the others.
//
// Some is as in JS and not as in dgram: a socket receives before it is bound; Send does
// not bind; several sockets may have one port, since their ids differ, and the last one
// bound is that of localhost; a port of 0 may be sent to, for some JS sockets have it; the
// receiver's port is not sent, since a peer has one socket. The sockets that localhost
// means are those of the process, in a table that is the only state of this package
// outside of a peer.
//
// # Limits
//
// A message of legacy JSON has at most 20 entries in its path and 1,000 levels of nesting.
// Over WebSocket it has at most 1,153,433 bytes of text, on a data channel 262,144. A
// datagram has at most 63,900 bytes. What comes before the first listener is kept for it, up
// to 1,024 messages or datagrams and 1 MiB of them; the rest is dropped.
// Twelve connections are made by WebRTC at a time because others want them, and six of our
// own; each may take 15 s. 512 of those that others wanted are alive at a time, links
// among them; no offer is answered beyond that. What is malformed is dropped and counted.
// It does not end the link, since a JS peer passes on whatever it is sent.
//
// # Threat model
//
// A legacy peer proves nothing. It chooses its id, and can claim anybody's as the
// origin of a message; such messages are not Proved. It cannot take the id of a peer
// that proves its own by a key, nor, while that one answers pings, of another legacy
// peer. Relays read and can change what passes through them, also the signals by which two
// legacy peers agree on a data channel, with the addresses of both; those between two Go
// peers are signed. Signals start nothing but after a handshake.
//
// ICE sends small UDP packets to the addresses that the other end names, and the other end
// may be anybody. At most 32 candidates of an attempt are looked at, 6 of them mDNS names,
// in its description or beside it, and with 18 attempts at a time these are some 600
// addresses. An attempt takes its place for up to 15 s, but who breaks it off has the place
// free after half a second: under many ids, each after a handshake, that makes at most 36
// attempts and 1,152 addresses a second. One that becomes a link leaves its place at once,
// and of these it is the number that is bounded.
//
// None of the addresses is on the loopback interface unless this peer has a bootstrap or listens
// there alone (or WebRTCOptions.Loopback says so); none is private where this machine has
// a public address of that family and the peer is not at home in the private network; none
// has a port below 1024 but 80 and 443 of public addresses; and none is link-local,
// multicast or broadcast. An mDNS name is asked for in the networks of this machine, once a
// second until there is an answer or the connection ends, also while it is a link; who
// answers there is believed, whatever the address.
//
// A peer tells of its own addresses by the same rule, so that whoever relays its signals,
// and the peer that gets them, see the private address of a machine that has no public one.
//
// # The other end of a data channel
//
// A JS peer that writes to a channel that is closing dies: simple-peer throws, and nobody
// catches it. It answers whatever comes last, so this side leaves the channel open for
// another 200 ms after its last message before it closes it, and a peer that has one link
// already is never sent a signal. JS never tells that a channel is gone, and keeps sending
// into it: after a link to a JS peer was lost it is the Go side that notices.
package compat
