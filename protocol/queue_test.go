package protocol_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A gatedLink is a link in memory that reads the frames of a channel, and writes nothing before its gate opens.
type gatedLink struct {
	info protocol.LinkInfo
	in   chan []byte
	gate chan struct{} // nil is open
	took func(*wire.Frame)
}

func (l *gatedLink) Info() protocol.LinkInfo { return l.info }

func (l *gatedLink) ReadFrame() (*wire.Frame, error) {
	if b, ok := <-l.in; ok {
		return wire.ParseFrame(b)
	}
	return nil, io.EOF
}

func (l *gatedLink) WriteFrame(f *wire.Frame) error {
	if l.gate != nil {
		<-l.gate
	}
	l.took(f)
	return nil
}

func (l *gatedLink) Flush() error { return nil }
func (l *gatedLink) Close() error { return nil }

// TestFramesInQueues has a relay read many messages before it can write the first, with custody and without, and
// for legacy peers, which get each over two links. All messages must be written as they were read: no frame is used
// again for another message while it waits.
func TestFramesInQueues(t *testing.T) {
	for _, tt := range []struct {
		name     string
		kind     protocol.LinkKind
		features []string
		links    int
	}{
		{"custody", protocol.LinkNative, []string{wire.FeatureCustody}, 1},
		{"no custody", protocol.LinkNative, nil, 1},
		{"legacy", protocol.LinkWebSocket, nil, 1},
		{"two legacy links", protocol.LinkWebSocket, nil, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testFramesInQueues(t, tt.kind, tt.features, tt.links) })
		})
	}
}

func testFramesInQueues(t *testing.T, kind protocol.LinkKind, features []string, links int) {
	const messages = 300
	from, me, to := protocoltest.NewIdentity(1), protocoltest.NewIdentity(2), protocoltest.NewIdentity(3)
	o := me.Options()
	o.NoOverlay = true
	r := must(protocol.NewRouter(o))
	defer r.Close()
	got, gate := make(chan string, 2*messages), make(chan struct{})
	serve := func(id protocol.ID, kind protocol.LinkKind, features []string, gate chan struct{}) chan []byte {
		in := make(chan []byte)
		info := protocol.LinkInfo{ID: id, Kind: kind, Proved: kind == protocol.LinkNative, Opener: id.String(), Features: features}
		go r.Serve(context.Background(), &gatedLink{info, in, gate, func(f *wire.Frame) {
			if f.Type == wire.FrameMessage && f.Body.Kind == wire.KindUser {
				got <- fmt.Sprintf("%s %s %d", f.Nonce, f.Body.Payload, f.PathLen())
			}
		}})
		b := wire.Body{To: me.ID, From: id, Form: wire.FormRaw} // a legacy link is usable once it has brought a message
		in <- must(wire.EncodeMessageFrame(wire.MessageFields{Hop: wire.NewHop(), Nonce: []byte("first"), Body: b, Path: []protocol.ID{id}})).Bytes()
		return in
	}
	source := serve(from.ID, protocol.LinkNative, []string{wire.FeatureCustody}, nil)
	defer close(source)
	for i := range links {
		id := to.ID
		if links > 1 {
			id = protocoltest.NewIdentity(uint64(10 + i)).ID
		}
		defer close(serve(id, kind, features, gate))
	}
	synctest.Wait()
	if n := len(r.Peers()); n != links+1 {
		t.Fatalf("%d links, want %d", n, links+1)
	}
	want := map[string]int{}
	for i := range messages {
		nonce, payload := strconv.AppendInt(nil, int64(i), 10), bytes.Repeat([]byte{'a' + byte(i%26)}, 1+i%200)
		b := wire.Body{To: to.ID, From: from.ID, Form: wire.FormRaw, Payload: payload}
		source <- must(wire.EncodeMessageFrame(wire.MessageFields{Hop: wire.NewHop(), Nonce: nonce, Body: b, Path: []protocol.ID{from.ID}})).Bytes()
		want[fmt.Sprintf("%s %s 2", nonce, payload)] += links
	}
	synctest.Wait()
	close(gate)
	synctest.Wait()
	close(got)
	for m := range got {
		if want[m]--; want[m] < 0 {
			t.Fatalf("%.60q was written, and was not read so often", m)
		}
	}
	for m, n := range want {
		if n > 0 {
			t.Fatalf("%.60q was read, and not written", m)
		}
	}
}
