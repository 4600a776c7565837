package core

import "time"

// Limits of one link.
const (
	maxQueueBytes  = 4 << 20   // bytes in the queue of one link
	maxQueueFrames = 8192      // frames in the queue of one link
	queuesBytes    = 48 << 20  // bytes in the queues of all links together
	queueShare     = 64 << 10  // bytes that a link may queue even if queuesBytes are used up
	ackEvery       = 32        // messages that are acknowledged without delay
	ackBytes       = 256 << 10 // bytes of messages that are acknowledged without delay
	nackFrames     = 1024      // frames beyond those, for NACKs
	nackBytes      = 1 << 20   // bytes beyond those, for NACKs
	askBurst       = 64        // questions of one link that are answered at once
	askRate        = 32        // questions of one link per second after those
	receiptBurst   = 512       // receipts for the messages of one link that are sent at once
	receiptRate    = 1024      // receipts for the messages of one link per second after those
	traceBurst     = 16        // reports about the pings of one link that are sent at once
	traceRate      = 4         // reports about the pings of one link per second after those
	maxPing        = 4096      // bytes of the frame of a ping that is answered
	maxOffences    = 16        // malformed frames that end a link
	maxLegacyBits  = 4         // bits that a legacy link must share beyond a native one to be preferred

	askGrid        = 250 * time.Millisecond // interval of the pings after unanswered messages, so that one tick serves many links
	slowLine       = 16 << 10               // bytes per second that a line is expected to carry, if its transport has no figures
	slowFree       = 64 << 10               // bytes in front of a ping that cost no time
	slowMost       = 20 * time.Second       // most time for the other bytes in front of a ping
	ackDelay       = 20 * time.Millisecond  // longest time from a message to its acknowledgement
	ackLeast       = 250 * time.Millisecond // least wait for an acknowledgement
	ackMost        = 2 * time.Second        // longest wait for one from a peer that answers, beside what a slow line takes
	pingIdle       = 20 * time.Second       // silence before a ping
	pingIdleWebRTC = 3 * time.Second        // silence before a ping over WebRTC
	doubtAfter     = time.Second            // least age of an unanswered message before a ping, and of a ping before the link is doubted
	pingAnswer     = 3 * time.Second        // least wait for any frame after a ping
	askedEvery     = 2 * time.Second        // interval at which a data channel's transport asks the peer, in place of pings
	claimAnswer    = time.Second            // the same if a connection that proves the peer's id claims it
	answerMost     = 60 * time.Second       // longest wait of these, over the longest line
	claimGrace     = time.Second            // a claim outlasts the wait for the existing link's answer by this
	tickLate       = time.Second            // lateness of a tick that shows that the process did not run
	muteAfter      = 5 * time.Second        // least wait for the first message of a legacy link
	replaceTime    = 2 * time.Second        // least wait for the better of two links, which is up at the other end; more over a long line
	pairTime       = 5 * time.Second        // age up to which a link may be one of two that the other end opened at once
	glareTime      = dialExpiry             // age up to which a link may have crossed a dial of the other end
)

// Limits of the tables.
const (
	seenAge      = 60 * time.Second  // age of an entry of the transit table
	seenBytes    = 64 << 20          // bytes of the transit table
	deliverAge   = 120 * time.Second // age of an entry of the delivery table
	deliverBytes = 32 << 20          // bytes of the delivery table
	confirmBytes = 8 << 20           // bytes of the table of confirmed messages
	deliverShare = 4                 // divisor: one link may fill a quarter of the delivery table

	maxTroubles = 4096             // messages that did not take their first way, whose tries are known
	maxWaiting  = 256              // messages that wait for a link
	waitBytes   = 1 << 20          // bytes of the messages that wait for a link
	waitAge     = 60 * time.Second // age of a message that waits for a link

	maxExpected = 4096        // handshakes for which messages are held
	maxHeld     = 256         // messages that are held
	heldBytes   = 1 << 20     // bytes of the messages that are held
	heldShare   = 8           // divisor: one receiver may fill an eighth of both
	holdTime    = time.Second // age of a held message: more than the end of a handshake needs to arrive
)

// Parameters of the overlay.
const (
	nearLinks     = 8       // links to the nearest peers
	bucketLinks   = 2       // links in each farther bucket
	leafNear      = 4       // links of a leaf to the nearest peers
	leafRelays    = 3       // links of a leaf to relays
	leafCap       = 10      // links of a leaf
	maxPending    = 6       // own handshakes in flight, and dials for others' handshakes
	maxAnswered   = 64      // others' handshakes in flight
	sourceDials   = 1       // concurrent dials to peers that one source named, unless it is a bootstrap
	maxQueries    = 64      // searches in flight
	maxSearches   = 32      // searches in flight for the application
	maxAsked      = 1 << 14 // linked peers with a question in flight: that many may join at once
	answerIDs     = 12      // size of a foundPeers without its ids, in ids
	findsPerTick  = 3       // buckets asked for in one tick
	prunesPerTick = 2       // links pruned in one tick

	offerExpiry   = 6 * time.Second   // wait for the answer to an offer
	dialExpiry    = 20 * time.Second  // wait for the link after an answer
	QueryExpiry   = 10 * time.Second  // wait for the answer to a findPeers
	candBackoff   = 8 * time.Second   // first back-off after a failed handshake, doubles
	refuseBackoff = 60 * time.Second  // first back-off after a refusal, doubles
	candFresh     = 60 * time.Second  // age of a candidate's last mention that weighs as much as a failure
	pruneAge      = 60 * time.Second  // least age of a link that is pruned
	findBackoff   = 2 * time.Second   // first interval of questions for a bucket, doubles to 512 s
	refreshEvery  = 60 * time.Second  // interval of questions to a near link
	refreshEager  = 5 * time.Second   // interval of questions to a near link while links are missing
	nearFindEvery = 120 * time.Second // interval of searches for this peer's own id
	firstRouted   = 10 * time.Second  // mean delay of the first such search after the first link

	tickSoon     = 100 * time.Millisecond // mean delay of a tick after a change
	tickFilling  = time.Second            // mean interval of ticks in fillingTime while links are missing
	tickDeficit  = 4 * time.Second        // mean interval of ticks after fillingTime while links are missing
	tickIdle     = 15 * time.Second       // longest interval of ticks
	fillingTime  = 30 * time.Second       // time after the first link
	bootFirst    = 500 * time.Millisecond // first wait before a bootstrap is dialled again, doubles
	bootMost     = 4 * time.Second        // longest wait at first
	bootMostLate = 60 * time.Second       // longest wait at any time
	bootShare    = 64                     // divisor: a wait is at most this part of the time since the first try, within the two above
	bootQuick    = 3                      // dials at once of a bootstrap that takes a dead link for a live one
	bootRefused  = 15 * time.Second       // time after which that link is taken for one of another process
	bootSettled  = 10 * time.Second       // least age of a link that resets the waits
	bootLinger   = 30 * time.Second       // least age of a bootstrap's link that is pruned
	bootExpiry   = 60 * time.Second       // wait for the outcome of a dial
	rebootEvery  = 300 * time.Second      // mean interval of visits to a bootstrap, longer in a large network
	lossTime     = 30 * time.Second       // time in which lost links are counted
	lossShare    = 3                      // divisor: losing more than a third of the links is an emergency
)
