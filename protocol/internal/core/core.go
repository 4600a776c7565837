package core

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/custody"
	"github.com/peer-relay/peer-relay/protocol/internal/idtable"
	"github.com/peer-relay/peer-relay/protocol/internal/journal"
	"github.com/peer-relay/peer-relay/protocol/internal/overlay"
	"github.com/peer-relay/peer-relay/protocol/internal/receipts"
	"github.com/peer-relay/peer-relay/protocol/internal/seen"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A Core decides what a peer does. It is synchronous: every event is a call with the time,
// and the consequences are a list of Actions. A Router drives one Core over real links. A
// simulator drives thousands of them over a queue of events.
//
// Time is a Duration since a start that the caller chooses. Two goroutines must not use a
// Core concurrently, except for the methods that say so.
type Core struct {
	// Fixed after NewCore.
	cfg  CoreConfig
	self wire.ID

	// The data plane.
	now         time.Duration
	rng         *rand.Rand
	byHandle    map[LinkHandle]*link
	order       []*link              // every link, oldest first
	table       idtable.Table[*link] // the usable link to each peer
	claims      []claim
	standIns    []standIn // oldest first
	transit     transit
	hashes      []uint64 // of the messages that ReceiveAll processes; kept for its memory
	fetched     uint64   // of no meaning, see seen.Table.Fetch
	delivered   seen.Table
	confirmed   seen.Table // messages whose receipt was sent
	undelivered receipts.Dropped
	book        receipts.Book
	queued      int           // bytes in the queues of all links
	learned     idtable.Hints // the neighbours that brought messages of an origin
	proved      idtable.Hints // the neighbours that brought proved messages of an origin to this peer
	waiting     []waiting
	waitSize    int
	expected    map[wire.ID]expectation
	handshakes  int // number of the last expected handshake
	held        []held
	heldSize    int
	own         map[uint64]own // by hash
	unsent      Unsent
	givenUp     int
	troubles    map[uint64]*trouble // messages that did not take their first way, by hash
	mailbox     mailbox
	refusal     wire.NackReason // why the message that is being processed goes back; 0 means that it does not
	owing       []*link         // links with messages to acknowledge
	entrusted   int             // bytes of the messages that are not acknowledged, on all links
	buffers     custody.Pool    // for these
	lastDown    *link           // the link of the last LinkDown
	stats       journal.Stats
	actions     []Action
	events      []journal.Event
	tracing     bool
	nextWake    time.Duration
	linksAt     time.Duration // when a link may be due

	view

	// The control plane.
	overlay overlay.Overlay
}

// A CoreConfig is the configuration of a Core.
type CoreConfig struct {
	Self       wire.ID
	Role       wire.Role
	Rand       rand.Source                       // must not be predictable for other peers
	Hash       func(a, b, c, d []byte) uint64    // keyed with a secret key
	Bootstraps int                               // number of bootstraps; DialBootstrap names them by index
	Key        []byte                            // this peer's public key; nil means that nothing is signed
	Sign       func(head []byte) ([]byte, error) // signs with this peer's key; nil means that nothing is signed
	// Verify returns the id that key hashes to, and reports whether sig is its signature
	// of data.
	Verify func(key, data, sig []byte) (wire.ID, bool)
	// NoOverlay leaves the choice of links to the application: the overlay neither seeks
	// nor prunes links. It still dials bootstraps.
	NoOverlay bool
	NoTrace   bool   // do not report to the origins of traced pings
	Agent     string // name and version of the program, for reports
	Mailbox   bool   // keep messages for peers that are offline
}

// A waiting message waits for a link.
type waiting struct {
	frame   *wire.Frame
	since   time.Duration
	relayed bool    // another peer is its origin
	from    wire.ID // the message was in the queue of a link to this peer; the zero ID means none
}

// NewCore returns a Core without links.
func NewCore(cfg CoreConfig) *Core {
	c := &Core{
		cfg:       cfg,
		self:      cfg.Self,
		rng:       rand.New(cfg.Rand),
		byHandle:  make(map[LinkHandle]*link),
		transit:   newTransit(),
		delivered: seen.New(deliverAge, deliverBytes),
		confirmed: seen.New(deliverAge, confirmBytes),
		expected:  make(map[wire.ID]expectation),
		own:       make(map[uint64]own),
		troubles:  make(map[uint64]*trouble),
		mailbox:   newMailbox(),
		view:      view{pace: usualTrip / 2},
	}
	c.overlay = overlay.New(host{c}, overlay.Config{Self: cfg.Self, Role: cfg.Role, Rand: c.rng, Bootstraps: cfg.Bootstraps, Manual: cfg.NoOverlay})
	return c
}

// Actions returns the actions since the last call. The caller owns the slice until the next
// call of any method.
func (c *Core) Actions() []Action {
	c.acknowledge()
	a := c.actions
	c.actions = c.actions[:0]
	return a
}

func (c *Core) do(a Action) { c.actions = append(c.actions, a) }

// NextWake returns the time at which Tick is due.
func (c *Core) NextWake() time.Duration { return c.nextWake }

// wakeBy has Tick called by a time at which a link may be due.
func (c *Core) wakeBy(at time.Duration) {
	c.linksAt = min(c.linksAt, at)
	c.tickBy(at)
}

// tickBy has Tick called by a time at which no link is due, so that Tick need not look at all of them.
func (c *Core) tickBy(at time.Duration) { c.nextWake = min(c.nextWake, at) }

// Stats returns a copy of the counters.
func (c *Core) Stats() journal.Stats {
	s := c.stats
	s.Links = c.table.Len()
	s.Pending, s.Candidates = c.overlay.Counts()
	return s
}

