package port

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// A sink counts the writes, and returns err if it is not nil.
type sink struct {
	bytes.Buffer
	writes int
	err    error
}

func (s *sink) Write(b []byte) (int, error) {
	s.writes++
	if s.err != nil {
		return 0, s.err
	}
	return s.Buffer.Write(b)
}

func newHolder() (*holder, *sink) {
	s := new(sink)
	return &holder{to: s.Write}, s
}

// TestHeldWritesCostOne checks that what is held is written at once and in order, and that
// nothing is held before and after.
func TestHeldWritesCostOne(t *testing.T) {
	h, s := newHolder()
	var want bytes.Buffer
	write := func(b []byte) {
		t.Helper()
		want.Write(b)
		if n, err := h.Write(b); n != len(b) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	for _, step := range []struct {
		size, count int
		hold        bool
		writes      int
	}{
		{100, 3, false, 3},
		{100, 64, true, 1},
		{100, 2, false, 2},
		{maxHeld, 2, true, 2},
		{maxHeld + 1, 2, true, 2},
		{maxHeld/2 + 2, 3, true, 3},
		{10, 1, true, 1},
	} {
		before := s.writes
		if step.hold {
			h.hold()
		}
		for i := range step.count {
			write(bytes.Repeat([]byte{byte(i), byte(step.size)}, step.size/2))
		}
		if err := h.flush(); err != nil {
			t.Fatal(err)
		}
		if got := s.writes - before; got != step.writes || !bytes.Equal(s.Bytes(), want.Bytes()) {
			t.Errorf("%+v: %d writes, want %d; the bytes are equal: %v", step, got, step.writes, bytes.Equal(s.Bytes(), want.Bytes()))
		}
		if h.held != nil {
			t.Error("a holder without bytes keeps its buffer")
		}
	}
}

// A heldListener accepts connections that write through holders, and counts the writes.
type heldListener struct {
	net.Listener
	holder *holder // of the last connection
	writes int     // of the last connection
}

func (l *heldListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.holder = &holder{to: func(b []byte) (int, error) { l.writes++; return c.Write(b) }}
	return &heldConn{c, l.holder}, nil
}

type heldConn struct {
	net.Conn
	holder *holder
}

func (c *heldConn) Write(b []byte) (int, error) { return c.holder.Write(b) }

// TestFramesCostOneWrite checks that gorilla/websocket, which writes a large frame in two pieces, costs one write
// for each frame that has room in the holder, and that a control frame is not held.
func TestFramesCostOneWrite(t *testing.T) {
	sizes := []int{0, 1, 125, 126, 4000, 4096, 5000, 20_000, 1 << 16, maxHeld - 10, 100_000}
	l := new(heldListener)
	result, read := make(chan string, 1), make(chan struct{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			result <- err.Error()
			return
		}
		defer c.Close()
		l.holder.frame()
		for _, size := range sizes {
			before := l.writes
			err := errors.Join(c.WriteMessage(websocket.BinaryMessage, bytes.Repeat([]byte{byte(size), 255}, size/2)), c.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Minute)))
			want := 2
			if size > maxHeld-10 {
				want = 3
			}
			if err != nil || l.writes-before != want {
				t.Errorf("a message of %d bytes and a ping: %v, %d writes, want %d", size, err, l.writes-before, want)
			}
		}
		result <- ""
		<-read
	}))
	l.Listener = s.Listener
	s.Listener = l
	s.Start()
	defer s.Close()
	defer close(read)
	c, _, err := websocket.DefaultDialer.Dial(strings.Replace(s.URL, "http", "ws", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, size := range sizes {
		if _, b, err := c.ReadMessage(); err != nil || !bytes.Equal(b, bytes.Repeat([]byte{byte(size), 255}, size/2)) {
			t.Fatalf("a message of %d bytes: %d bytes, %v", size, len(b), err)
		}
	}
	if err := <-result; err != "" {
		t.Fatal(err)
	}
}

// TestOtherBytesAreNotHeld checks that nothing waits once something was written that is no frame of a server, not
// even what looks like the first piece of one.
func TestOtherBytesAreNotHeld(t *testing.T) {
	piece := []byte{0x82, 126, 0xff, 0xff}
	for name, other := range map[string][]byte{"masked": {0x82, 0x80, 1, 2, 3, 4}, "compressed": {0xc2, 1, 0}, "short": {0x82}, "cut off": {0x82, 127, 0, 0}} {
		h, s := newHolder()
		h.frame()
		for i, b := range [][]byte{{0x82, 1, 7}, other, piece} {
			if n, err := h.Write(b); n != len(b) || err != nil || s.writes != i+1 {
				t.Errorf("%s, write %d: %d, %v; %d bytes were written", name, i, n, err, s.Len())
			}
		}
	}
}

// TestHeldWritesFail checks that the error of a write is that of all later ones.
func TestHeldWritesFail(t *testing.T) {
	h, s := newHolder()
	h.hold()
	if _, err := h.Write([]byte("held")); err != nil {
		t.Fatal(err)
	}
	s.err = errors.New("broken")
	if err := h.flush(); err != s.err {
		t.Errorf("flush = %v, want %v", err, s.err)
	}
	_, err := h.Write([]byte("later"))
	if again := h.flush(); err != s.err || again != s.err || s.writes != 1 {
		t.Errorf("Write = %v, flush = %v after %d writes, want %v and one", err, again, s.writes, s.err)
	}
}

// TestHeldBytesAreWrittenAtTheEnd checks that closing writes what is held, such as a close frame,
// unless a write is in progress: that one is ended by closing.
func TestHeldBytesAreWrittenAtTheEnd(t *testing.T) {
	h, s := newHolder()
	h.hold()
	h.Write([]byte("close frame"))
	h.last()
	if s.String() != "close frame" {
		t.Errorf("%q was written", s.String())
	}

	blocked, release, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	h.to = func(b []byte) (int, error) { close(blocked); <-release; return len(b), nil }
	go func() { // ends with release
		defer close(done)
		h.Write([]byte("blocked"))
	}()
	<-blocked
	ended := make(chan struct{})
	go func() { defer close(ended); h.last() }() // ends at once, or with release
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("closing waits for a write")
	}
	close(release)
	<-done
	<-ended
}
