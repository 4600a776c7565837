package trials

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/protocol"
)

// ReachTime is the time within which a peer must be reached after a disturbance, for 99 of 100
// pairs.
const ReachTime = 10 * time.Second

const (
	// soakGrace is how long the pairs of a disturbance are watched.
	soakGrace = 30 * time.Second

	// soakLate is how long a message of which nothing may be lost may be in flight.
	soakLate = 5 * time.Second

	// soakOthers is the number of other hosts that most hosts are linked with at once.
	soakOthers = 25

	// soakFarewells is the number of messages to each peer that one sends before it is closed.
	soakFarewells = 3

	soakPort = 8001
)

// A Disturbance is what happens to a process.
type Disturbance string

// The disturbances.
const (
	Killed  Disturbance = "kill -9, back with its key"
	Stopped Disturbance = "SIGSTOP, SIGCONT"
	Moved   Disturbance = "address change"
	Closed  Disturbance = "close, reopen"
)

// Disturbances returns all disturbances.
func Disturbances() []Disturbance { return []Disturbance{Killed, Stopped, Moved, Closed} }

// A SoakSpec says how a soak runs.
type SoakSpec struct {
	Processes, Relays int // the relays are among the processes

	For      time.Duration // no round begins later
	Every    time.Duration // from the beginning of a disturbance to that of the next
	Events   int           // disturbances in a round
	Quiet    time.Duration // the traffic between two rounds, of which nothing may be lost
	Most     time.Duration // the longest time for which a process is stopped
	Talk     time.Duration // each process writes to each other one once in this time
	Seed     uint64
	Progress func(format string, args ...any)
}

// A SoakReport is what was seen. Its parts are complete when Soak has returned.
type SoakReport struct {
	Reached []Reach // after each disturbance
	Quiet   SoakCount
	Loud    SoakCount // around disturbances, between peers of which none was out
	Out     SoakCount // to peers that were out
	Byes    ByeCount
	Twice   int // messages that a process received again
	Samples []SoakSample
	Errors  map[string]int // that the processes reported, by text without ids and numbers
}

// A SoakCount counts messages.
type SoakCount struct{ Sent, Arrived int }

// A ByeCount counts the messages that processes sent before they were closed.
type ByeCount struct {
	SoakCount
	Closed int // processes
	Named  int // of them exited with an error
}

// A SoakSample is the use of one process at the end of a round.
type SoakSample struct {
	At    time.Duration // since the beginning
	Name  string
	Kept  bool          // it is never restarted
	Age   time.Duration // of the process
	Links int           // 0 if it does not listen

	Memory     int64 // resident bytes
	Goroutines int   // 0 if it does not listen
}

// A soaker is a soak that runs.
type soaker struct {
	spec   SoakSpec
	lan    *peers.LAN
	binary string
	dir    string // of the keys
	procs  []*soakProc
	begun  time.Time
	report *SoakReport

	running sync.WaitGroup // the goroutines below

	mu      sync.Mutex
	index   map[protocol.ID]int // of procs
	watches []*reachWatch
	deck    []Disturbance        // that follow
	window  int                  // the number of the quiet window, 0 for none
	pairs   [][]SoakCount        // of this window, from and to
	unheard map[soakMessage]bool // of this window, those in flight
	changes []soakChange         // of links lately, to explain a loss
	came    soakMemory
	raced   map[*peers.GoPeer]bool // its race was told
	byes    map[int]SoakCount      // by the number of the farewell
	failed  []error
}

// A soakProc is one place in the network, where processes with the same key follow each other.
type soakProc struct {
	n          int
	name       string
	relay      bool
	listens    bool
	kept       bool // never restarted
	host       *peers.LANHost
	home, away string // addresses
	flags      []string

	// guarded by the soaker's mu
	peer    *peers.GoPeer
	started time.Time
	busy    bool // it is being disturbed
	out     bool // it is not running
	ending  bool // its end is asked for
	moved   bool // it is at its other address
}

// addr returns the address where it is.
func (p *soakProc) addr() string {
	if p.moved {
		return p.away
	}
	return p.home
}

