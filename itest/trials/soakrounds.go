package trials

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
)

// rounds disturbs and measures until the time is over.
func (s *soaker) rounds(ctx context.Context) error {
	random := rand.New(rand.NewPCG(s.spec.Seed, 0))
	for round := 1; round == 1 || time.Since(s.begun) < s.spec.For; round++ {
		if err := s.disturb(ctx, random, round); err != nil {
			return err
		}
		if err := s.quiet(ctx, round); err != nil {
			return err
		}
		if err := s.farewell(ctx, random, round); err != nil {
			return err
		}
		if err := s.sample(ctx); err != nil {
			return err
		}
	}
	return nil
}

// disturb begins the disturbances of a round, and returns when all are over and were watched.
func (s *soaker) disturb(ctx context.Context, random *rand.Rand, round int) error {
	var events sync.WaitGroup
	failures := make(chan error, s.spec.Events)
	tick := time.NewTicker(s.spec.Every)
	defer tick.Stop()
	for n := range s.spec.Events {
		p, kind := s.pick(random)
		pause := time.Duration(random.Int64N(int64(s.spec.Most)))
		if p != nil {
			events.Go(func() { // ends with its processes or ctx; awaited below
				if err := s.play(ctx, p, kind, pause, fmt.Sprintf("%d.%d", round, n+1)); err != nil {
					failures <- fmt.Errorf("%s, %s: %w", p.name, kind, err)
				}
			})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	events.Wait()
	close(failures)
	var errs []error
	for err := range failures {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, s.settle(ctx, s.open()...))...)
}

// pick returns a process that is not being disturbed, and what is to happen to it. Half of the
// relays stay as they are. It returns nil if there is no such process.
func (s *soaker) pick(random *rand.Rand) (*soakProc, Disturbance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.deck) == 0 {
		s.deck = Disturbances()
		random.Shuffle(len(s.deck), func(i, j int) { s.deck[i], s.deck[j] = s.deck[j], s.deck[i] })
	}
	kind := s.deck[0]
	gone := 0
	for _, r := range s.procs {
		if r.relay && (r.busy || r.moved) {
			gone++
		}
	}
	for _, n := range random.Perm(len(s.procs)) {
		p := s.procs[n]
		switch restarts := kind == Killed || kind == Closed; {
		case p.busy, p.kept && restarts:
			continue
		case p.relay && p.moved && kind != Moved: // it goes home first, where others look for it
			continue
		case p.relay && !p.moved && gone >= s.spec.Relays/2:
			continue
		}
		s.deck = s.deck[1:]
		p.busy = true
		return p, kind
	}
	return nil, ""
}

// play disturbs a process.
func (s *soaker) play(ctx context.Context, p *soakProc, kind Disturbance, pause time.Duration, label string) error {
	s.interrupt(p)
	label = fmt.Sprintf("%s %s: %s", label, p.name, kind)
	err := func() error {
		switch kind {
		case Killed:
			s.expectEnd(p)
			s.watch(ctx, p, kind, label+", while it is away")
			if err := p.peer.Kill(); err != nil {
				return err
			}
			if err := peers.Sleep(ctx, pause/4); err != nil {
				return err
			}
			return s.start(ctx, p)
		case Closed:
			s.expectEnd(p)
			s.watch(ctx, p, kind, label+", while it is away")
			s.end(ctx, p, pause%2 == 0)
			if err := peers.Sleep(ctx, pause/4); err != nil {
				return err
			}
			return s.start(ctx, p)
		case Stopped:
			return s.stop(ctx, p, kind, pause, label)
		}
		return s.move(ctx, p)
	}()
	s.mu.Lock()
	p.busy = false
	s.mu.Unlock()
	s.watch(ctx, nil, kind, label)
	return err
}

// end ends a process in order, by a signal or by the end of its input. It returns the error with
// which the process exits.
func (s *soaker) end(ctx context.Context, p *soakProc, signal bool) error {
	if signal {
		return p.peer.Stop(ctx)
	}
	return p.peer.Destroy(ctx)
}

