package core

import (
	"fmt"
	"slices"

	"github.com/peer-relay/peer-relay/protocol/internal/journal"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// forward sends a message towards its receiver. prev is the link that brought it; nil means
// that this peer is its origin. The error is for the origin, and says why the message was
// dropped.
func (c *Core) forward(f *wire.Frame, prev *link) error {
	if prev != nil {
		if f.PathLen() >= wire.MaxPath {
			if !c.sendBack(prev, f, journal.DropHops) {
				c.drop(journal.DropHops, f)
			}
			return nil
		}
		// The budgets of a new message bound those that the previous peer wrote.
		f.Hop = f.Hop.WithTx(min(f.Hop.TxLeft(), wire.TxBudget)).WithDetours(min(f.Hop.DetoursLeft(), wire.Detours))
		if f.Hop.TxLeft() <= 0 {
			if !c.sendBack(prev, f, journal.DropBudget) {
				c.drop(journal.DropBudget, f)
			}
			return nil
		}
		c.report(prev, f)
		f.Relay(c.self)
		if c.wasHanded(f) {
			c.handedAgain(prev, f)
			return nil
		}
	}
	return c.pass(f, prev, prev != nil)
}

// pass sends a message, whose path ends with this peer, to the next hop. relayed reports
// that another peer is its origin.
func (c *Core) pass(f *wire.Frame, prev *link, relayed bool) error {
	direct := c.table.Get(f.Body.To)
	if direct != nil && direct.Ended && direct.Replaced {
		return c.wait(f, relayed) // for the better link to the receiver, which is not up yet
	}
	next := c.chooseWith(direct, f.Body.To, &hopQuery{frame: f, prev: prev})
	if c.holds(f, next) && c.hold(f, relayed) {
		return nil
	}
	end := next.first == nil && !next.busy || next.detour
	if (end || c.settles(f, next)) && direct == nil && (prev != nil || !next.detour) && c.lodge(f, prev, nil) {
		return nil
	}
	if direct == nil && prev != nil && !f.IsKept() && c.answersFor(f, end) { // of those that may be kept, another peer may know a mailbox
		c.transit.lose(c.hash(f))
		c.lost(f)
		return nil
	}
	if next.first == nil && prev != nil {
		reason := journal.DropNoRoute
		if next.busy {
			reason = journal.DropQueueFull
		}
		if c.sendBack(prev, f, reason) {
			return nil
		}
	}
	if relayed && direct != nil && direct.open() && direct.Doubted {
		c.unanswered(f)
	}
	return c.sendOn(f, next, relayed)
}

// sendOn sends a message to its next hop.
func (c *Core) sendOn(f *wire.Frame, next choice, relayed bool) error {
	if next.first == nil {
		c.transit.lose(c.hash(f))
		if !next.busy && c.lodge(f, nil, nil) {
			return nil
		}
		if relayed && c.giveBack(f, nackOf(next.busy)) {
			return nil
		}
		if !next.busy && c.replacing() { // a link that is being replaced may have been the way
			return c.wait(f, relayed)
		}
		if next.busy {
			c.drop(journal.DropQueueFull, f)
			return fmt.Errorf("send to %v: %w", f.Body.To, ErrQueueFull)
		}
		c.lost(f)
		return nil
	}
	if !relayed && next.first.keeps && !c.transit.has(c.now, c.hash(f)) {
		c.transit.finish(c.now, c.hash(f)) // it may come back
	}
	if relayed {
		c.transit.finish(c.now, c.hash(f))
		if f.Body.Kind.IsControl() {
			c.stats.ControlPassed++
		} else {
			c.stats.Forwarded++
		}
	}
	f.Spent = relayed && f.Body.Flags == 0 && !f.Body.Kind.IsControl() // until a queue refers to it, see transmit
	c.copies(f, next)
	return nil
}

// copies puts one or two copies of a message into the queues of its next hop.
func (c *Core) copies(f *wire.Frame, next choice) {
	if next.detour {
		f.Hop = f.Hop.WithDetours(f.Hop.DetoursLeft() - 1)
	}
	if next.second == nil || f.Hop.TxLeft() < 2 {
		f.Hop = f.Hop.WithTx(f.Hop.TxLeft() - 1)
		c.copyTo(next.first, f)
		return
	}
	// The two copies share the rest of the budget.
	rest := f.Hop.TxLeft() - 2
	other := f.Copy()
	f.Hop = f.Hop.WithTx(rest - rest/2)
	other.Hop = f.Hop.WithTx(rest / 2)
	c.copyTo(next.first, f)
	c.copyTo(next.second, other)
}

func (c *Core) copyTo(l *link, f *wire.Frame) {
	c.stats.Copies++
	c.note(journal.MessageSent, f, l.ID, 0)
	c.transmit(l, f)
	c.went(l, f)
}

// A choice is the next hop of a message.
type choice struct {
	first, second *link // links for one copy each; nil means none
	detour        bool  // first is no nearer than this peer
	far           bool  // first is no nearer than this peer, and no message from the receiver came over it
	busy          bool  // a link was skipped because its queue is full
}

// A hopQuery is the input of choose besides the receiver.
type hopQuery struct {
	frame *wire.Frame // the path ends with this peer
	prev  *link       // the link that brought the message; nil means that this peer is its origin
	tried []wire.ID   // peers that did not take the message
}

// choose returns the next hop towards a receiver. It takes the first of these that exists:
//
//  1. a direct link to the receiver. If its queue is full, there is no other choice,
//     since a detour would spread the backlog of one slow peer over its neighbours. If the
//     peer of the link only claims its id, a second copy goes over the link that lately
//     brought a proved message from that id
//  2. the last linked peer in the message's route, which is the nearest to the receiver
//  3. the nearest of the links that are strictly nearer than this peer
//  4. the neighbour that brought messages from the receiver
//  5. the nearest link as a detour, if the message has detours left
//
// A leaf is only chosen as the receiver, or if no relay is left.
//
// There are three exceptions. A leaf sends its own message to the nearest relay before
// rule 4. If the previous peer or the nearest one is a legacy peer, rule 5 is the two nearest
// links, as legacy peers do it. Most legacy peers have no other link, so a message that goes
// only to them is lost: one of two copies goes to a peer that knows the extensions, if there
// is one.
//
// A search takes only strictly nearer links.
//
// A doubted link is chosen only if there is no other choice. If it leads to the receiver, it
// gets a second copy, since the receiver may be paused and the other way may not reach it. The other
// way is a detour: if the receiver is dead, the message would visit all peers that are near it. There is no
// other way if the origin is told, or makes further attempts anyway.
//
// A link over which reliable messages of this peer got no receipts is taken only if no other one leads
// nearer.
func (c *Core) choose(to wire.ID, q hopQuery) choice { return c.chooseWith(c.table.Get(to), to, &q) }

// chooseWith is choose for a caller that knows the link to the receiver, or that there is none.
func (c *Core) chooseWith(direct *link, to wire.ID, q *hopQuery) choice {
	if direct == nil || !direct.Answers() {
		if ch := c.chooseFrom(direct, to, q, (*link).trusted); ch.first != nil && !ch.far {
			return c.withReceiver(ch, direct, q)
		}
	}
	ch := c.chooseFrom(direct, to, q, (*link).Answers)
	switch {
	case ch.first == nil:
		return c.chooseFrom(direct, to, q, (*link).open)
	case direct == nil || direct.Answers():
		return ch
	}
	return c.withReceiver(ch, direct, q)
}

// withReceiver adds a copy for a link to the receiver, which does not answer and may be paused.
func (c *Core) withReceiver(ch choice, l *link, q *hopQuery) choice {
	if l == nil || !l.open() || q.frame.IsSearch() {
		return ch
	}
	takes := l != q.prev && !slices.Contains(q.tried, l.ID) && !c.full(l, q.frame.Size())
	if takes && q.frame.Wants(wire.FlagNotice) && (l.Doubted || q.frame.Hop.Attempt() > 0) {
		return choice{first: l} // the origin is told, and tries other ways itself
	}
	if !ch.detour {
		if ch.detour = q.frame.Hop.DetoursLeft() > 0; !ch.detour {
			if takes {
				return choice{first: l}
			}
			return choice{busy: true} // there is a way, which cannot be taken now
		}
	}
	if takes && ch.second == nil {
		ch.second = l
	}
	return ch
}

// chooseFrom returns the next hop among the links for which allowed returns true.
func (c *Core) chooseFrom(direct *link, to wire.ID, q *hopQuery, allowed func(*link) bool) (ch choice) {
	f, prev := q.frame, q.prev
	takes := func(l *link) bool {
		if l == nil || l == prev || !allowed(l) || f.InPath(l.ID) || slices.Contains(q.tried, l.ID) {
			return false
		}
		if c.full(l, f.Size()) {
			ch.busy = true
			return false
		}
		return true
	}
	if f.IsSearch() {
		if l := c.nearer(to, f.Body.From, f.InPath); takes(l) {
			ch.first = l
		}
		return ch
	}
	if takes(direct) {
		ch.first = direct
		if way := c.provedWay(direct); takes(way) {
			ch.first, ch.second = way, direct
		}
		return ch
	} else if ch.busy {
		return ch
	}
	for i := len(f.Route) - 1; i >= 0; i-- {
		if l := c.table.Get(f.Route[i]); takes(l) {
			ch.first = l
			return ch
		}
	}
	if ch.first, ch.second = c.closer(f, takes); ch.first != nil {
		c.beside(&ch, to, takes)
		return ch
	}
	relays := func(l *link) bool { return l.Role != wire.RoleLeaf && takes(l) }
	if c.cfg.Role == wire.RoleLeaf && prev == nil {
		if near := c.table.Closest(to, 1, relays); len(near) > 0 {
			ch.first = near[0]
			return ch
		}
	}
	if via, ok := c.learned.Via(c.now, to); ok {
		if l := c.table.Get(via); takes(l) {
			ch.first = l
			return ch
		}
	}
	near := c.table.Closest(to, 2, relays)
	if len(near) == 0 {
		// A leaf drops a message that is not for it. If there is no relay, one that is nearer
		// may still know more than this version does.
		if near = c.table.Closest(to, 1, takes); len(near) > 0 && to.Closer(near[0].ID, c.self) {
			ch.first = near[0]
		}
		return ch
	}
	ch.far = true
	if prev != nil && !prev.Extended || !near[0].Extended {
		ch.first = near[0]
		if len(near) > 1 {
			ch.second = near[1]
		}
		c.beside(&ch, to, takes)
		return ch
	}
	if f.Hop.DetoursLeft() > 0 {
		ch.first, ch.detour = near[0], true
	}
	return ch
}

// provedWay returns the link that lately brought a proved message from the id that the peer of
// l only claims. Nil means that there is none. Without this link, a stranger that claims the
// id would get all messages for it.
func (c *Core) provedWay(l *link) *link {
	if l.Proved || l.vouched {
		return nil
	}
	via, ok := c.proved.Via(c.now, l.ID)
	if !ok {
		return nil
	}
	return c.table.Get(via)
}

// beside sets the second hop of a message that would go only to legacy peers. It takes
// the neighbour that brought messages from the receiver, or otherwise the nearest relay at
// any distance that knows the extensions.
func (c *Core) beside(ch *choice, to wire.ID, takes func(*link) bool) {
	if ch.first.Extended || ch.second != nil && ch.second.Extended {
		return
	}
	if via, ok := c.learned.Via(c.now, to); ok {
		if l := c.table.Get(via); l != ch.first && takes(l) {
			ch.second = l
			return
		}
	}
	relay := func(l *link) bool { return l.Extended && l.Role != wire.RoleLeaf && takes(l) }
	if near := c.table.Closest(to, 1, relay); len(near) > 0 {
		ch.second = near[0]
	}
}

// closer returns the best link that is strictly nearer to the target than this peer. If that
// is a legacy peer, it also returns a second link: no peer beyond it takes custody, so one
// copy is not enough. It returns no leaf, which would drop the message. Native links go before
// legacy ones, unless the legacy one is more than maxLegacyBits nearer. A native link that is only a way
// by a neighbour of its peer is no better than a legacy one that is nearer by itself: both get a copy.
// Another attempt takes one of the two nearest native links at random, since the first one may have died
// at the nearest.
func (c *Core) closer(f *wire.Frame, takes func(*link) bool) (first, second *link) {
	to, again := f.Body.To, f.Hop.Attempt() > 0
	const native, legacy, kinds = 0, 1, 2
	var best [kinds][2]*link // the two nearest of each kind
	c.table.Nearest(to, func(l *link) bool {
		if !to.Closer(l.ID, c.self) {
			return false
		}
		if l.Role == wire.RoleLeaf || !takes(l) {
			return true
		}
		k := native
		if !l.Extended {
			k = legacy
		}
		if best[k][0] == nil {
			best[k][0] = l
		} else if best[k][1] == nil {
			best[k][1] = l
		}
		return best[native][0] == nil || best[native][1] == nil // all links after that are farther
	})
	nearest := best[native][0]
	if ways := c.quickest(f, best[native][:], takes); ways[0].link != nil {
		best[native] = [2]*link{ways[0].link, ways[1].link}
	}
	first = best[native][0]
	switch other := best[native][1]; {
	case !again:
	case nearest != nil && isProbe(f): // by few hops
		first = nearest
	case c.rng.IntN(2) == 1: // the neighbours of the quickest one may be made up
		if nearest != nil && nearest != first {
			first = nearest
		} else if other != nil {
			first = other
		}
	}
	switch l := best[legacy][0]; {
	case l != nil && (first == nil || nearerBits(to, l.ID, first.ID) > maxLegacyBits):
		first = l
	case l != nil && nearest == nil: // the neighbour that makes the native link a way may be gone
		return first, l
	default:
		return first, nil
	}
	for _, l := range []*link{best[native][0], best[legacy][0], best[legacy][1]} {
		if l != nil && l != first {
			return first, l
		}
	}
	return first, nil
}

// nearerBits returns the number of bits by which a is nearer to the target than b.
func nearerBits(target, a, b wire.ID) int {
	return target.CommonPrefixLen(a) - target.CommonPrefixLen(b)
}
