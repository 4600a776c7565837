// Package sim runs thousands of the production cores of package internal/core in one
// goroutine and in virtual time.
//
//	  Peer ── core.Core            a World plays the shell around every core:
//	   │ actions      ▲ events     it carries frames over links with a latency,
//	   ▼              │            dials, ticks, and lets peers join and die
//	World: a queue of events in the order of their time
//
// Nothing in it is by chance that does not follow from Config.Seed: the same seed leads to the
// same transcript, and Hash is a hash over every action of every core.
//
// The peers lie on a plane; a link takes 20 to 200 ms from end to end, a dial four times
// as long. Bandwidth and computing time are not modelled, and keys are not real: a
// signature is its owner's id, so the simulator is no place to test forgery.
package sim
