package overlay

import "time"

// Numbers of links, and of what is in flight.
const (
	nearLinks     = 8       // links to the nearest peers
	bucketLinks   = 2       // links in each farther bucket
	keptFarthest  = 6       // fastest links in the farthest bucket that are kept, or fewer in a small network
	keptFar       = 3       // the same in the next buckets; in the rest it is one
	keptShare     = 3       // divisor: these buckets are in the farthest third
	largeDepth    = 9       // buckets of a large network, where only one bucket is such a next one
	leafNear      = 4       // links of a leaf to the nearest peers
	leafRelays    = 3       // links of a leaf to relays
	leafCap       = 10      // links of a leaf
	fullBucket    = 8       // links in a bucket above which those that it does not need are pruned early
	subnetLinks   = 2       // links to one subnet; with more of them, none to another subnet is pruned for them
	ample         = 2       // times the links that a peer needs: with that many it seeks no faster ones
	maxPending    = 6       // own offers in the usual time of an answer and own dials, and dials for others' handshakes
	maxAnswered   = 64      // others' handshakes in flight
	mostEager     = 24      // the same while many links are missing
	sourceDials   = 6       // concurrent dials to peers that one source named, unless it is a bootstrap
	maxQueries    = 64      // searches in flight
	maxSearches   = 32      // searches in flight for the application
	maxAsked      = 1 << 14 // linked peers with a question in flight: that many may join at once
	answerIDs     = 12      // size of a foundPeers without its ids, in ids
	findsPerTick  = 3       // buckets asked for in one tick
	prunesPerTick = 2       // links pruned in one tick
	crowd         = 128     // links above which those are ended that only the other ends need
	shedPerTick   = 16      // of these, in one tick
	maxShed       = 4096    // peers whose links were ended so that are remembered
)

// Ways that differ in time.
const (
	farShare    = 2                         // divisor: only buckets of the first half have more parts
	mostSplits  = 2                         // times that the parts of the farthest bucket are halved, once less in each nearer one; the fastest link of each is kept
	mostParts   = bucketLinks << mostSplits // of a bucket
	closerEvery = time.Second               // least interval at which links are sought in place of slower ones
	mostCloser  = 4                         // of these, at once
	closerShare = 10                        // divisor: a round trip that is shorter by this part is faster
	leastSaving = 4 * time.Millisecond      // if it is this much shorter, at least
)

// Times.
const (
	offerExpiry   = 6 * time.Second   // wait for the answer to an offer
	offerUsual    = time.Second       // the same, if the peer lives
	DialExpiry    = 20 * time.Second  // wait for the link after an answer
	dialUsual     = 3 * time.Second   // the same, if the peer lives
	QueryExpiry   = 10 * time.Second  // wait for the answer to a findPeers
	candBackoff   = 8 * time.Second   // first back-off after a failed handshake, doubles
	refuseBackoff = 60 * time.Second  // first back-off after a refusal, doubles
	candFresh     = 60 * time.Second  // age of a candidate's last mention that weighs as much as a failure
	pruneAge      = 10 * time.Second  // least age of a link that is pruned
	fullAge       = 5 * time.Second   // the same in a bucket with many links
	crowdAge      = 5 * time.Second   // the same for one of very many
	trialAge      = time.Second       // the same for one that was sought in place of a slower one, so that the others are not told of it if it is none
	shedAgain     = 10 * time.Minute  // time after which such a link is ended again that the other end has opened again
	findBackoff   = 2 * time.Second   // first interval of questions for a bucket, doubles to 512 s
	refreshEvery  = 60 * time.Second  // interval of questions to a near link
	refreshEager  = 5 * time.Second   // interval of questions to a near link while links are missing
	nearFindEvery = 120 * time.Second // interval of searches for this peer's own id
	firstRouted   = 10 * time.Second  // mean delay of the first such search after the first link

	tickSoon     = 100 * time.Millisecond // mean delay of a tick after a change
	tickJoining  = 20 * time.Millisecond  // the same in joiningTime
	tickFilling  = 500 * time.Millisecond // mean interval of ticks in fillingTime while links are missing
	tickDeficit  = 4 * time.Second        // mean interval of ticks after fillingTime while links are missing
	tickIdle     = 15 * time.Second       // longest interval of ticks
	joiningTime  = 5 * time.Second        // time after the first link, and after many links were lost at once
	fillingTime  = 30 * time.Second       // time after the first link, and after many links were lost at once
	bootFirst    = 500 * time.Millisecond // first wait before a bootstrap is dialled again, doubles
	bootMost     = 4 * time.Second        // longest wait at first
	bootMostLate = 60 * time.Second       // longest wait at any time
	bootShare    = 64                     // divisor: a wait is at most this part of the time since the first try, within the two above
	bootQuick    = 3                      // dials at once of a bootstrap that takes a dead link for a live one
	bootRefused  = 15 * time.Second       // time after which that link is taken for one of another process
	bootSettled  = 10 * time.Second       // least age of a link that resets the waits
	bootLinger   = 5 * time.Second        // least age of a bootstrap's link that is pruned while no links are missing
	bootExpiry   = 60 * time.Second       // wait for the outcome of a dial
	rebootEvery  = 300 * time.Second      // mean interval of visits to a bootstrap, longer in a large network
	nearRepair   = 3 * time.Second        // time in which a near peer that died is replaced, and one that joins is linked
	lossTime     = 30 * time.Second       // time in which lost links are counted
	lossShare    = 4                      // divisor: losing more than a quarter of the links is an emergency
	mendTime     = 20 * time.Second       // time without pruning after an emergency, while other peers may still miss links
	calmTime     = 100 * time.Second      // time after that in which one link after the other may be pruned again
)
