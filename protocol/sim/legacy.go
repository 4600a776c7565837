package sim

import (
	"errors"
	"math/rand/v2"
	"strconv"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
	"github.com/peer-relay/peer-relay/protocol/internal/idtable"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// Numbers of npm peer-relay.
const (
	jsBucket  = 20   // channels, and candidates, that share a number of bits with the peer
	jsFound   = 20   // candidates in a foundPeers
	jsOptimal = 15   // channels and handshakes up to which it seeks more
	jsCopies  = 2    // channels that a message is sent to
	jsNonces  = 1e15 // it draws a nonce below this
)

// A jsPeer is a model of a peer of npm peer-relay 0.0.2 in Node, with a server and without WebRTC. It
// has the faults of the original: a channel that its table has no room for is deaf, two channels to
// one peer end each other, a handshake that was not answered is pending for ever, and nothing is
// tried again. It does not lose a message that it sends before its first channel is open: no scenario
// sends one. On the links of legacy peers the frames are those of native links, and stand for JSON.
type jsPeer struct {
	self     *Peer
	rng      *rand.Rand
	channels jsTable[*end]
	known    jsTable[wire.ID] // its candidates, itself among them
	pending  map[wire.ID]bool
	touched  map[string]bool     // nonces
	paths    map[wire.ID]wire.ID // the peer that brought a message of an origin last
}

// AddLegacy adds a peer of npm peer-relay, which dials all bootstraps.
func (w *World) AddLegacy() *Peer {
	p := w.settleIn(w.now, wire.RolePeer, func(*wire.ID) {})
	p.js = &jsPeer{
		self: p, rng: rand.New(rand.NewPCG(w.rng.Uint64(), 0)), channels: jsTable[*end]{self: p.ID}, known: jsTable[wire.ID]{self: p.ID},
		pending: make(map[wire.ID]bool), touched: make(map[string]bool), paths: make(map[wire.ID]wire.ID),
	}
	for i := range w.cfg.Bootstraps {
		p.lane.dial(p, p.lane.bootstrap(i), core.Sought())
	}
	return p
}

// url returns the address of a peer's WebSocket server.
func (p *Peer) url() string { return "ws://" + p.ID.String() }

// peerAt returns the peer with an address, nil if there is none.
func (w *World) peerAt(url string) *Peer {
	var id wire.ID
	if len(url) < 5 || id.UnmarshalText([]byte(url[5:])) != nil {
		return nil
	}
	return w.byID[id]
}

// A jsTable is a k-bucket: it has room for jsBucket entries that share a number of bits with the peer.
type jsTable[T comparable] struct {
	idtable.Table[T]
	self wire.ID
	in   [wire.IDBits + 1]int
}

// add adds an entry if there is none and there is room.
func (t *jsTable[T]) add(id wire.ID, v T) {
	var none T
	if b := t.self.CommonPrefixLen(id); t.Get(id) == none && t.in[b] < jsBucket {
		t.in[b]++
		t.Put(id, v)
	}
}

func (t *jsTable[T]) remove(id wire.ID) {
	if t.Remove(id, t.Get(id)) {
		t.in[t.self.CommonPrefixLen(id)]--
	}
}

// --- messages

// send sends a new message.
func (j *jsPeer) send(b wire.Body) {
	b.From = j.self.ID
	nonce := strconv.AppendUint(nil, j.rng.Uint64N(jsNonces), 10)
	f, err := wire.EncodeMessageFrame(wire.MessageFields{Hop: wire.NewHop(), Nonce: nonce, Body: b, Path: []wire.ID{j.self.ID}})
	if err != nil {
		panic("sim: a message of a legacy peer: " + err.Error())
	}
	j.touched[string(nonce)] = true
	j.pass(f, j.paths)
}

// pass sends a message, whose path ends with this peer, to the nearest channels that are not in the path,
// and to the one that is nearest to where a message of the receiver came from. A channel to the
// receiver is the last that it takes.
func (j *jsPeer) pass(f *wire.Frame, paths map[wire.ID]wire.ID) {
	to := f.Body.To
	next := j.channels.Closest(to, jsCopies, func(e *end) bool { return !f.InPath(e.other.peer.ID) })
	if via, ok := paths[to]; ok {
		for _, e := range j.channels.Closest(via, 1, nil) {
			if len(next) == 0 || e != next[0] && e != next[len(next)-1] {
				next = append([]*end{e}, next...)
			}
		}
	}
	for _, e := range next {
		if j.self.lane.send(e, f); e.other.peer.ID == to {
			return
		}
	}
}

// receive processes what arrives by a channel. Node's WebSocket answers pings also on a deaf one.
func (j *jsPeer) receive(e *end, f *wire.Frame) {
	switch f.Type {
	case wire.FramePing:
		j.self.lane.send(e, wire.NewPong(f.Num))
	case wire.FrameBye:
		j.destroy(e)
	case wire.FrameMessage:
		if j.channels.Get(e.other.peer.ID) == e {
			j.message(e, f)
		}
	}
}

// message delivers or forwards a message. The path of an origin is learnt only from an id that is
// written in hex digits: a legacy peer that forwards a message writes it as a Buffer.
func (j *jsPeer) message(e *end, f *wire.Frame) {
	if nonce := string(f.Nonce); j.touched[nonce] {
		return
	} else {
		j.touched[nonce] = true
	}
	if f.PathLen() == 1 || !e.other.peer.legacy() {
		j.paths[f.Body.From] = e.other.peer.ID
	}
	switch {
	case f.Body.To == j.self.ID:
		j.deliver(f)
	case f.PathLen() < wire.MaxPath:
		f.Hop = f.Hop.WithTx(f.Hop.TxLeft() - 1) // a gateway counts the path
		f.Relay(j.self.ID)
		j.pass(f, nil) // the receiver's id is a Buffer here, which no path has
	}
}

// deliver processes a message for this peer.
func (j *jsPeer) deliver(f *wire.Frame) {
	b := &f.Body
	switch b.Kind {
	case wire.KindUser:
		j.self.lane.deliver(j.self, f)
	case wire.KindFind:
		found := j.known.Closest(wire.ID(b.Payload), jsFound, nil)
		j.send(wire.Body{To: b.From, Kind: wire.KindFound, Form: wire.FormRaw, Payload: wire.AppendFound(nil, found)})
	case wire.KindFound:
		ids, err := wire.ParseFound(b.Payload)
		if err != nil {
			panic("sim: a foundPeers for a legacy peer: " + err.Error())
		}
		for _, id := range ids {
			j.known.add(id, id)
		}
		j.populate()
	case wire.KindOffer:
		j.offered(b.From)
	case wire.KindAnswer:
		j.answered(b)
	}
}

// --- channels

// populate seeks channels to the nearest candidates.
func (j *jsPeer) populate() {
	for _, id := range j.known.Closest(j.self.ID, jsOptimal, nil) {
		if j.channels.Len()+len(j.pending) >= jsOptimal {
			return
		}
		if id != j.self.ID && j.channels.Get(id) == nil && !j.pending[id] {
			j.pending[id] = true
			j.send(wire.Body{To: id, Kind: wire.KindOffer})
		}
	}
}

func (j *jsPeer) offered(by wire.ID) {
	if j.channels.Get(by) != nil || j.pending[by] && by.Compare(j.self.ID) >= 0 {
		return
	}
	j.pending[by] = true
	j.send(wire.Body{To: by, Kind: wire.KindAnswer, Form: wire.FormRaw, Payload: wire.AppendAnswer(nil, wire.Answer{WS: j.self.url()})})
}

func (j *jsPeer) answered(b *wire.Body) {
	if j.channels.Get(b.From) != nil || b.Form == wire.FormNone {
		return
	}
	a, err := wire.ParseAnswer(b.Payload)
	if err != nil {
		panic("sim: an answer for a legacy peer: " + err.Error())
	}
	if to := j.self.lane.w.peerAt(a.WS); to != nil {
		j.self.lane.dial(j.self, to, core.Sought())
	}
}

// connected processes a channel that is open. A second one to the same peer is destroyed if the
// peer's id is higher, and stays deaf otherwise.
func (j *jsPeer) connected(e *end) {
	id := e.other.peer.ID
	j.self.attach(e)
	delete(j.pending, id)
	j.known.add(id, id)
	if j.channels.Get(id) != nil {
		if id.Compare(j.self.ID) >= 0 {
			j.destroy(e)
		}
		return
	}
	j.channels.add(id, e)
	j.send(wire.Body{To: id, Kind: wire.KindFind, Form: wire.FormRaw, Payload: j.self.ID[:]})
}

// destroy closes a channel, and with it the one that the table has of the same peer.
func (j *jsPeer) destroy(e *end) {
	if e.handle == 0 || e.byeSent { // it was not open yet, or it is closed
		return
	}
	j.self.lane.bye(e, wire.ByeNormal)
	id := e.other.peer.ID
	delete(j.pending, id)
	j.known.remove(id)
	if x := j.channels.Get(id); x != nil {
		j.channels.remove(id)
		j.destroy(x)
	}
}

// --- the other end

// A claim is a connection between a legacy peer and a core, which the core was asked about.
type claim struct {
	end   *end // the core's
	cause core.Cause
}

// claim asks a core whether it takes a legacy peer, whose hello has arrived.
func (l *lane) claim(e *end, cause core.Cause) {
	e.peer.claims = append(e.peer.claims, &claim{e, cause})
	e.peer.Core.Claim(l.now, len(e.peer.claims)-1, l.w.info(e))
}

// granted brings the link up: the legacy peer gets the core's hello.
func (l *lane) granted(c *claim) {
	l.soonLinked(c.end.other, core.Inbound())
	l.up(c.end, c.cause)
}

// refused closes the connection before the core's hello. The legacy peer never learns of it.
func (l *lane) refused(c *claim, why error) {
	switch {
	case !c.end.opened:
	case errors.Is(why, core.ErrDuplicate):
		c.end.peer.Core.DialRefused(l.now, c.end.other.peer.ID)
	default:
		c.end.peer.Core.DialFailed(l.now, c.end.other.peer.ID)
	}
}
