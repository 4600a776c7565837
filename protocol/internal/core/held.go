package core

import (
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/journal"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A new peer may tell others that it has a link before the link is up at this end, since the
// end of the handshake is still in flight. Messages that others send to it at once would have
// no route here, so they are held until the handshake has ended.

// An expectation is a handshake in progress with a peer.
type expectation struct {
	number int           // number of the handshake
	until  time.Duration // when messages for the peer are no longer held
	proved bool          // the peer has proved its id, and not only claimed it
}

// A held message waits for the expected link to its receiver.
type held struct {
	frame   *wire.Frame
	until   time.Duration
	relayed bool // another peer is its origin
}

// Expect reports to the core that a handshake has begun with a peer that has proved its id. It
// returns the number of the handshake, for Unexpect.
func (c *Core) Expect(now time.Duration, id wire.ID) (number int) {
	c.now = now
	c.expect(id, true)
	return c.handshakes
}

// Unexpect reports to the core that a handshake with a peer has ended. It does nothing if the
// link is up, or if another handshake with the peer has begun.
func (c *Core) Unexpect(now time.Duration, id wire.ID, number int) {
	c.now = now
	if c.expected[id].number == number {
		c.endExpected(id)
	}
}

// endExpected ends the expectation of a peer and sends the messages that were held for it.
func (c *Core) endExpected(id wire.ID) {
	delete(c.expected, id)
	c.sendHeld(func(h held) bool { return h.frame.Body.To == id })
}

// expect adds a handshake in progress, if there is room.
func (c *Core) expect(id wire.ID, proved bool) {
	c.handshakes++
	if e := c.expected[id]; e.proved && !proved && c.now < e.until {
		return // a claim must not replace the handshake of the proved peer
	}
	if len(c.expected) < maxExpected {
		c.expected[id] = expectation{c.handshakes, c.now + holdTime, proved}
	}
}

// expects reports whether a handshake with a peer is in progress. The zero id means any peer.
func (c *Core) expects(id wire.ID) bool {
	if id != (wire.ID{}) {
		return c.now < c.expected[id].until
	}
	for _, e := range c.expected {
		if c.now < e.until {
			return true
		}
	}
	return false
}

// holds reports whether a message must be held and not sent to its next hop. For a peer that
// only claims its id, a message is held only if it has no other route, or only a far one.
func (c *Core) holds(f *wire.Frame, next choice) bool {
	if len(c.expected) == 0 || f.IsSearch() {
		return false
	}
	e, ok := c.expected[f.Body.To]
	if !ok || c.now >= e.until || c.table.Get(f.Body.To) != nil {
		return false
	}
	return e.proved || next.first == nil || next.far
}

// hold keeps a message for the expected link, and reports whether there was room.
func (c *Core) hold(f *wire.Frame, relayed bool) bool {
	to, count, bytes := f.Body.To, 1, f.Size()
	for _, h := range c.held {
		if h.frame.Body.To == to {
			count++
			bytes += h.frame.Size()
		}
	}
	if count > maxHeld/heldShare || bytes > heldBytes/heldShare || len(c.held) >= maxHeld || c.heldSize+f.Size() > heldBytes {
		return false
	}
	until := c.expected[to].until
	c.held = append(c.held, held{f, until, relayed})
	c.heldSize += f.Size()
	c.wakeBy(until)
	c.note(journal.MessageKept, f, wire.ID{}, 0)
	if relayed {
		c.transit.keep(c.hash(f))
	}
	return true
}

// sendHeld sends the held messages for which the function returns true to their next hop. It
// does not hold them again.
func (c *Core) sendHeld(which func(held) bool) {
	var out []held
	kept := c.held[:0]
	for _, h := range c.held {
		if which(h) {
			out = append(out, h)
			c.heldSize -= h.frame.Size()
		} else {
			kept = append(kept, h)
		}
	}
	clear(c.held[len(kept):])
	c.held = kept
	for _, h := range out {
		c.sendOn(h.frame, c.choose(h.frame.Body.To, hopQuery{frame: h.frame}), h.relayed)
	}
}

// expireHeld removes the expectations that are too old, and sends the messages held for them.
func (c *Core) expireHeld() {
	for id, e := range c.expected { // the order does not change the result
		if c.now >= e.until {
			delete(c.expected, id)
		}
	}
	c.sendHeld(func(h held) bool { return c.now >= h.until })
	for _, h := range c.held {
		c.wakeBy(h.until)
	}
}
