package plays

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
)

// A Glare is two peers that dial each other at the same instant.
type Glare struct {
	Name string

	// native peers are told multiaddrs, the others ws:// URLs.
	native bool

	// js has an npm peer as the second one.
	js bool

	// upgrades has a third connection, of libp2p, take the place of the two.
	upgrades bool
}

// Glares returns all kinds of glare.
func Glares() []Glare {
	return []Glare{
		{Name: "go and js over WebSocket", js: true},
		{Name: "go and go over WebSocket", upgrades: true},
		{Name: "go and go over libp2p", native: true},
	}
}

const (
	// settleTime is the time without a change after which two peers count as settled.
	settleTime = 500 * time.Millisecond

	// probes is the number of messages each way, and probeBytes the bytes of each, by which it
	// is found out which connections carry messages: more than all other traffic then.
	probes     = 4
	probeBytes = 16 << 10
)

// A GlareReport is the result of a glare.
type GlareReport struct {
	Dialled int           // connections that were opened in all
	Live    int           // of them, those still open in the end
	Settled time.Duration // from the opening of the gates until nothing changed any more
}

// Play holds each peer's dial to the other at a Gate, lets both go at once, and waits
// until nothing changes any more. Then each must have exactly one link, and messages in
// both directions must pass over one and the same connection and no other.
func (g Glare) Play(ctx context.Context, binary string, seed uint64) (report *GlareReport, err error) {
	s := &glareStage{glare: g, binary: binary, rand: rand.New(peers.SeedSource(seed))}
	report, err = s.play(ctx)
	err = errors.Join(err, s.close(ctx))
	if err != nil {
		return nil, fmt.Errorf("itest: %s, seed %d: %w%s", g.Name, seed, err, s.transcript())
	}
	return report, nil
}

type glareStage struct {
	glare  Glare
	binary string
	rand   *rand.Rand
	dir    string
	gates  [2]*peers.Gate // before each peer
	peers  [2]peers.Peer
}

func (s *glareStage) play(ctx context.Context) (*GlareReport, error) {
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	for i, g := range s.gates {
		if err := g.SetTarget(portURL(s.peers[i])); err != nil {
			return nil, err
		}
		if err := g.Held(ctx); err != nil {
			return nil, err
		}
	}
	for _, p := range s.peers {
		if n := p.Events().Count(peers.IsKind(peers.EventPeer)); n != 0 {
			return nil, errors.New("a peer has a link through a closed gate")
		}
	}
	opened := time.Now()
	for _, g := range s.gates {
		g.Open()
	}
	for i, p := range s.peers {
		if _, err := p.Events().Wait(ctx, peers.IsPeer(s.peers[1-i].ID())); err != nil {
			return nil, err
		}
	}
	settled, err := s.settle(ctx)
	if err != nil {
		return nil, err
	}
	report := &GlareReport{Settled: settled.Sub(opened)}
	if err := s.oneLink(ctx); err != nil {
		return nil, err
	}
	if err := s.oneWay(ctx); err != nil {
		return nil, err
	}
	for _, p := range s.passages() {
		report.Dialled++
		if p.Live {
			report.Live++
		}
	}
	if !s.glare.native && report.Live != 1 {
		return nil, fmt.Errorf("%d connections are open, want 1", report.Live)
	}
	return report, nil
}

// portURL returns the URL at which a peer listens, which may not be the one that it announces.
func portURL(p peers.Peer) string {
	if p, ok := p.(*peers.GoPeer); ok {
		return p.PortURL()
	}
	return p.URL()
}

// start starts both peers, each with the gate before the other as its bootstrap, and with
// the gate before itself as its address: every connection that they make is seen.
func (s *glareStage) start(ctx context.Context) (err error) {
	if s.dir, err = os.MkdirTemp("", "peer-relay-glare-"); err != nil {
		return err
	}
	var urls [2]string
	var flags [2][]string
	for i := range s.gates {
		if s.gates[i], err = peers.NewGate(""); err != nil {
			return err
		}
		urls[i] = s.gates[i].URL()
		flags[i] = []string{"--announce", s.gates[i].URL()}
		if s.glare.native {
			file := filepath.Join(s.dir, fmt.Sprint("key", i))
			key, err := node.LoadKey(file)
			if err != nil {
				return err
			}
			id, err := peer.IDFromPrivateKey(key)
			if err != nil {
				return err
			}
			urls[i] = s.gates[i].Multiaddr() + "/p2p/" + id.String()
			flags[i] = append(flags[i], "--key", file)
		}
	}
	startOne := func(i int) func() error {
		spec := peers.Spec{Name: fmt.Sprintf("p%d", i), Listen: true, Bootstrap: []string{urls[1-i]}}
		for b := range spec.Seed {
			spec.Seed[b] = byte(s.rand.Uint32())
		}
		kind := peers.Go(s.binary, flags[i]...)
		if s.glare.js && i == 1 {
			kind = peers.NPM()
		}
		return func() (err error) {
			s.peers[i], err = kind.Start(ctx, spec)
			return err
		}
	}
	return both(startOne(0), startOne(1))
}

