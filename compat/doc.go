// Package compat lets unmodified JS peers of npm peer-relay@0.0.2, in Node and in browsers, be
// full members of the network, and offers that package's API in Go.
//
//	JS peer ── legacy JSON on a WebSocket ───┐
//	JS peer ── legacy JSON on a WebSocket ───┤ Go peer ── /peer-relay/1 ── Go peer
//	a page  ── legacy JSON on a data channel ┘
//
// PeerRelay is the published API, and Socket sends datagrams on it. A PeerRelay is a node of
// package node with the links of package legacy. Attach puts it on a libp2p host that the
// program already has. The folder js holds a peer in JavaScript for pages. It is not part of
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
// The intended differences are:
//
//   - New returns an error if the port is in use or a URL is invalid. JS throws later, or
//     never reports it.
//   - Send returns an error if the message is lost already. JS reports nothing. Send refuses
//     a message that is too big for every peer to forward: more than 64,000 bytes, or 256,000
//     bytes of JSON text.
//   - A Buffer arrives as []byte. In JS it arrives as {type: 'Buffer', data: […]}.
//   - All bootstraps are used. Each is dialled again until it answers, and again after its
//     link is lost. JS dials each once.
//   - Connect tries again for a while if the peer is not there yet. In JS it then never
//     works.
//   - Disconnect lasts: the peer does not seek the link again for a minute, unless Connect
//     asks for it.
//   - Destroy works without a port, and each call of it calls its callback. In JS it throws,
//     and the second callback is never called.
//   - Events that happen before their first listener is added are kept for it, since Go has
//     no event loop that holds them back. OnReceive, OnDisconnect and OnError have no
//     counterpart in JS.
//   - Messages from every connected peer are read. A JS peer with a full bucket ignores
//     those of a new link.
//   - WebRTC is built in: Options.WRTC sets how it is used, not which library. No STUN server
//     is used unless you name one. The simple-peer of JS asks two public ones.
//   - A URL or a libp2p address is tried before WebRTC, which costs more. JS tries WebRTC
//     first.
//   - A dead data channel is noticed within about 5 s. JS keeps it for ever.
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
// The README of the npm package says that a socket tries to match dgram's. Where the code of
// the npm package does not, this socket follows the README:
//
//   - Send with offset 6 and length 5 sends five bytes from offset six. In JS the length is
//     the end, so nothing is sent. A range outside the buffer is an error.
//   - SendTo, SendList, and no id: JS names these overloads and throws when they are called.
//     No id means "localhost", as in dgram.
//   - Close works without a port to listen on, and there is a close event. JS throws.
//   - The socket ends with its peer, with a close event. In JS there is no such event.
//   - The close event comes when all is freed, and then the callback. In JS they come at
//     once.
//   - RemoteInfo.Address is the sender's id in the envelope. In JS it is the address that the
//     datagram claims, such as "localhost". The port is only claimed in both.
//   - Send returns an error, which its callbacks get too, if the datagram is lost already. For
//     an IP address or an unused port of localhost, JS reports nothing and calls nothing back.
//   - Where JS throws, an error is returned: ErrNotRunning, ErrBound.
//   - RemoteInfo has Size, as in dgram. JS leaves it out.
//   - A message that is not a datagram reaches only s.Peer().OnMessage. A JS socket ends.
//   - The calls of dgram that mean nothing between peers, such as multicast, return an error
//     that matches ErrNotImplemented. JS throws for eight of these calls and lacks the others.
//
// Some things are as in JS and not as in dgram. A socket receives before it is bound. Send does
// not bind. Several sockets may have the same port, since their ids differ; the last one bound
// has that port of localhost. A datagram may be sent to port 0, since some JS sockets have it.
// The receiver's port is not sent, since a peer has one socket. Localhost means the sockets of
// the process. Their table is the only state of this package outside of a peer.
//
// # Limits
//
// A datagram has at most 63,900 bytes. Events that happen before the first listener are kept
// for it: up to 1,024 of each kind, and 1 MiB of messages or datagrams. The rest is dropped.
// The documentation of package legacy has the limits of links and the threat model.
package compat
