package protocol_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/kept"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
)

// A memory is a Store in memory.
type memory struct {
	mu       sync.Mutex
	messages []kept.Message
	refuses  error
}

func (m *memory) Keep(messages []*kept.Message) []error {
	m.mu.Lock()
	defer m.mu.Unlock()
	errs := make([]error, len(messages))
	for i, x := range messages {
		known := slices.ContainsFunc(m.messages, func(y kept.Message) bool { return x.From == y.From && x.E2E == y.E2E })
		switch {
		case m.refuses != nil:
			errs[i] = m.refuses
		case !known:
			x.Number = uint64(len(m.messages) + 1)
			m.messages = append(m.messages, *x)
		}
	}
	return errs
}

func (m *memory) Next(to protocol.ID, after uint64, count, size int) (batch []kept.Message, more bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, x := range m.messages {
		if x.To != to || x.Number <= after {
			continue
		}
		if len(batch) == count {
			return batch, true, nil
		}
		batch = append(batch, x)
	}
	return batch, false, nil
}

func (m *memory) Remove(to protocol.ID, numbers []uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.messages = slices.DeleteFunc(m.messages, func(x kept.Message) bool { return slices.Contains(numbers, x.Number) })
	return nil
}

func (m *memory) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.messages)
}

// mailbox returns the options of a mailbox.
func mailbox(seed uint64, s kept.Store) protocol.Options {
	o := keyed(seed)
	o.Store = s
	return o
}

func sendKept(t *testing.T, from *protocol.Router, to protocol.ID) (protocol.Receipt, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return from.SendKept(ctx, to, protocol.FormJSON, []byte(`"hi"`), time.Hour)
}

// besideMailbox returns a network of a peer and a mailbox that are linked, and what the mailbox keeps.
func besideMailbox(t *testing.T) (n *protocoltest.Network, store *memory, from, box *protocol.Router) {
	n = protocoltest.NewNetwork(t, protocoltest.PipeOptions{Latency: latency})
	store = new(memory)
	from, box = n.Router(keyed(1)), n.Router(mailbox(2, store))
	n.Link(from, box)
	time.Sleep(time.Second)
	return n, store, from, box
}

// A message for a peer that is offline is kept, and handed over once when that one has a link. The
// mailbox may have been started again, and the sender may be gone.
func TestSendKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store, from, box := besideMailbox(t)
		to := keyed(3)
		for range 3 {
			begun := time.Now()
			r, err := sendKept(t, from, to.ID)
			if err != nil || !r.IsKept() || r.Proved || r.Handed || r.Hops != 1 || r.Keeper != box.ID() || r.Kept.Sub(begun).Round(time.Second) != time.Hour {
				t.Fatalf("got %+v, %v", r, err)
			}
		}
		if store.len() != 3 {
			t.Fatalf("%d messages are kept, want 3", store.len())
		}
		n.Kill(from)
		n.Kill(box)
		box = n.Router(mailbox(2, store))
		for _, want := range []int{3, 0} { // it goes, and comes again
			var got diary
			receiver := n.Router(got.options(to))
			n.Link(box, receiver)
			time.Sleep(time.Minute)
			got.mu.Lock()
			if len(got.messages) != want || store.len() > 0 {
				t.Errorf("%d messages arrived, want %d, and %d are left", len(got.messages), want, store.len())
			}
			for _, m := range got.messages {
				if !m.Proved || m.From != from.ID() {
					t.Errorf("%+v arrived", m)
				}
			}
			got.mu.Unlock()
			n.Kill(receiver)
		}
		if s := box.Stats(); s.HandedOver != 3 {
			t.Errorf("%d messages were handed over, want 3", s.HandedOver)
		}
	})
}

// A receiver that is linked gets the message, and nothing is kept.
func TestSendKeptToALinkedPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{Latency: latency})
		store := new(memory)
		from, box, to := n.Router(keyed(1)), n.Router(mailbox(2, store)), n.Router(keyed(3))
		n.Link(from, box)
		n.Link(box, to)
		time.Sleep(time.Second)
		if r, err := sendKept(t, from, to.ID()); err != nil || !r.Proved || r.IsKept() || store.len() > 0 {
			t.Errorf("got %+v, %v, and %d messages are kept", r, err, store.len())
		}
	})
}

// Why a message is not kept is told to its sender.
func TestSendKeptThatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, store, from, box := besideMailbox(t)
		for refuses, want := range map[error]error{kept.ErrQuota: kept.ErrQuota, kept.ErrFull: kept.ErrFull, errors.New("any"): kept.ErrRefused} {
			store.refuses = refuses
			if r, err := sendKept(t, from, protocol.ID{9}); !errors.Is(err, want) || !errors.Is(err, protocol.ErrNoRoute) {
				t.Errorf("%v: got %+v, %v", refuses, r, err)
			}
		}
		if s := box.Stats(); s.KeepRefused == 0 || s.Kept > 0 {
			t.Errorf("%+v", s)
		}
	})
}

