package trials

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/itest/measure"
	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/protocol"
)

// The messages are texts: the kind, the number of the quiet while or farewell, and the time when it
// was sent in nanoseconds.
const (
	talkKind = "talk"
	byeKind  = "bye"
	outKind  = "out" // the receiver does not run
)

func byeText(n int) string { return fmt.Sprintf("%s %d %d", byeKind, n, time.Now().UnixNano()) }

// talk has a process write to each other one again and again.
func (s *soaker) talk(ctx context.Context, p *soakProc) {
	defer s.running.Done()
	// They do not all begin at once.
	if peers.Sleep(ctx, s.spec.Talk*time.Duration(p.n)/time.Duration(len(s.procs))) != nil {
		return
	}
	tick := time.NewTicker(s.spec.Talk)
	defer tick.Stop()
	for {
		for _, to := range s.procs {
			if to != p {
				s.say(p, to)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *soaker) say(p, to *soakProc) {
	s.mu.Lock()
	from, kind, window := p.peer, talkKind, s.window
	out, id := p.out, to.peer.ID()
	now := time.Now().UnixNano()
	switch {
	case out:
	case to.out:
		kind = outKind
		s.report.Out.Sent++
	case window == 0:
		s.report.Loud.Sent++
	default:
		s.pairs[p.n][to.n].Sent++
		s.unheard[soakMessage{p.n, to.n, now}] = true
	}
	s.mu.Unlock()
	if out {
		return
	}
	text := fmt.Sprintf("%s %d %d", kind, window, now)
	if err := from.Write("send", map[string]any{"to": id, "data": text}); err != nil {
		s.mu.Lock()
		if !p.out { // its end was not asked for meanwhile
			s.fail("%s: %v", p.name, err)
		}
		s.mu.Unlock()
	}
}

// listen reads what a process reports until it ends.
func (s *soaker) listen(p *soakProc, peer *peers.GoPeer) {
	defer s.running.Done()
	for seen := 0; ; {
		// The log ends with the process, which ends with the soak.
		events, err := peer.Events().Next(context.Background(), seen)
		s.mu.Lock()
		if err != nil {
			s.checkRaces(p, peer)
			if p.peer == peer && !p.ending {
				s.fail("%s ended: %v", p.name, err)
			}
			s.mu.Unlock()
			return
		}
		for _, e := range events {
			switch e.Kind {
			case peers.EventMessage:
				s.heard(p, peer, e)
			case peers.EventPeer, peers.EventDisconnect:
				s.changed(p, e)
			case peers.EventError:
				s.report.Errors[digits.ReplaceAllString(string(e.Data), "…")]++
			}
		}
		s.mu.Unlock()
		seen += len(events)
	}
}

// A soakMessage is a message of a quiet while.
type soakMessage struct {
	from, to int
	sent     int64 // nanoseconds
}

// A soakChange is a link that a process reported to be up or down.
type soakChange struct {
	at      time.Time
	n, with int
	kind    peers.EventKind
}

// soakHistory is how long changes of links are remembered.
const soakHistory = time.Minute

// changed remembers a change of a link. It needs mu.
func (s *soaker) changed(p *soakProc, e peers.Event) {
	with, known := s.index[e.Node]
	if !known {
		return
	}
	now := time.Now()
	old := slices.IndexFunc(s.changes, func(c soakChange) bool { return now.Sub(c.at) < soakHistory })
	if old < 0 {
		old = len(s.changes)
	}
	s.changes = append(s.changes[old:], soakChange{now, p.n, with, e.Kind})
}

// explain tells when each of some lost messages was sent, and what the links of its sender and its
// receiver did lately. It needs mu.
func (s *soaker) explain(window time.Time) {
	ends := make(map[int]bool)
	for m := range s.unheard {
		ends[m.from], ends[m.to] = true, true
		s.spec.Progress("lost: %s to %s, sent after %v", s.procs[m.from].name, s.procs[m.to].name, time.Unix(0, m.sent).Sub(window).Round(time.Millisecond))
	}
	for _, c := range s.changes {
		if ends[c.n] || ends[c.with] {
			s.spec.Progress("links: after %v %s reports %s %s", c.at.Sub(window).Round(time.Millisecond), s.procs[c.n].name, c.kind, s.procs[c.with].name)
		}
	}
}

// digits are the parts of an error by which it differs from others of its kind.
var digits = regexp.MustCompile(`[0-9a-fA-F.]*[0-9][0-9a-zA-Z.]*`)

// heard counts a message. It needs mu.
func (s *soaker) heard(p *soakProc, peer *peers.GoPeer, e peers.Event) {
	var text string
	if json.Unmarshal(e.Data, &text) != nil {
		s.fail("%s received %.100q", p.name, e.Data)
		return
	}
	from, known := s.index[e.Node]
	kind, rest, _ := strings.Cut(text, " ")
	first, second, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(first)
	nanos, err2 := strconv.ParseInt(second, 10, 64)
	if err != nil || err2 != nil || !known {
		s.fail("%s received %q from %s", p.name, text, e.Node)
		return
	}
	if s.came.again(arrival{peer, e.Node, text}) {
		s.report.Twice++
		s.fail("%s received %q from %s again", p.name, text, s.procs[from].name)
		return
	}
	switch {
	case kind == byeKind:
		c := s.byes[n]
		c.Arrived++
		s.byes[n] = c
		return
	case kind == outKind:
		s.report.Out.Arrived++
	case n == 0:
		s.report.Loud.Arrived++
	default:
		s.pairs[from][p.n].Arrived++
		delete(s.unheard, soakMessage{from, p.n, nanos})
	}
	sent := time.Unix(0, nanos)
	for _, w := range s.watches {
		w.heard(from, p.n, sent, time.Now())
	}
}

// An arrival is a message that a process received. One that follows another process with the same
// key may receive a message again that the other one had received.
type arrival struct {
	at   *peers.GoPeer
	from protocol.ID
	text string
}

// memoryTime is the least time for which arrivals are remembered.
const memoryTime = 3 * time.Minute

// A soakMemory are the arrivals of the last minutes.
type soakMemory struct {
	fresh, old map[arrival]bool
	since      time.Time // of fresh
}

func newSoakMemory() soakMemory {
	return soakMemory{make(map[arrival]bool), make(map[arrival]bool), time.Now()}
}

// again remembers an arrival, and reports whether it was there already.
func (m *soakMemory) again(a arrival) bool {
	if time.Since(m.since) > memoryTime {
		m.fresh, m.old, m.since = make(map[arrival]bool), m.fresh, time.Now()
	}
	again := m.fresh[a] || m.old[a]
	m.fresh[a] = true
	return again
}

// checkRaces looks for a report of the race detector. It needs mu.
func (s *soaker) checkRaces(p *soakProc, peer *peers.GoPeer) {
	if text := peer.Process().Stderr(); strings.Contains(text, "DATA RACE") && !s.raced[peer] {
		s.raced[peer] = true
		s.fail("%s has a race:\n%s", p.name, text)
	}
}

// A Reach is how long it took after a disturbance until pairs of peers reached each other.
type Reach struct {
	Name  string
	Kind  Disturbance
	Back  bool            // false while the process was away
	Times []time.Duration // ascending
	Never []string        // pairs that did not within soakGrace
	Worst []string        // pairs, for people
}

// Quantile returns the time within which a part of the pairs reached each other.
func (r Reach) Quantile(q float64) time.Duration {
	all := len(r.Times) + len(r.Never)
	n := min(int(q*float64(all)), all-1)
	switch {
	case all == 0:
		return 0
	case n >= len(r.Times):
		return soakGrace
	}
	return r.Times[n]
}

// A reachWatch waits for each pair of processes to reach each other. The soaker's mu guards it.
type reachWatch struct {
	Reach   // which note completes
	from    time.Time
	pending [][]bool
	open    int // pending pairs
	times   []pairTime
	done    chan struct{} // closed when there is none
	noted   chan struct{} // closed when it is in the report
}

type pairTime struct {
	from, to int
	took     time.Duration
}

// watch begins to wait for each pair of processes that run. away is the one that is disturbed, nil
// after that.
func (s *soaker) watch(ctx context.Context, away *soakProc, kind Disturbance, name string) *reachWatch {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := &reachWatch{Reach: Reach{Name: name, Kind: kind, Back: away == nil}, from: time.Now(), done: make(chan struct{}), noted: make(chan struct{})}
	for _, from := range s.procs {
		row := make([]bool, len(s.procs))
		for _, to := range s.procs {
			if row[to.n] = from != to && from != away && to != away && !from.out && !to.out && !from.busy && !to.busy; row[to.n] {
				w.open++
			}
		}
		w.pending = append(w.pending, row)
	}
	s.watches = append(s.watches, w)
	if w.open == 0 {
		close(w.done)
	}
	s.running.Add(1)
	go s.follow(ctx, w) // ends with the watch or ctx; Soak waits
	return w
}

func (w *reachWatch) heard(from, to int, sent, now time.Time) {
	if w.pending[from][to] && sent.After(w.from) {
		w.times = append(w.times, pairTime{from, to, now.Sub(w.from)})
		w.drop(from, to)
	}
}

// drop ends the wait for a pair.
func (w *reachWatch) drop(from, to int) {
	if w.pending[from][to] {
		w.pending[from][to] = false
		if w.open--; w.open == 0 {
			close(w.done)
		}
	}
}

// interrupt ends the wait for a process that is about to be disturbed.
func (s *soaker) interrupt(p *soakProc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.watches {
		for n := range s.procs {
			w.drop(p.n, n)
			w.drop(n, p.n)
		}
	}
}

// open returns the watches that are not settled.
func (s *soaker) open() []*reachWatch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.watches)
}

// settle waits until all watches are noted.
func (s *soaker) settle(ctx context.Context, watches ...*reachWatch) error {
	for _, w := range watches {
		select {
		case <-w.noted:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// follow notes a watch when all its pairs have reached each other, or the time for it is over.
func (s *soaker) follow(ctx context.Context, w *reachWatch) {
	defer s.running.Done()
	select {
	case <-w.done:
	case <-time.After(soakGrace):
	case <-ctx.Done():
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watches = slices.DeleteFunc(s.watches, func(x *reachWatch) bool { return x == w })
	s.note(w)
	close(w.noted)
}

// note reports a watch. It needs mu.
func (s *soaker) note(w *reachWatch) {
	slices.SortFunc(w.times, func(a, b pairTime) int { return int(a.took - b.took) })
	r := w.Reach
	pair := func(from, to int) string { return s.procs[from].name + " to " + s.procs[to].name }
	for _, t := range w.times {
		r.Times = append(r.Times, t.took)
	}
	for _, t := range w.times[max(0, len(w.times)-3):] {
		r.Worst = append(r.Worst, fmt.Sprintf("%s %v", pair(t.from, t.to), t.took.Round(10*time.Millisecond)))
	}
	for from, row := range w.pending {
		for to, pending := range row {
			if pending {
				r.Never = append(r.Never, pair(from, to))
			}
		}
	}
	s.report.Reached = append(s.report.Reached, r)
	p99 := r.Quantile(0.99)
	s.spec.Progress("%s: %d pairs, p50 %v, p99 %v, max %v, never %d; worst %s", r.Name, len(r.Times)+len(r.Never), r.Quantile(0.5).Round(time.Millisecond),
		p99.Round(time.Millisecond), r.Quantile(1).Round(time.Millisecond), len(r.Never), strings.Join(append(r.Worst, r.Never...)[:min(3, len(r.Worst)+len(r.Never))], ", "))
	// Pairs that write less often than once a second notice later.
	if limit := ReachTime + max(s.spec.Talk-time.Second, 0); p99 > limit {
		s.fail("%s: p99 of the pairs %v, want at most %v; never %s", r.Name, p99.Round(time.Millisecond), limit, first(r.Never))
	}
}

// first returns the first few of a list.
func first(list []string) string {
	text := strings.Join(list[:min(len(list), 5)], ", ")
	if len(list) > 5 {
		text += fmt.Sprintf(" and %d more", len(list)-5)
	}
	return text
}

// sample measures all processes.
func (s *soaker) sample(ctx context.Context) error {
	var memory, goroutines int64
	for _, p := range s.procs {
		s.mu.Lock()
		s.checkRaces(p, p.peer)
		s.mu.Unlock()
		sample := SoakSample{At: time.Since(s.begun), Name: p.name, Kept: p.kept, Age: time.Since(p.started)}
		var err error
		if sample.Memory, err = measure.ResidentMemory(p.peer.Process().Pid()); err != nil {
			return err
		}
		if p.listens {
			status, err := peers.FetchStatusFrom(ctx, p.host, fmt.Sprintf("ws://%s:%d", p.addr(), soakPort))
			if err != nil {
				return err
			}
			sample.Goroutines, sample.Links = int(status.Counters["goroutines"]), status.Links
		}
		s.report.Samples = append(s.report.Samples, sample)
		memory += sample.Memory
		goroutines += int64(sample.Goroutines)
	}
	s.spec.Progress("%d processes have %d MiB; those that listen have %d goroutines", len(s.procs), memory>>20, goroutines)
	return nil
}
