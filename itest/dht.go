package itest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	dhtrecord "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/record"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"
	"google.golang.org/protobuf/encoding/protodelim"

	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/node/dht"
	"github.com/peer-relay/peer-relay/protocol"
)

// settledPoll is how often a network is looked at that is to settle.
const settledPoll = time.Second

// A DHTNetwork is hosts in several processes that have one DHT, and if they are not plain
// one overlay.
type DHTNetwork struct {
	fleets []*Fleet
	spec   FleetSpec

	Hosts []FleetHost
}

// OpenDHTNetwork starts so many processes as spec says, all joined by the first host's
// address. Close ends them.
func OpenDHTNetwork(ctx context.Context, processes int, spec FleetSpec) (n *DHTNetwork, err error) {
	n = &DHTNetwork{spec: spec}
	for i := range processes {
		spec.Name = fmt.Sprintf("fleet %d", i+1)
		if len(n.Hosts) > 0 {
			spec.Bootstrap = n.Hosts[0].Addr
		}
		f, err := StartFleet(ctx, spec)
		if err != nil {
			return nil, errors.Join(err, n.Close())
		}
		n.fleets = append(n.fleets, f)
		n.Hosts = append(n.Hosts, f.Hosts...)
	}
	return n, nil
}

// State gives what each host has now.
func (n *DHTNetwork) State(ctx context.Context) (all []FleetState, err error) {
	for _, f := range n.fleets {
		states, err := f.State(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, states...)
	}
	return all, nil
}

// Settle waits until every host has published its record, and from one look to the next,
// so many times in a row, no host has opened or lost a link; of plain hosts, until their
// connections and routing tables stay as they are. It takes least at least, and gives what
// they have then.
func (n *DHTNetwork) Settle(ctx context.Context, least time.Duration, looks int, look func([]FleetState)) (states []FleetState, err error) {
	start := time.Now()
	tick := time.NewTicker(settledPoll)
	defer tick.Stop()
	var last []FleetState
	for same := 0; same < looks || time.Since(start) < least; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("itest: a network of %d hosts did not settle: %w", len(n.Hosts), ctx.Err())
		}
		if states, err = n.State(ctx); err != nil {
			return nil, err
		}
		look(states)
		ready := n.spec.Plain || n.spec.NoDHT || !slices.ContainsFunc(states, func(s FleetState) bool { return s.Published == 0 })
		if ready && slices.EqualFunc(states, last, n.equal) {
			same++
		} else {
			same = 0
		}
		last = states
	}
	return states, nil
}

func (n *DHTNetwork) equal(a, b FleetState) bool {
	if n.spec.Plain {
		return a.Conns == b.Conns && a.Table == b.Table
	}
	return a.Links == b.Links && a.Opened == b.Opened
}

// Lose adds a host, waits until its record is in the DHT, and kills it.
func (n *DHTNetwork) Lose(ctx context.Context) (dead FleetHost, err error) {
	f, err := StartFleet(ctx, FleetSpec{Name: "to be killed", Hosts: 1, Bootstrap: n.Hosts[0].Addr})
	if err != nil {
		return dead, err
	}
	defer f.Close() // it was killed, or err says more
	if err := Until(ctx, "the record of the host to be killed", func() (bool, error) {
		states, err := f.State(ctx)
		return err == nil && states[0].Published > 0, err
	}); err != nil {
		return dead, err
	}
	return f.Hosts[0], f.Kill()
}

// Close ends the processes.
func (n *DHTNetwork) Close() error {
	closed := make(chan error, len(n.fleets))
	for _, f := range n.fleets {
		go func() { closed <- f.Close() }() // ends by itself; awaited below
	}
	var errs []error
	for range n.fleets {
		errs = append(errs, <-closed)
	}
	return errors.Join(errs...)
}

// A Newcomer says by what a newcomer finds others, and how it does.
type Newcomer struct {
	Overlay bool // it knows the address of a peer of the overlay
	DHT     bool // it has a DHT; without Overlay it knows the address of a peer of that
	Listen  bool // it has a port
}

