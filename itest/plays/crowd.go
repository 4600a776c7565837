package plays

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/protocol"
)

// A CrowdKind is a kind of peers in a crowd. All have ports.
type CrowdKind struct {
	Name string

	// open starts a process with some peers that know one of the addresses, or none.
	open func(ctx context.Context, name string, bootstrap crowdAddr) (*crowdProcess, error)
	each int // peers in a process
}

// A crowdAddr is where a peer can be reached: by a ws:// URL, and by a multiaddr if it is ours. The
// zero value is nowhere.
type crowdAddr struct{ URL, Multiaddr string }

// list returns one of the two, or nothing.
func (a crowdAddr) list(multiaddr bool) []string {
	switch {
	case multiaddr && a.Multiaddr != "":
		return []string{a.Multiaddr}
	case a.URL != "":
		return []string{a.URL}
	}
	return nil
}

// A crowdProcess is a process with peers of one kind.
type crowdProcess struct {
	kind    int
	name    string
	members []*crowdMember
	process *peers.Process
	close   func() error
	killed  bool

	unconfirmed bool // a reliable letter has no receipt, which the exit status tells; guarded by the crowd's mu
}

// A crowdMember is a peer of a crowd.
type crowdMember struct {
	peers.Peer
	n       int // its number in the crowd
	process *crowdProcess
}

// GoKind is a binary of ours, in a process for each peer. Every other one joins by a multiaddr.
func GoKind(name, binary string) CrowdKind {
	joined := 0
	return CrowdKind{Name: name, each: 1, open: func(ctx context.Context, name string, bootstrap crowdAddr) (*crowdProcess, error) {
		joined++
		p, err := peers.StartGo(ctx, binary, peers.Spec{Name: name, Listen: true, Bootstrap: bootstrap.list(joined%2 == 0)}, "--no-webrtc", "--no-webrtc-direct")
		if err != nil {
			return nil, err
		}
		return &crowdProcess{name: name, members: []*crowdMember{{Peer: p}}, process: p.Process(), close: p.Close}, nil
	}}
}

// NPMKind is the npm package, with some peers in each Node process.
func NPMKind(each int) CrowdKind {
	return CrowdKind{Name: "npm", each: each, open: func(ctx context.Context, name string, bootstrap crowdAddr) (*crowdProcess, error) {
		d, err := peers.StartDriver(ctx)
		if err != nil {
			return nil, err
		}
		c := &crowdProcess{name: name, process: d.Process(), close: d.Close}
		for i := range each {
			p, err := d.Peer(ctx, peers.NPMSpec{Spec: peers.Spec{Name: fmt.Sprint(name, " ", i), Listen: true, Bootstrap: bootstrap.list(false)}})
			if err != nil {
				return nil, errors.Join(err, d.Close())
			}
			c.members = append(c.members, &crowdMember{Peer: p})
		}
		return c, nil
	}}
}

// A Crowd is a network of peers of some kinds, of which the very first is the bootstrap of all.
type Crowd struct {
	kinds     []CrowdKind
	processes []*crowdProcess
	members   []*crowdMember
	index     map[protocol.ID]int // of members
	post      letterBook
	texts     sync.Map // string to int: the number of the letter with this data
	listening sync.WaitGroup

	mu     sync.Mutex
	errors []error // events
}

