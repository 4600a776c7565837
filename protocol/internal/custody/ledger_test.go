package custody

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func frame(t *testing.T, n int) *wire.Frame {
	t.Helper()
	b := wire.Body{To: wire.ID{1}, From: wire.ID{2}, Form: wire.FormRaw, Payload: make([]byte, n%100)}
	f, err := wire.EncodeMessageFrame(wire.MessageFields{Hop: wire.NewHop(), Nonce: strconv.AppendInt(nil, int64(n), 10), Body: b, Path: []wire.ID{{2}}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestLedger compares a ledger with a list of all messages that were sent.
func TestLedger(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var l Ledger
	type message struct {
		f    *wire.Frame
		at   time.Duration
		gone bool
	}
	var sent []*message
	var early []uint64 // numbers of those that are acknowledged, and not known to be written
	acked := 0
	for step := range 20_000 {
		now := time.Duration(step)
		switch rng.IntN(8) {
		case 0:
			count := acked + rng.IntN(len(sent)-acked+1)
			var want time.Duration
			some := false
			for _, m := range sent[acked:count] {
				if !m.gone {
					m.gone, want, some = true, m.at, true
				}
			}
			acked = count
			freed, written := 0, uint64(rng.IntN(count+1))
			for e := range l.All() {
				if e.bytes != nil && e.Seq <= uint64(count) {
					early = append(early, e.Seq)
				}
			}
			wantFreed := len(early)
			early = slices.DeleteFunc(early, func(seq uint64) bool { return seq <= written })
			wantFreed -= len(early)
			at, any := l.Ack(uint64(count), written, func([]byte) { freed++ })
			if freed != wantFreed {
				t.Fatalf("Ack(%d) of %d written frees %d, want %d", count, written, freed, wantFreed)
			}
			if at != want || any != some {
				t.Fatalf("Ack(%d) = %v, %v; want %v, %v", count, at, any, want, some)
			}
		case 1:
			seq := rng.IntN(len(sent)+2) - 1
			var want *wire.Frame
			if seq >= 1 && seq <= len(sent) && !sent[seq-1].gone {
				want, sent[seq-1].gone = sent[seq-1].f, true
			}
			if got := l.Take(uint64(seq)); (got == nil) != (want == nil) || got != nil && !bytes.Equal(got.Bytes(), want.Bytes()) {
				t.Fatalf("Take(%d) = %v, want %v", seq, got, want)
			}
		case 2:
			if i := len(sent) - 1 - rng.IntN(3); i >= acked && !sent[i].gone {
				l.Unwritten(sent[i].f)
				sent = append(sent[:i], sent[i+1:]...)
			}
		case 3:
			if rng.IntN(20) == 0 {
				for _, e := range l.Empty(0) {
					if e.Copied = true; rng.IntN(2) == 0 {
						l.Keep(e)
					} else {
						sent[e.Seq-1].gone = true
					}
				}
			}
		default:
			m := &message{f: frame(t, step), at: now}
			if step%2 == 0 {
				l.Add(now, m.f)
			} else {
				l.AddBytes(now, m.f.Bytes())
			}
			sent = append(sent, m)
		}
		n, bytes := 0, 0
		for _, m := range sent {
			if !m.gone {
				n++
				bytes += m.f.Size()
			}
		}
		if l.Len() != n || l.Bytes() != bytes || l.Sent() != uint64(len(sent)) {
			t.Fatalf("step %d: %d entries, %d bytes, %d sent; want %d, %d, %d", step, l.Len(), l.Bytes(), l.Sent(), n, bytes, len(sent))
		}
		if len(sent) > 500 { // the check above would take long
			l, sent, early, acked = Ledger{}, nil, nil, 0
		}
	}
}

// TestLedgerLeavesOut checks that Empty leaves out the last messages, which were not written, also if one
// before them was taken.
func TestLedgerLeavesOut(t *testing.T) {
	var l Ledger
	a, b, c := frame(t, 1), frame(t, 2), frame(t, 3)
	l.Add(0, a)
	l.AddBytes(0, b.Bytes())
	l.Add(0, c)
	l.Take(2)
	if got := l.Empty(2); len(got) != 1 || got[0].Frame() != a || l.Len() != 0 || l.Bytes() != 0 {
		t.Errorf("Empty = %v, and %d are left", got, l.Len())
	}
}

// TestLedgerFreesItsRoom checks that a ledger that was long does not keep its memory, and that one whose
// entries come and go does not grow.
func TestLedgerFreesItsRoom(t *testing.T) {
	var l Ledger
	f := frame(t, 1)
	for n := range 100_000 {
		l.Add(0, f)
		if n >= 100 {
			l.Ack(uint64(n-100), 0, nil)
		}
	}
	if c := len(l.ring); c > 1000 {
		t.Errorf("room for %d entries, of which 100 are taken", c)
	}
	for range 10 * keep {
		l.Add(0, f)
	}
	l.Ack(l.Sent(), 0, nil)
	if l.Len() != 0 || len(l.ring) > keep {
		t.Errorf("%d entries, room for %d", l.Len(), len(l.ring))
	}
}

// TestPool checks that a pool returns its bytes again, and keeps no more than its limit.
func TestPool(t *testing.T) {
	var p Pool
	for _, size := range []int{1, 256, 257, 1280, 4000, 17 << 10} {
		b := p.Get(size)
		if len(b) != 0 || cap(b) < size {
			t.Fatalf("%d bytes for %d", cap(b), size)
		}
		b = append(b, 1)
		p.Put(b)
		if again := p.Get(size); &again[:1][0] != &b[0] {
			t.Errorf("other bytes for %d", size)
		}
	}
	p.Put(p.Get(17<<10 + 1)) // too large to be kept
	if p.bytes != 0 {
		t.Errorf("%d bytes are kept", p.bytes)
	}
	for range 2 * poolMost / 256 {
		p.Put(make([]byte, 0, 256))
	}
	if p.bytes != poolMost {
		t.Errorf("%d bytes are kept, want %d", p.bytes, poolMost)
	}
}