// options are those of a newcomer that knows the address of at alone.
func (c Newcomer) options(at FleetHost) node.Options {
	o := node.Options{NoWebRTCDirect: true}
	if c.Listen {
		o.Listen, o.ListenHost = true, loopback
	}
	if c.DHT {
		o.DHT = &dht.Options{Closed: true}
	}
	if c.Overlay {
		o.Bootstraps = []string{at.Addr}
	} else {
		o.NoOverlay, o.NoDiscovery = true, true
		o.DHT.Bootstraps = []string{at.Addr}
	}
	return o
}

// A NewcomerFigure is how long a newcomer took.
type NewcomerFigure struct {
	Start   time.Duration // from the start of the node to the link
	Connect time.Duration // from the call of Connect
	ByDHT   bool          // it had found the address in the DHT by then
	Story   []string      // what it logged meanwhile
}

// Join starts a newcomer that knows the address of at alone, has it Connect to an id at
// once, and gives how long it took to be linked with that.
func (c Newcomer) Join(ctx context.Context, at, to FleetHost) (figure NewcomerFigure, err error) {
	o := c.options(at)
	linked := make(chan protocol.LinkInfo, 1)
	o.OnPeer = func(i protocol.LinkInfo) {
		if i.ID == to.ID {
			linked <- i // it comes once: nobody disconnects
		}
	}
	lines := newLogLines("newcomer")
	o.Logger = slog.New(lines)
	start := time.Now()
	n, err := node.New(o)
	if err != nil {
		return figure, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	call := time.Now()
	n.Connect(to.ID)
	select {
	case <-linked:
		figure = NewcomerFigure{Start: time.Since(start), Connect: time.Since(call), ByDHT: lines.Count(isLine(lineFound, to.ID)) > 0}
		for _, l := range lines.All() {
			figure.Story = append(figure.Story, fmt.Sprintf("%v %s", l.at.Sub(start).Round(time.Millisecond), l.text))
		}
		return figure, nil
	case <-ctx.Done():
		return figure, fmt.Errorf("itest: no link from a newcomer at %v to %v: %w", at.ID, to.ID, ctx.Err())
	}
}

// --- stale records

// A StaleFigure is what the record of a peer that is gone costs who asks for it.
type StaleFigure struct {
	Before int // dials of its address until then: servers of the DHT name it to who looks around
	Found  int // how often the search found an address to dial
	Dials  int // of the address, from Connect until the dial had failed
	Again  int // how often it was found again, for as long as was watched
	Later  int // dials meanwhile: kad-dht's own searches go by what servers name
}

// Stale starts a newcomer, has it Connect to a peer that was killed after its record came
// into the DHT, and counts how often it dials that, then and for a while after that.
func Stale(ctx context.Context, at, dead FleetHost, watch time.Duration) (figure StaleFigure, err error) {
	gate := &dialCounter{peer: dead.Peer}
	lines := newLogLines("newcomer")
	o := Newcomer{Overlay: true, DHT: true, Listen: true}.options(at)
	o.Gater, o.Logger = gate, slog.New(lines)
	n, err := node.New(o)
	if err != nil {
		return figure, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if s, ok := n.Host().Network().(*swarm.Swarm); ok {
		gate.swarm.Store(s)
	}
	// What it seeks for itself may lead it to the dead peer as well.
	if err := Until(ctx, "the record of a newcomer", func() (bool, error) { return stateOf(n).Published > 0, nil }); err != nil {
		return figure, err
	}
	before := gate.count()
	figure.Before = before
	n.Connect(dead.ID)
	if err := lines.await(ctx, 1, lineEnded, dead.ID); err != nil {
		return figure, err
	}
	figure.Found = lines.Count(isLine(lineFound, dead.ID))
	if err := lines.await(ctx, figure.Found, lineFailed, dead.ID); err != nil {
		return figure, err
	}
	figure.Dials = gate.count() - before
	timer := time.NewTimer(watch)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return figure, ctx.Err()
	}
	figure.Again = lines.Count(isLine(lineFound, dead.ID)) - figure.Found
	figure.Later = gate.count() - before - figure.Dials
	return figure, nil
}

// A Decoy listens where there is no peer.
type Decoy struct {
	l    net.Listener
	done chan struct{}
	n    atomic.Int64
}

// NewDecoyOf takes the TCP port of a host that is gone.
func NewDecoyOf(gone FleetHost) (*Decoy, error) {
	a, err := ma.NewMultiaddr(gone.Addr)
	if err != nil {
		return nil, fmt.Errorf("itest: decoy: %w", err)
	}
	port, err := a.ValueForProtocol(ma.P_TCP)
	if err != nil {
		return nil, fmt.Errorf("itest: decoy: %w", err)
	}
	return NewDecoy(port)
}

// NewDecoy listens on a TCP port, "0" for any. It closes every connection at once.
func NewDecoy(port string) (*Decoy, error) {
	l, err := net.Listen("tcp4", net.JoinHostPort(loopback, port))
	if err != nil {
		return nil, fmt.Errorf("itest: decoy: %w", err)
	}
	d := &Decoy{l: l, done: make(chan struct{})}
	go func() { // ends with the listener; Close waits
		defer close(d.done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d.n.Add(1)
			c.Close()
		}
	}()
	return d, nil
}

// Addr is the address of a peer, if there were one.
func (d *Decoy) Addr() ma.Multiaddr {
	return ma.StringCast(fmt.Sprintf("/ip4/%s/tcp/%d/ws", loopback, d.l.Addr().(*net.TCPAddr).Port))
}

// Dials gives how often it was dialled, by anybody.
func (d *Decoy) Dials() int { return int(d.n.Load()) }

// Close ends it.
func (d *Decoy) Close() error {
	err := d.l.Close()
	<-d.done
	return err
}

// A dialCounter counts the dials of one peer, a dial for each address.
type dialCounter struct {
	peer  peer.ID
	swarm atomic.Pointer[swarm.Swarm]
	n     atomic.Int64
}

func (d *dialCounter) count() int { return int(d.n.Load()) }

// InterceptAddrDial counts, unless the swarm will refuse to dial what failed a moment ago.
func (d *dialCounter) InterceptAddrDial(p peer.ID, a ma.Multiaddr) bool {
	if s := d.swarm.Load(); p == d.peer && (s == nil || !s.Backoff().Backoff(p, a)) {
		d.n.Add(1)
	}
	return true
}

func (d *dialCounter) InterceptPeerDial(peer.ID) bool              { return true }
func (d *dialCounter) InterceptAccept(network.ConnMultiaddrs) bool { return true }
func (d *dialCounter) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool {
	return true
}
func (d *dialCounter) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) {
	return true, 0
}

