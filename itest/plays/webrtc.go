package plays

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/protocol"
)

// A WebRTCMeeting is a way in which two peers become linked that cannot be dialled: one of
// ours and one of the npm package with a WebRTC, whose only links are to a third one. Each
// of the three is a process of its own.
type WebRTCMeeting struct {
	Name string
	js   bool // the npm peer comes later, and so wants the link
	both bool // both want it at the same instant
}

// WebRTCMeetings returns all of them.
func WebRTCMeetings() []WebRTCMeeting {
	return []WebRTCMeeting{{Name: "go begins"}, {Name: "js begins", js: true}, {Name: "both begin", both: true}}
}

// Play starts fresh peers, waits until they are linked, and returns how long that took from
// the moment when they could know of each other. There must be one link, over which messages go
// both ways, none of them through the third peer, and still when that one is gone.
func (m WebRTCMeeting) Play(ctx context.Context, binary string) (took time.Duration, err error) {
	s := &webRTCStage{meeting: m, binary: binary}
	took, err = s.play(ctx)
	if err = errors.Join(err, s.close()); err != nil {
		return 0, fmt.Errorf("itest: WebRTC, %s: %w%s", m.Name, err, s.story())
	}
	return took, nil
}

type webRTCStage struct {
	meeting WebRTCMeeting
	binary  string
	hub, us *peers.GoPeer
	driver  *peers.Driver
	npm     *peers.NPMPeer
}

func (s *webRTCStage) play(ctx context.Context) (took time.Duration, err error) {
	if s.hub, err = peers.StartGo(ctx, s.binary, peers.Spec{Name: "third", Listen: true}, "--no-webrtc"); err != nil {
		return 0, err
	}
	if s.driver, err = peers.StartDriver(ctx); err != nil {
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
		// Both commands are in flight before either is waited for.
		if err := s.us.Write("connect", s.npm.ID()); err != nil {
			return 0, err
		}
		if err := s.npm.Connect(ctx, s.us.ID()); err != nil {
			return 0, err
		}
	}
	if _, err := s.us.Events().Wait(ctx, peers.IsPeer(s.npm.ID())); err != nil {
		return 0, err
	}
	if _, err := s.npm.Events().Wait(ctx, peers.IsPeer(s.us.ID())); err != nil {
		return 0, err
	}
	took = time.Since(start)
	before, err := peers.FetchStatus(ctx, s.hub.URL())
	if err != nil {
		return 0, err
	}
	if err := s.talk(ctx, "with the third peer"); err != nil {
		return 0, err
	}
	after, err := peers.FetchStatus(ctx, s.hub.URL())
	if err != nil {
		return 0, err
	}
	if n := after.Counters["forwarded"] - before.Counters["forwarded"]; n != 0 {
		return 0, fmt.Errorf("the third peer has forwarded %d messages between two that are linked", n)
	}
	if err := s.oneLink(ctx); err != nil {
		return 0, err
	}
	if err := s.hub.Close(); err != nil {
		return 0, err
	}
	if err := s.talk(ctx, "without the third peer"); err != nil {
		return 0, err
	}
	return took, s.oneLink(ctx)
}

func (s *webRTCStage) startNPM(ctx context.Context) (err error) {
	s.npm, err = s.driver.Peer(ctx, peers.NPMSpec{Spec: peers.Spec{Name: "js", Bootstrap: []string{s.hub.URL()}}, WebRTC: true})
	if err != nil {
		return err
	}
	return s.joined(ctx, s.npm.Events(), s.npm.ID())
}

func (s *webRTCStage) startUs(ctx context.Context) (err error) {
	s.us, err = peers.StartGo(ctx, s.binary, peers.Spec{Name: "us", Bootstrap: []string{s.hub.URL()}})
	if err != nil {
		return err
	}
	return s.joined(ctx, s.us.Events(), s.us.ID())
}

// joined waits until a peer and the third one are linked. An offer to a peer that is not
// linked yet is lost, and the npm package never makes, nor answers, another one.
func (s *webRTCStage) joined(ctx context.Context, events *peers.Log[peers.Event], id protocol.ID) error {
	if _, err := events.Wait(ctx, peers.IsPeer(s.hub.ID())); err != nil {
		return err
	}
	_, err := s.hub.Events().Wait(ctx, peers.IsPeer(id))
	return err
}

// talk sends a message each way.
func (s *webRTCStage) talk(ctx context.Context, text string) error {
	if err := s.us.Send(ctx, s.npm.ID(), text); err != nil {
		return err
	}
	if err := s.npm.Send(ctx, s.us.ID(), text); err != nil {
		return err
	}
	is := func(from protocol.ID) func(peers.Event) bool {
		return func(e peers.Event) bool {
			return e.Kind == peers.EventMessage && e.Node == from && strings.Contains(string(e.Data), text)
		}
	}
	if _, err := s.npm.Events().Wait(ctx, is(s.us.ID())); err != nil {
		return err
	}
	_, err := s.us.Events().Wait(ctx, is(s.npm.ID()))
	return err
}

// oneLink checks that neither peer has, or had, another link to the other.
func (s *webRTCStage) oneLink(ctx context.Context) error {
	for _, end := range []struct{ peer, other peers.Peer }{{s.us, s.npm}, {s.npm, s.us}} {
		linked, err := end.peer.Peers(ctx)
		if err != nil {
			return err
		}
		links := 0
		for _, id := range linked {
			if id == end.other.ID() {
				links++
			}
		}
		ups, downs := end.peer.Events().Count(peers.IsPeer(end.other.ID())), end.peer.Events().Count(peers.IsDisconnect(end.other.ID()))
		if links != 1 || ups != 1 || downs != 0 {
			return fmt.Errorf("%v has %d links to %v, %d came up and %d went down", end.peer.ID(), links, end.other.ID(), ups, downs)
		}
	}
	return nil
}

func (s *webRTCStage) close() error {
	var errs []error
	for _, p := range []*peers.GoPeer{s.us, s.hub} {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	if s.driver != nil {
		errs = append(errs, s.driver.Close())
	}
	return errors.Join(errs...)
}

// story returns what happened, for the report of a failure.
func (s *webRTCStage) story() string {
	text := ""
	if s.us != nil {
		text += fmt.Sprintf("\nus %v: %v", s.us.ID(), s.us.Events().All())
	}
	if s.npm != nil {
		text += fmt.Sprintf("\nnpm %v: %v", s.npm.ID(), s.npm.Events().All())
	}
	if s.driver != nil {
		text += "\n" + s.driver.Process().Stderr()
	}
	return text
}
