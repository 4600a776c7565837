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

// TestTheLatestContactIsStored checks that after updates by many goroutines the contact of the
// latest state is stored.
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

// A hookedLog is a log handler that calls a function for each line.
type hookedLog struct{ line func(string) }

func (l hookedLog) Enabled(context.Context, slog.Level) bool { return true }
func (l hookedLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l hookedLog) WithGroup(string) slog.Handler            { return l }
func (l hookedLog) Handle(_ context.Context, r slog.Record) error {
	l.line(r.Message)
	return nil
}

// TestCloseWaitsForHandshakes checks that Close waits for a stream that a silent peer has
// opened, also on a host that stays open.
func TestCloseWaitsForHandshakes(t *testing.T) {
	closed := make(chan struct{})
	h := nodetest.Listening(t)
	n, err := Attach(h, Options{Logger: slog.New(hookedLog{func(line string) {
		if line != "no link" {
			return
		}
		select { // stay for a while
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
	if _, err := s.Read(make([]byte, 1)); err != nil { // the node's hello, so the handshake has begun
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	close(closed)
	// A failing test must not end before its log does.
	h.Close()
}
