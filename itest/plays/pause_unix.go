//go:build unix

package plays

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
)

const (
	// pauseTries is how often, at most, each end sends after a pause before it must be heard.
	pauseTries = 40
	// pauseEvery is the time between two of those.
	pauseEvery = 250 * time.Millisecond
	// pauseTalk is the number of messages each way of which none may be lost then.
	pauseTalk = 10
)

// A pausedPeer is a Go peer without a port, a page that is linked with it by WebRTC, and a
// hub that both are linked with.
type pausedPeer struct {
	stepper
	hub, us *peers.GoPeer
	page    *peers.PagePeer
}

// PausePeer stops a Go peer that a page of the npm package is linked with by WebRTC, as a
// laptop that is suspended, and lets it go on. Its link is lost meanwhile, and there must be
// one again over the same data channel: the page takes no other, and sends all that is for
// the peer into it.
func PausePeer(ctx context.Context, p *peers.Pages, binary string, pause time.Duration) (steps []Step, err error) {
	s := &pausedPeer{}
	err = s.play(ctx, p, binary, pause)
	if err != nil {
		err = fmt.Errorf("itest: a pause of %v: %w%s", pause, err, s.story())
	}
	return s.steps, errors.Join(err, s.close())
}

func (s *pausedPeer) play(ctx context.Context, p *peers.Pages, binary string, pause time.Duration) (err error) {
	if err := s.step("meet", func() (string, error) { return s.meet(ctx, p, binary) }); err != nil {
		return err
	}
	before, err := s.page.Link(ctx, s.us.ID())
	if err != nil {
		return err
	}
	if err := s.us.Process().Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	paused := time.NewTimer(pause)
	defer paused.Stop()
	select {
	case <-paused.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := s.us.Process().Signal(syscall.SIGCONT); err != nil {
		return err
	}
	if err := s.step("heard again", func() (string, error) { return s.hearAgain(ctx) }); err != nil {
		return err
	}
	return s.step("talk", func() (string, error) {
		if err := s.talk(ctx); err != nil {
			return "", err
		}
		after, err := s.page.Link(ctx, s.us.ID())
		if err == nil && (after.Kind != "webrtc" || after.Label != before.Label) {
			err = fmt.Errorf("the page's link was %+v and is %+v", before, after)
		}
		return fmt.Sprintf("%d messages each way, none lost", pauseTalk), err
	})
}

// meet starts all three, and links the page and the peer.
func (s *pausedPeer) meet(ctx context.Context, p *peers.Pages, binary string) (note string, err error) {
	if s.hub, err = peers.StartGo(ctx, binary, peers.Spec{Name: "hub", Listen: true}, "--no-webrtc"); err != nil {
		return "", err
	}
	if s.us, err = peers.StartGo(ctx, binary, peers.Spec{Name: "us", Bootstrap: []string{s.hub.URL()}}, "--webrtc-loopback"); err != nil {
		return "", err
	}
	if s.page, err = p.Peer(ctx, peers.Rebundled, peers.PageSpec{Spec: peers.Spec{Name: "page", Bootstrap: []string{s.hub.URL()}}}); err != nil {
		return "", err
	}
	for _, peer := range []peers.Peer{s.page, s.us} {
		if _, err := peer.Events().Wait(ctx, peers.IsPeer(s.hub.ID())); err != nil {
			return "", err
		}
		if _, err := s.hub.Events().Wait(ctx, peers.IsPeer(peer.ID())); err != nil {
			return "", err
		}
	}
	if err := s.page.Connect(ctx, s.us.ID()); err != nil {
		return "", err
	}
	if _, err := s.page.Events().Wait(ctx, peers.IsPeer(s.us.ID())); err != nil {
		return "", err
	}
	_, err = s.us.Events().Wait(ctx, peers.IsPeer(s.page.ID()))
	return "", err
}

// hearAgain has both ends send until each has heard the other.
func (s *pausedPeer) hearAgain(ctx context.Context) (note string, err error) {
	tick := time.NewTicker(pauseEvery)
	defer tick.Stop()
	up, down := peers.IsText(s.page.ID(), "again"), peers.IsText(s.us.ID(), "again")
	for range pauseTries {
		if err := s.send(ctx, "again"); err != nil {
			return "", err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", ctx.Err()
		}
		if s.us.Events().Count(up) > 0 && s.page.Events().Count(down) > 0 {
			return "", nil
		}
	}
	return "", fmt.Errorf("of %d messages each way %d came from the page, and %d to it", pauseTries, s.us.Events().Count(up), s.page.Events().Count(down))
}

// talk sends messages each way, all of which must arrive.
func (s *pausedPeer) talk(ctx context.Context) error {
	for n := range pauseTalk {
		text := fmt.Sprint("message ", n)
		if err := s.send(ctx, text); err != nil {
			return err
		}
		if _, err := s.us.Events().Wait(ctx, peers.IsText(s.page.ID(), text)); err != nil {
			return err
		}
		if _, err := s.page.Events().Wait(ctx, peers.IsText(s.us.ID(), text)); err != nil {
			return err
		}
	}
	return nil
}

// send sends a text each way.
func (s *pausedPeer) send(ctx context.Context, text string) error {
	if err := s.page.Send(ctx, s.us.ID(), text); err != nil {
		return err
	}
	return s.us.Send(ctx, s.page.ID(), text)
}

func (s *pausedPeer) close() error {
	var errs []error
	if s.page != nil {
		errs = append(errs, s.page.Close())
	}
	for _, p := range []*peers.GoPeer{s.us, s.hub} {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	return errors.Join(errs...)
}

func (s *pausedPeer) story() string {
	if s.page == nil {
		return ""
	}
	return s.page.Story()
}
