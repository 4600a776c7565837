package plays

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/peer-relay/peer-relay/itest/measure"
	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/protocol"
)

// A Hostility is an attack of peers on our node that lasts as long as the context.
type Hostility struct {
	Name  string
	Quick bool // what it leaves behind is soon gone
	do    func(context.Context, *Siege) error
}

const (
	// MostMemory (in bytes) and MostGoroutines are the most that a node may take under a flood
	// in addition to what it took before.
	MostMemory     = 64 << 20
	MostGoroutines = 500

	// BackTime is the most time from the end of a flood until the node takes no more than
	// before, but for what other peers and Go's collector take during that time.
	BackTime        = time.Minute
	slackMemory     = 16 << 20
	slackGoroutines = 8

	// sampleEvery is the time between two looks at the node during a flood, and between two
	// messages of the bystanders.
	sampleEvery = 100 * time.Millisecond

	// talkTime is the most time for a message between the bystanders. Only a failure takes it.
	talkTime = 20 * time.Second

	// floodRate is the messages per second of a flood, over all its links.
	floodRate = 10_000
	floodTick = 10 * time.Millisecond
)

// A Siege is a process of our binary, with two bystanders that talk through it.
type Siege struct {
	node *peers.GoPeer
	from *speaker
	to   *speaker

	heard chan int // the numbers of messages that reached the second bystander
	next  int
	salt  uint64
	ids   atomic.Uint64
}

// A HostileReport is the cost of a hostility.
type HostileReport struct {
	Memory     int64 // bytes more than before, at most
	Goroutines int   // in the same way
	Back       time.Duration
	Sent       uint64 // hostile messages
	Talked     int    // messages of the bystanders that passed meanwhile
	After      Usage  // what is more than before in the end
}

// A Usage is what a process takes at one moment.
type Usage struct {
	Memory     int64
	Goroutines int
}

// NewSiege starts a node and the bystanders.
func NewSiege(ctx context.Context, binary string) (s *Siege, err error) {
	s = &Siege{heard: make(chan int, 1<<16), salt: rand.Uint64()}
	if s.node, err = peers.StartGo(ctx, binary, peers.Spec{Name: "node", Listen: true}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.from, err = s.speak(ctx, s.id(), nil); err != nil {
		return nil, err
	}
	s.to, err = s.speak(ctx, s.id(), func(m spoken) {
		var n int
		if m.Data.Type == "user" && json.Unmarshal(m.Data.Data, &n) == nil {
			s.heard <- n
		}
	})
	if err != nil {
		return nil, err
	}
	if err := peers.WaitLinks(ctx, s.node.URL(), 2); err != nil {
		return nil, err
	}
	return s, s.talk(ctx)
}

// Close ends the node and the bystanders.
func (s *Siege) Close() error {
	for _, p := range []*speaker{s.from, s.to} {
		if p != nil {
			p.close()
		}
	}
	return s.node.Close()
}

// talk has a message pass between the bystanders. None may be lost.
func (s *Siege) talk(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, talkTime)
	defer cancel()
	s.next++
	if err := s.from.write(s.from.message(s.to.id, s.from.id, fmt.Sprintf(`{"type":"user","data":%d}`, s.next))); err != nil {
		return err
	}
	for {
		select {
		case n := <-s.heard:
			if n == s.next {
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("itest: the node does not relay: message %d: %w", s.next, ctx.Err())
		}
	}
}

// now measures the node.
func (s *Siege) now(ctx context.Context) (l Usage, err error) {
	status, err := peers.FetchStatus(ctx, s.node.URL())
	if err != nil {
		return l, err
	}
	l.Goroutines = int(status.Counters["goroutines"])
	l.Memory, err = measure.ResidentMemory(s.node.Process().Pid())
	return l, err
}

// Play has a hostility go on for a while, and waits until the node is as before. Talk of
// the bystanders must pass all the time. The limits are for the caller to check.
func (h Hostility) Play(ctx context.Context, s *Siege, flood time.Duration) (report *HostileReport, err error) {
	if report, err = h.play(ctx, s, flood); err != nil {
		return report, fmt.Errorf("itest: %s: %w", h.Name, err)
	}
	return report, nil
}

func (h Hostility) play(ctx context.Context, s *Siege, flood time.Duration) (*HostileReport, error) {
	before, err := s.now(ctx)
	if err != nil {
		return nil, err
	}
	received, err := peers.FetchStatus(ctx, s.node.URL())
	if err != nil {
		return nil, err
	}
	r := &HostileReport{}
	attacking, stop := context.WithTimeout(ctx, flood)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- h.do(attacking, s) }() // ends with attacking; awaited below
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	var attack error
	for going := true; going; {
		select {
		case attack = <-done:
			going = false
		case <-tick.C:
		}
		now, err := s.now(ctx)
		if err == nil {
			r.Memory, r.Goroutines = max(r.Memory, now.Memory-before.Memory), max(r.Goroutines, now.Goroutines-before.Goroutines)
			err = s.talk(ctx)
		}
		if err != nil {
			stop()
			if going {
				<-done
			}
			return r, err
		}
		r.Talked++
	}
	if attack != nil && !errors.Is(attack, context.DeadlineExceeded) {
		return r, attack
	}
	after, err := peers.FetchStatus(ctx, s.node.URL())
	if err != nil {
		return r, err
	}
	r.Sent = after.Counters["received"] - received.Counters["received"]
	started := time.Now()
	err = peers.Until(ctx, "the load of before", func() (bool, error) {
		now, err := s.now(ctx)
		r.After = Usage{now.Memory - before.Memory, now.Goroutines - before.Goroutines}
		return r.After.Memory <= slackMemory && r.After.Goroutines <= slackGoroutines, err
	})
	r.Back = time.Since(started)
	if err != nil {
		return r, fmt.Errorf("%w; it has %d goroutines and %d bytes more than before", err, r.After.Goroutines, r.After.Memory)
	}
	return r, s.talk(ctx)
}

// id returns an id that no peer has.
func (s *Siege) id() protocol.ID {
	r := rand.New(rand.NewPCG(s.salt, s.ids.Add(1)))
	var id protocol.ID
	for i := range id {
		id[i] = byte(r.Uint32())
	}
	return id
}
