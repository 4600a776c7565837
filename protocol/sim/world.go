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

	never       = time.Duration(math.MaxInt64)
	pauseEvents = 1000 // events after which a world asks again whether to go on
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
}

// A World is a network of peers in virtual time. Only one goroutine may use it.
type World struct {
	cfg      Config
	now      time.Duration
	rng      *rand.Rand
	events   eventQueue
	peers    []*Peer
	living   []*Peer              // in the order in which they were added
	near     idtable.Table[*Peer] // the living peers
	byID     map[wire.ID]*Peer
	value    uint64
	lastSend int
	hash     hash.Hash
	line     []byte
	later    []core.Action

	sent     map[string]*mail // user messages in flight, by payload
	received []Receipt
	twice    int
	pings    uint64           // pings and pongs that were sent
	carried  uint64           // user messages and copies of them that were sent over a link
	bytes    uint64           // bytes of all frames that were sent
	pause    func() (on bool) // asked now and then whether to go on; nil means yes
	side     func(*Peer) bool // the side of a partition that a peer is on; nil means no partition
}

// A Receipt is a user message that arrived.
type Receipt struct {
	From, To *Peer
	Hops     int
	Took     time.Duration
}

// A Peer is a core and its place on the plane.
type Peer struct {
	Index int
	Core  *core.Core // nil if it is a legacy peer
	ID    wire.ID
	Alive bool

	born, died time.Duration // died is never if it lives
	role       wire.Role
	place      Place
	ends       map[core.LinkHandle]*end
	handles    core.LinkHandle
	wake       time.Duration    // time of the queued tick; 0 means none
	sends      map[int]*Outcome // reliable messages in flight
	drops      bool             // it drops what is not for it
	js         *jsPeer          // nil if it has a core
	claims     []*claim         // connections of legacy peers that the core was asked about, by index
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
	return &World{
		cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0)), byID: make(map[wire.ID]*Peer),
		hash: sha256.New(), sent: make(map[string]*mail),
	}
}

// Now returns the virtual time.
func (w *World) Now() time.Duration { return w.now }

// Hash returns the hash over all actions of all cores so far.
func (w *World) Hash() [sha256.Size]byte { return [sha256.Size]byte(w.hash.Sum(nil)) }

// Add adds a peer. No peer can dial a leaf.
func (w *World) Add(role wire.Role) *Peer {
	return w.add(role, func(*wire.ID) {})
}

// add adds a peer with a random id that grind has changed.
func (w *World) add(role wire.Role, grind func(*wire.ID)) *Peer {
	p := w.settleIn(role, grind)
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
	p.Core.Tick(w.now)
	w.settle(p)
	return p
}

// settleIn adds a peer that does nothing yet, at a random place.
func (w *World) settleIn(role wire.Role, grind func(*wire.ID)) *Peer {
	p := &Peer{
		Index: len(w.peers), Alive: true, born: w.now, died: never, role: role, place: NewPlace(len(w.peers), w.rng),
		ends: make(map[core.LinkHandle]*end), sends: make(map[int]*Outcome),
	}
	p.ID = w.randomID()
	grind(&p.ID)
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
// called with nil.
func (w *World) Cut(side func(*Peer) bool) { w.side = side }

func (w *World) apart(a, b *Peer) bool { return w.side != nil && w.side(a) != w.side(b) }

// Kill stops a peer without a bye to its neighbours.
func (w *World) Kill(p *Peer) {
	p.Alive, p.died = false, w.now
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
		w.push(event{at: e.due, kind: reset, peer: e.other.peer, end: e.other})
	}
}

// Send sends a user message.
func (w *World) Send(from, to *Peer) error { return w.post(from, to).err }

// post sends a user message.
func (w *World) post(from, to *Peer) *mail {
	m := &mail{from: from, to: to, at: w.now}
	payload := fmt.Appendf(nil, "%d", w.rng.Uint64())
	if from.legacy() {
		w.sent[string(payload)] = m
		from.js.send(wire.Body{To: to.ID, Kind: wire.KindUser, Form: wire.FormJSON, Payload: payload})
		return m
	}
	if f := w.write(m, to.ID, 0, payload); m.err == nil {
		m.err = from.Core.Send(w.now, f, core.OwnMessage)
		w.settle(from)
	}
	return m
}

// write returns a new user message to an id, which is looked for where it arrives.
func (w *World) write(m *mail, to wire.ID, flags wire.Flags, payload []byte) *wire.Frame {
	var f *wire.Frame
	f, m.err = m.from.Core.NewFrame(core.Outgoing{To: to, Form: wire.FormJSON, Flags: flags, Payload: payload}, m.from.Core.Draw())
	if m.err == nil {
		w.sent[string(payload)] = m
	}
	return f
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
	received, twice = w.received, w.twice
	w.received, w.twice = nil, 0
	clear(w.sent)
	return received, twice
}

// Run advances the virtual time and processes all events up to it.
func (w *World) Run(until time.Duration) {
	for n := 0; w.events.next() <= until; n++ {
		if w.pause != nil && n%pauseEvents == 0 && !w.pause() {
			break
		}
		e := w.events.pop()
		w.now = e.at
		w.do(e)
	}
	w.now = until
}

func (w *World) latency(a, b *Peer) time.Duration { return a.place.Latency(b.place) }

// Living returns the peers that were not killed.
func (w *World) Living() []*Peer { return slices.Clone(w.living) }
