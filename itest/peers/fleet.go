package peers

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/node/dht"
	"github.com/peer-relay/peer-relay/protocol"
)

// A FleetSpec says which hosts a process runs. All listen on 127.0.0.1 and are servers of
// a kad-dht, if they have one.
type FleetSpec struct {
	Name   string
	Hosts  int
	Prefix string // of the DHT, "" is ours

	// Bootstrap is the one address that the hosts know, with /p2p/…; the first of them if
	// there is none.
	Bootstrap string

	// Plain hosts are stock libp2p ones with a stock go-libp2p-kad-dht, without peer-relay.
	// The others are nodes.
	Plain bool
	// NoDHT are nodes that have only the overlay.
	NoDHT bool

	// Far are the hosts of the network, if they are far from each other, and without a DHT. The
	// fleet's are those from number First on, and their places follow from Seed.
	Far, First int
	Seed       uint64
}

// A FleetHost is a host of a fleet.
type FleetHost struct {
	ID   protocol.ID
	Peer peer.ID
	Addr string // with /p2p/…
}

// Info returns the host as libp2p names it.
func (h FleetHost) Info() (*peer.AddrInfo, error) { return peer.AddrInfoFromString(h.Addr) }

// A FleetState is what a host of a fleet has at one moment. Plain hosts have no links and
// publish nothing.
type FleetState struct {
	Links     int
	Opened    uint64 // links, ever
	Conns     int    // peers with a libp2p connection
	Table     int    // peers in the DHT's routing table
	Published uint64 // how often its own record was put into the DHT
}

// A Fleet is a process of this program that runs some hosts.
type Fleet struct {
	proc  *Process
	lines *Log[json.RawMessage]
	read  int // lines

	Hosts []FleetHost
}

// StartFleet starts a fleet, and returns when its hosts listen. It is this program again,
// whose main must begin with Play. Its methods are for one goroutine.
func StartFleet(ctx context.Context, spec FleetSpec) (*Fleet, error) {
	cmd, err := SelfAs(partFleet, spec)
	if err != nil {
		return nil, err
	}
	f := &Fleet{lines: NewLog[json.RawMessage](spec.Name)}
	f.proc, err = StartProcess(spec.Name, cmd, func(line []byte) { f.lines.Add(append(json.RawMessage(nil), line...)) }, func(err error) {
		if err == nil {
			err = errors.New("itest: it has ended")
		}
		f.lines.End(err)
	})
	if err != nil {
		return nil, err
	}
	if err := f.answer(ctx, &f.Hosts); err != nil {
		return nil, errors.Join(err, f.proc.Close())
	}
	return f, nil
}

// answer reads the next line.
func (f *Fleet) answer(ctx context.Context, to any) error {
	lines, err := f.lines.Next(ctx, f.read)
	if err != nil {
		return err
	}
	f.read++
	if err := json.Unmarshal(lines[0], to); err != nil {
		return fmt.Errorf("itest: fleet: %w: %.200q", err, lines[0])
	}
	return nil
}

// A fleetCommand is a line to a fleet: letters to send, or a question.
type fleetCommand struct {
	Send  []FleetLetter
	State bool // []FleetState is the answer
	News  bool // FleetNews is the answer
}

func (f *Fleet) ask(ctx context.Context, c fleetCommand, to any) error {
	line, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("itest: fleet: %w", err)
	}
	if err := f.proc.WriteLine(line); err != nil {
		return err
	}
	if to == nil {
		return nil
	}
	return f.answer(ctx, to)
}

// State returns what each of the hosts has now.
func (f *Fleet) State(ctx context.Context) (states []FleetState, err error) {
	err = f.ask(ctx, fleetCommand{State: true}, &states)
	return states, err
}

// Send has the hosts send letters, which are in the order of their time. It does not wait.
func (f *Fleet) Send(letters []FleetLetter) error {
	return f.ask(context.Background(), fleetCommand{Send: letters}, nil)
}

// News returns what came of letters since the last call.
func (f *Fleet) News(ctx context.Context) (news FleetNews, err error) {
	err = f.ask(ctx, fleetCommand{News: true}, &news)
	return news, err
}

