// Package sim runs thousands of the cores of package internal/core, as in production, in virtual
// time.
//
//	  Peer ── core.Core            a World is the shell of every core:
//	   │ actions      ▲ events     it carries frames over links with a latency,
//	   ▼              │            dials, ticks, and has peers join and die
//	lanes of peers: each has a queue of events in the order of their time
//
// Peers do not reach each other in less than the least latency, 20 ms. So the world advances by windows
// of at most that time, in which the lanes run on all processors. The result does not depend on
// how many there are.
//
// Config.Seed determines everything that is random. So equal seeds lead to equal transcripts.
// Hash returns a hash over the actions of each core.
//
// Scenarios returns experiments: killed peers, churn, droppers, a partition and others. Each runs in
// a World of its own and returns a Result with figures, as command peer-relay sim prints them. A figure
// can have a target. Beside one that is hard to reach stands a bound: what an oracle that knows all
// links finds to be the best over them.
//
// AddLegacy adds a model of a peer of npm peer-relay, with that package's faults.
//
// The peers are points on a plane. A link has a latency of 20 to 200 ms, and a dial takes four
// times as long. Bandwidth and computing time are not modelled. Keys are not real: a signature
// is its owner's id, so the simulator cannot test forgery.
package sim