// Drop counts a message that the shell dropped. A nil f means that it was not a frame.
func (c *Core) Drop(reason journal.DropReason, f *wire.Frame) {
	c.drop(reason, f)
	switch reason {
	case journal.DropInboxFull, journal.DropNoPort, journal.DropSocketFull: // the core had counted it as delivered
		c.stats.Delivered--
		if f != nil && f.Wants(wire.FlagReceipt) {
			c.undelivered.Add(c.now, c.receiptKey(f))
		}
	}
}

// Unwritten reports to the core that a frame left the queue of a link, which could not write it.
func (c *Core) Unwritten(now time.Duration, h LinkHandle, f *wire.Frame) {
	c.now = now
	c.returnedCopy(f)
	if l := c.byHandle[h]; l != nil && l.keeps {
		c.recount(l, func() { l.ledger.Unwritten(f) })
	}
	c.drop(journal.DropUnencodable, f)
}

// Linked reports whether there is a usable link to a peer.
func (c *Core) Linked(id wire.ID) bool { return c.table.Get(id) != nil }

// Peers returns the linked peers in the order of their ids.
func (c *Core) Peers() []wire.LinkInfo {
	infos := make([]wire.LinkInfo, 0, c.table.Len())
	for _, l := range c.table.All() {
		infos = append(infos, l.LinkInfo)
	}
	return infos
}

// Wants reports whether a link to a peer would be useful: the peer is not linked, no handshake
// with it is in progress, and its bucket or the neighbourhood has room for it.
func (c *Core) Wants(now time.Duration, id wire.ID) bool {
	c.now = now
	return id != c.self && !c.Linked(id) && !c.expects(id) && c.overlay.Useful(id)
}

// Connect asks the overlay for a direct link to a peer, unless there is one.
func (c *Core) Connect(now time.Duration, id wire.ID) {
	c.now = now
	c.overlay.Want(id)
}

// Suggest adds candidates that the application knows.
func (c *Core) Suggest(now time.Duration, ids []wire.ID) {
	c.now = now
	c.overlay.Suggest(ids)
}

// Disconnect ends the link to a peer. The overlay does not seek it again for a minute.
func (c *Core) Disconnect(now time.Duration, id wire.ID) {
	c.now = now
	c.overlay.Disconnect(id)
	for _, l := range slices.Clone(c.order) {
		if l.ID == id {
			c.end(l, wire.ByeNormal)
		}
	}
	if l := c.table.Get(id); l != nil { // the link is a stand-in, and its replacement ends too
		c.standIns = slices.DeleteFunc(c.standIns, func(s standIn) bool { return s.link == l })
		c.leaveTable(l)
	}
}

// Search asks the network for the peers nearest to an id. A Found action with this index,
// which must not be 0, follows at most once. An error means that the search failed at once.
func (c *Core) Search(now time.Duration, index int, near wire.ID) error {
	c.now = now
	return c.overlay.Search(index, near)
}

// EndSearch withdraws a search, unless it was answered.
func (c *Core) EndSearch(index int) { c.overlay.EndSearch(index) }

// DialFailed reports to the core that a Dial failed.
func (c *Core) DialFailed(now time.Duration, id wire.ID) {
	c.now = now
	c.overlay.DialFailed(id)
}

// BootstrapFailed reports to the core that a DialBootstrap failed.
func (c *Core) BootstrapFailed(now time.Duration, index int) {
	c.now = now
	c.overlay.BootstrapFailed(index)
}

// DialRefused reports to the core that the peer of a Dial has a link already. If this peer has
// none, the dial failed.
func (c *Core) DialRefused(now time.Duration, id wire.ID) {
	c.now = now
	if !c.Linked(id) {
		c.overlay.DialFailed(id)
	}
}

// BootstrapLinked reports to the core that a DialBootstrap found the bootstrap already linked.
func (c *Core) BootstrapLinked(now time.Duration, index int) {
	c.now = now
	c.overlay.BootstrapLinked(index, c.expects)
}

// BootstrapSelf reports to the core that a bootstrap has this peer's id. If why is not nil, the
// application is told it once.
func (c *Core) BootstrapSelf(now time.Duration, index int, why error) {
	c.now = now
	c.overlay.BootstrapSelf(index, why)
}

// SetContact sets how other peers can reach this one.
func (c *Core) SetContact(contact wire.Contact) { c.overlay.SetContact(contact) }

// Tick does the work that is due. It must be called at NextWake, and may be called at any
// other time.
func (c *Core) Tick(now time.Duration) {
	late := c.nextWake != 0 && now-c.nextWake >= tickLate
	c.now = now
	c.nextWake = math.MaxInt64 // until the tick of the overlay, which always sets a time

	// They were many once, and hold frames.
	if len(c.actions) == 0 && cap(c.actions) > keptActions {
		c.actions = nil
	}
	for len(c.waiting) > 0 && now-c.waiting[0].since >= waitAge {
		w := c.waiting[0]
		c.drop(journal.DropExpired, w.frame)
		c.transit.lose(c.hash(w.frame))
		c.waitSize -= w.frame.Size()
		c.waiting = c.waiting[1:]
	}
	c.transit.done.Expire(now)
	c.delivered.Expire(now)
	c.confirmed.Expire(now)
	c.mailbox.had.Expire(now)
	if len(c.waiting) > 0 {
		c.tickBy(c.waiting[0].since + waitAge)
	}
	c.tickLinks(late)
	c.expireStandIns()
	c.expireHeld()
	c.expireTroubles()
	c.tickBook()
	c.tickHandovers()
	c.tickPeers()
	for i := len(c.claims) - 1; i >= 0; i-- {
		if i < len(c.claims) && !c.claims[i].granted {
			c.settleClaims(c.claims[i].info.ID)
		}
	}
	c.overlay.Tick()
}
