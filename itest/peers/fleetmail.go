package peers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
)

// A FleetLetter is a message that a host of a fleet is to send.
type FleetLetter struct {
	N        int // its number in the network
	From     int // index of a host of the fleet
	To       protocol.ID
	Reliable bool
	After    time.Duration // from the command to the sending
}

// A FleetArrival is a letter that a host of a fleet received.
type FleetArrival struct {
	N    int
	Host int // index of the host of the fleet
	From protocol.ID
	Hops int
	Took time.Duration
}

// A FleetOutcome is what became of a letter for its sender: a receipt, or Err. A plain letter has
// one only if it was refused.
type FleetOutcome struct {
	N       int
	Receipt protocol.Receipt
	Err     string
	NoRoute bool // Err says that no peer has the id
}

// FleetNews are what came of letters since the last question.
type FleetNews struct {
	Arrivals []FleetArrival
	Outcomes []FleetOutcome
	Strange  []string // what is no letter
}

// receiptTime is the time for which a reliable letter waits for its receipt.
const receiptTime = 20 * time.Second

// A fleetPost sends and receives the letters of a fleet.
type fleetPost struct {
	mu   sync.Mutex
	news FleetNews
}

// take returns the news, and forgets them.
func (p *fleetPost) take() FleetNews {
	p.mu.Lock()
	defer p.mu.Unlock()
	news := p.news
	p.news = FleetNews{}
	return news
}

// receive returns the handler of a host's messages.
func (p *fleetPost) receive(host int) func(protocol.Message) {
	return func(m protocol.Message) {
		a := FleetArrival{Host: host, From: m.From, Hops: len(m.Path)}
		var sent int64
		_, err := fmt.Sscanf(string(m.Payload), "%d %d", &a.N, &sent)
		a.Took = time.Since(time.Unix(0, sent))
		p.mu.Lock()
		defer p.mu.Unlock()
		if err != nil {
			p.news.Strange = append(p.news.Strange, fmt.Sprintf("%q from %v: %v", m.Payload, m.From, err))
			return
		}
		p.news.Arrivals = append(p.news.Arrivals, a)
	}
}

// send sends letters, each at its time. They are in the order of that.
func (p *fleetPost) send(nodes []*node.Node, letters []FleetLetter) {
	start := time.Now()
	for _, l := range letters {
		time.Sleep(time.Until(start.Add(l.After)))
		payload := fmt.Appendf(nil, "%d %d", l.N, time.Now().UnixNano())
		if l.Reliable {
			go p.sendReliable(nodes[l.From], l, payload) // ends after receiptTime, or with the process
			continue
		}
		if err := nodes[l.From].Send(l.To, payload); err != nil {
			p.told(FleetOutcome{N: l.N, Err: err.Error()})
		}
	}
}

func (p *fleetPost) sendReliable(from *node.Node, l FleetLetter, payload []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), receiptTime)
	defer cancel()
	o := FleetOutcome{N: l.N}
	var err error
	if o.Receipt, err = from.SendReliable(ctx, l.To, payload); err != nil {
		o.Err, o.NoRoute = err.Error(), errors.Is(err, protocol.ErrNoRoute)
	}
	p.told(o)
}

func (p *fleetPost) told(o FleetOutcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.news.Outcomes = append(p.news.Outcomes, o)
}