// --- forged records

// A Forgery is a record that no server of our DHT may keep, and nobody believe.
type Forgery struct {
	Name  string
	ID    protocol.ID // whose record it pretends to be, where it can be asked for
	Peer  peer.ID     // whom the record names, if it can be read
	Key   string
	Value []byte
}

// Forgeries are records that the holder of some other key can make of a victim, and a
// right one, the forger's own. All tell addr.
func Forgeries(victim FleetHost, addr ma.Multiaddr) (forged []Forgery, right Forgery, err error) {
	key, err := node.NewKey()
	if err != nil {
		return nil, right, err
	}
	forger, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, right, err
	}
	seal := func(of peer.ID) []byte {
		rec := peer.PeerRecordFromAddrInfo(peer.AddrInfo{ID: of, Addrs: []ma.Multiaddr{addr}})
		envelope, serr := record.Seal(rec, key)
		if serr != nil {
			err = serr
			return nil
		}
		raw, serr := envelope.Marshal()
		if serr != nil {
			err = serr
		}
		return raw
	}
	under := func(id protocol.ID) string { return "/pr/" + string(id[:]) }
	own, others := seal(forger), seal(victim.Peer)
	if err != nil {
		return nil, right, fmt.Errorf("itest: forge: %w", err)
	}
	broken := slices.Clone(own)
	broken[len(broken)-1] ^= 1
	return []Forgery{
		{"another's record, under the id of the victim", victim.ID, forger, under(victim.ID), own},
		{"the victim's record, signed by another", victim.ID, victim.Peer, under(victim.ID), others},
		{"no record", victim.ID, "", under(victim.ID), []byte("forged")},
		{"changed after it was signed", node.IDOf(forger), "", under(node.IDOf(forger)), broken},
		{"under the whole hash", protocol.ID{}, forger, "/pr/" + string(hashOf(forger)), own},
		{"in another namespace", protocol.ID{}, forger, "/pk/" + string(forger), own},
	}, Forgery{"the forger's own", node.IDOf(forger), forger, under(node.IDOf(forger)), own}, nil
}

