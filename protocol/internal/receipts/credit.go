package receipts

import "time"

const (
	creditFew    = 2               // messages without a receipt after which a link that never brought one is avoided
	creditLeast  = 6               // messages after which a link that brings few receipts is avoided
	creditWindow = 64              // messages at which the counts are halved
	creditDoubt  = 2 * time.Minute // time after the first message without a receipt for which a link is avoided that never brought one
)

// A Credit counts what a link did with the reliable messages of this peer: all whose receipt came or is
// late, and those whose receipt came. One in flight is not counted yet.
type Credit struct {
	sent, back int
	lostAt     time.Duration // when a receipt was late last
}

// Add adds to both counts.
func (c *Credit) Add(now time.Duration, sent, back int) {
	c.sent, c.back = c.sent+sent, c.back+back
	if sent > back {
		c.lostAt = now
	}
	if c.sent >= creditWindow {
		c.sent, c.back = c.sent/2, c.back/2
	}
}

// Loses reports whether most of the messages got no receipt. If the link has never brought any, one is
// enough for a while. So links that drop all are found soonest. But the receiver may have been at fault.
func (c Credit) Loses(now time.Duration) bool {
	switch {
	case c.back > 0:
		return c.sent >= creditLeast && 3*c.back < c.sent
	case c.sent >= creditFew:
		return true
	default:
		return c.sent > 0 && now-c.lostAt < creditDoubt
	}
}
