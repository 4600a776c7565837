package receipts

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

var (
	origin   = wire.ID{1}
	receiver = wire.ID{2}
	relays   = []wire.ID{{3}, {4}, {5}}
	e2e      = bytes.Repeat([]byte{7}, wire.TokenSize)
)

// message returns a message that wants a receipt.
func message(t *testing.T, id []byte, payload string) *wire.Frame {
	t.Helper()
	b := wire.Body{To: receiver, From: origin, Form: wire.FormJSON, Flags: wire.FlagReceipt, E2E: id, Payload: []byte(payload)}
	if err := b.Encode(); err != nil {
		t.Fatal(err)
	}
	f, err := wire.NewMessageFrame(wire.MessageFields{Hop: wire.NewHop(), Nonce: []byte("1"), Body: b, Path: []wire.ID{origin}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// begin returns a book with one message, whose first attempt took the first relay.
func begin(t *testing.T) (*Book, *Send, wire.Receipt) {
	t.Helper()
	var b Book
	f := message(t, e2e, `"hi"`)
	s := b.Begin(0, 1, f, sha256.Sum256(f.Body.Raw()))
	s.Went(0, f.Nonce, relays[0])
	return &b, s, wire.Receipt{E2E: e2e, Hash: sha256.Sum256(f.Body.Raw()), Nonce: f.Nonce, Hops: 2}
}

func TestReceipt(t *testing.T) {
	proved := Source{From: receiver, Proved: true}
	for name, c := range map[string]struct {
		change func(*wire.Receipt)
		from   Source
		known  bool
		want   *Receipt
	}{
		"of the receiver":           {nil, proved, true, &Receipt{Proved: true, Hops: 2, Took: time.Second}},
		"straight from it":          {nil, Source{From: receiver, Straight: true}, true, &Receipt{Hops: 2, Took: time.Second}},
		"that any peer could make":  {nil, Source{From: receiver}, true, nil},
		"of another peer":           {nil, Source{From: relays[0], Proved: true}, false, nil},
		"for another body":          {func(r *wire.Receipt) { r.Hash[0]++ }, proved, false, nil},
		"for another message":       {func(r *wire.Receipt) { r.E2E = make([]byte, wire.TokenSize) }, proved, false, nil},
		"of the peer in front":      {func(r *wire.Receipt) { r.Handed = true }, Source{From: relays[0], Proved: true}, true, nil},
		"of this very peer":         {func(r *wire.Receipt) { r.Handed = true }, Source{From: origin}, true, &Receipt{Handed: true, Hops: 2, Took: time.Second}},
		"handed, says the receiver": {func(r *wire.Receipt) { r.Handed = true }, proved, false, nil},
	} {
		b, s, r := begin(t)
		if c.change != nil {
			c.change(&r)
		}
		got, receipt, good := b.Receipt(time.Second, r, c.from)
		if (got == s) != c.known || good != (receipt != nil) || (receipt == nil) != (c.want == nil) || receipt != nil && *receipt != *c.want {
			t.Errorf("%s: %v, %+v, want %v, %+v", name, got == s, receipt, c.known, c.want)
		}
	}
}

// A receipt that any peer could have made is good enough if no better one comes in time. The
// receiver's word is better than that of a peer in front of it.
func TestWeakReceipt(t *testing.T) {
	b, s, r := begin(t)
	handed := r
	handed.Handed = true
	b.Receipt(100*time.Millisecond, handed, Source{From: relays[0]})
	if again, done := b.Due(grace); len(again)+len(done) != 0 {
		t.Errorf("%d attempts and %d ends while a better receipt may come", len(again), len(done))
	}
	b.Receipt(200*time.Millisecond, r, Source{From: receiver})
	b.Receipt(300*time.Millisecond, handed, Source{From: relays[1]})
	at, ok := b.Next()
	if _, done := b.Due(at); !ok || at != 100*time.Millisecond+grace || len(done) != 1 || done[0] != s {
		t.Errorf("at %v %d messages have a receipt", at, len(done))
	}
	if w := s.Weak(); w.Handed || w.Proved || w.Took != 200*time.Millisecond {
		t.Errorf("the receipt is %+v", w)
	}
}

func TestAttempts(t *testing.T) {
	b, s, _ := begin(t)
	var waits []time.Duration
	for now := time.Duration(0); len(waits) < 5; {
		at, _ := b.Next()
		if again, _ := b.Due(at - 1); len(again) > 0 {
			t.Errorf("an attempt is due before %v", at)
		}
		if again, _ := b.Due(at); len(again) != 1 {
			t.Errorf("no attempt is due at %v", at)
		}
		s.Attempted(at)
		waits, now = append(waits, at-now), at
	}
	for i, want := range []time.Duration{retryMin, 2 * retryMin, retryMax, retryMax, retryMax} {
		if waits[i] != want {
			t.Errorf("the attempts come after %v", waits)
			break
		}
	}
}

func TestCredit(t *testing.T) {
	for _, c := range []struct {
		sent, back int
		loses      bool
	}{{0, 0, false}, {1, 0, true}, {1, 1, false}, {3, 1, false}, {5, 1, false}, {6, 1, true}, {6, 2, false}, {7, 2, true}} {
		if credit := credited(c.sent, c.back); credit.Loses() != c.loses {
			t.Errorf("%d of %d: %v", c.back, c.sent, credit.Loses())
		}
	}
	credit := credited(10*creditWindow, 10*creditWindow)
	for range creditWindow {
		credit.Add(0, false)
	}
	if !credit.Loses() {
		t.Error("what was long ago still counts")
	}
}

// credited returns the credit of a link that brought the receipts of the last of its messages.
func credited(sent, back int) (c Credit) {
	for i := range sent {
		c.Add(0, i >= sent-back)
	}
	return c
}

func TestCreditExpires(t *testing.T) {
	var credit Credit
	credit.Add(time.Hour, false)
	credit.Expire(time.Hour + creditAge - 1)
	if !credit.Loses() {
		t.Error("the link has another chance too soon")
	}
	credit.Expire(time.Hour + creditAge)
	if credit.Loses() {
		t.Error("the link has no other chance")
	}
	credit.Add(2*time.Hour, false)
	credit.Expire(2*time.Hour + 1)
	if !credit.Loses() {
		t.Error("the time without a count is part of its age")
	}
}

// A receipt shows which link brought its message, and which ones lost a copy.
func TestWays(t *testing.T) {
	const again = retryMin // when the later copies were sent
	for name, c := range map[string]struct {
		change  func(*Send)
		at      time.Duration
		nonce   string
		brought wire.ID
		lost    []wire.ID
	}{
		"a later copy is first":           {nil, again + time.Second/2, "2", relays[1], relays[:1]},
		"the first copy is late":          {nil, again + time.Second/2, "1", relays[0], nil},
		"both later copies were in time":  {nil, again + 2*time.Second, "3", relays[2], relays[:1]},
		"of no copy":                      {nil, again + time.Second/2, "4", wire.ID{}, nil},
		"the next copy came early":        {func(s *Send) { s.ways[0].at = again / 2 }, again + time.Second/4, "2", relays[1], nil},
		"the first copy found no route":   {func(s *Send) { s.ways[0].none = true }, again + time.Second/2, "2", relays[1], nil},
		"it found a silent link":          {func(s *Send) { s.ways[0].silent = true }, again + time.Second/2, "2", relays[1], nil},
		"it took the same link":           {func(s *Send) { s.ways[0].first = relays[1] }, again + time.Second/2, "2", relays[1], nil},
		"the copy went a second way then": {func(s *Send) { s.ways[0].nonce = "2" }, again + time.Second/2, "2", relays[0], nil},
	} {
		_, s, _ := begin(t)
		s.Went(again, []byte("2"), relays[1])
		s.Went(again, []byte("3"), relays[2])
		if c.change != nil {
			c.change(s)
		}
		brought, lost, ok := s.Ways(c.at, []byte(c.nonce))
		if brought != c.brought || !slices.Equal(lost, c.lost) || ok != (c.brought != wire.ID{}) {
			t.Errorf("%s: %v brought it, %v lost it, %v", name, brought, lost, ok)
		}
	}
}

func TestNoRoute(t *testing.T) {
	notice := func(nonce string) wire.Notice { return wire.Notice{E2E: e2e, Nonce: []byte(nonce)} }
	b, s, _ := begin(t)
	if got, _ := b.NoRoute(settling, notice("2"), 5); got != nil {
		t.Error("a notice for an attempt that was not made is believed")
	}
	if n := s.Copies(0); n != repeats+1 || s.Probes(repeats-1) || !s.Probes(repeats) {
		t.Errorf("the second attempt has %d copies, the last one a probe %v", n, s.Probes(n-1))
	}
	if got, over := b.NoRoute(100*time.Millisecond, notice("1"), 5); got != s || over || !s.Probes(0) {
		t.Errorf("the first notice: over %v, a probe %v", over, s.Probes(0))
	}
	for i, age := range probeAges {
		if before, n := s.Copies(age-1), s.Copies(age); before != i+1 || n != i+2 {
			t.Errorf("a probe has %d copies before %v, then %d", before, age, n)
		}
	}
	if at, _ := b.Next(); at != 100*time.Millisecond {
		t.Errorf("the next attempt is due at %v", at)
	}
	s.Attempted(100 * time.Millisecond)
	b.NoRoute(200*time.Millisecond, notice("1"), 5)
	if at, _ := b.Next(); at != 100*time.Millisecond+probed {
		t.Errorf("after the same word again the next attempt is due at %v", at)
	}
	s.Went(settling, []byte("2"), relays[0])
	if _, over := b.NoRoute(time.Second, notice("2"), 5); over {
		t.Error("two notices from behind one link are enough")
	}
	s.Attempted(time.Second)
	if s.Probes(0) || s.Copies(0) != 2 {
		t.Errorf("%d copies after two attempts without an answer", s.Copies(0))
	}
	s.Went(time.Second, []byte("3"), relays[1])
	if _, over := b.NoRoute(time.Second, notice("3"), 5); !over {
		t.Error("notices from behind two links are not enough")
	}

	b, _, _ = begin(t)
	if _, over := b.NoRoute(100*time.Millisecond, notice("1"), 1); over {
		t.Error("the receiver may be joining")
	}
	if at, _ := b.Next(); at != settling {
		t.Errorf("the attempt that decides is due at %v", at)
	}
	if _, over := b.NoRoute(settling, notice("1"), 1); !over {
		t.Error("a peer with one link needs two notices")
	}
}

// That the receiver does not answer must be said behind two links, also by a peer that has only one.
func TestSilent(t *testing.T) {
	notice := func(nonce string, silent bool) wire.Notice {
		return wire.Notice{E2E: e2e, Nonce: []byte(nonce), Silent: silent}
	}
	b, s, _ := begin(t)
	if got, over := b.NoRoute(time.Second, notice("1", true), 1); got != s || over || !s.Probes(0) {
		t.Errorf("the first notice: over %v, a probe %v", over, s.Probes(0))
	}
	s.Attempted(time.Second)
	s.Went(time.Second, []byte("2"), relays[1])
	if _, over := b.NoRoute(2*time.Second, notice("1", true), 5); over {
		t.Error("two notices for one attempt are enough")
	}
	if _, over := b.NoRoute(2*time.Second, notice("2", true), 5); over || s.Probes(0) {
		t.Errorf("notices from behind two links are believed too soon: %v, a probe %v", over, s.Probes(0))
	}
	if at, _ := b.Next(); at != silence {
		t.Errorf("the attempt that decides is due at %v", at)
	}
	s.Attempted(silence)
	if _, over := b.NoRoute(silence, notice("2", true), 5); !over {
		t.Error("notices from behind two links are not enough")
	}

	b, s, _ = begin(t)
	b.NoRoute(time.Second, notice("1", true), 5)
	s.Attempted(time.Second)
	s.Went(time.Second, []byte("2"), relays[1])
	if _, over := b.NoRoute(2*time.Second, notice("2", false), 5); over {
		t.Error("one notice of each kind is believed too soon")
	}
	if _, over := b.NoRoute(silence, notice("2", false), 5); !over {
		t.Error("one notice of each kind is not enough")
	}
}

func TestBounds(t *testing.T) {
	var b Book
	id := func(i int) []byte { return append(make([]byte, wire.TokenSize-2), byte(i>>8), byte(i)) }
	for i := range maxSends {
		if b.Begin(0, i, message(t, id(i), `1`), [wire.HashSize]byte{}) == nil {
			t.Fatalf("no room for message %d", i)
		}
	}
	if b.Begin(0, maxSends, message(t, id(maxSends), `1`), [wire.HashSize]byte{}) != nil {
		t.Error("there is no bound on the number")
	}
	b.End(5)
	if b.Begin(0, maxSends, message(t, id(maxSends), `1`), [wire.HashSize]byte{}) == nil {
		t.Error("an ended message takes a place")
	}
	for i := range maxSends + 1 {
		b.End(i)
	}
	if b.bytes != 0 || len(b.sends) != 0 {
		t.Errorf("%d bytes, %d messages are left", b.bytes, len(b.sends))
	}
	big := `"` + string(bytes.Repeat([]byte{'x'}, 200_000)) + `"`
	n := 0
	for b.Begin(0, n, message(t, id(n), big), [wire.HashSize]byte{}) != nil {
		n++
	}
	if most := maxBytes / len(big); n == 0 || n > most {
		t.Errorf("%d messages of %d bytes fit, want at most %d", n, len(big), most)
	}
}

func TestDropped(t *testing.T) {
	var d Dropped
	if d.Take(0, 1) {
		t.Error("an empty set has a message")
	}
	d.Add(0, 1)
	if !d.Take(time.Minute, 1) || d.Take(time.Minute, 1) {
		t.Error("a message is not taken once")
	}
	d.Add(0, 1)
	if d.Take(droppedAge, 1) {
		t.Error("a message is kept for too long")
	}
	for i := range 2 * uint64(maxDropped) {
		d.Add(0, i)
	}
	if len(d.until) != maxDropped || d.Take(0, maxDropped) {
		t.Errorf("%d messages", len(d.until))
	}
	d.Add(droppedAge, maxDropped)
	if len(d.until) != 1 || !d.Take(droppedAge, maxDropped) {
		t.Error("old messages take the place of new ones")
	}
}

// ping returns a book with one traced ping, whose first attempt took the first relay at 10 ms.
func ping(t *testing.T, flags wire.Flags) (*Book, *Send, wire.Receipt) {
	t.Helper()
	body := wire.Body{To: receiver, From: origin, Kind: wire.KindPing, Form: wire.FormRaw, Flags: flags, E2E: e2e, Payload: []byte{}}
	if err := body.Encode(); err != nil {
		t.Fatal(err)
	}
	f, err := wire.NewMessageFrame(wire.MessageFields{Hop: wire.NewHop(), Nonce: []byte("1"), Body: body, Path: []wire.ID{origin}})
	if err != nil {
		t.Fatal(err)
	}
	var b Book
	s := b.Begin(0, 1, f, sha256.Sum256(f.Body.Raw()))
	s.Went(10*time.Millisecond, f.Nonce, relays[0])
	return &b, s, wire.Receipt{E2E: e2e, Hash: sha256.Sum256(f.Body.Raw()), Nonce: f.Nonce, Hops: 2, Path: []wire.ID{origin, relays[0]}}
}

func TestPing(t *testing.T) {
	b, _, r := ping(t, wire.FlagReceipt)
	s, got, good := b.Receipt(25*time.Millisecond, r, Source{From: receiver, Proved: true})
	if s == nil || got == nil || !good || got.Took != 15*time.Millisecond {
		t.Errorf("%+v, %v", got, good)
	}
	if s, _ := b.Report(25*time.Millisecond, wire.Report{E2E: e2e, Nonce: r.Nonce, Hops: 1}, relays[0]); s != nil {
		t.Error("a report about a ping that is not traced")
	}
}

func TestTracedPing(t *testing.T) {
	const ms = time.Millisecond
	report := func(hops int) wire.Report { return wire.Report{E2E: e2e, Nonce: []byte("1"), Hops: hops} }
	b, s, r := ping(t, wire.FlagReceipt|wire.FlagTrace)
	if got, ends := b.Report(20*ms, report(1), relays[0]); got != s || ends != nil {
		t.Errorf("the first report: %v, %+v", got == s, ends)
	}
	proved := Source{From: receiver, Proved: true}
	if got, ends, good := b.Receipt(30*ms, r, proved); got != s || ends != nil || !good {
		t.Errorf("the receipt: %v, %+v, %v", got == s, ends, good)
	}
	if got, ends, good := b.Receipt(31*ms, r, proved); got != s || ends != nil || good {
		t.Errorf("a second receipt: %v, %+v, %v", got == s, ends, good)
	}
	if got, over := b.NoRoute(time.Minute, wire.Notice{E2E: e2e, Nonce: []byte("1")}, 1); got != s || over {
		t.Errorf("a notice after the receipt: %v, %v", got == s, over)
	}
	if at, _ := b.Next(); at != 130*ms {
		t.Errorf("reports are awaited until %v", at)
	}
	if again, done := b.Due(130 * ms); len(again) != 0 || len(done) != 1 || s.Weak().Took != 20*ms {
		t.Errorf("%d attempts, %d ends, the receipt is %+v", len(again), len(done), s.Weak())
	}
	if _, ends := b.Report(40*ms, report(2), receiver); ends == nil || ends.Took != 20*ms {
		t.Errorf("the last report: %+v", ends)
	}
	wrong := report(1)
	wrong.Nonce = []byte("2")
	if got, _ := b.Report(40*ms, wrong, relays[0]); got != nil {
		t.Error("a report about an attempt that was not made")
	}
	if hops := b.Hops(1); len(hops) != 2 || hops[0].RTT != 10*ms || hops[1].RTT != 30*ms {
		t.Errorf("the way is %+v", hops)
	}
}

// The receiver's receipt and its path replace a receipt that any peer could have made.
func TestTracedPingWithAWeakReceipt(t *testing.T) {
	b, s, r := ping(t, wire.FlagReceipt|wire.FlagTrace)
	forged := r
	forged.Path = []wire.ID{origin, relays[2]}
	if _, ends, good := b.Receipt(time.Millisecond, forged, Source{From: receiver}); ends != nil || good {
		t.Errorf("it counts: %+v, %v", ends, good)
	}
	b.Receipt(20*time.Millisecond, r, Source{From: receiver, Proved: true})
	b.Receipt(21*time.Millisecond, forged, Source{From: receiver})
	if hops := b.Hops(1); len(hops) != 2 || hops[0].ID != relays[0] || !s.Weak().Proved {
		t.Errorf("the way is %+v", hops)
	}
}
