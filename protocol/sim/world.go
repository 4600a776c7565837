package sim

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
	"github.com/peer-relay/peer-relay/protocol/internal/idtable"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

const (
	dialTime = 4                // duration of a dial, in latencies of the link
	deadDial = 10 * time.Second // time until the dial of a dead peer fails
	byeTime  = time.Second      // wait for the other end's bye

	never = time.Duration(math.MaxInt64)
)

// Config is the configuration of a World. The zero value is a world with seed 0 and without
// bootstraps.
type Config struct {
	// Seed determines ids, places and all random choices.
	Seed uint64

	// Bootstraps is the number of bootstraps. They are the first peers that are added.
	Bootstraps int

	// NoCustody leaves custody out.
	NoCustody bool

	// Legacy has the peers listen for legacy peers too, and tell all peers so.
	Legacy bool

	// For tests; 0 means the usual number. Nothing depends on them.
	lanes, workers int
}

// A World is a network of peers in virtual time. Only one goroutine may use it. Run has others
// help it.
type World struct {
	cfg      Config
	workers  int      // goroutines that run the lanes
	features []string // of all peers
	now      time.Duration
	rng      *rand.Rand
	lanes    []lane
	odd      int // which of two boxes the lanes write to
	peers    []*Peer
	living   []*Peer              // in the order in which they were added
	near     idtable.Table[*Peer] // the living peers
	byID     map[wire.ID]*Peer
	lastSend int
	pause    func() (on bool) // asked now and then whether to go on; nil means yes
	side     func(*Peer) bool // the side of a partition that a peer is on; nil means no partition
}

// A Receipt is a user message that arrived.
type Receipt struct {
	From, To *Peer
	Hops     int
	Took     time.Duration
}

// A tally counts what a peer has sent, and got.
type tally struct {
	pings   uint64 // pings and pongs that were sent
	carried uint64 // user messages and copies of them that were sent over a link
	bytes   uint64 // bytes of all frames that were sent
	twice   int    // user messages that arrived again
}

// A Peer is a core and its place on the plane.
type Peer struct {
	Index int
	Core  *core.Core // nil if it is a legacy peer, or was killed
	ID    wire.ID
	Alive bool

	name       string        // its ID, as the opener of links
	born, died time.Duration // died is never if it lives
	role       wire.Role
	place      Place
	drops      bool         // it drops what is not for it
	subnet     netip.Prefix // zero if it is not known
	js         *jsPeer      // nil if it has a core
	lane       *lane

	// Of its lane.
	tally
	ends    map[core.LinkHandle]*end
	handles core.LinkHandle
	mails   map[string]*mail // user messages in flight to it, by payload
	sends   map[int]*Outcome // reliable messages in flight
	copied  uint64           // by the core of a peer that was killed
	claims  []*claim         // connections of legacy peers that the core was asked about, by index
	hash    hash.Hash        // over the actions of the core
	wake    time.Duration    // when the core's tick is due
	queued  time.Duration    // time of the queued event for that
	due     []event          // in a window
	called  bool             // it has a turn in a window
	caused  uint32           // events
}

// legacy reports whether a peer is one of npm peer-relay.
func (p *Peer) legacy() bool { return p.js != nil }

// An end is one end of a link.
type end struct {
	peer      *Peer
	other     *end
	opened    bool   // this end's peer opened the link
	value     uint64 // LinkInfo.Value
	handle    core.LinkHandle
	due       time.Duration // when the last frame that this end sent arrives
	swallowed uint64        // messages that were dropped and acknowledged
	taken     uint64        // messages that the core got
	byeSent   bool
	byeSeen   bool
	down      bool
}

// New returns a World without peers.
func New(cfg Config) *World {
	lanes := cmp.Or(cfg.lanes, numLanes)
	w := &World{
		cfg: cfg, workers: cmp.Or(cfg.workers, runtime.GOMAXPROCS(0)), rng: rand.New(rand.NewPCG(cfg.Seed, 0)),
		features: wire.Features(), lanes: make([]lane, lanes), byID: make(map[wire.ID]*Peer),
	}
	for i := range w.lanes {
		w.lanes[i] = lane{w: w, index: i, first: never, boxes: [2][][]event{make([][]event, lanes), make([][]event, lanes)}}
	}
	return w
}

// Now returns the virtual time.
func (w *World) Now() time.Duration { return w.now }

// Hash returns the hash over the actions of each core so far.
func (w *World) Hash() [sha256.Size]byte {
	all := sha256.New()
	for _, p := range w.peers {
		all.Write(p.hash.Sum(nil))
	}
	return [sha256.Size]byte(all.Sum(nil))
}

// Add adds a peer. No peer can dial a leaf.
func (w *World) Add(role wire.Role) *Peer {
	return w.add(w.now, role, func(*wire.ID) {})
}

// add adds a peer with a random id that grind has changed. It joins when it is time, now or later.
func (w *World) add(at time.Duration, role wire.Role, grind func(*wire.ID)) *Peer {
	p := w.settleIn(at, role, grind)
	key := w.rng.Uint64()
	p.Core = core.NewCore(core.CoreConfig{
		Self: p.ID, Role: role, Rand: rand.NewPCG(w.rng.Uint64(), w.rng.Uint64()),
		Hash:       func(a, b, c, d []byte) uint64 { return mix(mix(mix(mix(key, a), b), c), d) },
		Bootstraps: w.cfg.Bootstraps,
		Key:        p.ID[:],
		Sign:       func([]byte) ([]byte, error) { return append(make([]byte, 44), p.ID[:]...), nil },
		Verify:     verify,
	})
	if role != wire.RoleLeaf {
		c := wire.Contact{ID: p.ID, Record: p.ID[:]}
		if w.cfg.Legacy {
			c.URL = p.url()
		}
		p.Core.SetContact(c)
	}
	p.wake = at
	if at == w.now {
		p.wake = never
		p.Core.Tick(at)
		p.lane.settle(p)
	}
	p.lane.mark(p)
	return p
}

