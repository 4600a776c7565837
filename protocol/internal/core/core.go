package core

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A Core decides what a peer does. It is synchronous: every event is a call with
// the time, and what follows from it is a list of Actions. It has no goroutine, no
// clock, no source of randomness of its own, and nothing in it depends on the order
// of a map, so the same events lead to the same actions. A Router drives one over real
// links, a simulator thousands over a queue of events.
//
// Time is a Duration since a start that the caller chooses. A Core must not be
// used by two goroutines at once.
type Core struct {
	// Fixed after NewCore.
	cfg  CoreConfig
	self wire.ID

	// The data plane.
	now        time.Duration
	rng        *rand.Rand
	byHandle   map[LinkHandle]*link
	order      []*link // every link, oldest first
	table      table
	claims     []claim
	standIns   []standIn // the oldest first
	transit    transit
	delivered  seenTable
	queued     int        // bytes in the queues of all links
	learned    routeTable // by which neighbour the messages of an origin came
	proved     routeTable // likewise, of messages for this peer whose signature proved the origin
	waiting    []waiting
	waitSize   int
	expected   map[wire.ID]expectation
	handshakes int // that were expected so far
	held       []held
	heldSize   int
	stats      Stats
	actions    []Action
	events     []Event
	tracing    bool
	nextWake   time.Duration

	// The control plane.
	overlay overlay
}

// A CoreConfig is what a Core has to be told.
type CoreConfig struct {
	Self       wire.ID
	Role       wire.Role
	Rand       rand.Source                       // unpredictable to others
	Hash       func(a, b, c, d []byte) uint64    // keyed, the key secret
	Bootstraps int                               // how many there are; DialBootstrap names them by index
	Key        []byte                            // this peer's public key, nil: nothing is signed
	Sign       func(head []byte) ([]byte, error) // with this peer's key, nil: nothing is signed
	// Verify reports the id that key hashes to, if sig is its signature of data.
	Verify func(key, data, sig []byte) (wire.ID, bool)
	// NoOverlay leaves the choice of links to the application: none is sought or
	// pruned, and bootstraps are still dialled.
	NoOverlay bool
}

// A waiting message came before there was a link for it.
type waiting struct {
	frame   *wire.Frame
	since   time.Duration
	relayed bool // it is another peer's
}

// NewCore returns a Core without links.
func NewCore(cfg CoreConfig) *Core {
	c := &Core{
		cfg:       cfg,
		self:      cfg.Self,
		rng:       rand.New(cfg.Rand),
		byHandle:  make(map[LinkHandle]*link),
		transit:   newTransit(),
		delivered: newSeenTable(deliverAge, deliverBytes),
		expected:  make(map[wire.ID]expectation),
	}
	c.overlay = newOverlay(c, cfg, c.rng)
	return c
}

// Actions returns what is to be done since the last call. The caller owns the slice
// until the next call of any method.
func (c *Core) Actions() []Action {
	a := c.actions
	c.actions = c.actions[:0]
	return a
}

func (c *Core) do(a Action) { c.actions = append(c.actions, a) }

// NextWake returns the time at which Tick is due.
func (c *Core) NextWake() time.Duration { return c.nextWake }

func (c *Core) wakeBy(at time.Duration) {
	if at < c.nextWake {
		c.nextWake = at
	}
}

// Stats returns a copy of the counters.
func (c *Core) Stats() Stats {
	s := c.stats
	s.Links = c.table.len()
	s.Pending = len(c.overlay.pending)
	s.Candidates = len(c.overlay.cands)
	return s
}

// Drop counts a message that the shell lost; f is nil if it never was a frame.
func (c *Core) Drop(reason DropReason, f *wire.Frame) {
	c.drop(reason, f)
	switch reason {
	case DropInboxFull, DropNoPort, DropSocketFull:
		c.stats.Delivered--
	}
}

// Linked reports whether there is a usable link to a peer.
func (c *Core) Linked(id wire.ID) bool { return c.table.get(id) != nil }

// Peers returns the linked peers in the order of their ids.
func (c *Core) Peers() []wire.LinkInfo {
	infos := make([]wire.LinkInfo, 0, c.table.len())
	for _, l := range c.table.sorted {
		infos = append(infos, l.LinkInfo)
	}
	return infos
}

// Wants reports whether a link to a peer would be of use: it is not linked, and its
// bucket or the neighbourhood has room for it.
func (c *Core) Wants(id wire.ID) bool { return id != c.self && !c.Linked(id) && c.overlay.useful(id) }

// Connect asks for a direct link to a peer. Nothing happens if there is one.
func (c *Core) Connect(now time.Duration, id wire.ID) {
	c.now = now
	c.overlay.want(id)
}

// Suggest names candidates that the application knows of.
func (c *Core) Suggest(now time.Duration, ids []wire.ID) {
	c.now = now
	c.overlay.suggest(ids)
}

// Disconnect ends the link to a peer and does not seek it again for a while.
func (c *Core) Disconnect(now time.Duration, id wire.ID) {
	c.now = now
	c.overlay.disconnect(id)
	for _, l := range slices.Clone(c.order) {
		if l.ID == id {
			c.end(l, wire.ByeNormal)
		}
	}
	if l := c.table.get(id); l != nil { // it was replaced, and what was to take its place is ended too
		c.standIns = slices.DeleteFunc(c.standIns, func(s standIn) bool { return s.link == l })
		c.leaveTable(l)
	}
}

// Search asks the network for the peers nearest to an id. index, not 0, is for Found,
// which comes once, or never. An error means that the search is lost already.
func (c *Core) Search(now time.Duration, index int, near wire.ID) error {
	c.now = now
	return c.overlay.search(index, near)
}

// EndSearch takes a search back; nothing happens if it was answered.
func (c *Core) EndSearch(index int) { c.overlay.endSearch(index) }

// DialFailed tells that a Dial came to nothing.
func (c *Core) DialFailed(now time.Duration, id wire.ID) {
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
func (c *Core) SetContact(contact wire.Contact) { c.overlay.contact = contact }

// Tick does what is due. It must be called at NextWake, and may be at other times.
func (c *Core) Tick(now time.Duration) {
	c.now = now
	c.nextWake = now + tickIdle
	for len(c.waiting) > 0 && now-c.waiting[0].since >= waitAge {
		w := c.waiting[0]
		c.drop(DropExpired, w.frame)
		c.transit.lose(c.hash(w.frame))
		c.waitSize -= w.frame.Size()
		c.waiting = c.waiting[1:]
	}
	c.transit.done.expire(now)
	c.delivered.expire(now)
	if len(c.waiting) > 0 {
		c.wakeBy(c.waiting[0].since + waitAge)
	}
	for _, l := range c.order {
		c.tickLink(l)
	}
	c.expireStandIns()
	c.expireHeld()
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
		c.endFor(l, wire.ByeSilent, ErrMute)
	case l.pinged && c.now-l.pingedAt >= pingAnswer:
		c.end(l, wire.ByeSilent)
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

// --- the host of the overlay

func (c *Core) clock() time.Duration { return c.now }

func (c *Core) link(id wire.ID) *link { return c.table.get(id) }

func (c *Core) links() []*link { return c.table.sorted }

func (c *Core) bucket(b int) []*link { return c.table.bucket(c.self, b) }

func (c *Core) nearest(target wire.ID, visit func(*link) bool) { c.table.nearest(target, visit) }

func (c *Core) closest(target wire.ID, n int, keep func(*link) bool) []*link {
	return c.table.closest(target, n, keep)
}
