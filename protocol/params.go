package protocol

import "time"

// Budgets of a message (routing.md's HOPS is MaxPath).
const (
	txBudget = 40
	detours  = 2
	nacks    = 3
)

// Limits of one link.
const (
	maxQueueBytes  = 4 << 20
	maxQueueFrames = 8192
	maxOffences    = 16 // malformed frames before the link is cut
	maxLegacyBits  = 4  // a legacy link must be this many bits nearer than a native one to be preferred

	pingIdle       = 20 * time.Second
	pingIdleWebRTC = 3 * time.Second
	pingAnswer     = 3 * time.Second
	muteAfter      = 5 * time.Second // a legacy link that never brought a message
)

// Limits of the tables.
const (
	seenAge      = 60 * time.Second
	seenBytes    = 64 << 20
	deliverAge   = 120 * time.Second
	deliverBytes = 32 << 20
	deliverShare = 4 // one link may fill a quarter of the delivery table

	maxLearned = 1024
	learnedAge = 60 * time.Second
	maxWaiting = 256
	waitBytes  = 1 << 20
	waitAge    = 60 * time.Second
	maxInbox   = 8192
	inboxBytes = 16 << 20
)

// The overlay: which links to have, and how hard to try.
const (
	nearLinks     = 8 // s: links to the nearest peers
	bucketLinks   = 2 // c: links in every farther bucket
	leafNear      = 4
	leafRelays    = 3
	leafCap       = 10
	maxPending    = 6  // handshakes of this peer's own, and dials
	maxAnswered   = 64 // handshakes of others under way
	maxFound      = 20
	bucketCands   = 20
	sourceCands   = 8
	maxCandFails  = 6
	maxQueries    = 64
	findsPerTick  = 3
	prunesPerTick = 2

	offerExpiry   = 6 * time.Second
	dialExpiry    = 20 * time.Second
	queryExpiry   = 10 * time.Second
	candBackoff   = 8 * time.Second
	refuseBackoff = 60 * time.Second
	pruneAge      = 60 * time.Second
	findBackoff   = 2 * time.Second // doubles, to 512 s
	refreshEvery  = 60 * time.Second
	refreshEager  = 5 * time.Second
	nearFindEvery = 120 * time.Second

	tickFilling  = time.Second // in the first fillingTime, with deficits
	tickDeficit  = 4 * time.Second
	tickIdle     = 15 * time.Second
	fillingTime  = 30 * time.Second
	bootFirst    = 500 * time.Millisecond
	bootMost     = 4 * time.Second
	bootMostLate = 60 * time.Second
	bootEager    = 2 * time.Minute
	rebootEvery  = 300 * time.Second
)
