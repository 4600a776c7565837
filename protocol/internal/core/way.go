package core

import (
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/lookahead"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A way is a link by which a message may go on.
type way struct {
	link *link
	time time.Duration // the expected time until the message arrives
}

// quickest returns the two links by which a message is expected to arrive first, by the times of
// the next two hops and what lies beyond them. It takes the nearest of the links, and those whose peers
// name a neighbour that is nearer to the receiver than this peer. A faster link that names none is no
// better than the nearest one: its peer may have no way on.
func (c *Core) quickest(f *wire.Frame, near []*link, takes func(*link) bool) (ways [2]way) {
	to := f.Body.To
	add := func(l *link, time time.Duration) {
		switch {
		case ways[0].link == l:
			ways[0].time = min(ways[0].time, time)
		case ways[0].link == nil || time < ways[0].time:
			ways[0], ways[1] = way{l, time}, ways[0]
		case ways[1].link == nil || time < ways[1].time:
			ways[1] = way{l, time}
		}
	}
	if l := near[0]; l != nil {
		add(l, l.trip()/2+c.rest(to.CommonPrefixLen(l.ID)))
	}
	seen := 0
	c.ahead.Nearest(to, func(e lookahead.Entry[*link]) bool {
		if seen++; seen > mostAhead || !to.Closer(e.ID, c.self) {
			return false
		}
		rest := time.Duration(0)
		if e.ID != to {
			rest = c.rest(to.CommonPrefixLen(e.ID))
		}
		there := e.Time.Duration()
		if there == 0 {
			there = 2 * c.pace
		}
		l := e.Via
		time := l.trip()/2 + there/2 + rest
		switch {
		case ways[1].link != nil && rest >= ways[1].time:
			return false // the next ones are no nearer
		case ways[1].link != nil && time >= ways[1].time: // before the dearer looks
		case l.Role != wire.RoleLeaf && !l.Ended && !f.InPath(e.ID) && takes(l):
			add(l, time)
		}
		return true
	})
	if ways[1].link == nil && near[1] != ways[0].link {
		ways[1].link = near[1]
	}
	return ways
}

// rest returns the expected time from a peer that shares common bits with the receiver. Among the
// receiver's near peers it is one hop. A hop that is not known yet costs five times the mean,
// since what is known is better than what is expected.
func (c *Core) rest(common int) time.Duration {
	const nearBits = 3 // the binary logarithm of nearLinks
	hop := 5 * c.pace
	return hop + hop*time.Duration(max(0, c.size-nearBits-common))/bitsAHop
}
