package itest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/peer-relay/peer-relay/protocol"
)

// A Hostility is something that peers do to our node, for as long as the context lasts.
type Hostility struct {
	Name  string
	Quick bool // what it leaves behind is gone soon after
	do    func(context.Context, *Siege) error
}

const (
	// Under a flood the node may take so much more than before.
	MostMemory     = 64 << 20
	MostGoroutines = 500

	// BackTime is how soon after a flood the node is as before: but for so much, which
	// other peers and Go's collector take in the meantime.
	BackTime        = time.Minute
	slackMemory     = 16 << 20
	slackGoroutines = 8

	// sampleEvery is how often the node is looked at during a flood, and how often the
	// bystanders talk.
	sampleEvery = 100 * time.Millisecond

	// talkTime is how long a message between the bystanders may take. Only a failure takes
	// it.
	talkTime = 20 * time.Second

	// floodRate is the messages that a flood sends in a second, over all its links.
	floodRate = 10_000
	floodTick = 10 * time.Millisecond
)

// A Siege is a process of our binary, with two bystanders that talk through it.
type Siege struct {
	node *GoPeer
	from *speaker
	to   *speaker

	heard chan int // the numbers of messages that reached the second bystander
	next  int
	salt  uint64
	ids   atomic.Uint64
}

// A HostileReport is what a hostility cost.
type HostileReport struct {
	Memory     int64 // bytes more than before, at most
	Goroutines int   // likewise
	Back       time.Duration
	Sent       uint64 // hostile messages
	Talked     int    // messages of the bystanders that passed meanwhile
	After      Usage  // what is more than before in the end
}

// A Usage is what a process takes at a time.
type Usage struct {
	Memory     int64
	Goroutines int
}

