package receipts

import "time"

const (
	creditLeast  = 6                // messages after which a link that brings few receipts is avoided
	creditWindow = 64               // messages at which the counts are halved
	creditAge    = 10 * time.Minute // time after which they are halved, so that each link has another chance
)

// A Credit counts what a link did with copies of this peer's reliable messages: those whose receipt came, and
// all, with those that it lost. A copy counts when a receipt of its message comes, so not if the receiver
// sends none.
type Credit struct {
	sent, back int
	since      time.Duration // the first count, or when the counts were last halved for their age
}

// Add counts a copy, and whether it brought a receipt.
func (c *Credit) Add(now time.Duration, back bool) {
	if c.sent == 0 {
		c.since = now
	}
	c.sent++
	if back {
		c.back++
	}
	if c.sent >= creditWindow {
		c.halve()
	}
}

// Expire halves the counts when they are old.
func (c *Credit) Expire(now time.Duration) {
	if c.sent > 0 && now-c.since >= creditAge {
		c.halve()
		c.since = now
	}
}

func (c *Credit) halve() { c.sent, c.back = c.sent/2, c.back/2 }

// Loses reports whether no receipt came, or few of many.
func (c *Credit) Loses() bool {
	return c.sent > 0 && c.back == 0 || c.sent >= creditLeast && 3*c.back < c.sent
}
