package legacy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// linkPair returns the two ends of one link, first that of A, which dialled.
func linkPair(t testing.TB) (a, b *wsLink) {
	t.Helper()
	w := &WebSocket{}
	accepted := make(chan *wsLink)
	over := make(chan struct{})
	url := serve(t, nil, func(ws *websocket.Conn) {
		l := w.newLink(&testConn{ws: ws}, idB, protocol.LinkInfo{ID: idA, Kind: protocol.LinkWebSocket})
		accepted <- l
		<-over
		l.Close()
	})
	d, err := w.connect(testContext(t), protocol.Contact{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	a = w.newLink(d, idA, protocol.LinkInfo{ID: idB, Kind: protocol.LinkWebSocket, Dialed: true})
	b = wait(t, "connection", accepted)
	t.Cleanup(func() { a.Close(); close(over) })
	return a, b
}

func userFrame(t testing.TB, from, to protocol.ID, form wire.Form, payload []byte) *wire.Frame {
	t.Helper()
	b := wire.Body{To: to, From: from, Form: form, Payload: payload}
	if err := b.Encode(); err != nil {
		t.Fatal(err)
	}
	f, err := wire.NewMessageFrame(wire.MessageFields{Hop: wire.NewHop().WithTx(39), Nonce: []byte("1"), Body: b, Path: []protocol.ID{from}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// read returns the frames of a link until it ends.
func read(l *wsLink) (frames chan *wire.Frame, end chan error) {
	frames, end = make(chan *wire.Frame, 1000), make(chan error, 1)
	l.OnPing(func(f *wire.Frame) { frames <- f })
	go func() { // ends with the link, which linkPair closes
		for {
			f, err := l.ReadFrame()
			if err != nil && !errors.Is(err, wire.ErrMalformed) {
				end <- err
				return
			}
			frames <- f
			if f != nil && f.Type == wire.FrameBye {
				end <- nil
				return
			}
		}
	}()
	return frames, end
}

func TestFramesOfEverySize(t *testing.T) {
	a, b := linkPair(t)
	small := len(emit(t, userFrame(t, idA, idB, wire.FormJSON, []byte(`""`)))) - 2
	for _, side := range [][2]*wsLink{{a, b}, {b, a}} {
		frames, _ := read(side[1])
		from, to := side[0].self, side[1].self
		for _, size := range []int{2, 3, 9, 1000, 0xffff - small - 1, 0xffff - small, 0xffff - small + 1, 200000} {
			f := userFrame(t, from, to, wire.FormJSON, []byte(`"`+strings.Repeat("x", size-2)+`"`))
			if err := side[0].WriteFrame(f); err != nil {
				t.Fatal(err)
			}
			if err := side[0].Flush(); err != nil {
				t.Fatal(err)
			}
			if got := wait(t, "frame", frames); got == nil || same(got, f) != nil {
				t.Errorf("%d bytes: %v", size, got)
			}
		}
		// Many at once, and one with the most text.
		big := userFrame(t, from, to, wire.FormRaw, bytes.Repeat([]byte{255}, wire.MaxBody-100))
		for range 20 {
			if err := side[0].WriteFrame(userFrame(t, from, to, wire.FormRaw, []byte("x"))); err != nil {
				t.Fatal(err)
			}
		}
		if err := side[0].WriteFrame(big); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if got := wait(t, "frame", frames); got == nil || string(got.Body.Payload) != "x" {
				t.Errorf("a small frame: %v", got)
			}
		}
		if got := wait(t, "frame", frames); got == nil || same(got, big) != nil {
			t.Errorf("the big frame: %v", got)
		}
	}
}

func TestPings(t *testing.T) {
	a, b := linkPair(t)
	atA, _ := read(a)
	atB, _ := read(b)
	for _, token := range []uint64{0, 7, math.MaxUint64} {
		a.WriteFrame(wire.NewPing(token))
		a.Flush()
		ping := wait(t, "ping", atB)
		if ping.Type != wire.FramePing {
			t.Fatalf("got a %v", ping.Type)
		}
		b.WriteFrame(wire.NewPong(ping.Num))
		b.Flush()
		if pong := wait(t, "pong", atA); pong.Type != wire.FramePong || pong.Num != token {
			t.Errorf("ping %d: %v %d", token, pong.Type, pong.Num)
		}
	}
	// Of two pings the last is answered.
	a.WriteFrame(wire.NewPing(1))
	a.WriteFrame(wire.NewPing(2))
	a.Flush()
	first, second := wait(t, "ping", atB), wait(t, "ping", atB)
	b.WriteFrame(wire.NewPong(first.Num))
	b.WriteFrame(wire.NewPong(second.Num))
	b.Flush()
	if pong := wait(t, "pong", atA); pong.Num != 2 {
		t.Errorf("pong %d", pong.Num)
	}
	for _, f := range []*wire.Frame{wire.NewAck(1), {Type: wire.FrameNack, Nack: &wire.Nack{}}} {
		if err := a.WriteFrame(f); !errors.Is(err, wire.ErrUnencodable) {
			t.Errorf("a %v: %v", f.Type, err)
		}
	}
}

func TestBye(t *testing.T) {
	for _, reason := range []wire.ByeReason{wire.ByeNormal, wire.ByeDuplicate, wire.ByeShutdown, wire.ByeUnwanted} {
		a, b := linkPair(t)
		atA, endA := read(a)
		atB, endB := read(b)
		a.WriteFrame(userFrame(t, idA, idB, wire.FormNone, nil))
		if err := a.WriteFrame(wire.NewBye(reason)); err != nil {
			t.Fatal(err)
		}
		if err := a.WriteFrame(userFrame(t, idA, idB, wire.FormNone, nil)); err != nil {
			t.Errorf("a frame after the bye: %v", err)
		}
		a.Flush()
		if f := wait(t, "message", atB); f.Type != wire.FrameMessage {
			t.Errorf("a %v before the bye", f.Type)
		}
		if f := wait(t, "bye", atB); f.Type != wire.FrameBye || f.Bye != reason {
			t.Errorf("%v %d, want a bye for %d", f.Type, f.Bye, reason)
		}
		wait(t, "end", endB)
		if err := b.WriteFrame(wire.NewBye(wire.ByeNormal)); err != nil {
			t.Errorf("the answer: %v", err)
		}
		if err := wait(t, "end", endA); err != io.EOF {
			t.Errorf("the peer that sent it: %v", err)
		}
		if len(atA)+len(atB) > 0 {
			t.Error("another frame came")
		}
	}
}

// TestByesThatCross checks that the bye of a peer that ends a duplicate is no answer to ours.
func TestByesThatCross(t *testing.T) {
	a, b := linkPair(t)
	_, endA := read(a)
	atB, endB := read(b)
	if err := a.WriteFrame(wire.NewBye(wire.ByeDuplicate)); err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	b.byed = true // as if its bye had been in flight
	b.mu.Unlock()
	if f := wait(t, "bye", atB); f.Type != wire.FrameBye || f.Bye != wire.ByeDuplicate {
		t.Errorf("%v %d, want a bye for a duplicate", f.Type, f.Bye)
	}
	wait(t, "end", endB)
	b.Close()
	wait(t, "end", endA)
}

func TestCloseCodes(t *testing.T) {
	for code, want := range map[int]wire.ByeReason{
		websocket.CloseNormalClosure:    wire.ByeNormal,
		websocket.CloseNoStatusReceived: wire.ByeNormal,
		websocket.CloseGoingAway:        wire.ByeShutdown,
	} {
		a, b := linkPair(t)
		frames, _ := read(a)
		b.closeWith(code, "")
		if f := wait(t, "bye", frames); f.Type != wire.FrameBye || f.Bye != want {
			t.Errorf("code %d: %v %d", code, f.Type, f.Bye)
		}
	}
	a, b := linkPair(t)
	_, end := read(a)
	b.ws.NetConn().Close()
	if err := wait(t, "end", end); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a lost connection: %v", err)
	}
	for text, want := range map[string]wire.ByeReason{"": 0, "bye 1": 1, "bye 200": 200, "bye x": 0, "bye -1": 0, "bye 300": 0, "x": 0} {
		if got := byeReason(text); got != want {
			t.Errorf("%q: %d", text, got)
		}
	}
}

func TestWhatIsRead(t *testing.T) {
	a, b := linkPair(t)
	frames, _ := read(b)
	good := emit(t, userFrame(t, idA, idB, wire.FormJSON, []byte(`"x"`)))
	expect := func(what string) {
		t.Helper()
		if f := wait(t, what, frames); f == nil || f.Type != wire.FrameMessage || string(f.Body.Payload) != `"x"` {
			t.Errorf("%s: %v", what, f)
		}
	}
	a.ws.WriteMessage(websocket.BinaryMessage, []byte(good))
	expect("binary")
	a.ws.WriteMessage(websocket.TextMessage, []byte("\n "+good+" \t"))
	expect("white space")
	w, _ := a.ws.NextWriter(websocket.TextMessage) // of a small buffer, so in fragments
	for _, c := range []byte(good) {
		w.Write([]byte{c})
	}
	w.Write(bytes.Repeat([]byte(" "), 20000))
	a.writeControl(websocket.PingMessage, nil) // in between
	a.Flush()
	w.Close()
	if f := wait(t, "ping", frames); f.Type != wire.FramePing {
		t.Errorf("got a %v", f.Type)
	}
	expect("fragments")
	for _, bad := range []string{"", "x", "[]", strings.Repeat(" ", maxText+1), strings.Repeat(" ", 4*maxText)} {
		a.ws.WriteMessage(websocket.TextMessage, []byte(bad))
		if f := wait(t, "error", frames); f != nil {
			t.Errorf("%.9q: %v", bad, f)
		}
	}
	a.ws.WriteMessage(websocket.TextMessage, []byte(good+strings.Repeat(" ", maxText-len(good))))
	expect("the most text")
}

func TestReadLimit(t *testing.T) {
	a, b := linkPair(t)
	_, end := read(b)
	// The head of a text frame of 100 MiB and one byte.
	head := []byte{0x80 | websocket.TextMessage, 0xff, 0, 0, 0, 0, 6, 0x40, 0, 1, 0, 0, 0, 0}
	if _, err := a.ws.NetConn().Write(head); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, "end", end); !errors.Is(err, websocket.ErrReadLimit) {
		t.Error(err)
	}
}

func TestHelloIsShownOnce(t *testing.T) {
	find := func(from, to protocol.ID, path []protocol.ID) *wire.Frame {
		b := wire.Body{To: to, From: from, Kind: wire.KindFind, Form: wire.FormRaw, Payload: from[:]}
		if err := b.Encode(); err != nil {
			t.Fatal(err)
		}
		f, err := wire.NewMessageFrame(wire.MessageFields{Hop: wire.NewHop(), Nonce: []byte("1"), Body: b, Path: path})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	a, b := linkPair(t)
	a.features = []string{"f"}
	frames, _ := read(b)
	send := func(f *wire.Frame) { a.WriteFrame(f); a.Flush() }
	expect := func(want wire.FrameType) *wire.Frame {
		t.Helper()
		f := wait(t, want.String(), frames)
		if f == nil || f.Type != want {
			t.Fatalf("%v, want a %v", f, want)
		}
		return f
	}
	send(find(idC, idB, []protocol.ID{idC, idA})) // forwarded
	expect(wire.FrameMessage)
	send(find(idA, idC, []protocol.ID{idA})) // for another peer
	expect(wire.FrameMessage)
	send(find(idA, idB, []protocol.ID{idA}))
	if h := expect(wire.FrameHello); len(h.Hello.Features) != 1 || h.Hello.Features[0] != "f" {
		t.Errorf("features %v", h.Hello.Features)
	}
	expect(wire.FrameMessage)
	send(find(idA, idB, []protocol.ID{idA}))
	expect(wire.FrameMessage)
	// A hello that another peer has sent is not this neighbour's.
	a2, b2 := linkPair(t)
	frames, _ = read(b2)
	for _, text := range [][]byte{jsFind(idC, idB, `,"pr":{"v":"1"}`), jsFind(idA, idB, `,"pr":{"v":"2"}`)} {
		a2.ws.WriteMessage(websocket.TextMessage, text)
		expect(wire.FrameMessage)
	}
	if len(frames) > 0 {
		t.Error("another frame came")
	}
}

func TestCloseEndsEverything(t *testing.T) {
	a, b := linkPair(t)
	_, end := read(a)
	released := 0
	a.release = func() { released++ }
	writes := make(chan error, 1)
	go func() { // ends with the link: the other end does not read
		var err error
		for err == nil {
			if err = a.WriteFrame(userFrame(t, idA, idB, wire.FormRaw, make([]byte, 60000))); err == nil {
				err = a.Flush()
			}
		}
		writes <- err
	}()
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() { a.Close() })
	}
	all.Wait()
	wait(t, "end of reading", end)
	wait(t, "end of writing", writes)
	a.Close()
	if released != 1 {
		t.Errorf("the claim was released %d times", released)
	}
	b.Close()
}

// TestClaimIsReleased checks that a closed link releases its claim for the next one.
func TestClaimIsReleased(t *testing.T) {
	a, b := newWSPeer(t, wsPeerOptions{id: idA}), newWSPeer(t, wsPeerOptions{id: idB})
	for range 3 {
		l, err := a.ws.Dial(testContext(t), a.Router, protocol.Contact{URL: b.url})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Claim(context.Background(), l.Info()); !errors.Is(err, protocol.ErrDuplicate) {
			t.Errorf("a second claim: %v", err)
		}
		l.Close()
		if err := wait(t, "end", b.accepted); err != nil {
			t.Error(err)
		}
	}
}

// BenchmarkLink measures frames that are read from one link and written to another, without the
// router.
func BenchmarkLink(b *testing.B) {
	for _, bench := range []struct {
		name string
		size int
	}{{"64", 64}, {"1k", 1 << 10}, {"16k", 16 << 10}} {
		b.Run(bench.name, func(b *testing.B) {
			x, y := linkPair(b)
			f := userFrame(b, idA, idB, wire.FormJSON, rawjson.AppendString(nil, strings.Repeat("x", bench.size)))
			done := make(chan struct{})
			go func() { // ends when it has read them all, or with the link
				defer close(done)
				for range b.N {
					if _, err := y.ReadFrame(); err != nil {
						b.Error(err)
						return
					}
				}
			}()
			b.SetBytes(int64(bench.size))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if err := x.WriteFrame(f); err != nil {
					b.Fatal(err)
				}
			}
			if err := x.Flush(); err != nil {
				b.Fatal(err)
			}
			<-done
		})
	}
}

