package receipts

import "time"

const (
	maxDropped = 4096            // messages in Dropped
	droppedAge = 2 * time.Minute // age of one
)

// Dropped holds the messages that a receiver took and then dropped, since its application had no
// room. Another attempt of one is no duplicate. Its zero value is empty.
type Dropped struct {
	until map[uint64]time.Duration
}

// Add adds a message, if there is room.
func (d *Dropped) Add(now time.Duration, h uint64) {
	if len(d.until) >= maxDropped {
		for x, until := range d.until { // the order does not change the result
			if now >= until {
				delete(d.until, x)
			}
		}
	}
	if d.until == nil {
		d.until = make(map[uint64]time.Duration)
	}
	if len(d.until) < maxDropped {
		d.until[h] = now + droppedAge
	}
}

// Take removes a message, and reports whether it was there.
func (d *Dropped) Take(now time.Duration, h uint64) bool {
	until, ok := d.until[h]
	delete(d.until, h)
	return ok && now < until
}
