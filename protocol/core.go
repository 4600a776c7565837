package protocol

import (
	"math/rand/v2"
	"slices"
	"time"
)

// A Core decides what a peer does. It is synchronous: every event is a call with
// the time, and what follows from it is a list of Actions. It has no goroutine, no
// clock, no source of randomness of its own, and nothing in it depends on the order
// of a map, so the same events give the same actions. A Router drives one over real
// links, a simulator thousands over a queue of events.
//
// Time is a Duration since a start that the caller chooses. A Core is for one
// goroutine at a time.
type Core struct {
	// Fixed after NewCore.
	cfg  CoreConfig
	self ID

	// The data plane.
	now       time.Duration
	rng       *rand.Rand
	links     map[LinkHandle]*link
	order     []*link // every link, oldest first
	table     table
	claims    []claim
	standIns  []standIn // the oldest first
	seen      seenTable
	delivered seenTable
	learned   routeTable
	waiting   []waiting
	waitSize  int
	stats     Stats
	actions   []Action
	nextWake  time.Duration

	// The control plane.
	overlay overlay
}

// A CoreConfig is what a Core has to be told.
type CoreConfig struct {
	Self       ID
	Role       Role
	Rand       rand.Source                       // unpredictable to others
	Hash       func(a, b, c []byte) uint64       // keyed, the key secret
	Bootstraps int                               // how many there are; DialBootstrap names them by index
	Key        []byte                            // this peer's public key, nil: nothing is signed
	Sign       func(head []byte) ([]byte, error) // with this peer's key, nil: nothing is signed
	// Verify reports the id that key hashes to, if sig is its signature of data.
	Verify func(key, data, sig []byte) (ID, bool)
	// NoOverlay leaves the choice of links to the application: none is sought or
	// pruned, and bootstraps are still dialled.
	NoOverlay bool
}

// An ActionType tells actions apart.
type ActionType uint8

const (
	Transmit      ActionType = iota // hand Frame to Link; report with Written
	Deliver                         // hand Frame to the application; Proved says whose word From is
	Dial                            // open a link to Contact; report LinkUp or DialFailed
	DialBootstrap                   // open a link to bootstrap number Index; report LinkUp, BootstrapLinked or BootstrapFailed
	CloseLink                       // write what is queued for Link and a bye of Reason, read to its end; report LinkDown
	Granted                         // the claim Index may go on to LinkUp
	Refused                         // the claim Index may not, for Err
	Signalled                       // hand Frame, a signal, to who makes WebRTC links; Proved says whose word From is
	Found                           // the search Index was answered by IDs, the nearest first
	PeerUp                          // Peer is linked
	PeerDown                        // Peer is not linked any more
)

// An Action is something that the shell is to do. Which fields are set depends on
// its type.
type Action struct {
	Type    ActionType
	Link    LinkHandle
	Frame   *Frame
	Proved  bool
	Contact Contact
	Index   int
	Reason  ByeReason
	Err     error
	Peer    ID
	IDs     []ID
}

// A waiting message came before there was a link for it.
type waiting struct {
	frame   *Frame
	since   time.Duration
	relayed bool // it is somebody else's
}

// NewCore gives a Core without links.
func NewCore(cfg CoreConfig) *Core {
	c := &Core{
		cfg:       cfg,
		self:      cfg.Self,
		rng:       rand.New(cfg.Rand),
		links:     make(map[LinkHandle]*link),
		seen:      newSeenTable(seenAge, seenBytes),
		delivered: newSeenTable(deliverAge, deliverBytes),
	}
	c.overlay = newOverlay(c)
	return c
}

// Actions gives what is to be done since the last call. The caller owns the slice
// until the next call of any method.
func (c *Core) Actions() []Action {
	a := c.actions
	c.actions = c.actions[:0]
	return a
}

func (c *Core) do(a Action) { c.actions = append(c.actions, a) }

// NextWake gives the time at which Tick is due.
func (c *Core) NextWake() time.Duration { return c.nextWake }

func (c *Core) wakeBy(at time.Duration) {
	if at < c.nextWake {
		c.nextWake = at
	}
}

