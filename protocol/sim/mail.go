package sim

import (
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A mail is a user message that a scenario sent.
type mail struct {
	from, to *Peer // to is nil if no peer has the id
	id       wire.ID
	payload  []byte
	at       time.Duration // when it is sent

	// Of the lane of from.
	err     error    // the core refused it
	outcome *Outcome // of a reliable one
	index   int      // the same

	// Of the lane of to.
	arrived bool
	took    time.Duration // until it arrived
	hops    int
}

// livedFor reports whether both ends of a message still lived that long after it was sent. A
// message to or from a peer that died meanwhile says nothing about the network.
func (m *mail) livedFor(d time.Duration) bool {
	return m.from.died > m.at+d && (m.to == nil || m.to.died > m.at+d)
}

// Mails are messages, in the order in which they were sent.
type mails []*mail

// where returns the messages for which ok is true.
func (ms mails) where(ok func(*mail) bool) (kept mails) {
	for _, m := range ms {
		if ok(m) {
			kept = append(kept, m)
		}
	}
	return kept
}

// between returns the messages that were sent from one time on, until another.
func (ms mails) between(from, until time.Duration) mails {
	return ms.where(func(m *mail) bool { return m.at >= from && m.at < until })
}

func (ms mails) reliable() mails { return ms.where(func(m *mail) bool { return m.outcome != nil }) }
func (ms mails) plain() mails    { return ms.where(func(m *mail) bool { return m.outcome == nil }) }
func (ms mails) arrived() mails  { return ms.where(func(m *mail) bool { return m.arrived }) }

// noRoute returns the messages whose senders were told that no peer has the id.
func (ms mails) noRoute() mails {
	return ms.where(func(m *mail) bool { return m.outcome != nil && m.outcome.Ended && m.outcome.Err != nil })
}

// confirmed returns the messages whose senders got a receipt.
func (ms mails) confirmed() mails {
	return ms.where(func(m *mail) bool { return m.outcome != nil && m.outcome.Ended && m.outcome.Err == nil })
}

// values returns a value of each message, in rising order.
func (ms mails) values(of func(*mail) float64) []float64 {
	vs := make([]float64, len(ms))
	for i, m := range ms {
		vs[i] = of(m)
	}
	slices.Sort(vs)
	return vs
}

func hopsOf(m *mail) float64 { return float64(m.hops) }
func tookOf(m *mail) float64 { return m.took.Seconds() }

// toldOf returns the time in seconds until the sender was told what became of its message.
func toldOf(m *mail) float64 { return (m.outcome.At - m.at).Seconds() }

// mean returns the mean of values, and 0 if there are none.
func mean(vs []float64) float64 {
	sum := 0.0
	for _, v := range vs {
		sum += v
	}
	return sum / float64(max(len(vs), 1))
}

// quantile returns the value below which that share of the values is, and 0 if there are none.
func quantile(vs []float64, q float64) float64 {
	if len(vs) == 0 {
		return 0
	}
	return vs[min(int(q*float64(len(vs))), len(vs)-1)]
}
