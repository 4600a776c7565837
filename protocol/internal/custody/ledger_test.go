package custody

import (
	"math/rand/v2"
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
			if at, any := l.Ack(uint64(count)); at != want || any != some {
				t.Fatalf("Ack(%d) = %v, %v; want %v, %v", count, at, any, want, some)
			}
		case 1:
			seq := rng.IntN(len(sent)+2) - 1
			var want *wire.Frame
			if seq >= 1 && seq <= len(sent) && !sent[seq-1].gone {
				want, sent[seq-1].gone = sent[seq-1].f, true
			}
			if got := l.Take(uint64(seq)); got != want {
				t.Fatalf("Take(%d) = %p, want %p", seq, got, want)
			}
		case 2:
			if i := len(sent) - 1 - rng.IntN(3); i >= acked && !sent[i].gone {
				l.Unwritten(sent[i].f)
				sent = append(sent[:i], sent[i+1:]...)
			}
		case 3:
			if rng.IntN(20) == 0 {
				for _, e := range l.Empty(nil) {
					if e.Copied = true; rng.IntN(2) == 0 {
						l.Keep(e)
					} else {
						sent[e.Seq-1].gone = true
					}
				}
			}
		default:
			m := &message{f: frame(t, step), at: now}
			l.Add(now, m.f)
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
			l, sent, acked = Ledger{}, nil, 0
		}
	}
}

// TestLedgerLeavesOut checks that Empty leaves out what was not written.
func TestLedgerLeavesOut(t *testing.T) {
	var l Ledger
	a, b := frame(t, 1), frame(t, 2)
	l.Add(0, a)
	l.Add(0, b)
	if got := l.Empty([]*wire.Frame{b}); len(got) != 1 || got[0].Frame != a || l.Len() != 0 || l.Bytes() != 0 {
		t.Errorf("Empty = %v, and %d are left", got, l.Len())
	}
}

// TestLedgerFreesItsRoom checks that a ledger that was long does not keep its memory, and that a
// long one moves its entries seldom.
func TestLedgerFreesItsRoom(t *testing.T) {
	var l Ledger
	f := frame(t, 1)
	for n := range 100_000 {
		l.Add(0, f)
		if n >= 100 {
			l.Ack(uint64(n - 100))
		}
	}
	if c := cap(l.entries); c > 1000 {
		t.Errorf("room for %d entries, of which 100 are taken", c)
	}
	for range 10 * keep {
		l.Add(0, f)
	}
	l.Ack(l.Sent())
	if l.Len() != 0 || cap(l.entries) > keep {
		t.Errorf("%d entries, room for %d", l.Len(), cap(l.entries))
	}
}