// OpenCrowd starts a number of peers of each kind, one after the other and the kinds in turn, and
// waits until each has a link. Close ends them.
func OpenCrowd(ctx context.Context, each int, kinds ...CrowdKind) (c *Crowd, err error) {
	c = &Crowd{kinds: kinds, index: make(map[protocol.ID]int)}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	var first crowdAddr
	counts := make([]int, len(kinds))
	for more := true; more; {
		more = false
		for i, k := range kinds {
			if counts[i] >= each {
				continue
			}
			p, err := k.open(ctx, fmt.Sprint(k.Name, " ", counts[i]), first)
			if err != nil {
				return c, err
			}
			counts[i] += k.each
			more = true
			c.admit(p, i)
			if first.URL == "" {
				first.URL = c.members[0].URL()
				if ours, is := c.members[0].Peer.(*peers.GoPeer); is {
					first.Multiaddr = ours.PortAddr()
				}
			}
		}
	}
	for _, m := range c.members {
		if _, err := m.Events().Wait(ctx, peers.IsKind(peers.EventPeer)); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (c *Crowd) admit(p *crowdProcess, kind int) {
	p.kind = kind
	c.processes = append(c.processes, p)
	for _, m := range p.members {
		m.process, m.n = p, len(c.members)
		c.members = append(c.members, m)
		c.index[m.ID()] = m.n
	}
	for _, m := range p.members {
		c.listening.Go(func() { c.listen(m) }) // ends with the process; Close waits
	}
}

// listen reads what a member reports.
func (c *Crowd) listen(m *crowdMember) {
	for seen := 0; ; {
		events, err := m.Events().Next(context.Background(), seen) // the log ends with the process
		if err != nil {
			return
		}
		seen += len(events)
		for _, e := range events {
			switch e.Kind {
			case peers.EventMessage:
				c.heard(m, e)
			case peers.EventReceipt, peers.EventError:
				c.answered(m, e)
			}
		}
	}
}

func (c *Crowd) heard(m *crowdMember, e peers.Event) {
	n, known := c.texts.Load(string(e.Data))
	if !known {
		c.post.strange(string(e.Data))
		return
	}
	from, isMember := c.index[e.Node]
	if !isMember {
		from = -1
	}
	c.post.arrived(n.(int), from, m.n, 0, 0)
}

// answered notes what a sender was told, or an error that is of no letter.
func (c *Crowd) answered(m *crowdMember, e peers.Event) {
	n, err := strconv.Atoi(string(e.Tag))
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		told := toldBy(e)
		c.post.told(n, told)
		m.process.unconfirmed = m.process.unconfirmed || told == Unknown
		return
	}
	c.errors = append(c.errors, fmt.Errorf("%s reported %.300s", m.process.name, e))
}

// data returns the data of a letter: a text, a document or bytes, and the text as which it arrives.
func (c *Crowd) data(n int) (data any) {
	text := fmt.Sprintf("letter %d ü", n)
	var arrives string
	switch n % 3 {
	case 0:
		data, arrives = text, strconv.Quote(text)
	case 1:
		arrives = fmt.Sprintf(`{"n":%d,"list":[1,-2.5,null,true,{}]}`, n)
		data = json.RawMessage(arrives)
	default:
		octets := append([]byte(text), 0, 127, 128, 255)
		data, arrives = octets, string(peers.BufferText(octets))
	}
	c.texts.Store(arrives, n)
	return data
}

// An errand is a letter that a member is to send.
type errand struct {
	n        int
	to       protocol.ID
	after    time.Duration
	reliable bool
}

// Exchange has living members write to each other, evenly over a time, and waits until all has
// arrived, or for the time late after the last letter. reliable says which letters are reliable; only
// the newest build of ours sends those. It returns tallies by the kinds of sender and receiver.
func (c *Crowd) Exchange(ctx context.Context, rng *rand.Rand, letters int, over, late time.Duration, reliable func(from, to string) bool) ([][]Tally, error) {
	ctx, cancel := context.WithTimeout(ctx, over+late)
	defer cancel()
	first := c.post.size()
	living := c.living()
	errands := make([][]errand, len(c.members))
	for k := range letters {
		from, to := twoOf(rng, living)
		sure := reliable != nil && reliable(c.kindOf(from), c.kindOf(to)) && k%2 == 0
		n := c.post.add(NetLetter{From: from, To: to, Reliable: sure})
		errands[from] = append(errands[from], errand{n, c.members[to].ID(), over * time.Duration(k) / time.Duration(letters), sure})
	}
	var sending sync.WaitGroup
	failures := make([]error, len(c.members))
	start := time.Now()
	for i, es := range errands {
		sending.Go(func() { failures[i] = c.run(ctx, c.members[i], start, es) }) // ends with the errands or ctx; awaited below
	}
	sending.Wait()
	for !c.post.complete(first) && ctx.Err() == nil {
		peers.Sleep(ctx, newsEvery)
	}
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	tallies := make([][]Tally, len(c.kinds))
	for from := range c.kinds {
		for to := range c.kinds {
			tallies[from] = append(tallies[from], c.post.tally(first, first+letters, func(l NetLetter) bool {
				return c.members[l.From].process.kind == from && c.members[l.To].process.kind == to
			}))
		}
	}
	return tallies, errors.Join(append(failures, c.post.errors())...)
}

// run has a member send letters, each at its time.
func (c *Crowd) run(ctx context.Context, m *crowdMember, start time.Time, errands []errand) (err error) {
	for _, e := range errands {
		if peers.Sleep(ctx, time.Until(start.Add(e.after))) != nil {
			return nil // the letters that are left count as lost
		}
		data := c.data(e.n)
		if ours, is := m.Peer.(*peers.GoPeer); is && e.reliable {
			err = ours.SendReliable(ctx, e.to, data, e.n)
		} else {
			err = m.Send(ctx, e.to, data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Crowd) living() (all []int) {
	for _, m := range c.members {
		if !m.process.killed {
			all = append(all, m.n)
		}
	}
	return all
}

func (c *Crowd) kindOf(member int) string { return c.kinds[c.members[member].process.kind].Name }

// KillFirst kills the process of the bootstrap.
func (c *Crowd) KillFirst() error { return c.processes[0].kill() }

// KillShare kills one in n of the processes of each kind.
func (c *Crowd) KillShare(n int) error {
	living := make([]int, len(c.kinds))
	for _, p := range c.processes {
		if p.killed {
			continue
		}
		if living[p.kind]++; living[p.kind]%n == 0 {
			if err := p.kill(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *crowdProcess) kill() error {
	p.killed = true
	return p.process.Kill()
}

// Ended returns the processes that ended by themselves, with what they said.
func (c *Crowd) Ended() (ended []error) {
	for _, p := range c.processes {
		select {
		case <-p.process.Done():
			if !p.killed {
				ended = append(ended, fmt.Errorf("%s ended: %s", p.name, p.process.Stderr()))
			}
		default:
		}
	}
	return ended
}

// Errors returns the errors that living members reported since the last call, those about a letter
// apart, and what living processes of ours wrote to their standard error.
func (c *Crowd) Errors() (all []error) {
	c.mu.Lock()
	all, c.errors = c.errors, nil
	c.mu.Unlock()
	for _, p := range c.processes {
		if text := strings.TrimSpace(p.process.Stderr()); text != "" && !p.killed {
			all = append(all, fmt.Errorf("%s wrote %.300s", p.name, text))
		}
	}
	return all
}

// Twice returns how often plain and reliable letters to peers of a kind arrived again, in all exchanges.
func (c *Crowd) Twice(kind string) (plain, reliable int) {
	count := func(sure bool) int {
		return c.post.tally(0, c.post.size(), func(l NetLetter) bool { return l.Reliable == sure && c.kindOf(l.To) == kind }).Twice
	}
	return count(false), count(true)
}

// Close ends all processes.
func (c *Crowd) Close() error {
	closed := make(chan error, len(c.processes))
	for _, p := range c.processes {
		go func() { closed <- p.end() }() // ends by itself; awaited below
	}
	var errs []error
	for range c.processes {
		errs = append(errs, <-closed)
	}
	c.listening.Wait()
	return errors.Join(errs...)
}

// end ends a process. One that was killed has nothing to say.
func (p *crowdProcess) end() error {
	if p.killed {
		return nil
	}
	if err := p.close(); !p.unconfirmed {
		return err
	}
	return nil
}
