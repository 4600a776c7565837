package node

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
	"github.com/peer-relay/peer-relay/protocol"
)

// Updates of many goroutines leave the contact of the latest state.
func TestTheLatestContactIsStored(t *testing.T) {
	for range 100 {
		var (
			s      contactStore
			state  atomic.Int64
			stored protocol.Contact
			tasks  sync.WaitGroup
		)
		number := func(n int64) string { return string(rune('0' + n)) }
		for range 20 {
			tasks.Go(func() {
				state.Add(1)
				s.update(func() protocol.Contact {
					c := protocol.Contact{URL: number(state.Load())}
					runtime.Gosched()
					return c
				}, func(c protocol.Contact) { stored = c })
			})
		}
		tasks.Wait()
		if want := number(state.Load()); stored.URL != want {
			t.Fatalf("%q is stored, want %q", stored.URL, want)
		}
	}
}

// A hookedLog calls a function for each line.
type hookedLog struct{ line func(string) }

func (l hookedLog) Enabled(context.Context, slog.Level) bool { return true }
func (l hookedLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l hookedLog) WithGroup(string) slog.Handler            { return l }
func (l hookedLog) Handle(_ context.Context, r slog.Record) error {
	l.line(r.Message)
	return nil
}

// Close waits for a stream that a peer has opened and on which it says nothing, also on a host
// that lives on.
func TestCloseWaitsForHandshakes(t *testing.T) {
	closed := make(chan struct{})
	h := nodetest.Listening(t)
	n, err := Attach(h, Options{Logger: slog.New(hookedLog{func(line string) {
		if line != "no link" {
			return
		}
		select { // dawdle
		case <-closed:
			t.Error("Close returned before the handshake had ended")
		case <-time.After(100 * time.Millisecond):
		}
	}})})
	if err != nil {
		t.Fatal(err)
	}
	other := nodetest.StockHost(t)
	nodetest.Connect(t, other, peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()})
	s, err := other.NewStream(t.Context(), h.ID(), StreamProtocol)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Reset()
	if _, err := s.Read(make([]byte, 1)); err != nil { // its hello: so the handshake has begun
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	close(closed)
	// A test that fails must not end before its log does.
	h.Close()
}
