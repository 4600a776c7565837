// Package protocol is the peer-relay protocol without a transport: a [Router] sends messages
// from any peer to any other over the links that there are, and seeks the links that it needs.
//
// A peer has a 160-bit [ID] and direct links to some other peers. A peer that has a message
// for an id hands it to the linked peer that is nearest to that id by XOR, and so on until
// the message arrives. Each peer has links to the eight nearest peers and two to every farther
// part of the ids, so that a nearer peer is always linked: a network of a thousand takes three
// hops, and 33 links a peer.
//
//	Send ─┐                                                      ┌─ OnMessage
//	      ▼                                                      │
//	┌── Router ──────────────────────────────────────────────────┴──────────┐
//	│  ┌── internal/core: (now, link, frame or tick) -> actions ──────────┐ │
//	│  │  the data plane                          the overlay             │ │
//	│  │ receive.go   seen before? for me?        overlay.go    which     │ │
//	│  │ forward.go   where a message goes next                 links     │ │
//	│  │ claim.go     one link a peer       host  candidate.go  to whom   │ │
//	│  │ table.go     all links, by id    ◄─────  handshake.go  and how   │ │
//	│  │ transit.go   what went through           bootstrap.go  at first  │ │
//	│  └──────────────────────────────────────────────────────────────────┘ │
//	│  serve.go reads a link   queue.go, one writer a link   inbox.go       │
//	└──────▲───────────────────────────│────────────────────────────────────┘
//	       │ frames (package wire)     ▼ frames
//	   Link: a libp2p stream (package node), a legacy WebSocket (package compat), …
//
// The core is synchronous and pure: no goroutine, no clock, no randomness of its own, no
// order of a map. A Router drives one over real links and is what programs use. Package
// sim drives thousands in virtual time, and the transcripts in internal/core/testdata show
// its decisions one by one. Package wire reads and writes the bytes, which SPEC.md and
// envelope.proto describe.
//
// Programs that want datagrams have sockets: [Router.ListenPacket] and [Router.DialPacket]
// open a [packet.PacketConn], a net.PacketConn whose addresses are a peer's id and a port.
//
// # Limits
//
// All are constants, in wire/limits.go, internal/core/params.go, packet/datagram.go and
// inbox.go. A message is at most [wire.MaxPayload] raw bytes or [wire.MaxText] bytes of JSON,
// so that every kind of peer can take it, and goes through at most 19 relays. A link queues
// 4 MiB or 8,192 frames, all links together 48 MiB, of which each has 64 KiB whatever the
// others hold; beyond that Send says ErrQueueFull, and relays drop and count. 256 messages or
// 1 MiB wait up to a minute for the first link, and as many up to a second for a peer whose
// handshake is in progress. The application may be 8,192
// messages or 16 MiB behind. What has been seen is remembered for a minute or as long as
// 64 MiB suffice, what has been delivered for two minutes or as long as 32 MiB do. A link may
// ask 64 questions at once and 32 a second, since each answer costs a signature. Nothing
// here blocks a sender, and no message is promised to arrive: a relay that dies takes along
// what it holds, and its neighbours send it messages for up to 23 s more.
//
// # Threats
//
// Any peer may join, so any neighbour may be hostile. It can drop what it should relay,
// and see and count what passes. It cannot, as long as its own links are the only ones
// that it has:
//
//   - speak for another peer's id, if that is the hash of a key: [Message].Proved says
//     that a message is signed by the origin's key or came straight from it. An id that
//     is none, as JS peers have, is only claimed, and Proved is false;
//   - take over the link of another peer: a claimed id never displaces a proved one, and a
//     claimed one only when its own peer does not answer a ping any more;
//   - have a message absorbed by sending junk under its nonce first, or a copy without its
//     signature or its budget: a duplicate is one whose content and signature are the same,
//     under a keyed hash, and that went on;
//   - have a signed message delivered as proved again under another nonce: each signed body
//     has an end-to-end id;
//   - keep others from shaking hands by a flood of forged offers: they take the places of the
//     link that brings them;
//   - push others' entries out of the table of what was delivered: each link has a share;
//   - fill the table of candidates, or have this peer dial many others: lists of
//     peers count only if asked for, eight of a source, and one dial of a source in flight;
//   - use peers to flood another one: an answer to an origin that may be forged is at most
//     three times what was asked;
//   - hurt others through a slow link: it costs that link its queue.
//
// It can surround a chosen id with many of its own (an eclipse), and with many identities
// fill what is bounded; the design's answers to these need the region rule, custody and
// receipts, whose numbers are reserved. Payloads are readable by every relay.
//
// # Decisions that a reader may question
//
// A message is read, hashed and, at its receiver, verified on the goroutine that reads the
// link. Control messages are signed on one goroutine of the router. Neither holds the lock,
// under which every link's frames pass: a signature takes 33 times as long as a decision.
//
// A full queue of a direct link is the end of the way: the message is not sent around by
// other peers, which would spread one slow peer's backlog over its neighbours. A full
// queue elsewhere is a failed choice, and the next link takes the message.
//
// Only native links are cut for malformed frames. A JS peer passes on all that it was sent,
// so its link would pay for what others wrote.
//
// The lower opener's link is kept of two native ones even if it is the older one, so a
// peer that lost its end can be refused once: the other end then pings the link that it
// has, drops it within 3 s if no answer comes, and takes the next try. Between two links
// that only claim their id, that order counts for 20 s after the first one was made, for
// peers that dial each other at the same instant; later it would hand a live link to
// any peer that claims its id.
//
// A refused native link is still read to its end: its peer wrote before it knew.
//
// A prune needs no agreement. The end that opened a link lets go of it when it has no use
// for it; if the other one has, it opens it again, and is then the one to decide.
//
// A bootstrap counts neither as a link of its part of the ids nor as one to seek there:
// otherwise it would carry the messages of all peers. Its link ends after 30 s and is opened
// again every five minutes or more rarely, so that partitions find each other.
//
// A link is silent when nothing was heard of it for 20 s, over WebRTC 3 s, and then no
// answer came to a ping for 3 s in which no queue moved either: a ping may lie behind a
// long transfer. Pings overtake what is queued.
//
// A candidate that does not answer is asked ever more rarely, down to every half hour, and
// forgotten when no peer tells of it any more. If it were forgotten after some failures, it
// would be told of at once, and tried as if it never had failed.
package protocol
