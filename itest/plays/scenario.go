package plays

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/protocol"
)

// A Scenario is a short play whose parts any kind of peer can have. The first five are the
// WebSocket tests of the npm package's own test.js.
type Scenario struct {
	Name string

	// Parts are the names of its peers.
	Parts []string

	play func(ctx context.Context, s *stage) error
}

// Scenarios returns all scenarios in the order of the package's test.js.
//
// Two races of the originals are decided here, where the parts are processes of their
// own and not objects in one event loop. In "relay message" the original sends as soon
// as c1 has its link, and wins because c3's came up in the same turn; here c3 is linked
// before c1 starts. In "send message before connect" it sends before the event loop can
// have connected anything; here a Gate holds the connection back. The sixth is a "relay
// message" in which c1 and c3 have no port, so that nothing but the relay can join them.
func Scenarios() []Scenario {
	two, three := []string{"c1", "c2"}, []string{"c1", "c2", "c3"}
	return []Scenario{
		{"two peers connect", two, twoPeersConnect},
		{"direct message", two, directMessage},
		{"send message before connect", two, sendBeforeConnect},
		{"relay message", three, func(ctx context.Context, s *stage) error { return relayMessage(ctx, s, true) }},
		{"clients automatically populate", three, automaticallyPopulate},
		{"relay message, no other way", three, func(ctx context.Context, s *stage) error { return relayMessage(ctx, s, false) }},
	}
}

// Play runs the scenario once with fresh peers: cast[i] plays Parts[i]. The seeds of the
// parts come from seed. Every message that the scenario does not await, and every crash, is
// an error too.
func (sc Scenario) Play(ctx context.Context, cast []peers.Kind, seed uint64) (err error) {
	if len(cast) != len(sc.Parts) {
		return fmt.Errorf("itest: %s: cast of %d for %d parts", sc.Name, len(cast), len(sc.Parts))
	}
	s := &stage{cast: make(map[string]peers.Kind), seeds: make(map[string][32]byte), inbox: make(map[string][]string)}
	seeds := peers.SeedSource(seed)
	for i, part := range sc.Parts {
		s.cast[part] = cast[i]
		var b [32]byte
		seeds.Read(b[:]) // never fails
		s.seeds[part] = b
	}
	err = sc.play(ctx, s)
	if err = errors.Join(err, s.finish(ctx)); err != nil {
		return fmt.Errorf("itest: %s, %s, seed %d: %w\n%s", sc.Name, peers.CastName(cast), seed, err, s.transcript())
	}
	return nil
}

// A stage is one performance.
type stage struct {
	cast  map[string]peers.Kind
	seeds map[string][32]byte
	peers []*actor
	gates []*peers.Gate
	inbox map[string][]string // the messages that each part must have received at the end
}

// An actor is a peer on the stage.
type actor struct {
	peers.Peer
	part string
}

func (s *stage) start(ctx context.Context, part string, listen bool, bootstrap ...string) (*actor, error) {
	p, err := s.cast[part].Start(ctx, peers.Spec{Name: part, Seed: s.seeds[part], Listen: listen, Bootstrap: bootstrap})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", part, err)
	}
	a := &actor{Peer: p, part: part}
	s.peers = append(s.peers, a)
	return a, nil
}

// startPair starts c1, and c2 with c1 as its bootstrap.
func (s *stage) startPair(ctx context.Context) (c1, c2 *actor, err error) {
	if c1, err = s.start(ctx, "c1", true); err != nil {
		return nil, nil, err
	}
	if c2, err = s.start(ctx, "c2", true, c1.URL()); err != nil {
		return nil, nil, err
	}
	return c1, c2, nil
}

// receives waits for a part's first message and checks it. The part may receive no other.
func (s *stage) receives(ctx context.Context, to, from *actor, data string) error {
	s.inbox[to.part] = append(s.inbox[to.part], from.ID().String()+" "+data)
	e, err := to.Events().Wait(ctx, peers.IsKind(peers.EventMessage))
	if err != nil {
		return err
	}
	if e.Node != from.ID() || string(e.Data) != data {
		return fmt.Errorf("%s received %s from %s, want %s from %s", to.part, e.Data, e.Node, data, from.ID())
	}
	return nil
}

