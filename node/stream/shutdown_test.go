package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
)

// A reading is what the accepting side does with a stream.
type reading struct {
	name  string
	after time.Duration // when it begins to read
	holds bool          // it never closes the stream
}

// TestShutdownSendsAll checks that all arrives that was written to streams which were closed,
// also at a reader that never closes them, and at one that begins later.
func TestShutdownSendsAll(t *testing.T) {
	for _, how := range []reading{{"closes", 0, false}, {"holds", 0, true}, {"begins later", 300 * time.Millisecond, true}} {
		t.Run(how.name, func(t *testing.T) {
			a, b := overRelay(t)
			l := listenStreams(t, b)
			sizes := []int{10, 10, 10, 100_000, 1_000_000, 4_000_000, 0}
			got := make(chan string, len(sizes))
			for i, size := range sizes {
				d, c := openStream(t, a, l)
				go func() { // ends with the stream
					time.Sleep(how.after)
					n, err := io.Copy(io.Discard, c)
					if !how.holds {
						c.Close()
					}
					got <- fmt.Sprintf("%d of %d: %v", n, size, err)
				}()
				if n, err := d.Write(make([]byte, size)); n != size || err != nil {
					t.Fatal(n, err)
				}
				end := d.Close
				if i%2 == 1 {
					end = d.CloseWrite
				}
				if err := end(); err != nil {
					t.Fatal(err)
				}
			}
			if err := a.Shutdown(streamContext(t)); err != nil {
				t.Error(err)
			}
			a.router.Close()
			want := make(map[string]int)
			for _, size := range sizes {
				want[fmt.Sprintf("%d of %d: %v", size, size, nil)]++
			}
			for range sizes {
				result := <-got
				if want[result]--; want[result] < 0 {
					t.Error(result)
				}
			}
		})
	}
}

// TestShutdownNamesTheUnread checks that Shutdown counts the streams that the other side does
// not read, ends with its context, and leaves what has arrived to the other side.
func TestShutdownNamesTheUnread(t *testing.T) {
	a, b := overRelay(t)
	l := listenStreams(t, b)
	var accepted []*Conn
	for range 2 {
		d, c := openStream(t, a, l)
		accepted = append(accepted, c)
		if _, err := d.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		d.Close()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var unread *UnreadError
	if err := a.Shutdown(ctx); !errors.As(err, &unread) || unread.Streams != 2 {
		t.Errorf("Shutdown: %v, want 2 streams", err)
	}
	for _, c := range accepted {
		c.SetDeadline(time.Now().Add(nodetest.Patience))
		if n, err := io.Copy(io.Discard, c); n != 1000 || err != nil {
			t.Errorf("%d of 1000 bytes: %v", n, err)
		}
	}
}

// TestShutdownOfASilentPeer checks that Shutdown does not wait for long for a peer that is gone.
func TestShutdownOfASilentPeer(t *testing.T) {
	a, b := overRelay(t)
	d, _ := openStream(t, a, listenStreams(t, b))
	b.router.Close()
	if _, err := d.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	d.Close()
	begun := time.Now()
	var unread *UnreadError
	if err := a.Shutdown(streamContext(t)); !errors.As(err, &unread) || unread.Streams != 1 {
		t.Errorf("Shutdown: %v, want 1 stream", err)
	}
	if took := time.Since(begun); took < quiet || took > 2*quiet {
		t.Errorf("Shutdown took %v, want about %v", took, quiet)
	}
}

// TestShutdownOfBothSides checks that a side does not doubt what the other one has not read that
// closes too.
func TestShutdownOfBothSides(t *testing.T) {
	a, b := overRelay(t)
	d, c := openStream(t, a, listenStreams(t, b))
	for _, end := range []*Conn{d, c} {
		if _, err := end.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	d.Close()
	time.AfterFunc(100*time.Millisecond, func() { b.Close() })
	if err := a.Shutdown(streamContext(t)); err != nil {
		t.Error(err)
	}
}

// TestShutdownResetsOpenStreams checks that a stream that was not closed does not look complete,
// beside one that was.
func TestShutdownResetsOpenStreams(t *testing.T) {
	for _, beside := range []bool{false, true} {
		a, b := overRelay(t)
		l := listenStreams(t, b)
		d, c := openStream(t, a, l)
		if _, err := d.Write([]byte("half")); err != nil {
			t.Fatal(err)
		}
		if beside {
			whole, other := openStream(t, a, l)
			if _, err := whole.Write([]byte("whole")); err != nil {
				t.Fatal(err)
			}
			whole.Close()
			go io.Copy(io.Discard, other) // ends with the stream
		}
		failed := make(chan error, 1)
		go func() { // ends with the stream
			_, err := io.Copy(io.Discard, c)
			failed <- err
		}()
		if err := a.Shutdown(streamContext(t)); err != nil {
			t.Error(err)
		}
		if err := <-failed; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("beside %v: the other side reads the end as %v", beside, err)
		}
		if _, err := d.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after Shutdown: %v", err)
		}
		if _, err := a.Dial(t.Context(), b.ID(), testService); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Dial after Shutdown: %v", err)
		}
	}
}

// TestReadAfterTheEnd checks that a stream that was read to its end stays at its end when its
// session is gone.
func TestReadAfterTheEnd(t *testing.T) {
	a, b := overRelay(t)
	d, c := openStream(t, a, listenStreams(t, b))
	if _, err := d.Write([]byte("all")); err != nil {
		t.Fatal(err)
	}
	d.Close()
	if text, err := io.ReadAll(c); string(text) != "all" || err != nil {
		t.Fatalf("%q, %v", text, err)
	}
	if err := a.Shutdown(streamContext(t)); err != nil {
		t.Error(err)
	}
	nodetest.Eventually(t, "the end of the session", func() bool { return sessions(b) == 0 })
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read after the end: %d, %v", n, err)
	}
}