// settleIn adds a peer that does nothing yet, at a random place.
func (w *World) settleIn(at time.Duration, role wire.Role, grind func(*wire.ID)) *Peer {
	p := &Peer{
		Index: len(w.peers), Alive: true, born: at, died: never, role: role, place: NewPlace(len(w.peers), w.rng),
		lane: &w.lanes[len(w.peers)%len(w.lanes)], ends: make(map[core.LinkHandle]*end), mails: make(map[string]*mail),
		sends: make(map[int]*Outcome), hash: sha256.New(), wake: never, queued: never,
	}
	p.ID = w.randomID()
	grind(&p.ID)
	p.name = string(p.ID[:])
	w.peers = append(w.peers, p)
	w.living = append(w.living, p)
	w.near.Put(p.ID, p)
	w.byID[p.ID] = p
	return p
}

// verify returns the id of a simulated peer, and whether the signature is its own.
func verify(key, _, sig []byte) (wire.ID, bool) {
	if len(key) != wire.IDSize || len(sig) != 64 || string(sig[44:]) != string(key) {
		return wire.ID{}, false
	}
	return wire.ID(key), true
}

// mix returns the hash of b with the state h. It is not cryptographic.
func mix(h uint64, b []byte) uint64 {
	for len(b) >= 8 {
		h = (h ^ binary.LittleEndian.Uint64(b)) * 0x9e3779b97f4a7c15
		h ^= h >> 29
		b = b[8:]
	}
	for _, c := range b {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	h ^= h >> 32
	return h * 0xd6e8feb86659fd93
}

// Cut partitions the network. All frames and dials between the two sides fail until Cut is
// called with nil. side is called by several goroutines at once.
func (w *World) Cut(side func(*Peer) bool) { w.side = side }

func (w *World) apart(a, b *Peer) bool { return w.side != nil && w.side(a) != w.side(b) }

// Kill stops a peer without a bye to its neighbours.
func (w *World) Kill(p *Peer) {
	p.Alive, p.died = false, w.now
	if p.Core != nil { // it takes as much memory as those that live
		p.copied, p.Core = p.Core.Stats().Copies, nil
	}
	i, _ := slices.BinarySearchFunc(w.living, p.Index, func(q *Peer, index int) int { return cmp.Compare(q.Index, index) })
	w.living = slices.Delete(w.living, i, i+1)
	w.near.Remove(p.ID, p)
}

// Crash kills a peer whose machine runs on, so that its neighbours' links end at once.
func (w *World) Crash(p *Peer) {
	w.Kill(p)
	for _, handle := range slices.Sorted(maps.Keys(p.ends)) {
		e := p.ends[handle]
		e.due = max(e.due, w.now+w.latency(p, e.other.peer))
		p.lane.push(p, event{at: e.due, kind: reset, peer: e.other.peer, end: e.other})
	}
}

// Send sends a user message.
func (w *World) Send(from, to *Peer) error { return w.post(w.now, from, to).err }

// post sends a user message when it is time, which is now or later.
func (w *World) post(at time.Duration, from, to *Peer) *mail {
	m := w.write(at, from, to.ID)
	w.mail(m)
	return m
}

// write returns a new user message to an id, which is looked for where it arrives.
func (w *World) write(at time.Duration, from *Peer, to wire.ID) *mail {
	m := &mail{from: from, to: w.byID[to], id: to, payload: fmt.Appendf(nil, "%d", w.rng.Uint64()), at: at}
	if m.to != nil {
		m.to.mails[string(m.payload)] = m
	}
	return m
}

// mail sends a message, at once if it is time.
func (w *World) mail(m *mail) {
	l := m.from.lane
	if m.at > w.now {
		l.push(m.from, event{at: m.at, kind: post, peer: m.from, mail: m})
		return
	}
	l.post(m)
	l.settle(m.from)
	l.mark(m.from)
}

// randomID returns a random id.
func (w *World) randomID() (id wire.ID) {
	for i := range id {
		id[i] = byte(w.rng.Uint32())
	}
	return id
}

// Receipts returns the messages that arrived since the last call, and the number of repeated
// deliveries. It forgets the messages that are in flight.
func (w *World) Receipts() (received []Receipt, twice int) {
	var all []arrival
	for i := range w.lanes {
		all = append(all, w.lanes[i].received...)
		w.lanes[i].received = nil
	}
	slices.SortStableFunc(all, func(a, b arrival) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.To.Index, b.To.Index))
	})
	for _, a := range all {
		received = append(received, a.Receipt)
	}
	for _, p := range w.peers {
		twice += p.twice
		p.twice = 0
		clear(p.mails)
	}
	return received, twice
}

// total returns the sums of what all peers have sent.
func (w *World) total() (sum tally) {
	for _, p := range w.peers {
		sum.pings += p.pings
		sum.carried += p.carried
		sum.bytes += p.bytes
		sum.twice += p.twice
	}
	return sum
}

func (w *World) latency(a, b *Peer) time.Duration { return a.place.Latency(b.place) }

// Living returns the peers that were not killed.
func (w *World) Living() []*Peer { return slices.Clone(w.living) }