// TestWhatIsQueuedIsWrittenBeforeTheAnswerToAClose checks that a router which another one
// disconnects still writes its queue.
func TestWhatIsQueuedIsWrittenBeforeTheAnswerToAClose(t *testing.T) {
	a, b := linkPair(t)
	frames, _ := read(a)
	byes, _ := read(b)
	if err := a.WriteFrame(wire.NewBye(wire.ByeNormal)); err != nil {
		t.Fatal(err)
	}
	wait(t, "bye", byes)
	if err := b.WriteFrame(userFrame(t, idB, idA, wire.FormRaw, []byte("queued"))); err != nil {
		t.Fatal(err)
	}
	if err := b.WriteFrame(wire.NewBye(wire.ByeNormal)); err != nil {
		t.Fatal(err)
	}
	if f := wait(t, "message after the bye", frames); f == nil || string(f.Body.Payload) != "queued" {
		t.Errorf("got %v", f)
	}
}

// TestProgress checks that a part of a message counts, before the message is whole.
func TestProgress(t *testing.T) {
	a, b := linkPair(t)
	frames, _ := read(b)
	if p := b.Progress(); p != (protocol.Progress{}) {
		t.Errorf("before the first message: %+v", p)
	}
	text := emit(t, userFrame(t, idA, idB, wire.FormJSON, []byte(`"`+strings.Repeat("x", 100_000)+`"`)))
	w, err := a.ws.NextWriter(websocket.TextMessage)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text[:90_000])); err != nil {
		t.Fatal(err)
	}
	for b.Progress().Received < 80_000 { // the rest may be in a buffer of the writer
		runtime.Gosched()
	}
	if _, err := w.Write([]byte(text[90_000:])); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	wait(t, "frame", frames)
	if p := b.Progress(); p.Received != uint64(len(text)) || p.Known {
		t.Errorf("after a message of %d bytes: %+v", len(text), p)
	}
	b.w.TCPProgress = func(local, remote net.Addr) protocol.Progress {
		if local.String() != b.ws.LocalAddr().String() || remote.String() != b.ws.RemoteAddr().String() {
			t.Errorf("asked about %v and %v", local, remote)
		}
		return protocol.Progress{Known: true, Acked: 7}
	}
	if p := b.Progress(); p != (protocol.Progress{Known: true, Acked: 7, Received: uint64(len(text))}) {
		t.Errorf("with the figures of TCP: %+v", p)
	}
}

// TestRoundTripOfTheHandshake has an acceptor whose answers take some time.
func TestRoundTripOfTheHandshake(t *testing.T) {
	const answer = 50 * time.Millisecond
	over := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(answer) // the answer takes as long
		ws, err := new(websocket.Upgrader).Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		<-over
		ws.Close()
	}))
	defer s.Close()
	defer close(over)
	d, err := new(WebSocket).connect(testContext(t), protocol.Contact{URL: "ws" + strings.TrimPrefix(s.URL, "http")})
	if err != nil {
		t.Fatal(err)
	}
	defer d.CloseWith(websocket.CloseNormalClosure, "")
	if d.rtt < answer || d.rtt > 100*answer {
		t.Errorf("the round trip is %v, want %v", d.rtt, answer)
	}
}