// firstPeer waits for the first link of a part, which has to be to other.
func firstPeer(ctx context.Context, a, other *actor) error {
	e, err := a.Events().Wait(ctx, peers.IsKind(peers.EventPeer))
	if err != nil {
		return err
	}
	if e.Node != other.ID() {
		return fmt.Errorf("%s linked to %s first, want %s %s", a.part, e.Node, other.part, other.ID())
	}
	return nil
}

// finish destroys the peers, the latest first as the originals do, and compares all the
// messages that they received.
func (s *stage) finish(ctx context.Context) error {
	var errs []error
	for i := len(s.peers) - 1; i >= 0; i-- {
		if err := s.peers[i].Destroy(ctx); err != nil {
			errs = append(errs, fmt.Errorf("destroy %s: %w", s.peers[i].part, err))
		}
	}
	for _, a := range s.peers {
		if err := a.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", a.part, err))
		}
	}
	for _, g := range s.gates {
		errs = append(errs, g.Close())
	}
	for _, a := range s.peers {
		var got []string
		for _, e := range a.Events().All() {
			if e.Kind == peers.EventMessage {
				got = append(got, e.Node.String()+" "+string(e.Data))
			}
		}
		if want := s.inbox[a.part]; strings.Join(got, "\n") != strings.Join(want, "\n") {
			errs = append(errs, fmt.Errorf("%s received in all %q, want %q", a.part, got, want))
		}
	}
	return errors.Join(errs...)
}

// transcript returns what every part reported, for the report of a failure.
func (s *stage) transcript() string {
	var b strings.Builder
	for _, a := range s.peers {
		fmt.Fprintf(&b, "  %s %s is %s, listens at %q\n", a.part, s.cast[a.part].Name, a.ID(), a.URL())
		for _, e := range a.Events().All() {
			fmt.Fprintf(&b, "    %s\n", e)
		}
	}
	return b.String()
}

// both runs two things at once, as two event handlers would.
func both(f, g func() error) error {
	done := make(chan error)
	go func() { done <- f() }() // ends with its context; received below
	err := g()
	return errors.Join(<-done, err)
}

func twoPeersConnect(ctx context.Context, s *stage) error {
	c1, c2, err := s.startPair(ctx)
	if err != nil {
		return err
	}
	if err := both(
		func() error { return firstPeer(ctx, c1, c2) },
		func() error { return firstPeer(ctx, c2, c1) },
	); err != nil {
		return err
	}
	for _, pair := range [][2]*actor{{c1, c2}, {c2, c1}} {
		linked, err := pair[0].Peers(ctx)
		if err != nil {
			return err
		}
		if len(linked) != 1 || linked[0] != pair[1].ID() {
			return fmt.Errorf("%s has links to %v, want only %s", pair[0].part, linked, pair[1].ID())
		}
		if n := pair[0].Events().Count(peers.IsKind(peers.EventPeer)); n != 1 {
			return fmt.Errorf("%s reported %d links, want 1", pair[0].part, n)
		}
	}
	return nil
}

func directMessage(ctx context.Context, s *stage) error {
	c1, c2, err := s.startPair(ctx)
	if err != nil {
		return err
	}
	greet := func(a, other *actor, data string) func() error {
		return func() error {
			if err := firstPeer(ctx, a, other); err != nil {
				return err
			}
			return a.Send(ctx, other.ID(), data)
		}
	}
	if err := both(greet(c1, c2, "TEST1"), greet(c2, c1, "TEST2")); err != nil {
		return err
	}
	return s.exchanged(ctx, c1, c2)
}

// exchanged waits for TEST1 from c1 and TEST2 from c2.
func (s *stage) exchanged(ctx context.Context, c1, c2 *actor) error {
	if err := s.receives(ctx, c1, c2, `"TEST2"`); err != nil {
		return err
	}
	return s.receives(ctx, c2, c1, `"TEST1"`)
}

