package core

import (
	"fmt"
	"math/bits"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// forward sends a message towards its receiver: f came over prev, or began here when prev is
// nil. The error says why it went nowhere, for the origin.
func (c *Core) forward(f *wire.Frame, prev *link) error {
	if prev != nil {
		if f.PathLen() >= wire.MaxPath {
			c.drop(DropHops, f)
			return nil
		}
		// No peer gives a message more than it began with.
		f.Hop = f.Hop.WithTx(min(f.Hop.TxLeft(), wire.TxBudget)).WithDetours(min(f.Hop.DetoursLeft(), wire.Detours))
		if f.Hop.TxLeft() <= 0 {
			c.drop(DropBudget, f)
			return nil
		}
		f.Relay(c.self)
	}
	return c.pass(f, prev, prev != nil)
}

// pass sends a message, whose path ends with this peer, to where it goes next. relayed
// tells that it is another peer's.
func (c *Core) pass(f *wire.Frame, prev *link, relayed bool) error {
	if l := c.table.get(f.Body.To); l != nil && l.ended && l.replaced {
		return c.wait(f, relayed) // a better link to the receiver is about to take its place
	}
	next := c.choose(f.Body.To, hopQuery{frame: f, prev: prev})
	if c.holds(f, next) && c.hold(f, relayed) {
		return nil
	}
	return c.sendOn(f, next, relayed)
}

// sendOn sends a message to its next hop.
func (c *Core) sendOn(f *wire.Frame, next choice, relayed bool) error {
	if next.first == nil {
		c.transit.lose(c.hash(f))
		if next.busy {
			c.drop(DropQueueFull, f)
			return fmt.Errorf("send to %v: %w", f.Body.To, ErrQueueFull)
		}
		c.drop(DropNoRoute, f)
		return nil
	}
	if relayed {
		c.transit.finish(c.now, c.hash(f))
		if f.Body.Kind.IsControl() {
			c.stats.ControlPassed++
		} else {
			c.stats.Forwarded++
		}
	}
	if next.detour {
		f.Hop = f.Hop.WithDetours(f.Hop.DetoursLeft() - 1)
	}
	if next.second == nil || f.Hop.TxLeft() < 2 {
		f.Hop = f.Hop.WithTx(f.Hop.TxLeft() - 1)
		c.copyTo(next.first, f)
		return nil
	}
	// What is left of the budget is shared between the two copies.
	rest := f.Hop.TxLeft() - 2
	other := f.Copy()
	f.Hop = f.Hop.WithTx(rest - rest/2)
	other.Hop = f.Hop.WithTx(rest / 2)
	c.copyTo(next.first, f)
	c.copyTo(next.second, other)
	return nil
}

func (c *Core) copyTo(l *link, f *wire.Frame) {
	c.stats.Copies++
	c.note(MessageSent, f, l.ID, 0)
	c.transmit(l, f)
}

// A choice is where a message goes next.
type choice struct {
	first, second *link
	detour        bool // first is no nearer than this peer
	far           bool // likewise, and it is not known to lead there
	busy          bool // a link was passed over because its queue is full
}

// A hopQuery is what decides, beside its receiver, where a message goes next.
type hopQuery struct {
	frame *wire.Frame // whose path ends with this peer
	prev  *link       // where it came from; nil: it began here
}

// choose finds the next hop towards a receiver:
//
//  1. a direct link to the receiver; if its queue is full there is no other way,
//     since a detour would spread one slow peer's backlog over its neighbours. Beside a
//     link whose peer only claims to be the receiver, the way by which the receiver has
//     proved its id lately
//  2. the link that stands last in the message's route, the nearest the receiver
//  3. the nearest of the links that are strictly nearer than this peer
//  4. of a leaf, the nearest relay; otherwise the neighbour from which the receiver's
//     own messages come
//  5. next to legacy peers, as they do themselves, the two nearest links whatever
//     their distance; otherwise the nearest link as a detour, as long as it has detours
//
// Most legacy peers have no link but this one, so that what goes only to them is
// lost. Of two copies one therefore goes to a peer that knows more, if there is one.
//
// A search takes none but links that are strictly nearer.
func (c *Core) choose(to wire.ID, q hopQuery) (ch choice) {
	f, prev := q.frame, q.prev
	takes := func(l *link) bool {
		if l == nil || l == prev || l.ended || f.InPath(l.ID) {
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
	if l := c.table.get(to); takes(l) {
		ch.first = l
		if way := c.provedWay(l); takes(way) {
			ch.first, ch.second = way, l
		}
		return ch
	} else if ch.busy {
		return ch
	}
	for i := len(f.Route) - 1; i >= 0; i-- {
		if l := c.table.get(f.Route[i]); takes(l) {
			ch.first = l
			return ch
		}
	}
	if ch.first, ch.second = c.closer(to, takes); ch.first != nil {
		c.beside(&ch, to, takes)
		return ch
	}
	if c.cfg.Role == wire.RoleLeaf && prev == nil {
		relay := func(l *link) bool { return l.Role != wire.RoleLeaf && takes(l) }
		if near := c.table.closest(to, 1, relay); len(near) > 0 {
			ch.first = near[0]
			return ch
		}
	}
	if via, ok := c.learned.via(c.now, to); ok {
		if l := c.table.get(via); takes(l) {
			ch.first = l
			return ch
		}
	}
	near := c.table.closest(to, 2, takes)
	if len(near) == 0 {
		return ch
	}
	ch.far = true
	if prev != nil && !prev.extended || !near[0].extended {
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

// provedWay returns the link by which came, not long ago, a message that proves the id that
// the peer of l only claims; nil if there is none. Otherwise a stranger that claims the id of
// a peer would be given its messages.
func (c *Core) provedWay(l *link) *link {
	if l.Proved {
		return nil
	}
	via, ok := c.proved.via(c.now, l.ID)
	if !ok {
		return nil
	}
	return c.table.get(via)
}

// beside adds a better second hop to a message that would go only to legacy peers: the
// neighbour from which the receiver's own messages come, otherwise the nearest that knows
// the extensions, whatever its distance.
func (c *Core) beside(ch *choice, to wire.ID, takes func(*link) bool) {
	if ch.first.extended || ch.second != nil && ch.second.extended {
		return
	}
	if via, ok := c.learned.via(c.now, to); ok {
		if l := c.table.get(via); l != ch.first && takes(l) {
			ch.second = l
			return
		}
	}
	relay := func(l *link) bool { return l.extended && l.Role != wire.RoleLeaf && takes(l) }
	if near := c.table.closest(to, 1, relay); len(near) > 0 {
		ch.second = near[0]
	}
}

// closer finds the best link that is strictly nearer to the target than this peer,
// and a second one where the best is a legacy peer: no peer behind it takes custody,
// so that one copy is too few. Relays go before leaves, and native links before
// legacy ones unless the legacy one is more than maxLegacyBits nearer.
func (c *Core) closer(to wire.ID, takes func(*link) bool) (first, second *link) {
	const native, legacy, leaf, kinds = 0, 1, 2, 3
	var best [kinds][2]*link // of each kind the two nearest
	c.table.nearest(to, func(l *link) bool {
		if !to.Closer(l.ID, c.self) {
			return false
		}
		if !takes(l) {
			return true
		}
		k := native
		if l.Role == wire.RoleLeaf {
			k = leaf
		} else if !l.extended {
			k = legacy
		}
		if best[k][0] == nil {
			best[k][0] = l
		} else if best[k][1] == nil {
			best[k][1] = l
		}
		return best[native][0] == nil // the first native one decides: what follows is farther
	})
	first = best[native][0]
	if l := best[legacy][0]; first == nil || l != nil && nearerBits(to, l.ID, first.ID) > maxLegacyBits {
		if l != nil {
			first = l
		}
	}
	if first == nil {
		first = best[leaf][0]
	}
	if first == nil || first.extended {
		return first, nil
	}
	for _, l := range []*link{best[native][0], best[legacy][0], best[legacy][1], best[leaf][0]} {
		if l != nil && l != first {
			return first, l
		}
	}
	return first, nil
}

// nearerBits returns by how many bits a is nearer to the target than b.
func nearerBits(target, a, b wire.ID) int {
	return target.CommonPrefixLen(a) - target.CommonPrefixLen(b)
}

// subSlot numbers the parts of a bucket by the bits that follow the first one in
// which id and self differ, so that the links of a bucket can be spread over it.
func subSlot(self, id wire.ID, slots int) int {
	b := self.CommonPrefixLen(id)
	k := bits.Len(uint(slots - 1))
	slot := 0
	for i := b + 1; i <= b+k && i < wire.IDBits; i++ {
		slot = slot<<1 | int(id.Bit(i))
	}
	return slot
}
