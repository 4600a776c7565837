package protocol_test

import (
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A meter counts the bytes of one direction of a link.
type meter struct {
	sent, got atomic.Uint64
	byed      atomic.Bool // the bye was read
}

// A meteredEnd is an end of a link that knows what the other end has got.
type meteredEnd struct {
	*protocoltest.End
	in, out *meter
}

func (e meteredEnd) ReadFrame() (*wire.Frame, error) {
	f, err := e.End.ReadFrame()
	if err == nil {
		e.in.got.Add(uint64(f.Size()))
		e.in.byed.Store(f.Type == wire.FrameBye)
	}
	return f, err
}

func (e meteredEnd) WriteFrame(f *wire.Frame) error {
	e.out.sent.Add(uint64(f.Size()))
	return e.End.WriteFrame(f)
}

// Close loses what is in flight if the bye of the other end was not read, as a stream does.
func (e meteredEnd) Close() error {
	if !e.in.byed.Load() {
		e.Break()
	}
	return e.End.Close()
}

func (e meteredEnd) Progress() protocol.Progress {
	got := e.out.got.Load()
	return protocol.Progress{Received: e.in.got.Load(), Known: true, Acked: got, Pending: e.out.sent.Load() - got, Moves: got}
}

// TestReplacedLinkFlowsToItsEnd has a better link replace one over a slow line, on which much is
// in flight. A message of 10,000 bytes takes longer than an end waits for the next frame.
func TestReplacedLinkFlowsToItsEnd(t *testing.T) {
	for _, size := range []int{1000, 10_000} {
		t.Run(strconv.Itoa(size), func(t *testing.T) { replaceSlowLink(t, size) })
	}
}

func replaceSlowLink(t *testing.T, size int) {
	synctest.Test(t, func(t *testing.T) {
		n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
		var got diary
		a, b := n.Router(quiet(1)), n.Router(got.options(quiet(2)))
		atA, atB := protocoltest.Infos(a.ID(), b.ID(), 100)
		x, y := protocoltest.Pipe(atA, atB, protocoltest.PipeOptions{Bandwidth: 8000, Window: 1 << 20})
		up, down := new(meter), new(meter)
		n.Serve(a, meteredEnd{x, down, up})
		n.Serve(b, meteredEnd{y, up, down})
		time.Sleep(time.Second)
		count := 200_000 / size // 25 s of the line
		for range count {
			if err := a.Send(b.ID(), protocol.FormRaw, make([]byte, size)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		n.Link(a, b)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(got.messages) != count {
			t.Errorf("%d of %d messages arrived", len(got.messages), count)
		}
		if p := down.sent.Load(); p == 0 {
			t.Error("no bye on the slow link")
		}
	})
}