// Soak runs many processes on hosts of their own and disturbs them again and again, several at
// once. All pairs write to each other all the time. The error says what was not as it must be;
// the report is not nil if the network once was up.
func Soak(ctx context.Context, binary string, spec SoakSpec) (report *SoakReport, err error) {
	if err := peers.CheckNeighbours(spec.Processes, soakOthers); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "peer-relay-soak-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	lan, err := peers.NewLAN(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lan.Close()) }()
	s := &soaker{spec: spec, lan: lan, binary: binary, dir: dir, begun: time.Now(),
		report: &SoakReport{Errors: make(map[string]int)}, index: make(map[protocol.ID]int), byes: make(map[int]SoakCount), unheard: make(map[soakMessage]bool), came: newSoakMemory(), raced: make(map[*peers.GoPeer]bool)}
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		for _, p := range s.procs {
			if p.peer != nil {
				s.expectEnd(p)
				p.peer.Kill() // nothing is left to be said
			}
		}
		s.running.Wait()
	}()
	if err := s.populate(ctx); err != nil {
		return nil, err
	}
	spec.Progress("%d processes run", len(s.procs))
	if err := s.rounds(ctx); err != nil {
		return s.report, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.report, errors.Join(s.failed...)
}

// populate starts all processes, the relays first.
func (s *soaker) populate(ctx context.Context) error {
	for n := range s.spec.Processes {
		p := &soakProc{n: n, name: fmt.Sprint("peer", n), relay: n < s.spec.Relays,
			home: fmt.Sprintf("10.77.0.%d", n+1), away: fmt.Sprintf("10.77.1.%d", n+1)}
		p.listens = p.relay || n%2 == 1
		p.kept = p.listens && n%(max(s.spec.Processes/8, 3)|1) == 0 || n == 0 // an even step would meet only those that do not listen
		if p.relay {
			p.name = fmt.Sprint("relay", n)
		}
		p.flags = []string{"--key", filepath.Join(s.dir, p.name)}
		if p.relay || s.way(n) == wayQUIC {
			p.flags = append(p.flags, "--quic")
		}
		var err error
		if p.host, err = s.lan.Host(ctx, p.home+"/16"); err != nil {
			return err
		}
		s.procs = append(s.procs, p)
		s.pairs = append(s.pairs, make([]SoakCount, s.spec.Processes))
		if err := s.start(ctx, p); err != nil {
			return err
		}
	}
	for _, p := range s.procs {
		s.running.Add(1)
		go s.talk(ctx, p) // ends with ctx; Soak waits
	}
	w := s.watch(ctx, nil, "", "start")
	return s.settle(ctx, w)
}

// The ways in which a process names its bootstraps.
const (
	wayURL = iota
	wayMultiaddr
	wayQUIC
	ways
)

func (s *soaker) way(n int) int { return n % ways }

// bootstraps returns the addresses of those relays that a process knows. At least one of them
// is at home at any time: see pick.
func (s *soaker) bootstraps(p *soakProc) ([]string, error) {
	var all []string
	for i := range min(s.spec.Relays/2+2, s.spec.Relays, len(s.procs)) {
		relay := s.procs[(p.n+i)%min(s.spec.Relays, len(s.procs))]
		if relay == p || relay.peer == nil {
			continue
		}
		if s.way(p.n) == wayURL {
			all = append(all, fmt.Sprintf("ws://%s:%d", relay.home, soakPort))
			continue
		}
		transport := fmt.Sprintf("tcp/%d/ws", soakPort)
		if s.way(p.n) == wayQUIC {
			transport = fmt.Sprintf("udp/%d/quic-v1", soakPort)
		}
		addr := fmt.Sprintf("/ip4/%s/%s", relay.home, transport)
		own, err := relay.peer.AddrWith("/p2p/")
		if err != nil {
			return nil, err
		}
		all = append(all, addr+own[strings.Index(own, "/p2p/"):])
	}
	return all, nil
}

// start starts a process, and reads what it reports.
func (s *soaker) start(ctx context.Context, p *soakProc) error {
	s.mu.Lock()
	bootstraps, err := s.bootstraps(p)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	peer, err := peers.StartGo(ctx, s.binary, peers.Spec{Name: p.name, Listen: p.listens, Port: soakPort, Bootstrap: bootstraps, On: p.host}, p.flags...)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.peer, p.started, p.out, p.ending = peer, time.Now(), false, false
	s.index[peer.ID()] = p.n
	s.running.Add(1)
	go s.listen(p, peer) // ends with the process; Soak waits
	return nil
}

// expectEnd notes that the end of a process is asked for.
func (s *soaker) expectEnd(p *soakProc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.ending, p.out = true, true
}

// fail notes what was not as it must be. It needs mu.
func (s *soaker) fail(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	s.failed = append(s.failed, err)
	s.spec.Progress("FAILED: %v", err)
}

func (c *SoakCount) add(more SoakCount) {
	c.Sent += more.Sent
	c.Arrived += more.Arrived
}
