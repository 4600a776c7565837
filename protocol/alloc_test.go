package protocol_test

import (
	"context"
	"io"
	"runtime"
	"strconv"
	"testing"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A custodyLink is a link in memory with custody. One is a source of frames that were made before,
// and the other one a sink that acknowledges them.
type custodyLink struct {
	info protocol.LinkInfo
	in   chan *wire.Frame
	took func(messages int) // by Flush
	next func()             // by ReadFrame: the frame before is processed

	written int // messages since the last Flush
}

func (l *custodyLink) Info() protocol.LinkInfo { return l.info }

func (l *custodyLink) ReadFrame() (*wire.Frame, error) {
	l.next()
	if f, ok := <-l.in; ok {
		return f, nil
	}
	return nil, io.EOF
}

func (l *custodyLink) WriteFrame(f *wire.Frame) error {
	if f.Type == wire.FrameMessage && f.Body.Kind == wire.KindUser {
		l.written++
	}
	return nil
}

func (l *custodyLink) WriteBytes([]byte) error {
	l.written++
	return nil
}

func (l *custodyLink) Flush() error {
	l.took(l.written)
	l.written = 0
	return nil
}

func (l *custodyLink) Close() error { return nil }

// TestRelayAllocatesNothing has a relay pass on messages that are in memory, over two links with
// custody, until its tables have their sizes. After that only the acknowledgements cost an allocation
// each, and there is one for many messages.
func TestRelayAllocatesNothing(t *testing.T) {
	const warm, count, ackEvery, window = 60_000, 20_000, 16, 256
	from, me, to := protocoltest.NewIdentity(1), protocoltest.NewIdentity(2), protocoltest.NewIdentity(3)
	o := me.Options()
	o.NoOverlay = true
	r := must(protocol.NewRouter(o))
	defer r.Close()
	body := wire.Body{To: to.ID, From: from.ID, Form: wire.FormRaw, Payload: make([]byte, 64)}
	if err := body.Encode(); err != nil {
		t.Fatal(err)
	}
	var frames, acks []*wire.Frame
	for i := range warm + count {
		frames = append(frames, must(wire.NewMessageFrame(wire.MessageFields{Hop: wire.NewHop(), Nonce: strconv.AppendInt(nil, int64(i), 10), Body: body, Path: []wire.ID{from.ID}})))
		if i%ackEvery == ackEvery-1 {
			acks = append(acks, wire.NewAck(uint64(i+1)))
		}
	}
	link := func(id protocol.ID, in chan *wire.Frame, took func(int), next func()) *custodyLink {
		info := protocol.LinkInfo{ID: id, Kind: protocol.LinkNative, Proved: true, Opener: id.String(), Features: []string{wire.FeatureCustody}}
		return &custodyLink{info: info, in: in, took: took, next: next}
	}
	sent, acked, done := make(chan *wire.Frame), make(chan *wire.Frame, len(acks)), make(chan struct{})
	defer close(sent)
	defer close(acked)
	credit := make(chan struct{}, window)
	arrived, began := 0, false
	go r.Serve(context.Background(), link(to.ID, acked, func(messages int) {
		for range messages {
			if arrived++; arrived%ackEvery == 0 {
				acked <- acks[arrived/ackEvery-1]
			}
			if arrived == warm || arrived == warm+count {
				done <- struct{}{}
			}
		}
	}, func() { // as many more may be underway, also if the acknowledgements wait long to be read
		for i := 0; began && i < ackEvery; i++ {
			<-credit
		}
		began = true
	}))
	go r.Serve(context.Background(), link(from.ID, sent, func(int) {}, func() {}))
	for r.Stats().Links < 2 {
		runtime.Gosched()
	}
	pass := func(frames []*wire.Frame) uint64 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for _, f := range frames {
			credit <- struct{}{}
			sent <- f
		}
		<-done
		runtime.ReadMemStats(&after)
		return after.Mallocs - before.Mallocs
	}
	pass(frames[:warm])
	n := pass(frames[warm:])
	t.Logf("%d allocations for %d messages", n, count)
	if most := uint64(count/ackEvery + count/100); n > most {
		t.Errorf("%d allocations for %d messages, want at most %d", n, count, most)
	}
}
