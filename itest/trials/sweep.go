package trials

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/protocol"
)

// A Situation is something that happens to networks and machines of users, and what peers should
// do then. It is played on hosts of its own.
type Situation struct {
	Name   string
	Expect string
	Quick  bool // it takes a few seconds
	play   func(ctx context.Context, s *site) (seen string, err error)
}

// situationTime bounds a situation. Only a failure takes it.
const situationTime = 4 * time.Minute

// Situations returns all situations.
func Situations() []Situation {
	return slices.Concat(lineSituations(), addressSituations(), processSituations(), diskSituations())
}

// A situationList collects situations.
type situationList []Situation

func (l *situationList) add(name, expect string, play func(ctx context.Context, s *site) (string, error)) {
	*l = append(*l, Situation{Name: name, Expect: expect, play: play})
}

// quick adds a situation that takes a few seconds.
func (l *situationList) quick(name, expect string, play func(ctx context.Context, s *site) (string, error)) {
	l.add(name, expect, play)
	(*l)[len(*l)-1].Quick = true
}

// Play plays a situation, and returns what was seen. The error says what was not as expected.
func (x Situation) Play(ctx context.Context, binary string) (seen string, err error) {
	ctx, cancel := context.WithTimeout(ctx, situationTime)
	defer cancel()
	s := &site{binary: binary}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	if s.dir, err = os.MkdirTemp("", "peer-relay-sweep-"); err != nil {
		return "", err
	}
	if s.lan, err = peers.NewLAN(ctx); err != nil {
		return "", err
	}
	seen, err = x.play(ctx, s)
	if err != nil {
		err = fmt.Errorf("itest: %s: %w", x.Name, err)
	}
	return seen, err
}

// A site is a network of hosts and the processes on them.
type site struct {
	binary string
	dir    string // for key files
	lan    *peers.LAN
	more   []*peers.LAN
	peers  []*peers.GoPeer
	killed []*peers.GoPeer
	ends   peers.Closers // of what the processes use
}

