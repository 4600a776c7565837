package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// MinPeers is the smallest network that the scenarios run in. In a smaller one all peers are
// neighbours, so that nothing is routed.
const MinPeers = 20

const (
	mostSenders = 2000 // bounds the messages in a very large network
	joinGap     = 10 * time.Millisecond
	joinMost    = 20 * time.Second // until all peers have joined
	ahead       = minLatency       // time for which a scenario plans what comes
)

// A Scenario is an experiment in a network of its own.
type Scenario struct {
	Name string // one word
	What string // what happens, in a sentence
	play func(*trial)
}

// Options say how a scenario is run. The zero value is a thousand peers with seed 0.
type Options struct {
	// Peers is the number of peers: 1,000 if it is 0, and at least MinPeers.
	Peers int

	// Seed determines everything that is random. Equal options lead to equal results.
	Seed uint64

	// Cut is the virtual time for which scenario partition cuts the network: 30 min if it is 0.
	Cut time.Duration

	// Progress, if it is not nil, is called often with what the scenario waits for.
	Progress func(Progress)

	lanes, workers int // of Config
}

// Progress says how far a scenario is.
type Progress struct {
	Scenario, Step string
	Now            time.Duration // virtual time
	Peers          int           // that were added
}

// A Result is what a scenario has measured.
type Result struct {
	Scenario string        `json:"scenario"`
	Peers    int           `json:"peers"`
	Seed     uint64        `json:"seed"`
	Virtual  time.Duration `json:"virtual"` // nanoseconds of virtual time in all its networks
	Figures  []Figure      `json:"figures"`

	// Transcript is the hash over the actions of each core, in hexadecimal digits.
	Transcript string `json:"transcript"`

	// Delivery is the share of the messages that arrived, by the second in which they were
	// sent.
	Delivery []Point `json:"delivery,omitempty"`
}

// A Point is the delivery of the messages that were sent in one second, or in more if a scenario
// takes long.
type Point struct {
	At        float64 `json:"at"` // seconds since the scenario's first message
	Sent      int     `json:"sent"`
	Delivered int     `json:"delivered"`
}

// Run runs the scenario to its end. If the context ends before, it returns the context's error.
func (s Scenario) Run(ctx context.Context, o Options) (Result, error) {
	if o.Peers == 0 {
		o.Peers = 1000
	}
	if o.Cut == 0 {
		o.Cut = 30 * time.Minute
	}
	if o.Peers < MinPeers || o.Cut < 0 {
		return Result{}, fmt.Errorf("sim: want at least %d peers and a cut of a positive time, have %d and %v", MinPeers, o.Peers, o.Cut)
	}
	t := &trial{ctx: ctx, o: o, result: Result{Scenario: s.Name, Peers: o.Peers, Seed: o.Seed}}
	s.play(t)
	t.close()
	return t.result, ctx.Err()
}

// A trial is one run of a scenario.
type trial struct {
	ctx    context.Context
	o      Options
	step   string
	w      *World
	at     time.Duration // when the next message of a stream is sent
	sent   mails         // of the network, for Delivery
	result Result
}

// open makes a new network, without peers. A trial may need several, one after the other.
func (t *trial) open(cfg Config) {
	t.close()
	t.sent = nil
	cfg.Seed, cfg.lanes, cfg.workers = t.o.Seed, t.o.lanes, t.o.workers
	t.w = New(cfg)
	t.w.pause = func() bool {
		t.tell()
		return t.ctx.Err() == nil
	}
}

// close ends the network that is open.
func (t *trial) close() {
	if t.w == nil {
		return
	}
	t.result.Virtual += t.w.now
	t.result.Transcript = fmt.Sprintf("%x", t.w.Hash())
	t.result.Delivery = points(t.sent)
	t.w = nil
}

func (t *trial) tell() {
	if t.o.Progress != nil {
		t.o.Progress(Progress{Scenario: t.result.Scenario, Step: t.step, Now: t.w.now, Peers: len(t.w.peers)})
	}
}

// begin names what comes next, for the progress.
func (t *trial) begin(format string, args ...any) {
	t.step = fmt.Sprintf(format, args...)
	t.tell()
}

// settled makes a new network in which all peers have joined and then rested for a time.
func (t *trial) settled(bootstraps int, rest time.Duration) {
	t.open(Config{Bootstraps: bootstraps})
	t.join(t.gap(), func(int) wire.Role { return wire.RolePeer })
	t.begin("rest")
	t.wait(rest)
}

// join has all peers join, one every gap. They are added ahead of that, so that the world need not stop
// for each.
func (t *trial) join(gap time.Duration, role func(i int) wire.Role) {
	t.begin("%d peers join", t.o.Peers)
	start := t.w.now
	for i := range t.o.Peers {
		at := start + gap*time.Duration(i)
		if at-t.w.now >= ahead {
			t.w.Run(at)
		}
		t.w.add(at, role(i), func(*wire.ID) {})
	}
	t.w.Run(start + gap*time.Duration(t.o.Peers))
}

