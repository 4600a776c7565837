package protocol_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
)

// linkedPair returns two linked routers.
func linkedPair(t *testing.T) (r [2]*protocol.Router) {
	n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
	for i := range r {
		o := protocoltest.NewIdentity(uint64(i + 1)).Options()
		o.NoOverlay = true
		r[i] = n.Router(o)
	}
	n.Link(r[0], r[1])
	time.Sleep(time.Second)
	return r
}

func TestReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := linkedPair(t)

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := r[1].Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without a message: %v", err)
		}
		for i := range 3 {
			if err := r[0].Send(r[1].ID(), protocol.FormRaw, fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 2 {
			m, err := r[1].Receive(t.Context())
			if err != nil || string(m.Payload) != fmt.Sprint(i) || m.From != r[0].ID() || !m.Proved {
				t.Errorf("message %d: %+v, %v", i, m, err)
			}
		}
		waiting := make(chan error)
		go func() { // ends with the Close of r[0]
			_, err := r[0].Receive(t.Context())
			waiting <- err
		}()
		synctest.Wait()
		r[0].Close()
		if err := <-waiting; !errors.Is(err, protocol.ErrClosed) {
			t.Errorf("a call that waits during Close: %v", err)
		}
		r[1].Close()
		if m, err := r[1].Receive(t.Context()); err != nil || string(m.Payload) != "2" {
			t.Errorf("a message that waits during Close: %+v, %v", m, err)
		}
		if _, err := r[1].Receive(t.Context()); !errors.Is(err, protocol.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// TestReceiveIsBounded checks that few messages wait before the first call of Receive, and as
// many as in an inbox after it.
func TestReceiveIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := linkedPair(t)
		send := func(count int) (dropped uint64) {
			before := r[1].Stats().Dropped[protocol.DropInboxFull]
			for range count {
				if err := r[0].Send(r[1].ID(), protocol.FormRaw, []byte("x")); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			return r[1].Stats().Dropped[protocol.DropInboxFull] - before
		}
		if n := send(300); n != 300-256 {
			t.Errorf("%d of 300 messages before the first Receive were dropped, want 44", n)
		}
		if _, err := r[1].Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := send(300); n != 0 {
			t.Errorf("%d of 300 messages after the first Receive were dropped, want none", n)
		}
	})
}
