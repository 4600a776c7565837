package plays

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/protocol"
)

// A LoadSpec is a crowd of npm clients without ports around one node.
type LoadSpec struct {
	Clients   int
	Messages  int // in all, each between two random clients
	Window    int // most messages of one sender that have not arrived
	Processes int // that the clients are spread over
	Seed      uint64

	// Bucket puts all clients into this bucket of the node: their ids share that number of
	// bits with its id and differ in the next. With AnyBucket they are random.
	Bucket int
}

// AnyBucket is no bucket in particular.
const AnyBucket = -1

// A LoadReport is the result of Load.
type LoadReport struct {
	Node       protocol.ID
	Delivered  int
	Duplicates int             // messages that arrived again
	Receivers  int             // clients that received any
	Latencies  []time.Duration // from send to the report of the receiver, through this harness
	Joined     time.Duration   // until every client was linked
	Took       time.Duration   // from the first send to the last delivery
	Counters   map[string]uint64
	Drops      map[string]uint64
}

// loadBody is the most random bytes of a message of Load; they travel as hex.
const loadBody = 1000

// A loadMessage is one message of Load.
type loadMessage struct {
	from, to int
	text     json.RawMessage
	hash     [sha256.Size]byte // of text
	sent     time.Time
}

// Load has the clients send each other messages through the node. It fails when one is not
// delivered, or differs; the caller checks the numbers of duplicates and drops.
func Load(ctx context.Context, binary string, spec LoadSpec) (report *LoadReport, err error) {
	node, err := peers.StartGo(ctx, binary, peers.Spec{Name: "node", Listen: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	l := &load{spec: spec, node: node, rand: rand.New(peers.SeedSource(spec.Seed))}
	for range spec.Processes {
		d, err := peers.StartDriver(ctx)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, d.Close()) }()
		l.drivers = append(l.drivers, d)
	}
	if err := l.join(ctx); err != nil {
		return nil, err
	}
	l.write()
	if err := l.run(ctx); err != nil {
		return nil, err
	}
	if err := l.finish(ctx); err != nil {
		return nil, err
	}
	return &l.report, nil
}

type load struct {
	spec     LoadSpec
	node     *peers.GoPeer
	drivers  []*peers.Driver
	clients  []*peers.NPMPeer
	indices  map[protocol.ID]int
	messages []loadMessage
	rand     *rand.Rand

	mu      sync.Mutex // guards the report and arrived
	report  LoadReport
	arrived []bool
}

// join starts the clients, all at once, and waits until every one is linked.
func (l *load) join(ctx context.Context) error {
	started := time.Now()
	l.report.Node = l.node.ID()
	l.indices = make(map[protocol.ID]int)
	l.clients = make([]*peers.NPMPeer, l.spec.Clients)
	errs := make([]error, l.spec.Clients)
	var joining sync.WaitGroup
	for i := range l.clients {
		spec := peers.NPMSpec{Spec: peers.Spec{Name: fmt.Sprintf("c%d", i), Bootstrap: []string{l.node.URL()}}, ID: l.id()}
		l.indices[spec.ID] = i
		// Ends when the client is made, or with ctx; waited for below.
		joining.Go(func() { l.clients[i], errs[i] = l.drivers[i%len(l.drivers)].Peer(ctx, spec) })
	}
	joining.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, p := range l.clients {
		if _, err := p.Events().Wait(ctx, peers.IsPeer(l.node.ID())); err != nil {
			return err
		}
	}
	if err := peers.WaitLinks(ctx, l.node.URL(), l.spec.Clients); err != nil {
		return err
	}
	l.report.Joined = time.Since(started)
	return nil
}

// id makes an id for a client.
func (l *load) id() protocol.ID {
	var id protocol.ID
	for i := range id {
		id[i] = byte(l.rand.Uint32())
	}
	if l.spec.Bucket == AnyBucket {
		return id
	}
	self := l.node.ID()
	for bit := range l.spec.Bucket + 1 {
		mask := byte(0x80 >> (bit % 8))
		id[bit/8] = id[bit/8]&^mask | self[bit/8]&mask
		if bit == l.spec.Bucket {
			id[bit/8] ^= mask
		}
	}
	return id
}

// write makes the messages.
func (l *load) write() {
	for n := range l.spec.Messages {
		body := make([]byte, l.rand.IntN(loadBody+1))
		for i := range body {
			body[i] = byte(l.rand.Uint32())
		}
		m := loadMessage{from: l.rand.IntN(len(l.clients))}
		m.to = (m.from + 1 + l.rand.IntN(len(l.clients)-1)) % len(l.clients)
		m.text = fmt.Appendf(nil, `{"n":%d,"body":"%s"}`, n, hex.EncodeToString(body))
		m.hash = sha256.Sum256(m.text)
		l.messages = append(l.messages, m)
	}
	l.arrived = make([]bool, len(l.messages))
}

