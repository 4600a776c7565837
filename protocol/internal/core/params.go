package core

import (
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/overlay"
)

// QueryExpiry is the wait for the answer to a search.
const QueryExpiry = overlay.QueryExpiry

// Limits of one link.
const (
	maxQueueBytes  = 4 << 20   // bytes in the queue of one link
	maxQueueFrames = 8192      // frames in the queue of one link
	queuesBytes    = 48 << 20  // bytes in the queues of all links together
	queueShare     = 64 << 10  // bytes that a link may queue even if queuesBytes are used up
	ackEvery       = 256       // messages that are acknowledged without delay
	ackBytes       = 512 << 10 // bytes of messages that are acknowledged without delay
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
	joiningTime    = 5 * time.Second        // age up to which the peer of a link may have just joined
	glareTime      = overlay.DialExpiry     // age up to which a link may have crossed a dial of the other end
)

// keptActions is the number of actions for which there is room between two ticks.
const keptActions = 16

// Limits of lookahead.
const (
	mostNamed    = 64                     // links that a peer names
	mostAhead    = 24                     // neighbours' links that are considered for a message
	bitsAHop     = 4                      // bits by which two ends of a hop differ in their nearness to a receiver, on average
	usualTrip    = 100 * time.Millisecond // round trip time of a link of which nothing is known
	tellSoon     = 50 * time.Millisecond  // delay of news, so that what happens together is told together
	tellEvery    = time.Second            // least time between two frames to one link
	tellUnneeded = 3 * time.Second / 2    // delay of the news that a link that neither peer needs was ended, or that there is one more to a peer that others are linked with
	heardBurst   = 16                     // frames of one link that are taken at once
	heardRate    = 2                      // frames of one link a second after those
	tellBytes    = 8 << 10                // bytes a minute to one link

	manyLostIn    = 5 * time.Second // time in which lost neighbours are counted
	manyLostShare = 32              // divisor: more than this part of the neighbours are many
	leastLost     = 8               // least number that is many
)

// Limits of a mailbox.
const (
	nearMailbox  = 8               // relays among which a mailbox must be one of the nearest to the receiver
	maxTaking    = 2048            // messages that are being stored
	takingBytes  = 16 << 20        // bytes of their frames
	handFirst    = 2 * time.Second // wait for the receipt of a message that was kept, doubles
	handTries    = 6               // tries over one link
	keepAge      = 24 * time.Hour  // age of an entry of the table of messages that may have been kept
	keepAgeBytes = 4 << 20         // bytes of that table
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
