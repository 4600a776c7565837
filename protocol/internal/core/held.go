package core

import (
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A newcomer may tell others that it has a link before the link is up at this end: its last
// word of the handshake is still in flight. What others send it at once would find no way
// here, so it is held until the handshake has ended.

// An expectation is a handshake with a peer that is in progress.
type expectation struct {
	number int           // of this handshake
	until  time.Duration // messages are held no longer
	proved bool          // the peer has proved its id; otherwise it only claims it
}

// A held message waits for the link that is expected.
type held struct {
	frame   *wire.Frame
	until   time.Duration
	relayed bool // it is another peer's
}

// Expect tells that a handshake with a peer has begun, which has proved its id. The number is
// for Unexpect.
func (c *Core) Expect(now time.Duration, id wire.ID) (number int) {
	c.now = now
	c.expect(id, true)
	return c.handshakes
}

// Unexpect tells that a handshake with a peer has ended. It does nothing if the link is up, or
// if another handshake with the peer has begun.
func (c *Core) Unexpect(now time.Duration, id wire.ID, number int) {
	c.now = now
	if c.expected[id].number == number {
		c.endExpected(id)
	}
}

// endExpected sends what was held for a peer.
func (c *Core) endExpected(id wire.ID) {
	delete(c.expected, id)
	c.sendHeld(func(h held) bool { return h.frame.Body.To == id })
}

func (c *Core) expect(id wire.ID, proved bool) {
	c.handshakes++
	if e := c.expected[id]; e.proved && !proved && c.now < e.until {
		return // no claim prolongs what is held for the peer itself
	}
	if len(c.expected) < maxExpected {
		c.expected[id] = expectation{c.handshakes, c.now + holdTime, proved}
	}
}

// holds reports whether a message is held rather than sent to its next hop. A peer that only
// claims its id gets none that has another way.
func (c *Core) holds(f *wire.Frame, next choice) bool {
	if len(c.expected) == 0 || f.IsSearch() {
		return false
	}
	e, ok := c.expected[f.Body.To]
	if !ok || c.now >= e.until || c.table.get(f.Body.To) != nil {
		return false
	}
	return e.proved || next.first == nil || next.far
}

// hold keeps a message for the link that is expected. It reports whether there was room.
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
	c.note(MessageKept, f, wire.ID{}, 0)
	if relayed {
		c.transit.keep(c.hash(f))
	}
	return true
}

// sendHeld sends held messages to their next hop, without holding them again.
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

// expireHeld ends what has lasted long enough.
func (c *Core) expireHeld() {
	for id, e := range c.expected {
		if c.now >= e.until {
			delete(c.expected, id)
		}
	}
	c.sendHeld(func(h held) bool { return c.now >= h.until })
	for _, h := range c.held {
		c.wakeBy(h.until)
	}
}