func hashOf(p peer.ID) []byte {
	sum := sha256.Sum256([]byte(p))
	return sum[:]
}

// A KadClient asks servers of our DHT one by one, with the bytes of kad-dht, and checks
// nothing of what it says and hears.
type KadClient struct {
	host  host.Host
	proto libp2pprotocol.ID
}

// NewKadClient makes one on a stock host.
func NewKadClient() (*KadClient, error) {
	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics())
	if err != nil {
		return nil, fmt.Errorf("itest: kad client: %w", err)
	}
	return &KadClient{host: h, proto: dht.Prefix + "/kad/1.0.0"}, nil
}

// Close ends it.
func (c *KadClient) Close() error { return c.host.Close() }

func (c *KadClient) ask(ctx context.Context, at FleetHost, m *pb.Message) (*pb.Message, error) {
	info, err := at.Info()
	if err != nil {
		return nil, err
	}
	if err := c.host.Connect(ctx, *info); err != nil {
		return nil, err
	}
	s, err := c.host.NewStream(ctx, info.ID, c.proto)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if deadline, ok := ctx.Deadline(); ok {
		s.SetDeadline(deadline)
	}
	if _, err := protodelim.MarshalTo(s, m); err != nil {
		return nil, err
	}
	var answer pb.Message
	if err := protodelim.UnmarshalFrom(bufio.NewReader(s), &answer); err != nil {
		return nil, err
	}
	return &answer, nil
}

// Closer asks a server for the record of an id, and tells what it says beside: how many
// peers are nearer, and of how many of these it tells an address.
func (c *KadClient) Closer(ctx context.Context, at FleetHost, id protocol.ID) (peers, addressed int, err error) {
	answer, err := c.ask(ctx, at, pb.NewMessage(pb.Message_GET_VALUE, []byte("/pr/"+string(id[:])), 0))
	if err != nil {
		return 0, 0, err
	}
	for _, p := range answer.GetCloserPeers() {
		if peers++; len(p.GetAddrs()) > 0 {
			addressed++
		}
	}
	return peers, addressed, nil
}

// Put has a server keep a record, and says whether it takes it.
func (c *KadClient) Put(ctx context.Context, at FleetHost, f Forgery) (taken bool, err error) {
	m := pb.NewMessage(pb.Message_PUT_VALUE, []byte(f.Key), 0)
	m.Record = dhtrecord.MakePutRecord(f.Key, f.Value)
	_, err = c.ask(ctx, at, m)
	if errors.Is(err, network.ErrReset) {
		return false, nil
	}
	return err == nil, err
}

// Kept asks a server for what it has under a key, nil for nothing.
func (c *KadClient) Kept(ctx context.Context, at FleetHost, key string) ([]byte, error) {
	answer, err := c.ask(ctx, at, pb.NewMessage(pb.Message_GET_VALUE, []byte(key), 0))
	if errors.Is(err, network.ErrReset) {
		return nil, nil // it has nothing under such a key, ever
	}
	if err != nil {
		return nil, err
	}
	return answer.GetRecord().GetValue(), nil
}

// A LiarFigure is what came of a lie.
type LiarFigure struct {
	Asked int // how often the liar was asked for the record
	Found int // how often the newcomer thought that it had found a peer
	Dials int // at the address that the lie told
}

