package protocol

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
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
	DialBootstrap                   // open a link to bootstrap number Index; report LinkUp or BootstrapFailed
	CloseLink                       // write what is queued for Link and a bye of Reason, read to its end; report LinkDown
	Granted                         // the claim Index may go on to LinkUp
	Refused                         // the claim Index may not, for Err
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
}

// A waiting message was sent before the first link was there.
type waiting struct {
	frame *Frame
	since time.Duration
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
func (c *Core) Drop(reason DropReason) { c.stats.Dropped[reason]++ }

// --- links

// A claim is a legacy connection whose peer has told its id and has not been
// answered. Answering a second connection under one id makes a JS peer close both,
// so the answer waits until it is certain that the link will be kept.
type claim struct {
	index   int
	info    LinkInfo
	granted bool
	until   time.Duration // the rival has this long to answer a ping
}

// Claim asks whether a link described by info may be made. The answer is a Granted
// or a Refused action with this index, at once or within pingAnswer. A granted claim
// lasts until LinkUp or Unclaim.
func (c *Core) Claim(now time.Duration, index int, info LinkInfo) {
	c.now = now
	cl := claim{index: index, info: info}
	if err := c.rival(info); err == nil {
		cl.granted = true
		c.do(Action{Type: Granted, Index: index})
	} else if l := c.table.get(info.ID); errors.Is(err, ErrDuplicate) && l != nil && !l.Proved {
		// A phone that comes back from sleep meets its own dead link.
		c.ping(l)
		cl.until = now + pingAnswer
		c.wakeBy(cl.until)
	} else {
		c.refuse(index, err)
		return
	}
	c.claims = append(c.claims, cl)
}

// Unclaim takes a claim back.
func (c *Core) Unclaim(index int) {
	c.claims = slices.DeleteFunc(c.claims, func(cl claim) bool { return cl.index == index })
}

func (c *Core) refuse(index int, err error) {
	c.stats.LinksRefused++
	c.do(Action{Type: Refused, Index: index, Err: err})
}

// rival says why a link described by info must not be made beside what there is.
func (c *Core) rival(info LinkInfo) error {
	if info.ID == c.self {
		return ErrSelf
	}
	for _, l := range c.order {
		if l.ID == info.ID && !l.ended && !better(info, l.LinkInfo) {
			return ErrDuplicate
		}
	}
	for _, cl := range c.claims {
		if cl.info.ID == info.ID && cl.granted && !better(info, cl.info) && !better(cl.info, info) {
			return ErrDuplicate
		}
	}
	return nil
}

// better reports whether a is to replace b, a link to the same peer. Both ends
// come to the same verdict wherever both know the rule.
func better(a, b LinkInfo) bool {
	switch {
	case a.Proved != b.Proved:
		return a.Proved
	case a.Kind != b.Kind:
		return a.Kind > b.Kind
	case a.Opener == "" || b.Opener == "":
		return false
	case a.Opener != b.Opener:
		return a.Opener < b.Opener
	default:
		return a.Value < b.Value
	}
}

// LinkUp tells of a new link. An error means that it must be closed and was not
// taken; the one to keep of two links may also be the new one, and the old is closed.
// boot is the index of the bootstrap that was dialled, or -1.
func (c *Core) LinkUp(now time.Duration, h LinkHandle, info LinkInfo, boot int) error {
	c.now = now
	if boot >= 0 {
		c.overlay.bootstrapAnswered(boot, info.ID)
	}
	if info.ID == c.self {
		c.stats.LinksRefused++
		return ErrSelf
	}
	for _, l := range c.order {
		if l.ID == info.ID && !l.ended && !better(info, l.LinkInfo) {
			c.stats.LinksRefused++
			return ErrDuplicate
		}
	}
	for _, l := range c.order {
		if l.ID == info.ID && !l.ended {
			c.end(l, ByeDuplicate)
		}
	}
	l := &link{LinkInfo: info, handle: h, since: now, heard: now, newer: info.Kind == LinkNative, boot: boot}
	c.links[h] = l
	c.order = append(c.order, l)
	c.stats.LinksOpened++
	if l.native() {
		c.makeUsable(l)
	} else {
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
	held := c.waiting
	c.waiting, c.waitSize = nil, 0
	for _, w := range held {
		c.forward(w.frame, nil)
	}
}

// end asks for l's close. Frames that it still brings are taken; none goes to it.
func (c *Core) end(l *link, reason ByeReason) {
	if l.ended {
		return
	}
	l.ended = true
	c.do(Action{Type: CloseLink, Link: l.handle, Reason: reason, Err: byeError(reason)})
	if reason != ByeDuplicate {
		c.leaveTable(l)
	}
}

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
	lost := !l.ended
	l.ended = true
	c.leaveTable(l)
	c.settleClaims(l.ID)
	c.overlay.linkDown(l, lost)
}

// Written tells that frames of so many bytes left the queue of a link.
func (c *Core) Written(h LinkHandle, frames, bytes int) {
	if l := c.links[h]; l != nil {
		l.queuedFrames -= frames
		l.queuedBytes -= bytes
	}
}

// settleClaims grants what waits for an id that has no link any more, or refuses it.
func (c *Core) settleClaims(id ID) {
	for i := 0; i < len(c.claims); i++ {
		cl := &c.claims[i]
		if cl.info.ID != id || cl.granted {
			continue
		}
		err := c.rival(cl.info)
		if err != nil && c.now < cl.until {
			continue
		}
		if err == nil {
			cl.granted = true
			c.do(Action{Type: Granted, Index: cl.index})
			continue
		}
		c.refuse(cl.index, err)
		c.claims = slices.Delete(c.claims, i, i+1)
		i--
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
		if !l.newer {
			l.newer = true
			l.Features, l.Role = f.Hello.Features, f.Hello.Role
			c.overlay.learnedNewer(l)
		}
	case FrameBye:
		c.overlay.bye(l, f.Bye)
		c.end(l, ByeNormal)
	case FrameAck, FrameNack, FrameUnknown:
		c.stats.Dropped[DropUnknown]++
	}
}

// refuseRivals ends the claims of others to the id of a link that lives.
func (c *Core) refuseRivals(l *link) {
	if len(c.claims) == 0 || l.ended {
		return
	}
	for i := 0; i < len(c.claims); i++ {
		if cl := c.claims[i]; cl.info.ID == l.ID && !cl.granted {
			c.refuse(cl.index, ErrDuplicate)
			c.claims = slices.Delete(c.claims, i, i+1)
			i--
		}
	}
}

// Offence tells that a link brought something malformed.
func (c *Core) Offence(now time.Duration, h LinkHandle, reason DropReason) {
	c.now = now
	c.stats.Dropped[reason]++
	if l := c.links[h]; l != nil {
		if l.offences++; l.offences >= maxOffences {
			c.end(l, ByeProtocol)
		}
	}
}

// message takes a message that came over a link: for us, or to be passed on.
func (c *Core) message(l *link, f *Frame) {
	b := &f.Body
	if b.From == c.self || f.inPath(c.self) {
		c.stats.Dropped[DropLoop]++
		return
	}
	if !c.seen.add(c.now, c.hash(f)) {
		c.stats.Dropped[DropDuplicate]++
		return
	}
	c.learned.learn(c.now, b.From, l.ID)
	switch {
	case len(f.Targets) > 0:
		c.stats.Dropped[DropUnsupported]++
	case b.To == c.self, c.isLast(f):
		c.deliver(l, f)
	default:
		c.forward(f, l)
	}
}

// hash is over everything that makes a message itself: whoever knows its origin and
// nonce alone cannot pre-empt it.
func (c *Core) hash(f *Frame) uint64 {
	return c.cfg.Hash(f.Body.From[:], f.Nonce, f.Body.raw)
}

// deliver takes a message for this peer.
func (c *Core) deliver(l *link, f *Frame) {
	b := &f.Body
	proved := f.Verify(c.cfg.Verify) || l.native() && l.Proved && l.ID == b.From && f.PathLen() == 1
	if len(f.Sig) > 0 && !f.signed {
		c.stats.BadSignatures++
	}
	id, content := f.Nonce, b.raw
	if b.E2E != nil {
		id = b.E2E
		if proved {
			content = nil // a retry is the same message, whatever else changed
		}
	}
	h := c.cfg.Hash(b.From[:], id, content)
	if c.delivered.has(c.now, h) {
		c.stats.Dropped[DropDuplicate]++
		return
	}
	c.noteDelivery(l, h)
	switch {
	case b.Kind == KindUser || b.Kind == KindOther:
		c.stats.Delivered++
		c.do(Action{Type: Deliver, Frame: f, Proved: proved})
	case b.Kind > KindOther, b.Kind == KindReceipt, b.Kind == KindNotice:
		c.stats.Dropped[DropUnsupported]++
	default:
		c.overlay.control(l, f, proved)
	}
}

// noteDelivery writes h into the delivery table. One link may fill only a share
// of it; what it brings beyond that is delivered and not remembered, so that it
// cannot push out what others brought.
func (c *Core) noteDelivery(l *link, h uint64) {
	if c.now-l.deliveredFrom >= deliverAge {
		l.delivered, l.deliveredFrom = 0, c.now
	}
	if l.delivered < c.delivered.most/deliverShare {
		l.delivered++
		c.delivered.add(c.now, h)
	}
}

// --- sending

// An Outgoing is a message to be sent.
type Outgoing struct {
	To      ID
	Kind    Kind
	Form    Form
	Flags   Flags
	Payload []byte
	Extra   []byte
	Record  []byte
	Token   []byte
	Route   []ID // the peers to go by, the nearest first
	Sign    bool
}

// NewFrame makes the frame with which a message starts. It reads only what is
// fixed, so it may be called beside other methods.
func (c *Core) NewFrame(m Outgoing, nonce uint64) (*Frame, error) {
	body := Body{To: m.To, From: c.self, Kind: m.Kind, Form: m.Form, Flags: m.Flags, Extra: m.Extra,
		Record: m.Record, Token: m.Token, Payload: m.Payload}
	sign := m.Sign && c.cfg.Sign != nil
	if sign {
		body.Key = c.cfg.Key
	}
	if err := body.Encode(); err != nil {
		return nil, err
	}
	msg := MessageFrame{Hop: NewHop(), Nonce: strconv.AppendUint(nil, nonce, 10), Body: body, Path: []ID{c.self}}
	if sign {
		var err error
		if msg.Sig, err = c.cfg.Sign(signedBytes(body.raw)); err != nil {
			return nil, fmt.Errorf("peer-relay: sign a message: %w", err)
		}
	}
	if len(m.Route) > MaxRoute {
		m.Route = m.Route[:MaxRoute]
	}
	msg.Route = m.Route
	return NewMessage(msg)
}

// signedBytes gives what a signature is over: never bytes that could mean anything
// to another protocol that uses the same key.
func signedBytes(body []byte) []byte {
	return append([]byte("peer-relay/1 body\x00"), body...)
}

// nonces has 15 decimal digits at most, as JS writes them.
const nonces = 1e15

// Nonce gives a fresh nonce.
func (c *Core) Nonce() uint64 { return c.rng.Uint64N(nonces) }

// Send starts a message of the application. A message to oneself is delivered.
func (c *Core) Send(now time.Duration, f *Frame) error {
	c.now = now
	c.stats.Sent++
	return c.start(f)
}

// start sends a frame of this peer's own.
func (c *Core) start(f *Frame) error {
	if f.Body.To == c.self {
		c.stats.Delivered++
		c.do(Action{Type: Deliver, Frame: f, Proved: true})
		return nil
	}
	c.seen.add(c.now, c.hash(f))
	if c.table.len() == 0 {
		return c.wait(f)
	}
	return c.forward(f, nil)
}

// wait keeps a message for the first link.
func (c *Core) wait(f *Frame) error {
	if len(c.waiting) >= maxWaiting || c.waitSize+f.Size() > waitBytes {
		c.stats.Dropped[DropWaitingFull]++
		return fmt.Errorf("no link yet, and the messages that wait for one take all the room: %w", ErrQueueFull)
	}
	c.waiting = append(c.waiting, waiting{f, c.now})
	c.waitSize += f.Size()
	c.wakeBy(c.now + waitAge)
	return nil
}

// control sends a message of the overlay's own. by, if not nil, is the link to take.
func (c *Core) control(by *link, m Outgoing) {
	m.Sign = true
	f, err := c.NewFrame(m, c.Nonce())
	if err != nil {
		c.stats.Dropped[DropTooBig]++
		return
	}
	c.stats.Control++
	c.seen.add(c.now, c.hash(f))
	if by == nil {
		c.forward(f, nil)
	} else if !by.ended && !by.full(f.Size()) {
		c.stats.Copies++
		f.setHop(f.Hop().WithTx(f.Hop().TxLeft() - 1))
		c.transmit(by, f)
	} else {
		c.stats.Dropped[DropQueueFull]++
	}
}

// Connect asks for a direct link to a peer. Nothing happens if there is one.
func (c *Core) Connect(now time.Duration, id ID) {
	c.now = now
	c.overlay.want(id)
}

// Disconnect ends the link to a peer and does not seek it again for a while.
func (c *Core) Disconnect(now time.Duration, id ID) {
	c.now = now
	c.overlay.avoid(id)
	if l := c.table.get(id); l != nil {
		c.end(l, ByeNormal)
	}
}

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
	for _, l := range slices.Clone(c.order) {
		c.tickLink(l)
	}
	for _, cl := range slices.Clone(c.claims) {
		if !cl.granted {
			c.settleClaims(cl.info.ID)
			c.wakeBy(max(cl.until, now+time.Millisecond))
		}
	}
	c.overlay.tick()
}

func (c *Core) tickLink(l *link) {
	switch {
	case l.ended:
	case !l.usable && c.now-l.since >= muteAfter:
		c.stats.LinksRefused++
		c.overlay.mute(l)
		c.end(l, ByeSilent)
	case l.pinged && c.now-l.pingedAt >= pingAnswer:
		c.end(l, ByeSilent)
	case !l.pinged && c.now-l.heard >= l.idleLimit():
		c.ping(l)
	case l.pinged:
		c.wakeBy(l.pingedAt + pingAnswer)
	default:
		c.wakeBy(l.heard + l.idleLimit())
		if !l.usable {
			c.wakeBy(l.since + muteAfter)
		}
	}
}