// Stats gives a copy of the counters.
func (c *Core) Stats() Stats {
	s := c.stats
	s.Links = c.table.len()
	s.Pending = len(c.overlay.pending)
	s.Candidates = len(c.overlay.cands)
	return s
}

// Drop counts a message that the shell lost.
func (c *Core) Drop(reason DropReason) {
	c.stats.Dropped[reason]++
	switch reason {
	case DropInboxFull, DropNoPort, DropSocketFull:
		c.stats.Delivered--
	}
}

// --- links

// Sought in place of a bootstrap's index says that a link comes of a Dial action.
const Sought = -2

// LinkUp tells of a new link. An error means that it must be closed and was not
// taken. Of two links to a peer one is kept, which may be the new one; the other is
// closed, and what its peer wrote before it knew is taken all the same. boot is the
// index of the bootstrap that was dialled, Sought after a Dial, or -1.
func (c *Core) LinkUp(now time.Duration, h LinkHandle, info LinkInfo, boot int) error {
	c.now = now
	if boot == Sought && c.overlay.shuns(info.ID) { // the dial was under way when the application disconnected
		c.stats.LinksRefused++
		return ErrDisconnected
	}
	if boot >= 0 {
		c.overlay.bootstrapAnswered(boot, info.ID)
	} else {
		boot = c.overlay.bootstrapOf(info.ID)
	}
	if info.ID == c.self {
		c.stats.LinksRefused++
		return ErrSelf
	}
	holder := c.holder(info)
	if holder != nil {
		c.stats.LinksRefused++
		c.ping(holder) // it may be dead without our knowing, and the peer's new link would be right
		if info.Kind != LinkNative {
			return ErrDuplicate
		}
	}
	l := &link{LinkInfo: info, handle: h, since: now, heard: now, newer: info.Kind == LinkNative, boot: boot}
	if holder == nil {
		for _, x := range c.order {
			if x.ID == info.ID {
				c.end(x, ByeDuplicate)
			}
		}
		c.stats.LinksOpened++
	}
	c.links[h] = l
	c.order = append(c.order, l)
	c.settled(info)
	switch {
	case holder != nil:
		c.end(l, ByeDuplicate)
		return nil
	case l.native():
		c.makeUsable(l)
	default:
		c.wakeBy(now + muteAfter)
		c.overlay.greet(l)
	}
	c.wakeBy(now + l.idleLimit())
	return nil
}

// makeUsable puts l into the table and sends what waited for a first link.
func (c *Core) makeUsable(l *link) {
	l.usable = true
	known := c.table.get(l.ID) != nil
	c.table.put(l)
	if !known {
		c.do(Action{Type: PeerUp, Peer: l.ID, Link: l.handle})
	}
	if l.native() {
		c.overlay.greet(l)
	}
	c.overlay.linkUp(l)
	if l.newer && !l.native() { // its hello comes before its first message
		c.overlay.learnedNewer(l)
	}
	c.sendWaiting()
}

// end asks for l's close. Frames that it still brings are taken; none goes to it.
func (c *Core) end(l *link, reason ByeReason) { c.endFor(l, reason, byeError(reason)) }

func (c *Core) endFor(l *link, reason ByeReason, why error) {
	if l.ended {
		return
	}
	l.ended = true
	l.gone = reason == ByeSilent
	l.replaced = reason == ByeDuplicate
	c.do(Action{Type: CloseLink, Link: l.handle, Reason: reason, Err: why})
	if reason != ByeDuplicate { // else the other link takes its place without a word
		c.leaveTable(l)
	}
}

// byeError says why a link ended, nil for an orderly end.
func byeError(reason ByeReason) error {
	switch reason {
	case ByeDuplicate:
		return ErrDuplicate
	case ByeUnwanted:
		return ErrUnwanted
	case ByeSilent:
		return ErrSilent
	case ByeProtocol:
		return ErrOffences
	default:
		return ErrDisconnected
	}
}

func (c *Core) leaveTable(l *link) {
	if c.table.remove(l) {
		c.do(Action{Type: PeerDown, Peer: l.ID, Link: l.handle})
	}
}

