package protocol_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
)

// keyed returns the options of a peer with a key and without an overlay.
func keyed(seed uint64) protocol.Options {
	o := protocoltest.NewIdentity(seed).Options()
	o.NoOverlay = true
	return o
}

// chain returns a sender, a relay and a receiver in a line.
func chain(t *testing.T, receiver protocol.Options) (from, relay, to *protocol.Router) {
	n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{Latency: latency})
	from, relay, to = n.Router(keyed(1)), n.Router(keyed(2)), n.Router(receiver)
	n.Link(from, relay)
	n.Link(relay, to)
	time.Sleep(time.Second)
	return from, relay, to
}

func reliably(t *testing.T, from *protocol.Router, to protocol.ID, within time.Duration) (protocol.Receipt, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return from.SendReliable(ctx, to, protocol.FormJSON, []byte(`"hi"`))
}

func TestSendReliable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got diary
		from, _, to := chain(t, got.options(keyed(3)))
		r, err := reliably(t, from, to.ID(), time.Minute)
		if want := (protocol.Receipt{Proved: true, Hops: 2, Took: 4 * latency}); err != nil || r != want {
			t.Errorf("got %+v, %v, want %+v", r, err, want)
		}
		synctest.Wait() // for the handler
		if len(got.messages) != 1 {
			t.Errorf("%d messages arrived", len(got.messages))
		}
		if r, err := reliably(t, from, from.ID(), time.Minute); err != nil || r != (protocol.Receipt{Proved: true}) {
			t.Errorf("to this peer itself: %+v, %v", r, err)
		}
		if n := from.Stats().Retries; n > 0 {
			t.Errorf("%d further copies", n)
		}
	})
}

// A peer without a key makes receipts that any peer could make.
func TestSendReliableWithoutAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got diary
		from, _, to := chain(t, got.options(quiet(3)))
		r, err := reliably(t, from, to.ID(), time.Minute)
		if err != nil || r.Proved || r.Handed || r.Hops != 2 {
			t.Errorf("got %+v, %v", r, err)
		}
	})
}

func TestSendReliableWithoutAReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, _, _ := chain(t, keyed(3))
		start := time.Now()
		if r, err := reliably(t, from, protocoltest.NewIdentity(9).Options().ID, time.Minute); !errors.Is(err, protocol.ErrNoRoute) {
			t.Errorf("got %+v, %v", r, err)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// A receiver whose application has no room for a message makes no receipt for it.
func TestSendReliableToAFullMailbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, _, to := chain(t, keyed(3)) // Receive is not called
		n := 0
		for ; ; n++ {
			if r, err := reliably(t, from, to.ID(), 5*time.Second); errors.Is(err, context.DeadlineExceeded) {
				break
			} else if err != nil || !r.Proved || n > 1<<16 {
				t.Fatalf("message %d: %+v, %v", n, r, err)
			}
		}
		go func() { // the room comes while further attempts are made
			time.Sleep(2500 * time.Millisecond)
			to.Receive(t.Context())
		}()
		if r, err := reliably(t, from, to.ID(), 10*time.Second); err != nil || !r.Proved {
			t.Errorf("a message that had no room at first: %+v, %v", r, err)
		}
		for i := range n {
			if _, err := to.Receive(t.Context()); err != nil {
				t.Fatalf("message %d of %d that have receipts: %v", i, n, err)
			}
		}
		synctest.Wait()
		more, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if m, err := to.Receive(more); err == nil {
			t.Errorf("%s arrived twice", m.Payload)
		}
	})
}

func TestSendReliableEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
		alone := n.Router(keyed(1))
		if _, err := reliably(t, alone, id(2), time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without a link: %v", err)
		}
		go func() {
			time.Sleep(time.Second)
			alone.Close()
		}()
		if _, err := alone.SendReliable(t.Context(), id(2), protocol.FormRaw, nil); !errors.Is(err, protocol.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		if _, err := alone.SendReliable(t.Context(), id(2), protocol.FormRaw, nil); !errors.Is(err, protocol.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		if _, err := alone.SendReliable(t.Context(), id(2), protocol.FormRaw, make([]byte, 64_001)); !errors.Is(err, protocol.ErrTooBig) {
			t.Errorf("too big: %v", err)
		}
	})
}

// Messages in flight arrive in the order of StartReliable.
func TestStartReliable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got diary
		from, _, to := chain(t, got.options(keyed(3)))
		const sent = 100
		var waits []func(context.Context) (protocol.Receipt, error)
		for i := range sent {
			wait, err := from.StartReliable(to.ID(), protocol.FormRaw, []byte{byte(i)})
			if err != nil {
				t.Fatal(err)
			}
			waits = append(waits, wait)
		}
		for i, wait := range waits {
			if r, err := wait(t.Context()); err != nil || !r.Proved {
				t.Errorf("message %d: %+v, %v", i, r, err)
			}
		}
		synctest.Wait() // for the handlers
		for i, m := range got.messages {
			if int(m.Payload[0]) != i {
				t.Fatalf("message %d arrived as number %d", m.Payload[0], i)
			}
		}
		if len(got.messages) != sent {
			t.Errorf("%d of %d messages arrived", len(got.messages), sent)
		}
	})
}

// Close does not name a message whose sender was told that it has no receipt.
func TestSendReliableIsNotUnsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, relay, _ := chain(t, keyed(3))
		relay.Close()
		if _, err := reliably(t, from, id(2), time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without a link: %v", err)
		}
		if err := from.Close(); err != nil {
			t.Error(err)
		}
	})
}
