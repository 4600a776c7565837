// Package compat lets unmodified JS peers of npm peer-relay@0.0.2, in Node and in
// browsers, be full members of the network, and offers that package's API in Go.
//
//	JS peer ── legacy JSON on a WebSocket ───┐
//	JS peer ── legacy JSON on a WebSocket ───┤ Go peer ── /peer-relay/1 ── Go peer
//	a page  ── legacy JSON on a data channel ┘
//
// PeerRelay is the published API, and Socket sends datagrams on it. A PeerRelay is a node of
// package node with the links of package legacy; Attach puts it on a libp2p host that the
// program has already. Folder js holds a peer in JavaScript for pages, which is no part of
// the Go package.
//
// # From JavaScript to Go
//
//	new PeerRelay({port, bootstrap})     compat.New(o), after o.Listen, o.Port, o.Bootstraps = …
//	peer.id                              p.ID()
//	peer.connect(id)                     p.Connect(id)
//	peer.disconnect(id)                  p.Disconnect(id)
//	peer.send(id, data)                  p.Send(id, data)
//	peer.destroy([cb])                   p.Destroy(cb…), or p.Close() to wait
//	peer.on('message', (data, from))     p.OnMessage(func(data any, from compat.ID))
//	                                     p.Receive(ctx), for a loop in place of a listener
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
//   - WebRTC is built in: Options.WRTC says how it is used, not by what. No STUN server is
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
//     where they end, so that nothing is sent. Bytes beyond the buffer are an error.
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
//     no socket has.
//   - Calls that throw in JS return an error: ErrNotRunning, ErrBound.
//   - Size is in RemoteInfo, as in dgram; JS leaves it out.
//   - A message that is no datagram, on which a JS socket ends, reaches only
//     s.Peer().OnMessage.
//   - Calls of dgram that make no sense here, such as multicast, return an error that
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
// A datagram has at most 63,900 bytes. Events that happen before the first listener are kept
// for it: up to 1,024 of each kind, and 1 MiB of messages or datagrams. The rest is dropped.
// Package legacy has the limits of links, and the threat model.
package compat
