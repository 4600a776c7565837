package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math"
	"math/rand/v2"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
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
}

// A World is a network of peers in virtual time. Only one goroutine may use it.
type World struct {
	cfg      Config
	now      time.Duration
	rng      *rand.Rand
	events   eventQueue
	peers    []*Peer
	byID     map[wire.ID]*Peer
	value    uint64
	lastSend int
	hash     hash.Hash
	line     []byte

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
	Core  *core.Core
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
}

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

// Hash returns the hash over all actions and events of all cores so far.
func (w *World) Hash() [sha256.Size]byte { return [sha256.Size]byte(w.hash.Sum(nil)) }

// Add adds a peer. No peer can dial a leaf.
func (w *World) Add(role wire.Role) *Peer {
	return w.add(role, func(*wire.ID) {})
}

// add adds a peer with a random id that grind has changed.
func (w *World) add(role wire.Role, grind func(*wire.ID)) *Peer {
	p := &Peer{
		Index: len(w.peers), Alive: true, born: w.now, died: never, role: role, place: NewPlace(len(w.peers), w.rng),
		ends: make(map[core.LinkHandle]*end), sends: make(map[int]*Outcome),
	}
	p.ID = w.randomID()
	grind(&p.ID)
	key := w.rng.Uint64()
	p.Core = core.NewCore(core.CoreConfig{
		Self: p.ID, Role: role, Rand: rand.NewPCG(w.rng.Uint64(), w.rng.Uint64()),
		Hash:       func(a, b, c, d []byte) uint64 { return mix(mix(mix(mix(key, a), b), c), d) },
		Bootstraps: w.cfg.Bootstraps,
		Key:        p.ID[:],
		Sign:       func([]byte) ([]byte, error) { return append(make([]byte, 44), p.ID[:]...), nil },
		Verify:     verify,
	})
	p.Core.Trace(true)
	w.peers = append(w.peers, p)
	w.byID[p.ID] = p
	if role != wire.RoleLeaf {
		p.Core.SetContact(wire.Contact{ID: p.ID, Record: p.ID[:]})
	}
	p.Core.Tick(w.now)
	w.settle(p)
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
func (w *World) Kill(p *Peer) { p.Alive, p.died = false, w.now }

// Send sends a user message.
func (w *World) Send(from, to *Peer) error { return w.post(from, to).err }

// post sends a user message.
func (w *World) post(from, to *Peer) *mail {
	m := &mail{from: from, to: to, at: w.now}
	f := w.write(m, to.ID, 0)
	if m.err != nil {
		return m
	}
	m.err = from.Core.Send(w.now, f, core.OwnMessage)
	w.settle(from)
	return m
}

// write returns a new user message to an id, which is looked for where it arrives.
func (w *World) write(m *mail, to wire.ID, flags wire.Flags) *wire.Frame {
	payload := fmt.Appendf(nil, "%d", w.rng.Uint64())
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

// --- events

func (w *World) do(e event) {
	p := e.peer
	if !p.Alive {
		return
	}
	switch e.kind {
	case tick:
		if p.wake == e.at { // otherwise an earlier tick replaced it
			p.wake = 0
			p.Core.Tick(w.now)
		}
	case arrive:
		if e.end.down || w.apart(p, e.end.other.peer) {
			return
		}
		f, err := wire.ParseFrame(e.frame)
		if err != nil {
			panic(fmt.Sprintf("sim: a core sent a frame that no core reads: %v", err))
		}
		e.end.byeSeen = e.end.byeSeen || f.Type == wire.FrameBye
		if p.dropsMessage(f) {
			w.swallow(e.end)
			return
		}
		if f.Type == wire.FrameMessage {
			e.end.taken++
		}
		p.Core.Receive(w.now, e.end.handle, f)
	case accept:
		if opener := e.end.other.peer; !opener.Alive || w.apart(p, opener) {
			w.push(event{at: w.now + deadDial, kind: failed, peer: opener, cause: e.cause, id: p.ID})
			return
		}
		took := w.latency(p, e.end.other.peer)
		w.push(event{at: w.now + took, kind: linked, peer: e.end.other.peer, end: e.end.other, cause: e.cause})
		e.end.due = w.now + took // its frames must not arrive before the other end is up
		w.up(e.end, core.Inbound())
	case linked:
		w.up(e.end, e.cause)
	case failed:
		if index, ok := e.cause.OfBootstrap(); ok {
			p.Core.BootstrapFailed(w.now, index)
		} else {
			p.Core.DialFailed(w.now, e.id)
		}
	case silence:
		e.end.byeSent, e.end.byeSeen = true, true
	}
	w.settle(p)
	if e.end != nil {
		w.finish(e.end)
	}
}

// up passes a core its end of a new link.
func (w *World) up(e *end, cause core.Cause) {
	e.peer.handles++
	e.handle = e.peer.handles
	e.peer.ends[e.handle] = e
	opener := e.peer
	if !e.opened {
		opener = e.other.peer
	}
	info := wire.LinkInfo{
		ID: e.other.peer.ID, Kind: wire.LinkNative, Proved: true, Dialed: e.opened,
		Opener: string(opener.ID[:]), Value: e.value, Role: e.other.peer.role,
		RTT: 2 * w.latency(e.peer, e.other.peer),
	}
	if !w.cfg.NoCustody {
		info.Features = wire.Features()
	}
	if err := e.peer.Core.LinkUp(w.now, e.handle, info, cause); err != nil {
		e.byeSent = true
		w.transmit(e, wire.NewBye(wire.ByeNormal))
		e.down = true
		delete(e.peer.ends, e.handle)
	}
}

// finish takes an end down that has sent a bye and received one.
func (w *World) finish(e *end) {
	if e.down || !e.byeSent || !e.byeSeen {
		return
	}
	e.down = true
	delete(e.peer.ends, e.handle)
	e.peer.Core.LinkDown(w.now, e.handle, nil)
	e.peer.Core.Returned(w.now, e.other.peer.ID, nil)
	w.settle(e.peer)
}

// settle performs the actions of a core and schedules its next tick.
func (w *World) settle(p *Peer) {
	var drafts []*core.Draft
	var delivered []*wire.Frame
	var measured []core.LinkHandle
	for _, a := range p.Core.Actions() {
		w.note(p, a)
		switch a.Type {
		case core.Transmit:
			if e := p.ends[a.Link]; e != nil && !e.byeSent {
				w.transmit(e, a.Frame)
			}
			if a.Frame.Type != wire.FrameAck {
				p.Core.Written(w.now, a.Link, 1, a.Frame.Size())
			}
		case core.CloseLink:
			if e := p.ends[a.Link]; e != nil && !e.byeSent {
				e.byeSent = true
				w.transmit(e, wire.NewBye(a.Reason))
				w.push(event{at: w.now + byeTime, kind: silence, peer: p, end: e})
			}
		case core.Deliver:
			w.deliver(p, a.Frame)
			delivered = append(delivered, a.Frame)
		case core.Receipted:
			w.receipted(p, a)
		case core.Measure:
			measured = append(measured, a.Link)
		case core.Compose:
			drafts = append(drafts, a.Draft)
		case core.Dial:
			w.dial(p, w.byID[wire.ID(a.Contact.Record)], core.Sought())
		case core.DialBootstrap:
			var to *Peer
			if a.Index < len(w.peers) {
				to = w.peers[a.Index]
			}
			w.dial(p, to, core.Bootstrap(a.Index))
		}
	}
	for _, e := range p.Core.Events() {
		w.noteEvent(p, e)
	}
	for _, h := range measured {
		p.Core.Measured(w.now, h, wire.Progress{})
	}
	for _, f := range delivered {
		p.Core.Confirm(w.now, f, wire.ReceiptFor(f, false))
	}
	if len(drafts)+len(measured)+len(delivered) > 0 {
		for _, d := range drafts {
			p.Core.Compose(d)
			p.Core.Composed(w.now, d)
		}
		w.settle(p)
		return
	}
	if next := max(p.Core.NextWake(), w.now+time.Millisecond); p.wake == 0 || next < p.wake {
		p.wake = next
		w.push(event{at: next, kind: tick, peer: p})
	}
}

func (w *World) deliver(p *Peer, f *wire.Frame) {
	payload := string(f.Body.Payload)
	m := w.sent[payload]
	if m == nil {
		w.twice++
		return
	}
	delete(w.sent, payload)
	m.arrived, m.took, m.hops = true, w.now-m.at, f.PathLen()
	w.received = append(w.received, Receipt{From: w.byID[f.Body.From], To: p, Hops: m.hops, Took: m.took})
}

// transmit sends a frame, which arrives after the latency of the link.
func (w *World) transmit(e *end, f *wire.Frame) {
	if f.Type == wire.FrameAck && e.swallowed > 0 {
		f = wire.NewAck(f.Num + e.swallowed)
	}
	b, err := f.AppendTo(nil)
	if err != nil {
		panic(fmt.Sprintf("sim: a core sent a frame that cannot be written: %v", err))
	}
	if f.Type == wire.FramePing || f.Type == wire.FramePong {
		w.pings++
	}
	w.bytes += uint64(len(b))
	if f.Type == wire.FrameMessage && !f.Body.Kind.IsControl() {
		w.carried++
	}
	if w.apart(e.peer, e.other.peer) {
		return
	}
	_, n := binary.Uvarint(b)
	e.due = max(e.due, w.now+w.latency(e.peer, e.other.peer))
	w.push(event{at: e.due, kind: arrive, peer: e.other.peer, end: e.other, frame: bytes.Clone(b[n:])})
}

// dial starts a dial. The link is up, or the dial fails, some time later.
func (w *World) dial(p, to *Peer, cause core.Cause) {
	if to == nil || !to.Alive || to == p {
		w.push(event{at: w.now + deadDial, kind: failed, peer: p, cause: cause, id: idOf(to)})
		return
	}
	w.value++
	value := mix(w.value, nil)
	a, b := &end{peer: p, opened: true, value: value}, &end{peer: to, value: value}
	a.other, b.other = b, a
	w.push(event{at: w.now + (dialTime-1)*w.latency(p, to), kind: accept, peer: to, end: b, cause: cause})
}

func idOf(p *Peer) (id wire.ID) {
	if p != nil {
		id = p.ID
	}
	return id
}

func (w *World) latency(a, b *Peer) time.Duration { return a.place.Latency(b.place) }

// Living returns the peers that were not killed.
func (w *World) Living() []*Peer {
	var alive []*Peer
	for _, p := range w.peers {
		if p.Alive {
			alive = append(alive, p)
		}
	}
	return alive
}
