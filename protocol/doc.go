// Package protocol is the peer-relay protocol without a transport. A [Router] sends messages
// from any peer to any other over its links, and seeks the links that it needs.
//
// A peer has a 160-bit [ID] and direct links to some other peers. A peer with a message for an
// id forwards it to the linked peer that is nearest to that id by XOR, and so on until the
// message arrives. Each peer has links to the eight nearest peers, and two links into each
// farther bucket of the ids. So there is always a link to a nearer peer. Peers also tell each other
// which links they have, so that a message takes the way that is expected to be the fastest. In a
// network of a thousand peers it takes 2.6 hops, and a peer has 35 links.
//
//	Send ─┐                                                      ┌─ OnMessage
//	      ▼                                                      │
//	┌── Router ──────────────────────────────────────────────────┴──────────┐
//	│  ┌── internal/core: (now, link, frame or tick) -> actions ──────────┐ │
//	│  │  the data plane                          internal/overlay        │ │
//	│  │ receive.go   a duplicate? for me?        overlay.go    which     │ │
//	│  │ forward.go   the next hop                              links     │ │
//	│  │ claim.go     one link to a peer    Host  fill.go       to which  │ │
//	│  │ links.go     all links           ◄─────  handshake.go  and how   │ │
//	│  │ transit.go   forwarded messages          bootstrap.go  at first  │ │
//	│  └──────────────────────────────────────────────────────────────────┘ │
//	│  serve.go reads links   queue.go feeds one writer per link   inbox.go │
//	└──────▲───────────────────────────│────────────────────────────────────┘
//	       │ frames (package wire)     ▼ frames
//	   Link: a libp2p stream (package node), a legacy WebSocket (package compat), …
//
// The core is synchronous and pure: it has no goroutine, clock or randomness of its own, and
// does not depend on the order of a map. A Router drives one core over real links, and is what
// programs use. Package sim drives thousands in virtual time. The transcripts in
// internal/core/testdata show single decisions. Package wire encodes and decodes the frames
// that SPEC.md and envelope.proto describe.
//
// For datagrams, [Router.ListenPacket] and [Router.DialPacket] open a [packet.PacketConn]. It
// is a net.PacketConn whose addresses are a peer's id and a port.
//
// # Limits
//
// All limits are constants in wire/limits.go, internal/core/params.go, internal/overlay/params.go,
// packet/datagram.go, inbox.go, mailbox.go and store.go:
//
//   - A message has at most [wire.MaxPayload] raw bytes or [wire.MaxText] bytes of JSON, so that
//     every kind of peer can take it. It passes at most 19 relays.
//   - A link queues 4 MiB or 8,192 frames, and all links together 48 MiB. If these are used up,
//     each link may still queue 64 KiB, or one larger frame. Beyond that Send returns
//     ErrQueueFull, and relays drop the message and count it.
//   - 256 messages or 1 MiB wait for the first link, for up to a minute.
//   - 256 messages or 1 MiB wait for peers whose handshake is in progress, for up to a second.
//   - 8,192 messages or 16 MiB wait for the application. So do 4,096 events, or four for each
//     linked peer if these are more.
//   - Close waits for what the application has sent for at most Options.Linger, 10 s by default.
//     A link that ends is read for at most 2 minutes while bytes come.
//   - Forwarded messages are remembered for a minute, if 64 MiB suffice. Delivered ones are
//     remembered for two minutes, if 32 MiB suffice.
//   - A mailbox stores 2,048 messages or 16 MiB at once, and hands over 64 messages or 1 MiB to each
//     peer before it reads more. Its Store bounds what it keeps.
//   - A link may ask 64 questions at once and then 32 a second, since each answer costs a
//     signature. Its traces get 16 reports at once and then 4 a second.
//
// Nothing here blocks a sender. Each message of the application is followed until a link takes
// it, and [Router.Close] counts the rest. Delivery is not guaranteed. Over native links the peer that
// sent a message stays responsible for it until the next one has acknowledged it, so a relay that
// dies takes with it only what it had acknowledged and not passed on. Over legacy links, its
// neighbours send it messages for 2 to 3 s more, or up to 23 s if they have no other way.
// [Router.SendReliable] goes on until the receiver's receipt arrives. [Router.SendKept] has the message
// kept by a mailbox, a peer with Options.Store, if the receiver is offline. [Router.Ping] and [Router.Trace]
// ask whether a peer is there, and by which way.
//
// # Threats
//
// Any peer may join, so any neighbour may be hostile. It can drop messages that it should
// relay, and it sees and counts the messages that it relays. While it has only its own links,
// it cannot
//
//   - speak for another peer's id, if that is the hash of a key: [Message].Proved means that a
//     message is signed by the origin's key or came straight from the origin. The id of a JS
//     peer is not the hash of a key. It is only claimed, and Proved is false;
//   - take over the link of another peer: a claimed id never displaces a proved one, and
//     displaces a claimed one only if that peer no longer answers a ping;
//   - have a message absorbed by sending junk under its nonce first, or a copy without its
//     signature or its budget: a duplicate has the same content and signature, by a keyed hash,
//     as a message that was forwarded or delivered;
//   - have a signed message delivered as proved again under another nonce: each signed body
//     has an end-to-end id;
//   - block others' handshakes by a flood of forged offers: if there is no room, an offer
//     evicts a handshake of the link that brought most of them;
//   - make a receipt for a mailbox, whose key must have signed it, or have what is kept for a peer with a
//     key removed: only the receipt that it sends itself counts;
//   - make a receipt for a receiver with a key, or end a reliable message by notices that only one
//     first link brings: [Receipt].Proved is the receiver's word;
//   - report for another peer in a trace, or have peers report to one that did not sign the ping;
//   - evict others' entries from the delivery table: each link has a share of it;
//   - fill the table of candidates, or have this peer dial many others: a list of peers counts
//     only if this peer asked for it, or if a linked peer names its neighbours, up to eight peers
//     of a source, and six dials of a source are in flight;
//   - fill the table of neighbours, or have links end by rumours: a peer names 128 at most and two
//     lists a second, what it names goes with its link, and that a peer is lost only makes this peer
//     ping it;
//   - have peers flood another one: the answer to an origin that may be forged has at most three
//     times the bytes of the question;
//   - harm others through a slow link: only the queue of that link fills.
//
// It can surround a chosen id with many ids of its own (an eclipse), and fill the bounded
// tables with many identities. The design's answers are the region rule, which is not there yet, and
// receipts. Every relay can read the payloads.
//
// # Decisions that a reader may question
//
// A message is parsed, hashed and, at its receiver, verified on the goroutine that reads the
// link. Control messages are signed on one goroutine of the router. Neither goroutine holds the
// lock meanwhile, since the frames of every link need it: a signature takes 33 times as long as
// a decision.
//
// If the queue of a direct link to the receiver is full, the message is dropped. Other peers do
// not get it, since that would spread the backlog of one slow peer over its neighbours. A full
// queue of any other link is a failed choice, and the next choice is tried.
//
// Only native links are ended for malformed frames. A JS peer forwards all that it receives, so
// its link would be ended for the frames of others.
//
// Of two native links the one of the lower opener is kept, even if it is the older one. So a
// peer that lost its end of that link can be refused once. The other end then pings its old
// link, ends it if no answer comes within 3 s or so, and accepts the next try. If both ids are only
// claimed, this order applies for 20 s after the first link, since the two peers may have
// dialled each other at the same instant. After that it would let any peer that claims the id
// take a live link's place.
//
// Of two native links that one peer opened, the order applies for 5 s after the first one, since it
// may have opened both at once. After that the older one is kept if it answers a ping. Otherwise
// two processes with one key would take each other's place for ever, as each dials again.
//
// A handler never holds up the router. Its messages are bounded and dropped, and its events are
// thinned out so that it still learns which peers are linked. Refusing links instead would let a
// paused terminal close a relay to newcomers.
//
// A refused native link is still read to its end, since its peer wrote before it knew.
//
// The queue of a link that ended goes on over other links, so that a link that is replaced loses
// nothing. Only the messages of others for the peer of that link are dropped, unless it has another
// link: otherwise the backlog of a peer that is slow or gone would spread over its neighbours.
//
// At the end of a router a bye that the other end answers is the proof that it has read all before.
// The other end may say its bye first, and may not answer. Then only the transport knows, and
// [UnsentError] has its word, or a number that is too high. Messages of others are sent at the end
// like its own while they move, but are not counted: their origins learn nothing of it.
//
// A prune needs no agreement. The end that opened a link ends it if it no longer needs it. If
// the other end needs the link, it opens the link again, and then only that end can prune it.
//
// A bootstrap does not count as a link of its bucket, and is not sought there. Otherwise it
// would carry the messages of all peers. Its link ends after 5 s, once no other links are missing,
// and is opened again every five minutes or more rarely, so that the parts of a partitioned network
// find each other.
//
// A peer with more than 128 links ends those that it does not need itself, if the other end has told
// that it has enough others. Otherwise the first peers of a network would keep hundreds for ever, since
// all that join later find them first.
//
// The neighbours that a peer names are believed without proof. They decide which link is chosen first,
// which peer is asked for a link, and which one is pinged. So a peer that lies is sent messages for others
// that it may drop. Half of the further attempts of a reliable message do not believe it. That a peer is lost
// ends no link. A link that brings this peer's reliable messages no receipts is the last choice for all
// messages, whatever it names.
//
// A message for a peer whose own link does not answer visits two other peers at most, and stays with
// the link. Otherwise each message for a peer that has just died would visit all peers that are near it.
// If the peer does not answer a ping either, the origin of a reliable message is told. Two such words, over
// different first links, end its wait with [ErrSilent] after 5 s: a peer that has died is not worth a wait of
// 23 s, and one that is busy for a moment is not dead.
// The message for a peer that was only paused may arrive nevertheless.
//
// A link is pinged if nothing arrived for 20 s, or 3 s over WebRTC, or if a message of an
// application was sent and nothing arrived for 1 s. If there is no answer for 1 s more, the link
// is doubted: messages take other links if there are any. It ends after 23 s of silence, or 6 s
// over WebRTC, so that a process which is stopped for a while keeps its links. If another
// connection claims the peer, it ends after 3 s without an answer.
//
// A ping overtakes the frames in the queue, but in the buffers of the transport it lies behind
// seconds of data on a slow line. So these waits begin again while the queue moves, and while
// the other end acknowledges what is in front of the ping. They are longer if the round trips of
// the link are long. The transport's acknowledgements prove nothing once the ping has arrived:
// the system sends them for a process that is stopped.
//
// A candidate that does not answer is asked at growing intervals, up to half an hour, and
// removed when no peer names it any more. If it were removed after a few failures, another peer
// would name it at once, and it would be tried as if it had never failed.
package protocol