// gap returns the time between two peers that join. While peers join, all others tell their links of new
// ones. So a very large network, which would take minutes to join, joins faster.
func (t *trial) gap() time.Duration { return min(joinGap, joinMost/time.Duration(t.o.Peers)) }

func (t *trial) wait(d time.Duration) { t.w.Run(t.w.now + d) }

// figure adds a figure to the result.
func (t *trial) figure(name string, value float64, unit string, of int) {
	f := Figure{Name: name, Value: value, Unit: unit, Of: of}
	f.Target = aim(t.result.Scenario, t.o.Peers, f)
	t.result.Figures = append(t.result.Figures, f)
}

// bound adds a figure of an oracle to the result.
func (t *trial) bound(name string, value float64, unit string, of int) {
	t.result.Figures = append(t.result.Figures, Figure{Name: name, Value: value, Unit: unit, Of: of, Bound: true})
}

// share adds a figure: how many of the messages are among the counted ones.
func (t *trial) share(name string, counted, of mails) {
	t.figure(name, 100*float64(len(counted))/float64(max(len(of), 1)), "%", len(of))
}

// each returns the number of messages if each peer sends some. In a very large network there are only as
// many as of mostSenders peers.
func (t *trial) each(messages int) int { return messages * min(t.o.Peers, mostSenders) }

// stream sends n messages evenly over a time, each by a call of send, which may return nil. It is called
// ahead of t.at, when the message is sent.
func (t *trial) stream(n int, over time.Duration, send func(i int) *mail) (ms mails) {
	start := t.w.now
	for i := range n {
		if t.ctx.Err() != nil {
			break
		}
		if t.at = start + over*time.Duration(i)/time.Duration(n); t.at-t.w.now >= ahead {
			t.w.Run(t.at)
		}
		if m := send(i); m != nil {
			ms = append(ms, m)
		}
	}
	t.w.Run(start + over)
	t.sent = append(t.sent, ms...)
	return ms
}

// luckyTries is the number of random peers that are looked at before all are.
const luckyTries = 20

// pick returns a random living peer that passes all tests, and nil if there is none.
func (t *trial) pick(tests ...func(*Peer) bool) *Peer {
	fits := func(p *Peer) bool {
		return !slices.ContainsFunc(tests, func(ok func(*Peer) bool) bool { return !ok(p) })
	}
	for range luckyTries {
		if p := t.w.living[t.w.rng.IntN(len(t.w.living))]; fits(p) {
			return p
		}
	}
	var fit []*Peer
	for _, p := range t.w.living {
		if fits(p) {
			fit = append(fit, p)
		}
	}
	if len(fit) == 0 {
		return nil
	}
	return fit[t.w.rng.IntN(len(fit))]
}

// plain sends a message between two random peers that pass the tests.
func (t *trial) plain(tests ...func(*Peer) bool) *mail {
	return t.pair(tests, tests, t.post)
}

// reliable sends a reliable message between two random peers that pass the tests.
func (t *trial) reliable(tests ...func(*Peer) bool) *mail {
	return t.pair(tests, tests, func(from, to *Peer) *mail { return t.w.postReliable(t.at, from, to.ID) })
}

// between sends a message from a random peer that passes one test to one that passes the other.
func (t *trial) between(is, other func(*Peer) bool) *mail {
	return t.pair([]func(*Peer) bool{is}, []func(*Peer) bool{other}, t.post)
}

func (t *trial) post(from, to *Peer) *mail { return t.w.post(t.at, from, to) }

// either is between, in a random direction.
func (t *trial) either(is, other func(*Peer) bool) *mail {
	if t.w.rng.IntN(2) == 0 {
		is, other = other, is
	}
	return t.between(is, other)
}

// pair sends a message between two random peers that pass the tests. It returns nil if there are none.
func (t *trial) pair(is, other []func(*Peer) bool, send func(from, to *Peer) *mail) *mail {
	from := t.pick(is...)
	to := t.pick(append(other[:len(other):len(other)], func(p *Peer) bool { return p != from })...)
	if from == nil || to == nil {
		return nil
	}
	return send(from, to)
}

// points returns the delivery over time, in at most 300 points of whole seconds.
func points(ms mails) (ps []Point) {
	if len(ms) == 0 {
		return nil
	}
	first, last := ms[0].at, ms[len(ms)-1].at
	width := max((last-first)/300, time.Second).Truncate(time.Second)
	for _, m := range ms {
		at := ((m.at - first) / width * width).Seconds()
		if len(ps) == 0 || ps[len(ps)-1].At != at {
			ps = append(ps, Point{At: at})
		}
		p := &ps[len(ps)-1]
		p.Sent++
		if m.arrived {
			p.Delivered++
		}
	}
	return ps
}
