// Package overlay decides which links a peer has: to the nearest peers, and a few in each farther
// bucket. So each peer has a strictly nearer link for every id.
//
//	core, the data plane
//	   │ LinkUp, LinkDown, Receive, Tick, …     ▲ Host: a clock, the links,
//	   ▼                                        │ Send, Dial, End, …
//	┌── Overlay ────────────────────────────────┴──┐
//	│ overlay.go    which links to have            │
//	│ fill.go       which peers to seek            │
//	│ prune.go      which links to end or improve  │
//	│ question.go   which peers there are          │
//	│ handshake.go  offers, answers, dials         │
//	│ bootstrap.go  the first peers                │
//	└──────────────────────────────────────────────┘
//
// Like a core, an [Overlay] is synchronous. It iterates only over slices in order of arrival and
// over the links in the order of their ids, so that equal events lead to equal decisions.
//
// A peer guesses how far in time the neighbours of its links are, and seeks links to those that seem to
// be nearer than what it has. If one turns out to be slower, it ends after a second, before others are told
// of it, so the tries cost little, and many are made. One rule says what is faster, both when a
// link is sought and when one ends. With two rules links would come and go for ever.
//
// One party may grind many ids next to a peer's. They become its nearest links, which nothing prevents,
// but no link to another party ends for them: of the links to one subnet of the internet only the two oldest
// count there.
//
// The known peers that are not linked are in package candidates. The limits are in params.go.
package overlay
