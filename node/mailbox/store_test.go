package mailbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/kept"
)

func open(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// message returns a message of a sender for a receiver, with a body of some bytes.
func message(from, to byte, n, size int) *kept.Message {
	m := &kept.Message{To: protocol.ID{to}, From: protocol.ID{from}, Until: time.Now().Add(time.Hour).Truncate(time.Millisecond),
		Body: bytes.Repeat([]byte{byte(n)}, size), Sig: []byte{from, to}, Nonce: []byte("17")}
	copy(m.E2E[:], fmt.Sprintf("%d %d", from, n))
	return m
}

// keep stores messages, and fails the test if one is refused.
func keep(t *testing.T, s *Store, messages ...*kept.Message) {
	t.Helper()
	if err := errors.Join(s.Keep(messages)...); err != nil {
		t.Fatal(err)
	}
}

func next(t *testing.T, s *Store, to byte, after uint64, count, size int) ([]kept.Message, bool) {
	t.Helper()
	got, more, err := s.Next(protocol.ID{to}, after, count, size)
	if err != nil {
		t.Fatal(err)
	}
	return got, more
}

// A message that was kept is there after the file was opened again, in its order, and one that was removed is not.
func TestReopen(t *testing.T) {
	o := Options{Dir: filepath.Join(t.TempDir(), "new", "box")}
	s := open(t, o)
	var want []kept.Message
	for i := range 5 {
		m := message(1, 2, i, 100)
		keep(t, s, message(1, 3, 100+i, 10), m)
		want = append(want, *m)
	}
	if err := s.Remove(protocol.ID{2}, []uint64{want[1].Number, want[3].Number, 999}); err != nil {
		t.Fatal(err)
	}
	want = []kept.Message{want[0], want[2], want[4]}
	stats := s.Stats()
	for range 2 {
		got, more := next(t, s, 2, 0, 10, 1<<20)
		if more || !reflect.DeepEqual(got, want) {
			t.Errorf("got %v and more %v, want %v", got, more, want)
		}
		if s.Stats() != stats || stats.Messages != 8 {
			t.Errorf("got %+v, want %+v", s.Stats(), stats)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, o)
	}
	later := message(1, 2, 50, 1)
	if keep(t, s, later); later.Number <= want[2].Number {
		t.Errorf("number %d follows %d", later.Number, want[2].Number)
	}
}

// A batch has a bound, and has one message at least.
func TestBatches(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	for i := range 10 {
		keep(t, s, message(1, 2, i, 1000))
	}
	for _, c := range []struct{ count, size, want int }{{3, 1 << 20, 3}, {100, 2500, 2}, {100, 1, 1}, {1, 0, 1}} {
		var all int
		var after uint64
		for more := true; more; {
			var got []kept.Message
			if got, more = next(t, s, 2, after, c.count, c.size); len(got) == 0 || more && len(got) != c.want {
				t.Fatalf("%+v: %d messages after %d", c, len(got), after)
			}
			all, after = all+len(got), got[len(got)-1].Number
		}
		if all != 10 {
			t.Errorf("%+v: %d messages in all", c, all)
		}
	}
	if got, more := next(t, s, 9, 0, 10, 10); len(got) > 0 || more {
		t.Errorf("for another peer: %v, %v", got, more)
	}
}

// Further attempts of a message are kept once, also in one batch, and have the time of the first.
func TestDuplicates(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir(), MaxAge: time.Minute})
	first, again, late := message(1, 2, 1, 10), message(1, 2, 1, 10), message(1, 2, 1, 10)
	keep(t, s, first, again)
	keep(t, s, late)
	if !again.Until.Equal(first.Until) || !late.Until.Equal(first.Until) || time.Until(first.Until) > time.Minute {
		t.Errorf("kept until %v, %v, %v", first.Until, again.Until, late.Until)
	}
	keep(t, s, message(3, 2, 1, 10)) // of another sender
	if n := s.Stats().Messages; n != 2 {
		t.Errorf("%d messages are kept, want 2", n)
	}
}