func sendBeforeConnect(ctx context.Context, s *stage) error {
	c1, err := s.start(ctx, "c1", true)
	if err != nil {
		return err
	}
	gate, err := peers.NewGate(c1.URL())
	if err != nil {
		return err
	}
	s.gates = append(s.gates, gate)
	c2, err := s.start(ctx, "c2", true, gate.URL())
	if err != nil {
		return err
	}
	if err := c2.Send(ctx, c1.ID(), "TEST2"); err != nil {
		return err
	}
	if err := c1.Send(ctx, c2.ID(), "TEST1"); err != nil {
		return err
	}
	for _, a := range []*actor{c1, c2} {
		if n := len(a.Events().All()); n != 0 {
			return fmt.Errorf("%s reported %d events behind a closed gate", a.part, n)
		}
	}
	gate.Open()
	return s.exchanged(ctx, c1, c2)
}

// relayMessage has c1 <-> c2 <-> c3. With ports, c1 and c3 are about to find each other
// while the message is under way.
func relayMessage(ctx context.Context, s *stage, ports bool) error {
	c2, err := s.start(ctx, "c2", true)
	if err != nil {
		return err
	}
	c3, err := s.start(ctx, "c3", ports, c2.URL())
	if err != nil {
		return err
	}
	if err := both(
		func() error { return firstPeer(ctx, c3, c2) },
		func() error { return firstPeer(ctx, c2, c3) },
	); err != nil {
		return err
	}
	c1, err := s.start(ctx, "c1", ports, c2.URL())
	if err != nil {
		return err
	}
	if err := firstPeer(ctx, c1, c2); err != nil {
		return err
	}
	if err := c1.Send(ctx, c3.ID(), "TEST"); err != nil {
		return err
	}
	if err := s.receives(ctx, c3, c1, `"TEST"`); err != nil {
		return err
	}
	if !ports && c1.Events().Count(peers.IsPeer(c3.ID()))+c3.Events().Count(peers.IsPeer(c1.ID())) != 0 {
		return errors.New("c1 and c3 linked without a port between them")
	}
	return nil
}

// automaticallyPopulate has c1 <-> c2 <-> c3 again, and c1 and c3 find each other. The
// original lets c1 leave c2 in its peer event; here that takes a few milliseconds, in
// which all three may have links, and c1 may later come back to c2 by what c3 tells it.
func automaticallyPopulate(ctx context.Context, s *stage) error {
	c2, err := s.start(ctx, "c2", true)
	if err != nil {
		return err
	}
	var c1, c3 *actor
	if c1, err = s.start(ctx, "c1", true, c2.URL()); err != nil {
		return err
	}
	if c3, err = s.start(ctx, "c3", true, c2.URL()); err != nil {
		return err
	}
	if _, err := c1.Events().Wait(ctx, peers.IsPeer(c3.ID())); err != nil {
		return err
	}
	if err := c1.Disconnect(ctx, c2.ID()); err != nil {
		return err
	}
	if err := c1.Send(ctx, c3.ID(), "TEST"); err != nil {
		return err
	}
	if err := s.receives(ctx, c3, c1, `"TEST"`); err != nil {
		return err
	}
	// The link was there before the message.
	for _, e := range c3.Events().All() {
		if e.Kind == peers.EventMessage {
			return errors.New("c3 received the message without a link to c1")
		}
		if peers.IsPeer(c1.ID())(e) {
			break
		}
	}
	known := map[*actor][]protocol.ID{c1: {c2.ID(), c3.ID()}, c3: {c1.ID(), c2.ID()}}
	for a, ids := range known {
		for _, e := range a.Events().All() {
			if e.Kind == peers.EventPeer && e.Node != ids[0] && e.Node != ids[1] {
				return fmt.Errorf("%s linked to %s, which has no part here", a.part, e.Node)
			}
		}
	}
	return nil
}
