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

// State returns what each of the hosts has now.
func (f *Fleet) State(ctx context.Context) (states []FleetState, err error) {
	if err := f.proc.WriteLine(nil); err != nil {
		return nil, err
	}
	err = f.answer(ctx, &states)
	return states, err
}

// Kill ends the process as kill -9 does, and returns when it is gone.
func (f *Fleet) Kill() error { return f.proc.Kill() }

// Close ends the process.
func (f *Fleet) Close() error { return f.proc.Close() }

// playFleet is the process of a fleet. It writes which hosts it has, and for each line that
// comes their states. The end of standard input ends it.
func playFleet(text []byte) error {
	var spec FleetSpec
	if err := json.Unmarshal(text, &spec); err != nil {
		return err
	}
	answers := json.NewEncoder(os.Stdout)
	// They end with the process: a hundred hosts that say goodbye to each other on two
	// cores take very long.
	var members []fleetMember
	var hosts []FleetHost
	for range spec.Hosts {
		m, err := newFleetMember(spec)
		if err != nil {
			return err
		}
		members = append(members, m)
		hosts = append(hosts, m.host)
		if spec.Bootstrap == "" {
			spec.Bootstrap = m.host.Addr
		}
	}
	if err := answers.Encode(hosts); err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var states []FleetState
		for _, m := range members {
			states = append(states, m.state())
		}
		if err := answers.Encode(states); err != nil {
			return err
		}
	}
	return lines.Err()
}

type fleetMember struct {
	host  FleetHost
	state func() FleetState
}

func newFleetMember(spec FleetSpec) (fleetMember, error) {
	if spec.Plain {
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
	o := node.Options{Listen: true, ListenHost: Loopback, NoWebRTCDirect: true}
	if !spec.NoDHT {
		o.DHT = &dht.Options{Prefix: spec.Prefix, Closed: true}
	}
	if spec.Bootstrap != "" {
		o.Bootstraps = []string{spec.Bootstrap}
	}
	n, err := node.New(o)
	if err != nil {
		return fleetMember{}, err
	}
	return fleetMember{
		host:  FleetHost{ID: n.ID(), Peer: n.Host().ID(), Addr: n.Addrs()[0].String()},
		state: func() FleetState { return StateOf(n) },
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