func TestQuotas(t *testing.T) {
	one := encode(message(1, 2, 0, 1000)).size()
	s := open(t, Options{Dir: t.TempDir(), MaxBytes: 4 * one, MaxSender: 2 * one, MaxReceiver: 3 * one})
	for _, c := range []struct {
		from, to byte
		want     error
	}{
		{1, 2, nil}, {1, 3, nil}, {1, 4, kept.ErrQuota}, {5, 2, nil}, {5, 2, nil}, {6, 2, kept.ErrFull},
	} {
		if err := s.Keep([]*kept.Message{message(c.from, c.to, 10*int(c.to)+s.Stats().Messages, 1000)})[0]; !errors.Is(err, c.want) {
			t.Errorf("from %d to %d: %v, want %v", c.from, c.to, err, c.want)
		}
	}
	got, _ := next(t, s, 2, 0, 10, 1<<20)
	if len(got) != 3 || s.Remove(got[1].To, []uint64{got[1].Number}) != nil {
		t.Fatalf("%d messages", len(got))
	}
	keep(t, s, message(7, 2, 9, 1000)) // there is room again
	if err := s.Keep([]*kept.Message{message(7, 2, 8, 1)})[0]; !errors.Is(err, kept.ErrFull) {
		t.Errorf("beyond the bound: %v", err)
	}
	// The messages of one batch are counted beside each other.
	small := open(t, Options{Dir: t.TempDir(), MaxBytes: 9 * one, MaxSender: one})
	errs := small.Keep([]*kept.Message{message(1, 2, 1, 1000), message(1, 2, 2, 1000)})
	if errs[0] != nil || !errors.Is(errs[1], kept.ErrQuota) || small.Stats().Messages != 1 {
		t.Errorf("one batch: %v", errs)
	}
	many := open(t, Options{Dir: t.TempDir(), MaxBytes: 9 * one, MaxReceiver: one})
	keep(t, many, message(1, 2, 1, 1000))
	if err := many.Keep([]*kept.Message{message(3, 2, 1, 1000)})[0]; !errors.Is(err, kept.ErrQuota) {
		t.Errorf("for one receiver: %v", err)
	}
}

// A message whose time is over is not handed over, and is removed.
func TestExpiry(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	over := message(1, 2, 1, 10)
	over.Until = time.Now().Add(-time.Millisecond)
	keep(t, s, over, message(1, 2, 2, 10))
	if got, _ := next(t, s, 2, 0, 10, 1<<20); len(got) != 1 || got[0].Body[0] != 2 {
		t.Errorf("got %v", got)
	}
	if s.expire(time.Now()); s.Stats().Messages != 1 {
		t.Errorf("%d messages are left, want 1", s.Stats().Messages)
	}
	if s.expire(time.Now().Add(2 * time.Hour)); s.Stats() != (Stats{}) {
		t.Errorf("%+v is left", s.Stats())
	}
	if len(s.index.senders)+len(s.index.receivers)+len(s.index.entries) > 0 {
		t.Errorf("the index has %+v", s.index)
	}
}

// A write that fails is told for each message, leaves nothing behind, and takes nothing along.
func TestFailedWrite(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	keep(t, s, message(1, 2, 1, 10))
	stats := s.Stats()
	s.db.Close()
	for i, err := range s.Keep([]*kept.Message{message(1, 2, 1, 10), message(1, 2, 2, 10), message(1, 2, 2, 10), message(1, 3, 3, 10)}) {
		if (err == nil) != (i == 0) {
			t.Errorf("message %d: %v", i, err)
		}
	}
	if s.Remove(protocol.ID{2}, []uint64{1}) == nil {
		t.Error("no error of Remove")
	}
	if s.Stats() != stats {
		t.Errorf("got %+v, want %+v", s.Stats(), stats)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	open(t, Options{Dir: dir})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(t.TempDir(), "damaged")
	s := open(t, Options{Dir: damaged})
	err := s.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucket).Put([]byte("short"), nil) })
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	for want, o := range map[string]Options{
		"another process":  {Dir: dir},
		"no directory":     {},
		"not a directory":  {Dir: file},
		"damaged":          {Dir: damaged},
		"for all messages": {Dir: t.TempDir(), MaxBytes: -1},
		"for one sender":   {Dir: t.TempDir(), MaxSender: 1 << 40},
		"for one receiver": {Dir: t.TempDir(), MaxReceiver: -1},
		"an age of -1h":    {Dir: t.TempDir(), MaxAge: -time.Hour},
		"an age of 721h":   {Dir: t.TempDir(), MaxAge: 721 * time.Hour},
	} {
		if s, err := Open(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
			if err == nil {
				s.Close()
			}
		}
	}
}