// stop stops a process for a while.
func (s *soaker) stop(ctx context.Context, p *soakProc, kind Disturbance, pause time.Duration, label string) error {
	s.mu.Lock()
	p.out = true
	s.mu.Unlock()
	if err := p.peer.Process().Pause(); err != nil {
		return err
	}
	s.watch(ctx, p, kind, label+", while it is away")
	err := peers.Sleep(ctx, pause)
	s.mu.Lock()
	p.out = false
	s.mu.Unlock()
	return errors.Join(err, p.peer.Process().Resume())
}

// move changes the address of a host.
func (s *soaker) move(ctx context.Context, p *soakProc) error {
	s.mu.Lock()
	from := p.addr()
	p.moved = !p.moved
	to := p.addr()
	s.mu.Unlock()
	if err := p.host.DelAddr(ctx, from+"/16"); err != nil {
		return err
	}
	return p.host.AddAddr(ctx, to+"/16")
}

// quiet counts the messages of a while without disturbances. All must arrive.
func (s *soaker) quiet(ctx context.Context, round int) error {
	s.mu.Lock()
	s.window = round
	begun := time.Now()
	clear(s.unheard)
	for _, to := range s.pairs {
		clear(to)
	}
	s.mu.Unlock()
	if err := peers.Sleep(ctx, s.spec.Quiet); err != nil {
		return err
	}
	s.mu.Lock()
	s.window = 0
	s.mu.Unlock()
	if err := s.late(ctx, func() bool { return len(s.unheard) == 0 }); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var sum SoakCount
	var wrong []string
	for from, to := range s.pairs {
		for to, c := range to {
			sum.Sent += c.Sent
			sum.Arrived += c.Arrived
			if c.Arrived != c.Sent {
				wrong = append(wrong, fmt.Sprintf("%s to %s %d of %d", s.procs[from].name, s.procs[to].name, c.Arrived, c.Sent))
			}
		}
	}
	s.report.Quiet.add(sum)
	s.spec.Progress("round %d: %d of %d quiet messages arrived", round, sum.Arrived, sum.Sent)
	if len(wrong) > 0 {
		s.fail("round %d: in a quiet while %d of %d messages arrived: %s", round, sum.Arrived, sum.Sent, first(wrong))
		s.explain(begun)
	}
	return nil
}

// late waits until done reports true under mu, or what still may arrive is too late.
func (s *soaker) late(ctx context.Context, done func() bool) error {
	waiting, cancel := context.WithTimeout(ctx, soakLate)
	defer cancel()
	peers.Until(waiting, "messages", func() (bool, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return done(), nil
	})
	return ctx.Err()
}

// farewell closes a process in order, which has just sent messages to all others. They arrive, or
// the process ends with an error.
func (s *soaker) farewell(ctx context.Context, random *rand.Rand, round int) error {
	var p *soakProc
	for p == nil || p.kept {
		p = s.procs[random.IntN(len(s.procs))]
	}
	signal := random.IntN(2) == 0
	s.interrupt(p)
	sent := 0
	for range soakFarewells {
		for _, to := range s.procs {
			if to == p {
				continue
			}
			if err := p.peer.Write("send", map[string]any{"to": to.peer.ID(), "data": byeText(round)}); err != nil {
				return err
			}
			sent++
		}
	}
	if _, err := p.peer.Peers(ctx); err != nil { // it has taken all of them
		return err
	}
	s.expectEnd(p)
	said := s.end(ctx, p, signal)
	s.watch(ctx, p, Closed, fmt.Sprintf("%d.bye %s: %s, while it is away", round, p.name, Closed))
	if err := s.late(ctx, func() bool { return s.byes[round].Arrived >= sent }); err != nil {
		return err
	}
	s.mu.Lock()
	arrived := s.byes[round].Arrived
	c := &s.report.Byes
	c.Closed++
	c.add(SoakCount{sent, arrived})
	if said != nil {
		c.Named++
	}
	s.spec.Progress("round %d: %s sent %d messages and was closed: %d arrived, exit %v", round, p.name, sent, arrived, said)
	if arrived < sent && said == nil || arrived > sent {
		s.fail("round %d: of %d messages that %s sent before it was closed %d arrived, and it exited with 0", round, sent, p.name, arrived)
	}
	s.mu.Unlock()
	if err := s.start(ctx, p); err != nil {
		return err
	}
	return s.settle(ctx, s.watch(ctx, nil, Closed, fmt.Sprintf("%d.bye %s: %s", round, p.name, Closed)))
}
