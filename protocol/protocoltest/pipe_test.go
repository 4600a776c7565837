package protocoltest

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func pair(o PipeOptions) (*End, *End) {
	return Pipe(protocol.LinkInfo{ID: protocol.ID{2}}, protocol.LinkInfo{ID: protocol.ID{1}}, o)
}

func write(t *testing.T, e *End, frames ...*wire.Frame) {
	t.Helper()
	for _, f := range frames {
		if err := e.WriteFrame(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Flush(); err != nil {
		t.Fatal(err)
	}
}

func TestPipeOrderAndLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(PipeOptions{Latency: 100 * time.Millisecond})
		if a.Info().ID != (protocol.ID{2}) || b.Info().ID != (protocol.ID{1}) {
			t.Error("an end has the LinkInfo of the other")
		}
		start := time.Now()
		write(t, a, wire.NewPing(1), wire.NewPing(2))
		time.Sleep(50 * time.Millisecond)
		write(t, a, wire.NewPing(3), wire.NewBye(wire.ByeNormal), wire.NewPing(4))
		for i, want := range []time.Duration{100, 100, 150, 150} {
			f, err := b.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			if i < 3 && f.Num != uint64(i+1) || i == 3 && f.Type != wire.FrameBye {
				t.Errorf("frame %d is %v %d", i, f.Type, f.Num)
			}
			if got := time.Since(start); got != want*time.Millisecond {
				t.Errorf("frame %d took %v", i, got)
			}
		}
		if _, err := b.ReadFrame(); err != io.EOF {
			t.Errorf("after the bye: %v", err)
		}
		write(t, b, wire.NewPong(9)) // the other direction is still open
		if f, err := a.ReadFrame(); err != nil || f.Num != 9 {
			t.Errorf("the other direction: %v", err)
		}
	})
}

// TestPipeFlush checks that a frame arrives only after a flush, and that the reader gets a
// frame of its own.
func TestPipeFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(PipeOptions{})
		got := make(chan *wire.Frame, 1)
		go func() { // ends with the frame
			f, _ := b.ReadFrame()
			got <- f
		}()
		f := wire.NewPing(1)
		if err := a.WriteFrame(f); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(got) != 0 {
			t.Error("the frame arrived before the flush")
		}
		if err := a.Flush(); err != nil {
			t.Fatal(err)
		}
		if g := <-got; g == f || g.Num != 1 {
			t.Error("the reader got the writer's frame, or another one")
		}
	})
}

func TestPipeBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(PipeOptions{Bandwidth: 10})
		start := time.Now()
		write(t, a, wire.NewPing(1), wire.NewPing(2)) // 9 bytes each
		for range 2 {
			if _, err := b.ReadFrame(); err != nil {
				t.Fatal(err)
			}
		}
		if got := time.Since(start); got != 1800*time.Millisecond {
			t.Errorf("18 bytes took %v", got)
		}
	})
}

// TestPipeBlocks checks that a writer waits while the other end does not read, or its own end
// is blocked, and that the wait ends with the link.
func TestPipeBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, end := range []func(a, b *End){
			func(a, _ *End) { a.Close() },
			func(_, b *End) { b.Close() },
			func(a, _ *End) { a.Break() },
			func(_, b *End) { b.Break() },
		} {
			for _, blocked := range []bool{false, true} {
				a, b := pair(PipeOptions{Window: 100})
				if blocked {
					a.Block()
				}
				done := make(chan error, 1)
				go func() { // ends with the link
					for {
						if err := errors.Join(a.WriteFrame(wire.NewPing(1)), a.Flush()); err != nil {
							done <- err
							return
						}
					}
				}()
				synctest.Wait()
				if len(done) != 0 {
					t.Fatalf("the writer does not wait: %v", <-done)
				}
				end(a, b)
				if err := <-done; err == nil {
					t.Error("no error")
				}
				a.Close()
			}
		}
		a, b := pair(PipeOptions{})
		a.Block()
		go func() { // ends after Unblock
			time.Sleep(time.Second)
			a.Unblock()
		}()
		write(t, a, wire.NewPing(1))
		if _, err := b.ReadFrame(); err != nil {
			t.Error(err)
		}
	})
}

func TestPipeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(PipeOptions{Latency: time.Second})
		write(t, a, wire.NewPing(1))
		a.Close()
		a.Close()
		if _, err := a.ReadFrame(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read from a closed end: %v", err)
		}
		if err := errors.Join(a.WriteFrame(wire.NewPing(1)), a.Flush()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write to a closed end: %v", err)
		}
		if f, err := b.ReadFrame(); err != nil || f.Num != 1 {
			t.Errorf("a frame in flight: %v", err)
		}
		if _, err := b.ReadFrame(); err != io.EOF {
			t.Errorf("the other end reads %v", err)
		}
		if err := errors.Join(b.WriteFrame(wire.NewPing(1)), b.Flush()); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the other end writes: %v", err)
		}

		a, b = pair(PipeOptions{Latency: time.Second})
		write(t, a, wire.NewPing(1))
		a.Break()
		for _, e := range []*End{a, b} {
			if _, err := e.ReadFrame(); !errors.Is(err, ErrBroken) {
				t.Errorf("read from a broken link: %v", err)
			}
			if err := errors.Join(e.WriteFrame(wire.NewPing(1)), e.Flush()); !errors.Is(err, ErrBroken) {
				t.Errorf("write to a broken link: %v", err)
			}
		}
	})
}

// TestIdentity checks that Verify accepts the signatures of an identity, and no others.
func TestIdentity(t *testing.T) {
	a, b := NewIdentity(1), NewIdentity(2)
	sig, err := a.Sign([]byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	if id, ok := Verify(a.Key, []byte("text"), sig); !ok || id != a.ID {
		t.Error("a valid signature is refused")
	}
	for name, ok := range map[string]bool{
		"other text": second(Verify(a.Key, []byte("texT"), sig)),
		"other key":  second(Verify(b.Key, []byte("text"), sig)),
		"no key":     second(Verify(nil, []byte("text"), sig)),
	} {
		if ok {
			t.Errorf("%s: an invalid signature is accepted", name)
		}
	}
	if a.ID == b.ID || NewIdentity(1).ID != a.ID {
		t.Error("the seed does not determine the identity")
	}
}

func second(_ protocol.ID, ok bool) bool { return ok }