// LinkDown tells that a link ended.
func (c *Core) LinkDown(now time.Duration, h LinkHandle) {
	c.now = now
	l := c.links[h]
	if l == nil {
		return
	}
	delete(c.links, h)
	c.order = slices.DeleteFunc(c.order, func(x *link) bool { return x == l })
	if n := l.queuedFrames; n > 0 {
		c.stats.Dropped[DropLinkEnded] += uint64(n)
	}
	l.gone = l.gone || !l.ended
	l.ended = true
	c.settleClaims(l.ID)
	if l.replaced && c.table.get(l.ID) == l { // the other link is up at the peer already, and here in a moment
		c.standIns = append(c.standIns, standIn{l, now + replaceTime})
		c.wakeBy(now + replaceTime)
		return
	}
	c.leaveTable(l)
	c.overlay.linkDown(l)
}

// A standIn is a link that ended as the lesser of two and holds the other one's place
// in the table, so that the peer is not reported gone and linked again.
type standIn struct {
	link  *link
	until time.Duration
}

// expireStandIns lets go of those whose place nobody took.
func (c *Core) expireStandIns() {
	for len(c.standIns) > 0 && c.standIns[0].until <= c.now {
		l := c.standIns[0].link
		c.standIns = c.standIns[1:]
		if c.table.get(l.ID) == l {
			c.leaveTable(l)
			c.overlay.linkDown(l)
			c.sendWaiting()
		}
	}
	if len(c.standIns) > 0 {
		c.wakeBy(c.standIns[0].until)
	}
}

// Written tells that frames of so many bytes left the queue of a link.
func (c *Core) Written(now time.Duration, h LinkHandle, frames, bytes int) {
	c.now = now
	if l := c.links[h]; l != nil {
		l.queuedFrames -= frames
		l.queuedBytes -= bytes
		// A ping may lie behind a long transfer: as long as that moves, the peer reads. What is
		// not waited for says nothing, a transport takes it whether the peer is there or not.
		if l.pinged && l.queuedFrames > 0 {
			l.pingedAt = now
		}
	}
}

// ping asks a link for a sign of life.
func (c *Core) ping(l *link) {
	if l.pinged || l.ended {
		return
	}
	l.pinged, l.pingedAt = true, c.now
	c.wakeBy(c.now + pingAnswer)
	c.transmit(l, NewPing(c.rng.Uint64()))
}

// transmit hands a frame to a link, whose queue has room.
func (c *Core) transmit(l *link, f *Frame) {
	l.queuedFrames++
	l.queuedBytes += f.Size()
	c.do(Action{Type: Transmit, Link: l.handle, Frame: f})
}

// --- frames

// Receive takes a frame that came over a link.
func (c *Core) Receive(now time.Duration, h LinkHandle, f *Frame) {
	c.now = now
	l := c.links[h]
	if l == nil {
		return
	}
	l.heard, l.pinged = now, false
	c.refuseRivals(l)
	switch f.Type {
	case FrameMessage:
		if !l.usable && !l.ended {
			c.makeUsable(l)
		}
		c.stats.Received++
		c.message(l, f)
	case FramePing:
		if !l.ended && !l.full(0) {
			c.transmit(l, NewPong(f.Num))
		}
	case FrameHello: // a legacy peer shows that it knows the extensions
		switch {
		case l.native():
			c.offence(l, DropMalformed)
		case !l.newer:
			l.newer = true
			l.Features, l.Role = f.Hello.Features, f.Hello.Role
			if l.usable {
				c.overlay.learnedNewer(l)
			}
		}
	case FrameBye:
		c.byeFrom(l, f.Bye)
	case FrameAck, FrameNack, FrameUnknown:
		c.stats.Dropped[DropUnknown]++
	}
}

// byeFrom takes a peer's goodbye. What is queued for it is still written.
func (c *Core) byeFrom(l *link, reason ByeReason) {
	if l.ended { // it answers ours
		return
	}
	switch reason {
	case ByeDuplicate:
		c.end(l, ByeDuplicate)
		return
	case ByeUnwanted:
		c.endFor(l, ByeNormal, ErrUnwanted)
	case ByeShutdown, ByeSilent:
		c.endFor(l, ByeNormal, nil)
		l.gone = true
	default:
		c.endFor(l, ByeNormal, nil)
		c.overlay.avoid(l.ID)
	}
}

