package protocol_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
)

// named returns the options of a peer with a key, without an overlay, and with the name of a program.
func named(seed uint64, agent string) protocol.Options {
	o := keyed(seed)
	o.Agent = agent
	return o
}

// row returns routers in a line.
func row(t *testing.T, options ...protocol.Options) []*protocol.Router {
	n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{Latency: latency})
	var all []*protocol.Router
	for i, o := range options {
		all = append(all, n.Router(o))
		if i > 0 {
			n.Link(all[i-1], all[i])
		}
	}
	time.Sleep(time.Second)
	return all
}

func soon(t *testing.T, within time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), within)
	t.Cleanup(cancel)
	return ctx
}

func TestPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got diary
		all := row(t, keyed(1), keyed(2), got.options(keyed(3)))
		from, to := all[0], all[2]
		r, err := from.Ping(soon(t, time.Minute), to.ID())
		if want := (protocol.Receipt{Proved: true, Hops: 2, Took: 4 * latency}); err != nil || r != want {
			t.Errorf("got %+v, %v, want %+v", r, err, want)
		}
		if r, err := from.Ping(soon(t, time.Minute), from.ID()); err != nil || r != (protocol.Receipt{Proved: true}) {
			t.Errorf("to this peer itself: %+v, %v", r, err)
		}
		synctest.Wait()
		if len(got.messages) > 0 {
			t.Errorf("the application got %v", got.messages)
		}
		if s := to.Stats(); s.Delivered > 0 || s.Dropped.Total() > 0 {
			t.Errorf("%d messages were delivered to the receiver; dropped: %v", s.Delivered, s.Dropped)
		}
		if s := from.Stats(); s.Sent > 0 || s.Delivered > 0 {
			t.Errorf("%d messages of an application were sent, %d delivered", s.Sent, s.Delivered)
		}
	})
}

func TestPingWithoutAReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := row(t, keyed(1), named(2, "relay/2"))
		absent := protocoltest.NewIdentity(9).Options().ID
		if r, err := all[0].Ping(soon(t, time.Minute), absent); !errors.Is(err, protocol.ErrNoRoute) {
			t.Errorf("got %+v, %v", r, err)
		}
		hops, _, err := all[0].Trace(soon(t, time.Minute), absent)
		want := []protocol.Hop{{ID: all[1].ID(), Told: true, Link: "native", RTT: 2 * latency, Agent: "relay/2"}}
		if !errors.Is(err, protocol.ErrNoRoute) || !reflect.DeepEqual(hops, want) {
			t.Errorf("the trace found %+v, %v, want %+v", hops, err, want)
		}
	})
}

func TestPingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := row(t, keyed(1))
		if _, err := all[0].Ping(soon(t, time.Second), id(2)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without a link: %v", err)
		}
		all[0].Close()
		if _, err := all[0].Ping(t.Context(), id(2)); !errors.Is(err, protocol.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hidden := named(3, "hidden/1")
		hidden.NoTrace = true
		all := row(t, keyed(1), named(2, "relay/2"), hidden, named(4, "end/4"))
		begun := time.Now()
		hops, r, err := all[0].Trace(soon(t, time.Minute), all[3].ID())
		want := []protocol.Hop{
			{ID: all[1].ID(), Told: true, InPath: true, Link: "native", RTT: 2 * latency, Agent: "relay/2"},
			{ID: all[2].ID(), InPath: true},
			{ID: all[3].ID(), Told: true, InPath: true, Link: "native", RTT: 6 * latency, Agent: "end/4"},
		}
		if err != nil || !reflect.DeepEqual(hops, want) || r != (protocol.Receipt{Proved: true, Hops: 3, Took: 6 * latency}) {
			t.Errorf("got %+v, %+v, %v, want %+v", hops, r, err, want)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// If all peers report, the trace ends with the receipt.
func TestTraceEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := row(t, keyed(1), keyed(2), keyed(3))
		begun := time.Now()
		hops, _, err := all[0].Trace(soon(t, time.Minute), all[2].ID())
		if took := time.Since(begun); err != nil || len(hops) != 2 || !hops[0].Told || took != 4*latency {
			t.Errorf("after %v: %+v, %v", took, hops, err)
		}
	})
}

// A relay reports little for one link, however many traces it brings, and passes all of them on.
func TestTracesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := row(t, keyed(1), keyed(2), keyed(3))
		told := 0
		const sent = 100
		for range sent {
			hops, r, err := all[0].Trace(soon(t, time.Minute), all[2].ID())
			if err != nil || !r.Proved || len(hops) != 2 || hops[0].ID != all[1].ID() {
				t.Fatalf("%+v, %+v, %v", hops, r, err)
			}
			if hops[0].Told {
				told++
			}
		}
		if told < 16 || told >= sent {
			t.Errorf("the relay reported %d of %d", told, sent)
		}
	})
}

// A peer without a key cannot have others report: its traces have only the path.
func TestTraceWithoutAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := row(t, quiet(1), keyed(2), keyed(3))
		hops, r, err := all[0].Trace(soon(t, time.Minute), all[2].ID())
		if err != nil || len(hops) != 2 || hops[0].Told || hops[1].Told || hops[0].ID != all[1].ID() || hops[0].Link != "native" {
			t.Errorf("got %+v, %+v, %v", hops, r, err)
		}
	})
}
