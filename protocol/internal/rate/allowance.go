// Package rate limits how often something may be done.
package rate

import "time"

// An Allowance limits the work that one peer causes. It grows with the time.
type Allowance struct {
	left float64
	at   time.Duration // when left was computed
}

// Full returns an allowance of burst.
func Full(now time.Duration, burst float64) Allowance { return Allowance{burst, now} }

// Take takes one from an allowance that grows by rate a second up to burst. It reports whether
// there was one.
func (a *Allowance) Take(now time.Duration, burst, rate float64) bool {
	a.left = min(burst, a.left+(now-a.at).Seconds()*rate)
	a.at = now
	if a.left < 1 {
		return false
	}
	a.left--
	return true
}