// A snapshot is everything that changes while two peers settle.
type snapshot string

func (s *glareStage) snapshot(ctx context.Context) (snapshot, error) {
	text := ""
	for _, p := range s.peers {
		switch p := p.(type) {
		case *peers.GoPeer:
			status, err := peers.FetchStatus(ctx, p.PortURL())
			if err != nil {
				return "", err
			}
			text += fmt.Sprint(status.Links, status.Counters["links opened"], status.Counters["links refused"], " ")
		case *peers.NPMPeer:
			stats, err := p.Stats(ctx)
			if err != nil {
				return "", err
			}
			text += fmt.Sprint(stats.Count, " ")
		}
		text += fmt.Sprint(len(p.Events().All()), " ")
	}
	for _, p := range s.passages() {
		text += fmt.Sprint(p.Live, " ")
	}
	return snapshot(text), nil
}

// settle waits until nothing changed for settleTime, and returns the time of the last change.
func (s *glareStage) settle(ctx context.Context) (changed time.Time, err error) {
	last, changed := snapshot(""), time.Now()
	err = peers.Until(ctx, "the peers to settle", func() (bool, error) {
		now, err := s.snapshot(ctx)
		if err != nil {
			return false, err
		}
		if now != last {
			last, changed = now, time.Now()
		}
		if s.glare.upgrades && len(s.passages()) < 3 {
			return false, nil
		}
		return time.Since(changed) >= settleTime, nil
	})
	return changed, err
}

func (s *glareStage) passages() []peers.Passage {
	return append(s.gates[0].Passed(), s.gates[1].Passed()...)
}

// oneLink checks the links that both peers report.
func (s *glareStage) oneLink(ctx context.Context) error {
	for i, p := range s.peers {
		ids, err := p.Peers(ctx)
		if err != nil {
			return err
		}
		if want := []protocol.ID{s.peers[1-i].ID()}; !slices.Equal(ids, want) {
			return fmt.Errorf("p%d has links to %v, want %v", i, ids, want)
		}
		if up, down := p.Events().Count(peers.IsKind(peers.EventPeer)), p.Events().Count(peers.IsKind(peers.EventDisconnect)); up != 1 || down != 0 {
			return fmt.Errorf("p%d reported %d links and the end of %d, want 1 and none", i, up, down)
		}
	}
	return nil
}

// oneWay checks that messages in both directions pass over one connection.
func (s *glareStage) oneWay(ctx context.Context) error {
	before := s.passages()
	for i, p := range s.peers {
		body := make([]byte, probeBytes/2)
		for b := range body {
			body[b] = byte(s.rand.Uint32())
		}
		for n := range probes {
			if err := p.Send(ctx, s.peers[1-i].ID(), fmt.Sprint(n, hex.EncodeToString(body))); err != nil {
				return err
			}
		}
		got, err := s.peers[1-i].Events().WaitN(ctx, probes, peers.IsKind(peers.EventMessage))
		if err != nil {
			return err
		}
		for n, e := range got {
			want, _ := json.Marshal(fmt.Sprint(n, hex.EncodeToString(body)))
			if e.Node != p.ID() || string(e.Data) != string(want) {
				return fmt.Errorf("probe %d came as %.100s from %v", n, e.Data, e.Node)
			}
		}
	}
	carried := 0
	after := s.passages()
	if len(after) != len(before) {
		return fmt.Errorf("%d connections, %d before the probes", len(after), len(before))
	}
	for i, p := range after {
		up, down := p.Up-before[i].Up, p.Down-before[i].Down
		const all = probes * probeBytes
		switch {
		case up >= all && down >= all:
			carried++
		case up >= probeBytes || down >= probeBytes:
			return fmt.Errorf("a connection carried %d bytes one way and %d the other, want %d both ways or none", up, down, all)
		}
	}
	if carried != 1 {
		return fmt.Errorf("%d connections carried the probes, want 1", carried)
	}
	return nil
}

func (s *glareStage) close(ctx context.Context) error {
	var errs []error
	for _, p := range s.peers {
		if p != nil {
			errs = append(errs, p.Destroy(ctx), p.Close())
		}
	}
	for _, g := range s.gates {
		if g != nil {
			errs = append(errs, g.Close())
		}
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// transcript returns what happened, for the report of a failure.
func (s *glareStage) transcript() string {
	var b strings.Builder
	for i, p := range s.peers {
		if p == nil {
			continue
		}
		fmt.Fprintf(&b, "\n  p%d is %s", i, p.ID())
		for _, e := range p.Events().All() {
			fmt.Fprintf(&b, "\n    %.200s", e)
		}
	}
	for i, g := range s.gates {
		if g != nil {
			fmt.Fprintf(&b, "\n  gate before p%d: %+v", i, g.Passed())
		}
	}
	return b.String()
}
