// Package candidates lists the known peers that are not linked.
package candidates

import (
	"iter"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

const (
	bucketSize = 20               // candidates in a bucket
	sourceSize = 8                // candidates that one source may add
	staleAge   = 60 * time.Second // age of a candidate's last mention after which it can be evicted

	MaxFails = 6                // failures before a candidate may be forgotten
	Longest  = 30 * time.Minute // longest back-off
)

// A Candidate is a known peer that is not linked.
type Candidate struct {
	ID      wire.ID
	Source  wire.ID       // the peer that named it, or its own id if it was linked or asked for
	Heard   time.Duration // when it was last named
	Next    time.Duration // when it may be sought
	Shunned time.Duration // when its offers are accepted again
	Fails   int           // handshakes that failed
	Trip    time.Duration // round trip time of its last link; 0 means unknown
	Wanted  bool          // the application asked for it
}

// A Table holds candidates by the length of the prefix that they share with the peer itself. A pointer to one
// is valid until a candidate is added or removed. No candidate has a pointer, so that the collector does not
// read the tables.
type Table struct {
	self    wire.ID
	buckets [][]Candidate   // up to the last one that has candidates
	sources map[wire.ID]int // number of candidates that each source named
	known   int             // number of candidates
}

// New returns an empty table of the peer self.
func New(self wire.ID) *Table {
	return &Table{self: self, sources: make(map[wire.ID]int)}
}

// Len returns the number of candidates.
func (t *Table) Len() int { return t.known }

// Get returns a candidate, nil if it is not in the table.
func (t *Table) Get(id wire.ID) *Candidate {
	bucket := t.bucket(t.BucketOf(id))
	for i := range bucket { // it is called very often, so without an iterator
		if c := &bucket[i]; c.ID == id {
			return c
		}
	}
	return nil
}

// BucketOf returns the index of the bucket of an id.
func (t *Table) BucketOf(id wire.ID) int { return min(t.self.CommonPrefixLen(id), wire.IDBits-1) }

// Bucket returns the candidates of a bucket. None may be added or removed meanwhile.
func (t *Table) Bucket(b int) iter.Seq[*Candidate] {
	bucket := t.bucket(b)
	return func(yield func(*Candidate) bool) {
		for i := range bucket {
			if !yield(&bucket[i]) {
				return
			}
		}
	}
}

func (t *Table) bucket(b int) []Candidate {
	if b >= len(t.buckets) {
		return nil
	}
	return t.buckets[b]
}

// Depth returns the number of buckets up to the last one that has candidates. Most of the others are
// always empty, and are not worth a look.
func (t *Table) Depth() int { return len(t.buckets) }

// Learn adds a candidate that source named. It returns nil if there is no room.
func (t *Table) Learn(now time.Duration, id, source wire.ID) *Candidate {
	if c := t.Get(id); c != nil {
		c.Heard = now
		return c
	}
	if id == t.self || source != id && t.sources[source] >= sourceSize {
		return nil
	}
	if bucket := t.bucket(t.BucketOf(id)); len(bucket) >= bucketSize {
		worst := worstOf(bucket)
		if worst.Wanted || worst.Shunned > now || worst.Fails == 0 && now-worst.Heard < staleAge {
			return nil
		}
		t.Forget(worst.ID)
	}
	return t.add(now, id, source)
}

// Room reports whether a source may add another candidate.
func (t *Table) Room(source wire.ID) bool { return t.sources[source] < sourceSize }

// Hold adds a candidate that the application named. If its bucket is full, it evicts another. It
// returns nil for the peer itself.
func (t *Table) Hold(now time.Duration, id wire.ID) *Candidate {
	if c := t.Get(id); c != nil {
		return c
	}
	if id == t.self {
		return nil
	}
	if bucket := t.bucket(t.BucketOf(id)); len(bucket) >= bucketSize {
		t.Forget(worstOf(bucket).ID)
	}
	return t.add(now, id, id)
}

func (t *Table) add(now time.Duration, id, source wire.ID) *Candidate {
	if source != id {
		t.sources[source]++
	}
	t.known++
	b := t.BucketOf(id)
	for len(t.buckets) <= b {
		t.buckets = append(t.buckets, nil)
	}
	bucket := &t.buckets[b]
	if n := len(*bucket); n == cap(*bucket) { // most buckets get full, and none grows beyond that
		*bucket = append(make([]Candidate, 0, min(max(2*n, 4), bucketSize)), *bucket...)
	}
	*bucket = append(*bucket, Candidate{ID: id, Source: source, Heard: now})
	return &(*bucket)[len(*bucket)-1]
}

// Forget removes a candidate.
func (t *Table) Forget(id wire.ID) {
	c := t.Get(id)
	if c == nil {
		return
	}
	t.known--
	if c.Source != id {
		if t.sources[c.Source]--; t.sources[c.Source] == 0 {
			delete(t.sources, c.Source)
		}
	}
	b := &t.buckets[t.BucketOf(id)]
	*b = slices.DeleteFunc(*b, func(x Candidate) bool { return x.ID == id })
	for last := len(t.buckets) - 1; last >= 0 && len(t.buckets[last]) == 0; last-- {
		t.buckets = t.buckets[:last]
	}
}

// Failed counts a failure of a candidate, and returns it with the time to back off, which doubles
// each time. After MaxFails it is removed once no peer has named it for Longest, and Failed returns
// nil. If it were removed earlier, another peer would name it, and it would be tried as if it had
// not failed.
func (t *Table) Failed(now time.Duration, id wire.ID, backoff time.Duration) (*Candidate, time.Duration) {
	c := t.Get(id)
	if c == nil {
		return nil, 0
	}
	if c.Fails++; c.Fails >= MaxFails {
		c.Wanted = false
		if now-c.Heard > Longest {
			t.Forget(id)
			return nil, 0
		}
	}
	return c, min(backoff<<(min(c.Fails, MaxFails)-1), Longest)
}

// Retry has the candidates that failed, and that the application does not shun, tried again at once.
func (t *Table) Retry(now time.Duration) {
	for b := range t.buckets {
		for c := range t.Bucket(b) {
			if c.Fails > 0 && c.Shunned <= now {
				c.Fails, c.Next = 0, now
			}
		}
	}
}

// worstOf returns the candidate to evict first. Candidates that the application did not name
// go first, then those with the most failures, then those that were named longest ago.
func worstOf(bucket []Candidate) *Candidate {
	worst := &bucket[0]
	for i := range bucket[1:] {
		if c := &bucket[i+1]; c.worse(worst) {
			worst = c
		}
	}
	return worst
}

// worse reports whether a candidate is evicted before another one.
func (c *Candidate) worse(x *Candidate) bool {
	if a, b := c.Wanted || c.Shunned > 0, x.Wanted || x.Shunned > 0; a != b {
		return b
	}
	if c.Fails != x.Fails {
		return c.Fails > x.Fails
	}
	return c.Heard < x.Heard
}
