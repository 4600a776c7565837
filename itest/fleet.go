package itest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/libp2p/go-libp2p"
	kaddht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"

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

	// Plain hosts are stock libp2p ones with go-libp2p-kad-dht as it comes, which know
	// nothing of peer-relay. The others are nodes.
	Plain bool
	// NoDHT are nodes that have the overlay alone.
	NoDHT bool
}

// A FleetHost is a host of a fleet.
type FleetHost struct {
	ID   protocol.ID
	Peer peer.ID
	Addr string // with /p2p/…
}

// Info gives the host as libp2p names it.
func (h FleetHost) Info() (*peer.AddrInfo, error) { return peer.AddrInfoFromString(h.Addr) }

// A FleetState is what a host of a fleet has at a moment. Of plain hosts there are no
// links, and nothing is published.
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
	cmd, err := selfAs(partFleet, spec)
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

// State asks for what each of the hosts has.
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

// --- in the process

// playFleet is the process of a fleet: it says which hosts it has, and for each line that
// comes the state of them. The end of standard input ends it.
func playFleet(text []byte) error {
	var spec FleetSpec
	if err := json.Unmarshal(text, &spec); err != nil {
		return err
	}
	answers := json.NewEncoder(os.Stdout)
	// They end with the process: a hundred hosts that say goodbye to each other on two
	// cores take longer than anybody waits.
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
	o := node.Options{Listen: true, ListenHost: loopback, NoWebRTCDirect: true}
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
		state: func() FleetState { return stateOf(n) },
	}, nil
}

func stateOf(n *node.Node) FleetState {
	stats := n.Router().Stats()
	s := FleetState{Links: stats.Links, Opened: stats.LinksOpened, Conns: len(n.Host().Network().Peers())}
	if d := n.Directory(); d != nil {
		s.Table, s.Published = d.Peers(), d.Published()
	}
	return s
}

// --- what knows nothing of us

// A PlainDHT is a stock go-libp2p host with a stock go-libp2p-kad-dht in server mode.
type PlainDHT struct {
	Host host.Host
	DHT  *kaddht.IpfsDHT
}

// NewPlainDHT starts one on 127.0.0.1: over TCP, QUIC and webrtc-direct, as by default.
// Only the filter that would keep loopback addresses from others is off.
func NewPlainDHT(ctx context.Context, prefix string, bootstraps ...string) (_ *PlainDHT, err error) {
	if prefix == "" {
		prefix = dht.Prefix
	}
	var boots []peer.AddrInfo
	for _, b := range bootstraps {
		info, err := peer.AddrInfoFromString(b)
		if err != nil {
			return nil, fmt.Errorf("itest: plain DHT: %w", err)
		}
		boots = append(boots, *info)
	}
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/udp/0/webrtc-direct"), libp2p.DisableMetrics())
	if err != nil {
		return nil, fmt.Errorf("itest: plain DHT: %w", err)
	}
	d, err := kaddht.New(h, kaddht.Mode(kaddht.ModeServer), kaddht.ProtocolPrefix(libp2pprotocol.ID(prefix)), kaddht.BootstrapPeers(boots...),
		kaddht.AddressFilter(func(addrs []ma.Multiaddr) []ma.Multiaddr { return addrs }))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("itest: plain DHT: %w", err), h.Close())
	}
	p := &PlainDHT{Host: h, DHT: d}
	if err := d.Bootstrap(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("itest: plain DHT: %w", err), p.Close())
	}
	return p, nil
}

// Addrs gives where it listens, each with /p2p/….
func (p *PlainDHT) Addrs() (addrs []string) {
	all, err := peer.AddrInfoToP2pAddrs(host.InfoFromHost(p.Host))
	if err != nil {
		return nil // it has no peer id, which cannot be
	}
	for _, a := range all {
		addrs = append(addrs, a.String())
	}
	return addrs
}

// Close ends it.
func (p *PlainDHT) Close() error { return errors.Join(p.DHT.Close(), p.Host.Close()) }
