package protocol_test

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A benchLink is a source of frames for a router, or a sink. Source and sink share a window.
type benchLink struct {
	info   protocol.LinkInfo
	frames [][]byte
	window chan struct{} // holds a token for each message in flight
	want   int64         // messages
	taken  *atomic.Int64 // messages that arrived at the sink
	done   chan struct{} // closed when all messages have arrived
}

func (l *benchLink) Info() protocol.LinkInfo { return l.info }

func (l *benchLink) ReadFrame() (*wire.Frame, error) {
	if len(l.frames) == 0 {
		<-l.done
		return nil, io.EOF
	}
	l.window <- struct{}{}
	f, err := wire.ParseFrame(l.frames[0])
	l.frames = l.frames[1:]
	return f, err
}

func (l *benchLink) WriteFrame(f *wire.Frame) error {
	if f.Type == wire.FrameMessage && f.Body.Kind == wire.KindUser {
		if _, err := f.WriteTo(io.Discard); err != nil {
			return err
		}
		<-l.window
		if l.taken.Add(1) == l.want {
			close(l.done)
		}
	}
	return nil
}

func (l *benchLink) Flush() error { return nil }
func (l *benchLink) Close() error { return nil }

// BenchmarkRouterHop measures one message through a router, from reading to writing, with 64
// messages in flight.
func BenchmarkRouterHop(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 16 << 10} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) { benchRouterHop(b, size) })
	}
}

func benchRouterHop(b *testing.B, size int) {
	from, me, to := protocoltest.NewIdentity(1), protocoltest.NewIdentity(2), protocoltest.NewIdentity(3)
	o := me.Options()
	o.NoOverlay = true
	r := must(protocol.NewRouter(o))
	body := wire.Body{To: to.ID, From: from.ID, Form: wire.FormRaw, Payload: make([]byte, size)}
	if err := body.Encode(); err != nil {
		b.Fatal(err)
	}
	var frames [][]byte
	for i := range b.N { // each with another nonce, since the router drops duplicates
		f := must(wire.NewMessageFrame(wire.MessageFields{Hop: wire.NewHop(), Nonce: strconv.AppendInt(nil, int64(i), 10), Body: body, Path: []wire.ID{from.ID}}))
		all := must(f.AppendTo(nil))
		frames = append(frames, all[len(all)-f.Size():])
	}
	window, done, taken := make(chan struct{}, 64), make(chan struct{}), new(atomic.Int64)
	link := func(id protocol.ID, frames [][]byte) *benchLink {
		info := protocol.LinkInfo{ID: id, Kind: protocol.LinkNative, Proved: true, Opener: id.String()}
		return &benchLink{info: info, frames: frames, window: window, want: int64(b.N), taken: taken, done: done}
	}
	go r.Serve(context.Background(), link(to.ID, nil)) // this and the other one end with done
	for r.Stats().Links < 1 {
	}
	b.ReportAllocs()
	b.SetBytes(int64(size))
	b.ResetTimer()
	go r.Serve(context.Background(), link(from.ID, frames))
	<-done
	b.StopTimer()
	r.Close()
}