// Lie has a newcomer that knows one server of the DHT alone, one that answers every
// question for a record with f, Connect to whose record that pretends to be.
func Lie(ctx context.Context, f Forgery, decoy *Decoy) (figure LiarFigure, err error) {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0/ws"), libp2p.DisableMetrics())
	if err != nil {
		return figure, fmt.Errorf("itest: liar: %w", err)
	}
	defer h.Close()
	var asked atomic.Int64
	h.SetStreamHandler(dht.Prefix+"/kad/1.0.0", func(s network.Stream) { // ends with the stream, which ends with the host
		defer s.Close()
		r := bufio.NewReader(s)
		for {
			var m pb.Message
			if protodelim.UnmarshalFrom(r, &m) != nil {
				return
			}
			answer := pb.NewMessage(m.GetType(), m.GetKey(), 0)
			if m.GetType() == pb.Message_GET_VALUE && string(m.GetKey()) == f.Key {
				asked.Add(1)
				answer.Record = dhtrecord.MakePutRecord(f.Key, f.Value)
			}
			if _, err := protodelim.MarshalTo(s, answer); err != nil {
				return
			}
		}
	})
	addrs, err := peer.AddrInfoToP2pAddrs(host.InfoFromHost(h))
	if err != nil {
		return figure, fmt.Errorf("itest: liar: %w", err)
	}
	lines := newLogLines("newcomer")
	o := Newcomer{DHT: true}.options(FleetHost{Addr: addrs[0].String()})
	o.Logger = slog.New(lines)
	n, err := node.New(o)
	if err != nil {
		return figure, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	before := decoy.Dials()
	n.Connect(f.ID)
	if err := lines.await(ctx, 1, lineEnded, f.ID); err != nil {
		return figure, err
	}
	return LiarFigure{Asked: int(asked.Load()), Found: lines.Count(func(l logLine) bool { return l.message == lineFound }), Dials: decoy.Dials() - before}, nil
}

// --- a DHT of others

// A SharedFigure is what came of a DHT of plain hosts that some of our peers have joined.
type SharedFigure struct {
	Linked time.Duration   // from the start of the first of ours until each was linked with every other
	Found  []time.Duration // how long each plain host sought each of ours; all have some in the routing table then
	Beside []time.Duration // how long plain hosts sought each other's records meanwhile
	After  []time.Duration // and after ours had gone
}

// ShareDHT starts plain hosts that have a DHT, and some processes of our binary that know
// nothing but the address of one of them, by --dht. Even ones dial it over webrtc-direct,
// odd ones over QUIC: a stock host has no port for WebSockets.
func ShareDHT(ctx context.Context, binary, prefix string, plain, ours int) (figure SharedFigure, err error) {
	var hosts []*PlainDHT
	var peers []*GoPeer
	defer func() {
		for _, p := range peers {
			err = errors.Join(err, p.Close())
		}
		for _, h := range hosts {
			err = errors.Join(err, h.Close())
		}
	}()
	var boot []string
	for range plain {
		h, err := NewPlainDHT(ctx, prefix, boot...)
		if err != nil {
			return figure, err
		}
		hosts = append(hosts, h)
		boot = hosts[0].Addrs()[:1]
	}
	start := time.Now()
	for i := range ours {
		transport, flags := "/webrtc-direct/", []string{"--dht", prefix, "--dht-closed"}
		if i%2 == 1 {
			transport, flags = "/quic-v1/", append(flags, "--quic")
		}
		for _, a := range hosts[i%plain].Addrs() {
			if strings.Contains(a, transport) {
				flags = append(flags, "--dht-bootstrap", a)
			}
		}
		p, err := StartGo(ctx, binary, Spec{Name: fmt.Sprintf("in the DHT %d", i+1), Listen: true}, flags...)
		if err != nil {
			return figure, err
		}
		peers = append(peers, p)
	}
	for _, p := range peers {
		for _, other := range peers {
			if p == other {
				continue
			}
			if _, err := p.Events().Wait(ctx, IsPeer(other.ID())); err != nil {
				return figure, err
			}
		}
	}
	figure.Linked = time.Since(start)
	for _, h := range hosts {
		var ids []peer.ID
		for _, p := range peers {
			info, err := peer.AddrInfoFromString(p.Ready.Addrs[0])
			if err != nil {
				return figure, err
			}
			ids = append(ids, info.ID)
			sought := time.Now()
			// One that is connected and not yet identified is found without an address.
			if err := Until(ctx, fmt.Sprintf("plain host %v to find ours %v", h.Host.ID(), info.ID), func() (bool, error) {
				got, err := h.DHT.FindPeer(ctx, info.ID)
				return err == nil && len(got.Addrs) > 0, nil // it may know nobody who knows ours as yet
			}); err != nil {
				return figure, err
			}
			figure.Found = append(figure.Found, time.Since(sought))
		}
		if err := Until(ctx, fmt.Sprintf("one of ours in the routing table of plain host %v", h.Host.ID()), func() (bool, error) {
			return slices.ContainsFunc(h.DHT.RoutingTable().ListPeers(), func(p peer.ID) bool { return slices.Contains(ids, p) }), nil
		}); err != nil {
			return figure, err
		}
	}
	if figure.Beside, err = provideAndFind(ctx, hosts, "beside"); err != nil {
		return figure, err
	}
	for _, p := range peers {
		if err := p.Destroy(ctx); err != nil {
			return figure, err
		}
	}
	figure.After, err = provideAndFind(ctx, hosts, "after")
	return figure, err
}

// provideAndFind has each plain host announce something, and another one find it.
func provideAndFind(ctx context.Context, hosts []*PlainDHT, what string) ([]time.Duration, error) {
	took, errs := make([]time.Duration, len(hosts)), make([]error, len(hosts))
	var all sync.WaitGroup // at the same time: who asks after peers that are gone waits for each
	for i, h := range hosts {
		all.Go(func() { took[i], errs[i] = provideOne(ctx, h, hosts[(i+1)%len(hosts)], fmt.Sprintf("%s %d", what, i)) })
	}
	all.Wait()
	return took, errors.Join(errs...)
}

// provideOne has one host announce something and another one find it, and gives how long
// that sought.
func provideOne(ctx context.Context, from, to *PlainDHT, what string) (time.Duration, error) {
	m, err := multihash.Sum([]byte(what), multihash.SHA2_256, -1)
	if err != nil {
		return 0, err
	}
	c := cid.NewCidV1(cid.Raw, m)
	if err := from.DHT.Provide(ctx, c, true); err != nil {
		return 0, fmt.Errorf("itest: plain host %v announces: %w", from.Host.ID(), err)
	}
	start := time.Now()
	finding, stop := context.WithCancel(ctx)
	defer stop()
	for info := range to.DHT.FindProvidersAsync(finding, c, 1) {
		if info.ID == from.Host.ID() {
			return time.Since(start), nil
		}
	}
	return 0, errors.Join(fmt.Errorf("itest: what plain host %v announced was not found", from.Host.ID()), ctx.Err())
}

// --- what nodes log

// What is read in the debug log of a newcomer, as packages node and protocol write it.
// There is no other sign of these: a search of the DHT that finds nobody, or a peer that
// cannot be dialled, is no error. TestLogsAreRead fails if one of the texts is changed.
const (
	lineFound  = "DHT: found"                        // an address of the peer, which is dialled then
	lineEnded  = "DHT: search ended"                 // for the peer
	lineFailed = "dial of an introduced peer failed" // that was found
)

// A logLine is what a node has logged, of a peer or not.
type logLine struct {
	message, peer string

	at   time.Time
	text string // all of it
}

func isLine(message string, id protocol.ID) func(logLine) bool {
	return func(l logLine) bool { return l.message == message && l.peer == id.Short() }
}

// logLines is a slog.Handler that keeps what it is given.
type logLines struct{ *Log[logLine] }

func newLogLines(name string) logLines { return logLines{NewLog[logLine](name)} }

// await waits for so many lines with this text, of a peer.
func (l logLines) await(ctx context.Context, n int, message string, id protocol.ID) error {
	if _, err := l.WaitN(ctx, n, isLine(message, id)); err != nil {
		return fmt.Errorf("itest: wait for %q of peer %s in the debug log: %w", message, id.Short(), err)
	}
	return nil
}

func (l logLines) Enabled(context.Context, slog.Level) bool { return true }

func (l logLines) Handle(_ context.Context, r slog.Record) error {
	line := logLine{message: r.Message, at: r.Time, text: r.Message}
	r.Attrs(func(a slog.Attr) bool {
		line.text += " " + a.String()
		if a.Key == "peer" {
			line.peer = a.Value.String()
		}
		return true
	})
	l.Add(line)
	return nil
}

func (l logLines) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l logLines) WithGroup(string) slog.Handler      { return l }
