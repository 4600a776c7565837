package protocol

import "time"

// recentTime is the number of seconds for which a message that a link took may lie in the
// buffers of a slow line, whose other end does not answer the bye.
const recentTime = 10

// recentSizes is the number of messages whose sizes are kept.
const recentSizes = 1024

// A recent counts the messages that a link took in the last recentTime, by the second.
type recent struct {
	counts [recentTime]int
	last   int                  // the second of the latest message
	sizes  *[recentSizes]uint32 // bytes of the latest messages, a ring; nil means none
	next   int                  // number of messages that were added
}

func (c *recent) add(now time.Duration, size int) {
	c.forget(now)
	c.counts[c.last%recentTime]++
	if c.sizes == nil {
		c.sizes = new([recentSizes]uint32)
	}
	c.sizes[c.next%recentSizes] = uint32(size)
	c.next++
}

// within returns the number of messages that the last bytes of the link may hold. On the link a
// message takes at least its size.
func (c *recent) within(now time.Duration, bytes uint64) (n int) {
	most := c.sum(now)
	for n < most && bytes > 0 {
		if n++; n == recentSizes {
			return most
		}
		bytes -= min(bytes, uint64(c.sizes[(c.next-n)%recentSizes]))
	}
	return n
}

// sum returns the number of messages in the last recentTime.
func (c *recent) sum(now time.Duration) (n int) {
	c.forget(now)
	for _, count := range c.counts {
		n += count
	}
	return n
}

// forget removes the seconds that are over.
func (c *recent) forget(now time.Duration) {
	second := int(now / time.Second)
	for i := max(c.last+1, second-recentTime+1); i <= second; i++ {
		c.counts[i%recentTime] = 0
	}
	c.last = second
}
