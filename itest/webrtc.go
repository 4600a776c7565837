package itest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/protocol"
)

// A WebRTCMeeting is how two peers that nobody can dial come to be linked: one of ours
// and one of the npm package with a WebRTC, each with a link to a third alone.
type WebRTCMeeting struct {
	Name string
	js   bool // the npm peer comes later, and so wants the link
	both bool // both want it at the same instant
}

// WebRTCMeetings gives all of them.
func WebRTCMeetings() []WebRTCMeeting {
	return []WebRTCMeeting{{Name: "go begins"}, {Name: "js begins", js: true}, {Name: "both begin", both: true}}
}

// Play starts fresh peers, waits until they are linked, and gives how long that took from
// when they could know of each other. There must be one link, over which messages go
// both ways, and still when the third peer is gone.
func (m WebRTCMeeting) Play(ctx context.Context) (took time.Duration, err error) {
	s := &webRTCStage{meeting: m}
	took, err = s.play(ctx)
	if err = errors.Join(err, s.close()); err != nil {
		return 0, fmt.Errorf("itest: WebRTC, %s: %w%s", m.Name, err, s.story())
	}
	return took, nil
}

type webRTCStage struct {
	meeting WebRTCMeeting
	hub, us *compat.PeerRelay
	driver  *Driver
	npm     *NPMPeer
	events  *Log[Event] // of us
	atHub   *Log[Event] // of the third peer
	direct  *Log[Event] // messages to us over one hop
}

func (s *webRTCStage) play(ctx context.Context) (time.Duration, error) {
	s.events, s.atHub, s.direct = NewLog[Event]("go peer"), NewLog[Event]("third peer"), NewLog[Event]("direct messages")
	var err error
	if s.hub, err = compat.New(compat.Options{Host: loopback, Port: compat.Port(0), WRTC: compat.WebRTCOptions{Off: true}}); err != nil {
		return 0, err
	}
	s.hub.OnPeer(func(id compat.ID) { s.atHub.Add(Event{Kind: EventPeer, Node: id}) })
	if s.driver, err = StartDriver(ctx); err != nil {
		return 0, err
	}
	steps := []func(context.Context) error{s.startNPM, s.startUs}
	if s.meeting.js {
		slices.Reverse(steps)
	}
	var start time.Time
	for _, step := range steps {
		start = time.Now()
		if err := step(ctx); err != nil {
			return 0, err
		}
	}
	if s.meeting.both {
		start = time.Now()
		s.us.Connect(s.npm.ID())
		if err := s.npm.Connect(ctx, s.us.ID()); err != nil {
			return 0, err
		}
	}
	if _, err := s.events.Wait(ctx, IsPeer(s.npm.ID())); err != nil {
		return 0, err
	}
	if _, err := s.npm.Events().Wait(ctx, IsPeer(s.us.ID())); err != nil {
		return 0, err
	}
	took := time.Since(start)
	if err := s.talk(ctx, "with the third peer"); err != nil {
		return 0, err
	}
	if err := s.oneLink(ctx); err != nil {
		return 0, err
	}
	if err := s.hub.Close(); err != nil {
		return 0, err
	}
	return took, s.talk(ctx, "without the third peer")
}

func (s *webRTCStage) startNPM(ctx context.Context) (err error) {
	s.npm, err = s.driver.Peer(ctx, NPMSpec{Spec: Spec{Name: "js", Bootstrap: []string{s.hub.URL()}}, WebRTC: true})
	if err != nil {
		return err
	}
	return s.joined(ctx, s.npm.Events(), s.npm.ID())
}

func (s *webRTCStage) startUs(ctx context.Context) (err error) {
	s.us, err = compat.New(compat.Options{Bootstrap: []string{s.hub.URL()}, WRTC: compat.WebRTCOptions{Loopback: true}})
	if err != nil {
		return err
	}
	s.us.OnPeer(func(id compat.ID) { s.events.Add(Event{Kind: EventPeer, Node: id}) })
	s.us.OnDisconnect(func(id compat.ID) { s.events.Add(Event{Kind: EventDisconnect, Node: id}) })
	s.us.OnReceive(func(m compat.Message) {
		if len(m.Path) == 1 {
			s.direct.Add(Event{Kind: EventMessage, Node: m.From, Data: m.JSON})
		}
	})
	return s.joined(ctx, s.events, s.us.ID())
}

// joined waits until a peer and the third one know each other. An offer to who is not
// there yet is lost, and the npm package never makes, nor answers, another one.
func (s *webRTCStage) joined(ctx context.Context, events *Log[Event], id protocol.ID) error {
	if _, err := events.Wait(ctx, IsPeer(s.hub.ID())); err != nil {
		return err
	}
	_, err := s.atHub.Wait(ctx, IsPeer(id))
	return err
}

// talk sends a message each way. To us it must come straight.
func (s *webRTCStage) talk(ctx context.Context, text string) error {
	if err := s.us.Send(s.npm.ID(), text); err != nil {
		return err
	}
	if err := s.npm.Send(ctx, s.us.ID(), text); err != nil {
		return err
	}
	is := func(from protocol.ID) func(Event) bool {
		return func(e Event) bool {
			return e.Kind == EventMessage && e.Node == from && strings.Contains(string(e.Data), text)
		}
	}
	if _, err := s.npm.Events().Wait(ctx, is(s.us.ID())); err != nil {
		return err
	}
	_, err := s.direct.Wait(ctx, is(s.npm.ID()))
	return err
}

// oneLink checks that neither peer has, or had, another link to the other.
func (s *webRTCStage) oneLink(ctx context.Context) error {
	var kinds []protocol.LinkKind
	for _, l := range s.us.Node().Router().Peers() {
		if l.ID == s.npm.ID() {
			kinds = append(kinds, l.Kind)
		}
	}
	if len(kinds) != 1 || kinds[0] != protocol.LinkWebRTC {
		return fmt.Errorf("the links to the npm peer are %v", kinds)
	}
	peers, err := s.npm.Peers(ctx)
	if err != nil {
		return err
	}
	n := 0
	for _, id := range peers {
		if id == s.us.ID() {
			n++
		}
	}
	ups, downs := s.npm.Events().Count(IsPeer(s.us.ID())), s.npm.Events().Count(IsDisconnect(s.us.ID()))
	if n != 1 || ups != 1 || downs != 0 || s.events.Count(IsPeer(s.npm.ID())) != 1 || s.events.Count(IsDisconnect(s.npm.ID())) != 0 {
		return fmt.Errorf("the npm peer has %d links to us, %d came up and %d went down", n, ups, downs)
	}
	return nil
}

func (s *webRTCStage) close() error {
	var errs []error
	for _, p := range []*compat.PeerRelay{s.us, s.hub} {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	if s.driver != nil {
		errs = append(errs, s.driver.Close())
	}
	return errors.Join(errs...)
}

// story tells what happened, for a failure.
func (s *webRTCStage) story() string {
	text := ""
	if s.us != nil {
		text += fmt.Sprintf("\nus %v, dropped %v", s.us.ID(), s.us.Node().Router().Stats().Dropped)
	}
	if s.npm != nil {
		text += fmt.Sprintf("\nnpm %v: %v", s.npm.ID(), s.npm.Events().All())
	}
	if s.driver != nil {
		text += "\n" + s.driver.Process().Stderr()
	}
	return text
}