// Offence tells that a link brought something malformed.
func (c *Core) Offence(now time.Duration, h LinkHandle, reason DropReason) {
	c.now = now
	if l := c.links[h]; l != nil {
		c.offence(l, reason)
	}
}

// offence counts against a native link, until it is cut. A legacy peer passes on
// whatever it is sent, so its link is not made to pay for what others wrote.
func (c *Core) offence(l *link, reason DropReason) {
	c.stats.Dropped[reason]++
	if !l.native() {
		return
	}
	if l.offences++; l.offences >= maxOffences {
		c.end(l, ByeProtocol)
	}
}

// Connect asks for a direct link to a peer. Nothing happens if there is one.
func (c *Core) Connect(now time.Duration, id ID) {
	c.now = now
	c.overlay.want(id)
}

// Suggest names candidates that the application knows of.
func (c *Core) Suggest(now time.Duration, ids []ID) {
	c.now = now
	c.overlay.suggest(ids)
}

// Disconnect ends the link to a peer and does not seek it again for a while.
func (c *Core) Disconnect(now time.Duration, id ID) {
	c.now = now
	c.overlay.disconnect(id)
	for _, l := range slices.Clone(c.order) {
		if l.ID == id {
			c.end(l, ByeNormal)
		}
	}
	if l := c.table.get(id); l != nil { // it was replaced, and what was to take its place is ended too
		c.standIns = slices.DeleteFunc(c.standIns, func(s standIn) bool { return s.link == l })
		c.leaveTable(l)
	}
}

// Search asks the network for the peers nearest to an id. index, not 0, is for Found,
// which comes once, or never. An error means that the search is lost already.
func (c *Core) Search(now time.Duration, index int, near ID) error {
	c.now = now
	return c.overlay.search(index, near)
}

// EndSearch takes a search back; nothing happens if it was answered.
func (c *Core) EndSearch(index int) { c.overlay.endSearch(index) }

// DialFailed tells that a Dial came to nothing.
func (c *Core) DialFailed(now time.Duration, id ID) {
	c.now = now
	c.overlay.dialFailed(id)
}

// BootstrapFailed tells that a DialBootstrap came to nothing.
func (c *Core) BootstrapFailed(now time.Duration, index int) {
	c.now = now
	c.overlay.bootstrapFailed(index)
}

// BootstrapLinked tells that a DialBootstrap found the bootstrap linked already.
func (c *Core) BootstrapLinked(now time.Duration, index int) {
	c.now = now
	c.overlay.bootstrapLinked(index)
}

// SetContact says how other peers can reach this one.
func (c *Core) SetContact(contact Contact) { c.overlay.contact = contact }

// Tick does what is due. It must be called at NextWake, and may be at other times.
func (c *Core) Tick(now time.Duration) {
	c.now = now
	c.nextWake = now + tickIdle
	for len(c.waiting) > 0 && now-c.waiting[0].since >= waitAge {
		c.stats.Dropped[DropExpired]++
		c.waitSize -= c.waiting[0].frame.Size()
		c.waiting = c.waiting[1:]
	}
	if len(c.waiting) > 0 {
		c.wakeBy(c.waiting[0].since + waitAge)
	}
	for _, l := range c.order {
		c.tickLink(l)
	}
	c.expireStandIns()
	for i := len(c.claims) - 1; i >= 0; i-- {
		if i < len(c.claims) && !c.claims[i].granted {
			c.settleClaims(c.claims[i].info.ID)
		}
	}
	c.overlay.tick()
}

func (c *Core) tickLink(l *link) {
	switch {
	case l.ended:
	case !l.usable && c.now-l.since >= muteAfter:
		c.stats.LinksRefused++
		c.overlay.avoid(l.ID)
		c.endFor(l, ByeSilent, ErrMute)
	case l.pinged && c.now-l.pingedAt >= pingAnswer:
		c.end(l, ByeSilent)
	case l.pinged:
		c.wakeBy(l.pingedAt + pingAnswer)
	case c.now-l.heard >= l.idleLimit():
		c.ping(l)
	default:
		c.wakeBy(l.heard + l.idleLimit())
	}
	if !l.usable && !l.ended {
		c.wakeBy(l.since + muteAfter)
	}
}
