// Package receipts lists the messages whose receipts a peer waits for.
package receipts

import (
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/probe"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

const (
	maxSends = 1024                   // messages in a book
	maxBytes = 16 << 20               // bytes of their frames
	maxWays  = 64                     // attempts of a message whose notices are accepted
	retryMin = time.Second            // wait for the receipt of the first attempt, doubles
	retryMax = 4 * time.Second        // longest wait
	repeats  = 2                      // copies of an attempt that is repeated
	maxProbe = 2                      // attempts in a row that only are to find a second peer without a route
	probed   = 500 * time.Millisecond // wait after one of these
	settling = 500 * time.Millisecond // least age of a message for which there is no route: its receiver may just be joining
	silence  = 5 * time.Second        // least age of a message whose receiver is said not to answer: it may only be busy
	grace    = time.Second            // wait for a better receipt than one that any peer could have made
	keptWait = 2 * time.Second        // wait for a better receipt than that of a mailbox: a further attempt may reach the receiver in it
)

// probeAges are the ages of a message from which an attempt that only is to find a second peer without a
// route has one more copy.
var probeAges = [...]time.Duration{700 * time.Millisecond, time.Second}

// A Receipt says that a message arrived, or that a mailbox keeps it.
type Receipt struct {
	Proved bool          // the receiver's key has signed it, or it came straight from the receiver's proved link
	Handed bool          // a peer in front of a legacy receiver says that it handed the message on
	Hops   int           // links over which the message came; 0 means unknown
	Took   time.Duration // time to the receipt from the first attempt; of a ping, from the attempt that arrived
	Kept   time.Time     // the receiver is offline, and Keeper keeps the message until then; the zero Time means that it arrived
	Keeper wire.ID       // a mailbox, which has proved its id
}

// IsKept reports whether the message has not arrived, and is kept.
func (r *Receipt) IsKept() bool { return r.Keeper != (wire.ID{}) }

// A Send is a message whose receipt is awaited.
type Send struct {
	Index    int // the caller's number for it
	Frame    *wire.Frame
	Attempts int // attempts so far
	Trace    probe.Trace

	hash  [wire.HashSize]byte
	begun time.Duration
	due   time.Duration // when the next attempt is due
	ways  []way
	none  bool     // a peer had no route, and a second one is to be found
	probe int      // attempts since for that
	weak  *Receipt // a receipt that any peer could have made, one of a mailbox, or one of a traced ping
	good  bool     // no other one can be better than weak
	until time.Duration

	refusal wire.Refusal // why a mailbox did not keep the message
	silent  bool         // the receiver exists, and does not answer the peers that are linked with it
}

// open reports whether further attempts are made: no peer has said that the message has arrived.
func (s *Send) open() bool { return s.weak == nil || s.weak.IsKept() }

// Silent reports whether NoRoute ended the wait since the receiver does not answer, and not since no
// peer has the id.
func (s *Send) Silent() bool { return s.silent }

// Refusal returns why a mailbox did not keep the message.
func (s *Send) Refusal() wire.Refusal { return s.refusal }

// A way is one copy of a message, by its first link.
type way struct {
	nonce  string
	first  wire.ID
	at     time.Duration
	none   bool // a peer on it had no route
	silent bool // a peer on it is linked with the receiver, which does not answer
}

// A Book holds the messages in the order in which they were sent. Its zero value is empty.
type Book struct {
	sends []*Send
	bytes int
}

// Begin adds a message, with the SHA-256 of its Body. It returns nil if there is no room.
func (b *Book) Begin(now time.Duration, index int, f *wire.Frame, hash [wire.HashSize]byte) *Send {
	if len(b.sends) >= maxSends || b.bytes+f.Size() > maxBytes {
		return nil
	}
	s := &Send{Index: index, Frame: f, hash: hash, begun: now}
	s.Attempted(now)
	b.sends = append(b.sends, s)
	b.bytes += f.Size()
	return s
}

// End removes a message.
func (b *Book) End(index int) {
	b.sends = slices.DeleteFunc(b.sends, func(s *Send) bool {
		if s.Index == index {
			b.bytes -= s.Frame.Size()
		}
		return s.Index == index
	})
}

// find returns the message with an end-to-end id, nil if there is none.
func (b *Book) find(e2e []byte) *Send {
	for _, s := range b.sends {
		if string(s.Frame.Body.E2E) == string(e2e) {
			return s
		}
	}
	return nil
}

// Next returns the time at which Due returns something, and whether there is one.
func (b *Book) Next() (at time.Duration, ok bool) {
	for _, s := range b.sends {
		next := s.due
		if s.weak != nil && (!s.open() || s.until < next) {
			next = s.until
		}
		if !ok || next < at {
			at, ok = next, true
		}
	}
	return at, ok
}

// Due returns the messages of which another attempt is due, and those whose receipt is the best
// that came in time.
func (b *Book) Due(now time.Duration) (again, done []*Send) {
	for _, s := range b.sends {
		switch {
		case s.weak != nil && now >= s.until:
			done = append(done, s)
		case s.open() && now >= s.due:
			again = append(again, s)
		}
	}
	return again, done
}

// Weak returns the receipt that Due found good enough.
func (s *Send) Weak() Receipt { return *s.weak }

// Attempted notes that another attempt was made. The next one is due later each time.
func (s *Send) Attempted(now time.Duration) {
	s.due = now + min(retryMin<<min(s.Attempts, 8), retryMax)
	s.Attempts++
	if s.none {
		s.due = now + probed
		s.probe++
		s.none = s.probe < maxProbe
	}
}

// Probes reports whether a copy of the next attempt, counted from 0, only is to find a second peer without a
// route. The first word of a missing route may be underway when the first attempt is repeated, so the last
// copy of that one does, too.
func (s *Send) Probes(i int) bool { return s.none || i == repeats }

// Copies returns the number of copies that the next attempt is to have. A probe has one, and more if the first
// word of a missing route took long: the fastest of several makes up for that.
func (s *Send) Copies(now time.Duration) int {
	if !s.none && s.Attempts == 1 {
		return repeats + 1
	} else if !s.none {
		return repeats
	}
	n := 1
	for _, age := range probeAges {
		if now-s.begun >= age {
			n++
		}
	}
	return n
}

// Postpone notes that no attempt could be made.
func (s *Send) Postpone(now time.Duration) { s.due = now + retryMin }

// Went notes that a copy was sent over the link to a peer.
func (s *Send) Went(now time.Duration, nonce []byte, first wire.ID) {
	if len(s.ways) < maxWays {
		s.ways = append(s.ways, way{nonce: string(nonce), first: first, at: now})
	}
}

// Used reports whether a copy was sent over the link to a peer.
func (s *Send) Used(first wire.ID) bool {
	return slices.ContainsFunc(s.ways, func(w way) bool { return w.first == first })
}

// Went notes that a copy of a message was sent over the link to a peer.
func (b *Book) Went(now time.Duration, f *wire.Frame, first wire.ID) {
	if s := b.find(f.Body.E2E); s != nil {
		s.Went(now, f.Nonce, first)
	}
}

// way returns the first copy with a nonce, nil if there is none.
func (s *Send) way(nonce []byte) *way {
	i := slices.IndexFunc(s.ways, func(w way) bool { return w.nonce == string(nonce) })
	if i < 0 {
		return nil
	}
	return &s.ways[i]
}

// Ways returns the first link of the copy whose receipt came, and those that lost a copy: they had it
// before, and in good time, and nothing was heard of it. That a receipt came shows that the receiver was
// not at fault. ok is false if there is no such copy.
func (s *Send) Ways(now time.Duration, nonce []byte) (brought wire.ID, lost []wire.ID, ok bool) {
	won := s.way(nonce)
	if won == nil {
		return wire.ID{}, nil, false
	}
	for _, w := range s.ways {
		if w.at < won.at && now-w.at >= retryMin && w.first != won.first && !w.none && !w.silent {
			lost = append(lost, w.first)
		}
	}
	return won.first, lost, true
}

// A Source is where a receipt came from.
type Source struct {
	From     wire.ID
	Proved   bool // From is proved
	Straight bool // it came over a link to From
}

// Receipt processes a receipt. It returns the message, nil if no message waits for it, and the
// receipt that ends the wait, nil if none does. good reports that this is the first one that no other
// can be better than. Reports of a traced ping are awaited after that.
func (b *Book) Receipt(now time.Duration, r wire.Receipt, from Source) (s *Send, ends *Receipt, good bool) {
	s = b.find(r.E2E)
	if s == nil || r.Hash != s.hash || (r.Handed || r.Kept != 0) == (from.From == s.Frame.Body.To) {
		return nil, nil, false
	}
	if r.Kept != 0 {
		return b.kept(now, s, r, from), nil, false
	}
	got := &Receipt{Proved: from.Proved && !r.Handed, Handed: r.Handed, Hops: r.Hops, Took: now - s.begun}
	if w := s.way(r.Nonce); w != nil && s.Frame.Body.Kind == wire.KindPing {
		got.Took = now - w.at
	}
	good = !s.good && (got.Proved || from.Straight && !r.Handed || from.From == s.Frame.Body.From)
	if good && !s.Frame.IsTraced() {
		return s, got, true
	}
	if s.open() {
		s.until = now + grace
	}
	if s.open() || good || s.weak.Handed && !got.Handed && !s.good {
		s.weak = got
		s.Trace.Answer(r, s.Frame.Body.To)
	}
	if good {
		s.good, s.until = true, now+probe.Grace(got.Took)
	}
	return s, s.settled(), good
}

// kept processes a receipt of a mailbox. It returns the message, nil if the receipt does not count. Any
// peer may promise to keep a message, so the wait for the receiver goes on for a while.
func (b *Book) kept(now time.Duration, s *Send, r wire.Receipt, from Source) *Send {
	if !from.Proved || r.Kept > s.Frame.Body.Expiry { // which is 0 if the message is not to be kept
		return nil
	}
	if w := s.way(r.Nonce); w != nil {
		w.none = true // the receiver is gone: the link does not lose what it brings
	}
	if s.weak == nil {
		s.weak = &Receipt{Hops: r.Hops, Took: now - s.begun, Kept: time.UnixMilli(int64(r.Kept)), Keeper: from.From}
		s.until = now + keptWait
	}
	return s
}

// settled returns the receipt of a traced ping about which no more can come, nil if there is none.
func (s *Send) settled() *Receipt {
	if s.good && s.Trace.Complete() {
		return s.weak
	}
	return nil
}

// Report processes the word of a peer, which has proved its id, that a traced ping came to it. It
// returns the ping, nil if none waits for it, and its receipt if nothing more is awaited.
func (b *Book) Report(now time.Duration, r wire.Report, from wire.ID) (*Send, *Receipt) {
	s := b.find(r.E2E)
	if s == nil || !s.Frame.IsTraced() {
		return nil, nil
	}
	w := s.way(r.Nonce)
	if w == nil || !s.Trace.Add(r, from, now-w.at) {
		return nil, nil
	}
	return s, s.settled()
}

// Hops returns what is known of the way of a traced ping, nil if there is none.
func (b *Book) Hops(index int) []probe.Hop {
	for _, s := range b.sends {
		if s.Index == index {
			return s.Trace.Hops()
		}
	}
	return nil
}

// NoRoute processes the word of a peer that it had no route for an attempt. It returns the
// message, nil if there is none, and whether enough peers have said so: peers behind two first
// links, or behind the only one of links. Until then another attempt is due. That the receiver
// does not answer must be said behind two links, and again when the message is older.
func (b *Book) NoRoute(now time.Duration, n wire.Notice, links int) (s *Send, over bool) {
	if s = b.find(n.E2E); s == nil {
		return nil, false
	}
	known, news := s.refused(n)
	if !known {
		return nil, false
	}
	if n.Refusal != wire.RefusalNone && s.Frame.IsKept() {
		s.refusal = n.Refusal
	}
	if s.good || s.weak != nil && s.weak.IsKept() { // it has arrived, or is kept
		return s, false
	}
	none := s.firsts(func(w way) bool { return w.none })
	all := s.firsts(func(w way) bool { return w.none || w.silent })
	s.silent = none < min(2, links)
	enough, least := !s.silent, settling
	if s.silent && all >= 2 {
		enough, least = true, silence
	}
	due := now
	if enough {
		due = max(now, s.begun+least)
	}
	if news {
		s.none, s.due = s.probe < maxProbe, min(s.due, due)
	}
	if enough && s.silent { // the links to the receiver keep the message, so more copies have time
		s.none, s.due = false, due
	}
	return s, enough && now >= s.begun+least
}

// refused notes that a peer had no route for an attempt. It reports whether there was such an attempt,
// and whether this was not known.
func (s *Send) refused(n wire.Notice) (known, news bool) {
	for i := range s.ways {
		w := &s.ways[i]
		if w.nonce != string(n.Nonce) {
			continue
		}
		news = news || !w.silent && n.Silent || !w.none && !n.Silent
		w.none, w.silent, known = w.none || !n.Silent, w.silent || n.Silent, true
	}
	return known, news
}

// firsts returns the number of first links of the copies for which of returns true.
func (s *Send) firsts(of func(way) bool) int {
	var ids []wire.ID
	for _, w := range s.ways {
		if of(w) && !slices.Contains(ids, w.first) {
			ids = append(ids, w.first)
		}
	}
	return len(ids)
}
