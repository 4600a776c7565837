package core

import "time"

// Limits of one link.
const (
	maxQueueBytes  = 4 << 20
	maxQueueFrames = 8192
	queuesBytes    = 48 << 20 // bytes in the queues of all links together
	queueShare     = 64 << 10 // bytes of a link's queue that the others cannot take
	askBurst       = 64       // questions of a link that are answered at once
	askRate        = 32       // and per second after that
	maxOffences    = 16       // malformed frames before the link is cut
	maxLegacyBits  = 4        // a legacy link must be this many bits nearer than a native one to be preferred

	pingIdle       = 20 * time.Second
	pingIdleWebRTC = 3 * time.Second
	pingAnswer     = 3 * time.Second
	muteAfter      = 5 * time.Second // a legacy link that never brought a message
	replaceTime    = 2 * time.Second // until the better of two links is up at this end also
	glareTime      = dialExpiry      // two peers that dial each other at the same instant know by then
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

	maxExpected = 4096        // handshakes for which messages are held
	maxHeld     = 256         // messages that are held for them
	heldBytes   = 1 << 20     // bytes of those
	heldShare   = 8           // one peer may fill an eighth of both
	holdTime    = time.Second // for which a message is held: the end of a handshake crosses the network once
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
	bucketCands   = 20
	sourceCands   = 8 // places that one source may fill
	sourceDials   = 1 // dials at once to peers that one source told of, unless it is a bootstrap
	maxCandFails  = 6
	maxQueries    = 64
	maxSearches   = 32      // of those, for the application
	maxAsked      = 1 << 14 // peers that were asked directly: as many may join at once
	answerIDs     = 11      // ids that the rest of a foundPeers is as long as
	findsPerTick  = 3
	prunesPerTick = 2

	offerExpiry   = 6 * time.Second
	dialExpiry    = 20 * time.Second
	QueryExpiry   = 10 * time.Second
	candBackoff   = 8 * time.Second
	refuseBackoff = 60 * time.Second
	candLast      = 30 * time.Minute // the longest back-off
	candStale     = 60 * time.Second // age after which a candidate that no peer told of makes room for others
	pruneAge      = 60 * time.Second
	findBackoff   = 2 * time.Second // doubles, to 512 s
	refreshEvery  = 60 * time.Second
	refreshEager  = 5 * time.Second
	nearFindEvery = 120 * time.Second
	firstRouted   = 10 * time.Second // after the first link

	tickSoon     = 100 * time.Millisecond
	tickFilling  = time.Second // in the first fillingTime, with deficits
	tickDeficit  = 4 * time.Second
	tickIdle     = 15 * time.Second
	fillingTime  = 30 * time.Second
	bootFirst    = 500 * time.Millisecond
	bootMost     = 4 * time.Second
	bootMostLate = 60 * time.Second
	bootShare    = 64               // the most is this part of the time that the tries took so far, within the two above
	bootSettled  = 10 * time.Second // the least age of a link that was a success
	bootLinger   = 30 * time.Second // how long an unneeded link to a bootstrap is kept
	bootExpiry   = 60 * time.Second
	rebootEvery  = 300 * time.Second
	lossTime     = 30 * time.Second // losing more than 1/lossShare of the links within it is an emergency
	lossShare    = 3
)
