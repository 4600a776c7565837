// Package core decides what a peer does. A [Core] takes events, each a call with the time, and
// answers with a list of [Action]s. It has no goroutine, no clock, no randomness of its own,
// and nothing in it depends on the order of a map, so the same events lead to the same actions.
//
//	router, simulator or transcript              ▲ Events: each step, for logs and tests
//	   │ LinkUp, Receive, Send, Tick, …    ▲ Transmit, Deliver, Dial, CloseLink, …
//	   ▼                                   │
//	┌── Core: the data plane ──────────────┴───────┐
//	│ links.go    links come, end, replace another │
//	│ claim.go    one link a peer                  │
//	│ receive.go  seen before? for this peer?      │
//	│ transit.go  what went through                │
//	│ forward.go  where a message goes next        │
//	│ send.go     what begins here                 │
//	└──────┬───────────────────────────────────────┘
//	       │ host: a clock, the links, and what can be done about them
//	┌── overlay: the control plane ────────────────┐
//	│ overlay.go    which links to have            │
//	│ candidate.go  which peers to ask             │
//	│ handshake.go  questions, offers, answers     │
//	│ bootstrap.go  the first peers                │
//	└──────────────────────────────────────────────┘
//
// What takes long and needs only what is fixed is done without the shell's lock: Prepare hashes
// and verifies a message before Receive, Compose signs a control message before Composed.
//
// The two planes meet in two places. A Core calls the overlay when a link, a control message
// or a tick comes. The overlay needs of a Core what the interface host names.
//
// The limits are in params.go. The decisions that a reader may question, and the threats, are
// in the documentation of package protocol.
package core