// A mailbox keeps only what its origin has signed.
func TestSendKeptWithAWrongSignature(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{Latency: latency})
		forger := keyed(1)
		sign := forger.Sign
		forger.Sign = func(data []byte) ([]byte, error) { return sign(append(data, 'x')) }
		store := new(memory)
		from, box := n.Router(forger), n.Router(mailbox(2, store))
		n.Link(from, box)
		time.Sleep(time.Second)
		if r, err := sendKept(t, from, protocol.ID{9}); !errors.Is(err, kept.ErrRefused) || store.len() > 0 {
			t.Errorf("got %+v, %v, and %d messages are kept", r, err, store.len())
		}
	})
}

// A peer that is no mailbox keeps nothing.
func TestSendKeptWithoutAMailbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, _, _ := chain(t, keyed(3))
		if r, err := sendKept(t, from, protocol.ID{9}); !errors.Is(err, protocol.ErrNoRoute) {
			t.Errorf("got %+v, %v", r, err)
		}
	})
}

func TestSendKeptArguments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{Latency: latency})
		signing, keyless := n.Router(keyed(1)), n.Router(quiet(2))
		for _, keep := range []time.Duration{-time.Hour, 0, time.Millisecond, kept.MaxTime + 1, 1<<63 - 1} {
			if _, err := signing.StartKept(protocol.ID{9}, protocol.FormNone, nil, keep); err == nil {
				t.Errorf("no error for %v", keep)
			}
		}
		if _, err := keyless.StartKept(protocol.ID{9}, protocol.FormNone, nil, time.Hour); err == nil {
			t.Error("no error without a key")
		}
		leaf := mailbox(3, new(memory))
		leaf.Role = protocol.RoleLeaf
		unsigned := quiet(4)
		unsigned.Store = new(memory)
		for _, o := range []protocol.Options{leaf, unsigned} {
			if r, err := protocol.NewRouter(o); err == nil {
				r.Close()
				t.Errorf("no error with a Store and role %v", o.Role)
			}
		}
	})
}

// In a network of many peers, of which some are mailboxes, each message is kept if a mailbox is among the
// eight peers that are nearest to the receiver, which then gets it once.
func TestMailboxesInANetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{Latency: latency})
		first := n.Router(protocoltest.NewIdentity(1).Options())
		stores := map[protocol.ID]*memory{first.ID(): nil}
		join := func(seed uint64, s *memory, d *diary) *protocol.Router {
			o := protocoltest.NewIdentity(seed).Options()
			o.Bootstraps = []protocol.Contact{protocoltest.Contact(first)}
			if s != nil {
				o.Store = s
			}
			return n.Router(d.options(o))
		}
		for seed := range uint64(20) {
			var s *memory
			if seed%3 == 0 {
				s = new(memory)
			}
			stores[join(seed+2, s, new(diary)).ID()] = s
		}
		sender := join(100, nil, new(diary))
		time.Sleep(2 * time.Minute)
		var sent []uint64 // the receivers near which there is a mailbox
		for seed := range uint64(4) {
			to := join(200+seed, nil, new(diary))
			time.Sleep(30 * time.Second)
			n.Kill(to)
			time.Sleep(10 * time.Second)
			if mailboxRank(to.ID(), stores) > 7 {
				continue
			}
			sent = append(sent, seed)
			if r, err := sendKept(t, sender, to.ID()); err != nil || stores[r.Keeper] == nil {
				t.Errorf("receiver %d, rank %d: %+v, %v", seed, mailboxRank(to.ID(), stores), r, err)
			}
		}
		if n := sum(stores); n < len(sent) || n < 2 {
			t.Errorf("%d messages are kept, want %d at least", n, len(sent))
		}
		for _, seed := range sent {
			var got diary
			join(200+seed, nil, &got)
			time.Sleep(time.Minute)
			got.mu.Lock()
			if len(got.messages) != 1 {
				t.Errorf("receiver %d got %d messages", seed, len(got.messages))
			}
			got.mu.Unlock()
		}
	})
}

// sum returns the number of messages in stores.
func sum(stores map[protocol.ID]*memory) (n int) {
	for _, s := range stores {
		if s != nil {
			n += s.len()
		}
	}
	return n
}

// mailboxRank returns how many peers are nearer to an id than the nearest mailbox.
func mailboxRank(to protocol.ID, stores map[protocol.ID]*memory) int {
	ids := slices.Collect(maps.Keys(stores))
	slices.SortFunc(ids, func(a, b protocol.ID) int {
		if to.Closer(a, b) {
			return -1
		}
		return 1
	})
	return slices.IndexFunc(ids, func(id protocol.ID) bool { return stores[id] != nil })
}