// Process returns the process of the fleet.
func (f *Fleet) Process() *Process { return f.proc }

// Kill ends the process as kill -9 does, and returns when it is gone.
func (f *Fleet) Kill() error { return f.proc.Kill() }

// Close ends the process.
func (f *Fleet) Close() error { return f.proc.Close() }

// playFleet is the process of a fleet. It writes which hosts it has, and then obeys commands. The
// end of standard input ends it.
func playFleet(text []byte) error {
	var spec FleetSpec
	if err := json.Unmarshal(text, &spec); err != nil {
		return err
	}
	answers := json.NewEncoder(os.Stdout)
	// They end with the process: a hundred hosts that say goodbye to each other on two
	// cores take very long.
	post := new(fleetPost)
	var members []fleetMember
	var nodes []*node.Node
	var hosts []FleetHost
	for i := range spec.Hosts {
		m, err := newFleetMember(spec, i, post)
		if err != nil {
			return err
		}
		members = append(members, m)
		nodes = append(nodes, m.node)
		hosts = append(hosts, m.host)
		if spec.Bootstrap == "" {
			spec.Bootstrap = m.host.Addr
		}
	}
	if err := answers.Encode(hosts); err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var c fleetCommand
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return err
		}
		var answer any
		switch {
		case c.State:
			var states []FleetState
			for _, m := range members {
				states = append(states, m.state())
			}
			answer = states
		case c.News:
			answer = post.take()
		default:
			go post.send(nodes, c.Send) // ends with the last letter, or with the process
			continue
		}
		if err := answers.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

type fleetMember struct {
	host  FleetHost
	node  *node.Node // nil for a plain host
	state func() FleetState
}

func newFleetMember(spec FleetSpec, index int, post *fleetPost) (fleetMember, error) {
	if spec.Plain {
		return newPlainMember(spec)
	}
	o := node.Options{OnMessage: post.receive(index)}
	if spec.Bootstrap != "" {
		o.Bootstraps = []string{spec.Bootstrap}
	}
	n, err := newFleetNode(spec, index, o)
	if err != nil {
		return fleetMember{}, err
	}
	addr := n.Addrs()[0].String()
	return fleetMember{
		host:  FleetHost{ID: n.ID(), Peer: n.Host().ID(), Addr: addr},
		node:  n,
		state: func() FleetState { return StateOf(n) },
	}, nil
}

func newFleetNode(spec FleetSpec, index int, o node.Options) (*node.Node, error) {
	if spec.Far > 0 {
		h, err := NewDistant(spec.Far, spec.Seed).Host(spec.First + index)
		if err != nil {
			return nil, err
		}
		return node.Attach(h, o)
	}
	o.Listen, o.ListenHost, o.NoWebRTCDirect = true, Loopback, true
	if !spec.NoDHT {
		o.DHT = &dht.Options{Prefix: spec.Prefix, Closed: true}
	}
	return node.New(o)
}

func newPlainMember(spec FleetSpec) (fleetMember, error) {
	var boots []string
	if spec.Bootstrap != "" {
		boots = []string{spec.Bootstrap}
	}
	p, err := NewPlainDHT(context.Background(), spec.Prefix, boots...)
	if err != nil {
		return fleetMember{}, err
	}
	return fleetMember{
		host: FleetHost{ID: node.IDOf(p.Host.ID()), Peer: p.Host.ID(), Addr: p.Addrs()[0]},
		state: func() FleetState {
			return FleetState{Conns: len(p.Host.Network().Peers()), Table: p.DHT.RoutingTable().Size()}
		},
	}, nil
}

// StateOf returns what a node has now.
func StateOf(n *node.Node) FleetState {
	stats := n.Router().Stats()
	s := FleetState{Links: stats.Links, Opened: stats.LinksOpened, Conns: len(n.Host().Network().Peers())}
	if d := n.Directory(); d != nil {
		s.Table, s.Published = d.Peers(), d.Published()
	}
	return s
}