// NewSiege starts a node and the bystanders.
func NewSiege(ctx context.Context, binary string) (s *Siege, err error) {
	s = &Siege{heard: make(chan int, 1<<16), salt: rand.Uint64()}
	if s.node, err = StartGo(ctx, binary, Spec{Name: "node", Listen: true}); err != nil {
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
	if err := WaitLinks(ctx, s.node.URL(), 2); err != nil {
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
	status, err := FetchStatus(ctx, s.node.URL())
	if err != nil {
		return l, err
	}
	l.Goroutines = int(status.Counters["goroutines"])
	l.Memory, err = residentMemory(s.node.Process().Pid())
	return l, err
}

// residentMemory gives the bytes that a process has in memory.
func residentMemory(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, fmt.Errorf("itest: memory of a process: %w", err)
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("itest: memory of a process: %q", text)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
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
	received, err := FetchStatus(ctx, s.node.URL())
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
	after, err := FetchStatus(ctx, s.node.URL())
	if err != nil {
		return r, err
	}
	r.Sent = after.Counters["received"] - received.Counters["received"]
	started := time.Now()
	err = Until(ctx, "the load of before", func() (bool, error) {
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

// id gives an id that nobody has.
func (s *Siege) id() protocol.ID {
	r := rand.New(rand.NewPCG(s.salt, s.ids.Add(1)))
	var id protocol.ID
	for i := range id {
		id[i] = byte(r.Uint32())
	}
	return id
}

// --- speakers

// A speaker is one end of a legacy WebSocket in this process, that says what it is told.
type speaker struct {
	s    *Siege
	id   protocol.ID
	conn *websocket.Conn
	gone chan struct{} // closed when the reader has ended

	mu    sync.Mutex // guards writes
	nonce uint64
}

// A spoken is a message that a speaker hears.
type spoken struct {
	To   protocol.ID
	From protocol.ID
	Data struct {
		Type string
		Data json.RawMessage
	}
}

// speak dials the node, and is a peer that it knows. heard is called on one goroutine, which
// close waits for.
func (s *Siege) speak(ctx context.Context, id protocol.ID, heard func(spoken)) (*speaker, error) {
	conn, _, err := websocket.DefaultDialer.DialContext(ctx, s.node.URL(), nil)
	if err != nil {
		return nil, err
	}
	p := &speaker{s: s, id: id, conn: conn, gone: make(chan struct{})}
	hello := make(chan struct{}, 1)
	go func() { // ends with the connection
		defer close(p.gone)
		for first := true; ; first = false {
			_, text, err := conn.ReadMessage()
			if err != nil {
				return
			}
			if first {
				hello <- struct{}{}
				continue
			}
			var m spoken
			if heard != nil && json.Unmarshal(text, &m) == nil {
				heard(m)
			}
		}
	}()
	err = p.write(HelloText(id))
	if err == nil {
		select {
		case <-hello:
			err = p.write(p.message(s.node.ID(), id, fmt.Sprintf(`{"type":"findPeers","data":%q}`, id)))
		case <-p.gone:
			err = errors.New("itest: the node hangs up")
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *speaker) close() {
	p.conn.Close()
	<-p.gone
}

func (p *speaker) write(texts ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, text := range texts {
		if err := p.conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			return err
		}
	}
	return nil
}

func (p *speaker) writeBinary(b []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conn.WriteMessage(websocket.BinaryMessage, b)
}

// message is a message of whoever it is said to be from, which this speaker passes on.
func (p *speaker) message(to, from protocol.ID, data string) string {
	p.mu.Lock()
	p.nonce++
	nonce := p.nonce
	p.mu.Unlock()
	path := fmt.Sprintf("%q", p.id)
	if from != p.id {
		path = fmt.Sprintf("%q,%q", from, p.id)
	}
	return fmt.Sprintf(`{"to":%q,"from":%q,"path":[%s],"nonce":"%d","data":%s}`, to, from, path, nonce, data)
}

// toNode is a message to the node.
func (p *speaker) toNode(from protocol.ID, data string) string {
	return p.message(p.s.node.ID(), from, data)
}

// signal is a signal to the node.
func (p *speaker) signal(from protocol.ID, signal string) string {
	return p.toNode(from, `{"type":"signal","data":`+signal+`}`)
}

// offer asks the node for a link, which lets signals in.
func (p *speaker) offer(from protocol.ID) string {
	return p.toNode(from, `{"type":"handshake-offer"}`)
}

// --- floods

// flood sends what next gives, at floodRate over so many links, until ctx is done. A link
// that the node cuts is opened again. One call of next gives one or more messages.
func flood(links int, next func(p *speaker, i int) []string) func(context.Context, *Siege) error {
	return func(ctx context.Context, s *Siege) error {
		return s.each(ctx, links, func(ctx context.Context, p *speaker, k int) error {
			tick := time.NewTicker(floodTick)
			defer tick.Stop()
			for i := k; ; {
				for sent := 0; sent < max(1, floodRate/links/int(time.Second/floodTick)); i += links {
					texts := next(p, i)
					if err := p.write(texts...); err != nil {
						return err
					}
					sent += len(texts)
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
					return nil
				}
			}
		})
	}
}

// each has so many speakers do something at once, and again when the node cuts them,
// until ctx is done.
func (s *Siege) each(ctx context.Context, links int, do func(ctx context.Context, p *speaker, k int) error) error {
	var all sync.WaitGroup
	defer all.Wait()
	for k := range links {
		all.Go(func() { // ends with ctx
			for ctx.Err() == nil {
				p, err := s.speak(ctx, s.id(), nil)
				if err == nil {
					// Writing ends with the flood, also where the node has stopped reading.
					release := context.AfterFunc(ctx, func() { p.conn.NetConn().Close() })
					do(ctx, p, k)
					release()
					p.close()
				}
				pause := time.NewTimer(sampleEvery)
				select {
				case <-pause.C:
				case <-ctx.Done():
					pause.Stop()
				}
			}
		})
	}
	<-ctx.Done()
	return nil
}