// close ends all processes, each of which must then exit with 0, unless it was killed. So all
// lines must be whole again: a peer that cannot tell whether a message arrived exits with 1.
func (s *site) close(ctx context.Context) error {
	var errs []error
	for _, p := range slices.Backward(s.peers) {
		if slices.Contains(s.killed, p) {
			continue
		}
		errs = append(errs, p.Process().Resume())
		if err := p.Destroy(ctx); err != nil {
			errs = append(errs, err, p.Kill())
		}
	}
	errs = append(errs, s.ends.Close())
	for _, l := range append(s.more, s.lan) {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

// another returns a second switch.
func (s *site) another(ctx context.Context) (*peers.LAN, error) {
	l, err := peers.NewLAN(ctx)
	if err == nil {
		s.more = append(s.more, l)
	}
	return l, err
}

// key returns the flag for a key file of some name.
func (s *site) key(name string) []string { return []string{"--key", filepath.Join(s.dir, name)} }

// start starts a peer on a host, with a port of siteWS if it listens.
func (s *site) start(ctx context.Context, on *peers.LANHost, name string, listens bool, bootstraps []string, flags ...string) (*peers.GoPeer, error) {
	p, err := peers.StartGo(ctx, s.binary, peers.Spec{Name: name, Listen: listens, Port: soakPort, Bootstrap: bootstraps, On: on}, flags...)
	if err != nil {
		return nil, err
	}
	s.peers = append(s.peers, p)
	return p, nil
}

// startAt starts a peer on a host of its own with an address such as 10.77.0.9/24.
func (s *site) startAt(ctx context.Context, addr, name string, listens bool, bootstraps []string, flags ...string) (*peers.LANHost, *peers.GoPeer, error) {
	h, err := s.lan.Host(ctx, addr)
	if err != nil {
		return nil, nil, err
	}
	p, err := s.start(ctx, h, name, listens, bootstraps, flags...)
	return h, p, err
}

// kill ends a process as kill -9 does.
func (s *site) kill(p *peers.GoPeer) error {
	s.killed = append(s.killed, p)
	return p.Kill()
}

// command runs our binary on a host until it ends, and returns what it wrote.
func (s *site) command(ctx context.Context, on *peers.LANHost, args ...string) (status int, text string, err error) {
	cmd := on.Command(s.binary, args...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	return run(ctx, cmd, &out)
}

func run(ctx context.Context, cmd *exec.Cmd, out fmt.Stringer) (status int, text string, err error) {
	if err := cmd.Start(); err != nil {
		return 0, "", err
	}
	stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
	defer stop()
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		err = nil
	}
	return cmd.ProcessState.ExitCode(), strings.TrimSpace(out.String()), err
}

// A triangle is a relay, and two peers without ports that know only it: a and b.
type triangle struct {
	relay, a, b       *peers.GoPeer
	atRelay, atA, atB *peers.LANHost
}

const (
	relayIP  = "10.77.0.1"
	relayURL = "ws://" + relayIP + ":8001"
)

// triangle starts a triangle and waits until a and b reach each other. The peers link directly
// only if the flags, which all three get, let them.
func (s *site) triangle(ctx context.Context, flags ...string) (t *triangle, err error) {
	t = new(triangle)
	for i, at := range []**peers.LANHost{&t.atRelay, &t.atA, &t.atB} {
		if *at, err = s.lan.Host(ctx, fmt.Sprintf("10.77.0.%d/24", i+1)); err != nil {
			return nil, err
		}
	}
	if t.relay, err = s.start(ctx, t.atRelay, "relay", true, nil, append(s.key("relay"), flags...)...); err != nil {
		return nil, err
	}
	if t.a, err = s.start(ctx, t.atA, "a", false, []string{relayURL}, append(s.key("a"), flags...)...); err != nil {
		return nil, err
	}
	if t.b, err = s.start(ctx, t.atB, "b", false, []string{relayURL}, append(s.key("b"), flags...)...); err != nil {
		return nil, err
	}
	_, err = meet(ctx, t.a, t.b, startTime)
	return t, err
}

// link has a and b link to a peer.
func (t *triangle) link(ctx context.Context, to *peers.GoPeer) error {
	for _, p := range []*peers.GoPeer{t.a, t.b} {
		if err := p.Write("connect", to.ID()); err != nil {
			return err
		}
		if _, err := p.Events().Wait(ctx, peers.IsPeer(to.ID())); err != nil {
			return err
		}
	}
	return nil
}

// replace has the relay lose its power, and another process start in its place, whose key is in a
// file of this name.
func (s *site) replace(ctx context.Context, t *triangle, key string) (*peers.GoPeer, error) {
	if err := s.kill(t.relay); err != nil {
		return nil, err
	}
	return s.start(ctx, t.atRelay, "relay", true, nil, append(s.key(key), "--no-webrtc")...)
}

// startTime is the longest time in which peers that were just started reach each other.
const startTime = 15 * time.Second

// meet has two peers write to each other until both have received something that was sent after
// the call, and returns how long that took.
func meet(ctx context.Context, a, b *peers.GoPeer, most time.Duration) (took time.Duration, err error) {
	begun := time.Now()
	for _, d := range [][2]*peers.GoPeer{{a, b}, {b, a}} {
		if _, err := reach(ctx, d[0], d[1], most-time.Since(begun)); err != nil {
			return 0, err
		}
	}
	return time.Since(begun), nil
}

// reach has a peer write to another one until something arrives.
func reach(ctx context.Context, from, to *peers.GoPeer, most time.Duration) (took time.Duration, err error) {
	begun := time.Now()
	text := fmt.Sprintf("reach %d", begun.UnixNano())
	arrived := peers.IsText(from.ID(), text)
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := 0; to.Events().Count(arrived) == 0; n++ {
		if n%2 == 0 {
			if err := from.Write("send", map[string]any{"to": to.ID(), "data": text}); err != nil {
				return 0, err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, fmt.Errorf("%s does not reach %s within %v", short(from.ID()), short(to.ID()), most.Round(100*time.Millisecond))
		}
	}
	return time.Since(begun), nil
}

func short(id protocol.ID) string { return id.Short() }

// deliver has a peer send a number of messages of some bytes at a steady rate, and counts those
// that arrive.
func deliver(ctx context.Context, from, to *peers.GoPeer, n, size int, every, late time.Duration) (arrived int, err error) {
	mark := fmt.Sprintf("deliver %d ", time.Now().UnixNano())
	text := mark + strings.Repeat("x", max(0, size-len(mark)))
	for range n {
		if err := from.Write("send", map[string]any{"to": to.ID(), "data": text}); err != nil {
			return 0, err
		}
		if err := peers.Sleep(ctx, every); err != nil {
			return 0, err
		}
	}
	waiting, cancel := context.WithTimeout(ctx, late)
	defer cancel()
	peers.Until(waiting, "messages", func() (bool, error) {
		arrived = to.Events().Count(peers.IsText(from.ID(), text))
		return arrived >= n, nil
	})
	return arrived, ctx.Err()
}

// after formats a time.
func after(took time.Duration) string {
	return fmt.Sprintf("after %v", took.Round(10*time.Millisecond))
}
