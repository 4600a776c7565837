package receipts

const (
	creditLeast  = 6  // messages after which a link that brings few receipts is avoided
	creditWindow = 64 // messages at which the counts are halved
)

// A Credit counts what a link did with the reliable messages of this peer: those that it was sent,
// and those of them whose receipt came.
type Credit struct{ sent, back int }

// Add adds to both counts.
func (c *Credit) Add(sent, back int) {
	c.sent, c.back = max(c.sent+sent, 0), c.back+back
	if c.sent >= creditWindow {
		c.sent, c.back = c.sent/2, c.back/2
	}
}

// Loses reports whether most of the messages got no receipt.
func (c Credit) Loses() bool { return c.sent >= creditLeast && 3*c.back < c.sent }