// run sends all messages and waits until all have arrived.
func (l *load) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	sends := make([][]int, len(l.clients))
	windows := make([]chan struct{}, len(l.clients))
	for n, m := range l.messages {
		sends[m.from] = append(sends[m.from], n)
	}
	for i := range windows {
		windows[i] = make(chan struct{}, l.spec.Window)
	}
	all := make(chan struct{}) // closed when all messages have arrived
	started := time.Now()

	// All of these end with all that they have to do, or with ctx; waited for below.
	var senders, receivers sync.WaitGroup
	for i, client := range l.clients {
		receivers.Go(func() {
			if err := l.receive(ctx, i, windows, all); ctx.Err() == nil {
				cancel(err)
			}
		})
		senders.Go(func() {
			for _, n := range sends[i] {
				select {
				case windows[i] <- struct{}{}:
				case <-ctx.Done():
					return
				}
				m := &l.messages[n]
				l.mu.Lock()
				m.sent = time.Now()
				l.mu.Unlock()
				if err := client.Send(ctx, l.clients[m.to].ID(), m.text); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	senders.Wait()
	select {
	case <-all:
	case <-ctx.Done():
	}
	l.mu.Lock()
	done := l.report.Delivered == len(l.messages)
	l.report.Took = time.Since(started)
	l.mu.Unlock()
	err := context.Cause(ctx)
	cancel(nil)
	receivers.Wait()
	if !done {
		return fmt.Errorf("itest: %d of %d messages were delivered: %w; %s", l.report.Delivered, len(l.messages), err, l.missing())
	}
	return nil
}

// receive takes the messages of a client until ctx ends, or returns why it cannot go on.
func (l *load) receive(ctx context.Context, to int, windows []chan struct{}, all chan struct{}) error {
	events := l.clients[to].Events()
	for seen := 0; ; {
		fresh, err := events.Next(ctx, seen)
		if err != nil {
			return err
		}
		seen += len(fresh)
		for _, e := range fresh {
			if e.Kind != peers.EventMessage {
				continue
			}
			from, first, err := l.take(to, e, all)
			if err != nil {
				return err
			}
			if first {
				<-windows[from]
			}
		}
	}
}

// take checks and counts one message.
func (l *load) take(to int, e peers.Event, all chan struct{}) (from int, first bool, err error) {
	var head struct{ N int }
	if err := json.Unmarshal(e.Data, &head); err != nil || head.N < 0 || head.N >= len(l.messages) {
		return 0, false, fmt.Errorf("itest: client %d received %.200s", to, e.Data)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	m := &l.messages[head.N]
	switch {
	case m.to != to || l.indices[e.Node] != m.from:
		return 0, false, fmt.Errorf("itest: client %d received message %d of client %d to %d, from %v", to, head.N, m.from, m.to, e.Node)
	case sha256.Sum256(e.Data) != m.hash:
		return 0, false, fmt.Errorf("itest: message %d came as %.200s", head.N, e.Data)
	case l.arrived[head.N]:
		l.report.Duplicates++
		return m.from, false, nil
	}
	l.arrived[head.N] = true
	l.report.Delivered++
	l.report.Latencies = append(l.report.Latencies, time.Since(m.sent))
	if l.report.Delivered == len(l.messages) {
		close(all)
	}
	return m.from, true, nil
}

// missing names a few of the messages that did not arrive.
func (l *load) missing() string {
	const named = 5
	text := "missing"
	n := 0
	for i, m := range l.messages {
		if !l.arrived[i] && n < named {
			n++
			text += fmt.Sprintf(" %d from %v to %v;", i, l.clients[m.from].ID(), l.clients[m.to].ID())
		}
	}
	return text
}

// finish looks for messages that came after all had arrived. The node's own message to each client
// goes over the one link that it has, behind everything that was still in flight.
func (l *load) finish(ctx context.Context) error {
	const end = `"end"`
	for _, p := range l.clients {
		if err := l.node.Send(ctx, p.ID(), json.RawMessage(end)); err != nil {
			return err
		}
	}
	for i, p := range l.clients {
		last, err := p.Events().Wait(ctx, func(e peers.Event) bool { return e.Kind == peers.EventMessage && e.Node == l.node.ID() })
		if err != nil {
			return err
		}
		if string(last.Data) != end {
			return fmt.Errorf("itest: client %d received %s from the node", i, last.Data)
		}
	}
	l.report.Duplicates = 0
	for _, p := range l.clients {
		got := p.Events().Count(func(e peers.Event) bool { return e.Kind == peers.EventMessage && e.Node != l.node.ID() })
		if got > 0 {
			l.report.Receivers++
		}
		l.report.Duplicates += got
	}
	l.report.Duplicates -= len(l.messages)
	for _, e := range l.node.Events().All() {
		if e.Kind == peers.EventError || e.Kind == peers.EventDisconnect {
			return fmt.Errorf("itest: the node reports %v", e)
		}
	}
	status, err := peers.FetchStatus(ctx, l.node.URL())
	if err != nil {
		return err
	}
	l.report.Counters, l.report.Drops = status.Counters, status.Drops()
	return nil
}
