// Package core decides what a peer does. A [Core] gets events, each a call with the time, and
// returns a list of [Action]s. It has no goroutine, no clock and no randomness of its own, and
// nothing in it depends on the order of a map. So equal events lead to equal actions.
//
//	router, simulator or transcript              ▲ Events: each step, for logs and tests
//	   │ LinkUp, Receive, Send, Tick, …    ▲ Transmit, Deliver, Dial, CloseLink, …
//	   ▼                                   │
//	┌── Core: the data plane ──────────────┴───────┐
//	│ links.go    links start, end, are replaced   │
//	│ claim.go    one link to each peer            │
//	│ receive.go  a duplicate? for this peer?      │
//	│ transit.go  the messages that were forwarded │
//	│ forward.go  the next hop of a message        │
//	│ send.go     the messages of this peer        │
//	│ unsent.go   those that no link took          │
//	│ held.go     messages that await a new link   │
//	│ custody.go  those that are not acknowledged  │
//	│ reliable.go those whose receipt is awaited   │
//	│ probe.go    pings, and reports for traces    │
//	│ mailbox.go  those kept for peers offline,    │
//	│ handover.go and handed over to them          │
//	└──────┬───────────────────────────────────────┘
//	       │ host.go: a clock, the links, and operations on them
//	   package overlay, the control plane: which links to have
//
// The caller of a Core, its shell, has a lock. Two methods take long and read only fixed
// fields, so the shell calls them without the lock: Prepare hashes and verifies a message
// before Receive, and Compose signs a control message before Composed.
//
// The two planes meet in two places. A Core calls the overlay for each link, control message
// and tick. The overlay calls a Core through the interface [overlay.Host].
//
// The parts that need no decision have packages of their own beside this one: tables by id and hints
// (idtable), hashes of messages (seen), what a link must acknowledge (custody), reliable messages
// (receipts), the way of a ping (probe), limits by time (rate), and counters and events (journal).
//
// The limits are in params.go. The documentation of package protocol has the threats, and the
// reasons for decisions that a reader may question.
package core
