package compat

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
)

// newListeners returns the listeners of one kind of event, and their calls, which run.
func newListeners() (*listeners[int], *calls) {
	c := newCalls()
	l := new(listeners[int])
	l.init(c, nil)
	go c.run() // ends with c.end
	return l, c
}

// TestListenerAddedWhileItEnds checks that a listener added while the peer ends causes no data
// race, and gets an event once or not at all.
func TestListenerAddedWhileItEnds(t *testing.T) {
	for range 200 {
		l, c := newListeners()
		l.emit(1)
		heard := 0
		var both sync.WaitGroup
		both.Go(func() { l.add(func(int) { heard++ }) })
		both.Go(func() { c.end(handlerTime) })
		both.Wait()
		if heard > 1 {
			t.Fatalf("one event was delivered %d times", heard)
		}
	}
}

// TestNoHandlerRunsAfterTheEnd checks that no listener is called after the end, neither for
// events that were kept nor for later ones.
func TestNoHandlerRunsAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, c := newListeners()
		l.emit(1)
		c.end(handlerTime)
		l.add(func(int) { t.Error("a handler is called after the end") })
		l.emit(2)
		l.emitSoon(3)
		c.soon(func() { t.Error("called after the end") })
		synctest.Wait()
	})
}

// TestWhatAHandlerRegistersIsCalled checks that events which a handler causes while the peer
// ends are delivered, at any depth.
func TestWhatAHandlerRegistersIsCalled(t *testing.T) {
	l, c := newListeners()
	var second, third listeners[int]
	second.init(c, nil)
	third.init(c, nil)
	second.emit(7)
	heard := 0
	l.add(func(int) {
		second.add(func(n int) {
			third.add(func(m int) { heard += m })
			third.emitSoon(n)
		})
	})
	l.emitSoon(1)
	c.end(handlerTime)
	if heard != 7 {
		t.Errorf("heard %d, want 7", heard)
	}
}

// TestNoLockIsHeldOverAHandler checks that only one handler runs at once, in order, and that no
// lock is held meanwhile, so that other goroutines can use the peer.
func TestNoLockIsHeldOverAHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, c := newListeners()
		var heard []int
		l.add(func(n int) {
			time.Sleep(time.Second)
			heard = append(heard, n)
		})
		begin := time.Now()
		for n := range 3 {
			go l.emit(n)
			synctest.Wait()
		}
		for name, mu := range map[string]*sync.Mutex{"listeners": &l.mu, "calls": &c.mu} {
			if !mu.TryLock() {
				t.Fatalf("the lock of %s is held over a handler", name)
			}
			mu.Unlock()
		}
		l.add(func(int) {})
		if !l.heard() || time.Since(begin) != 0 {
			t.Errorf("%v have passed", time.Since(begin))
		}
		settle(c)
		if len(heard) != 3 || heard[0] != 0 || heard[2] != 2 || time.Since(begin) != 3*time.Second {
			t.Errorf("heard %v after %v", heard, time.Since(begin))
		}
		c.end(handlerTime)
	})
}

// TestEndLeavesAStuckHandler checks that the end waits for a handler, but not for ever, and that
// no other one is called after that.
func TestEndLeavesAStuckHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, c := newListeners()
		release, heard := make(chan struct{}), 0
		l.add(func(int) {
			heard++
			<-release
		})
		l.add(func(int) { t.Error("the next listener is called") })
		l.emit(1)
		go l.emit(2) // as a router does; ends with c
		l.emitSoon(3)
		synctest.Wait()
		begun := time.Now()
		if err := c.end(handlerTime); !errors.Is(err, protocol.ErrHandlerRuns) {
			t.Errorf("end: %v", err)
		}
		if took := time.Since(begun); took != handlerTime {
			t.Errorf("end took %v", took)
		}
		synctest.Wait() // emit has returned
		close(release)
		synctest.Wait()
		if heard != 1 {
			t.Errorf("the listener was called %d times", heard)
		}
	})
}

// TestNoHandlerRunsAfterClose checks that Close ends all handlers, and that a nil handler or
// callback is ignored.
func TestNoHandlerRunsAfterClose(t *testing.T) {
	s, err := NewSocket(Options{NoWebRTC: true})
	if err != nil {
		t.Fatal(err)
	}
	p := s.Peer()
	p.OnMessage(nil)
	p.OnReceive(nil)
	p.OnPeer(nil)
	p.OnDisconnect(nil)
	p.OnError(nil)
	s.OnMessage(nil)
	s.OnListening(nil)
	s.OnError(nil)
	s.OnClose(nil)
	if err := s.Bind(0, nil); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		s.Send(nil, 0, 0, s.Address().Port, "", nil), s.SendTo(nil, s.Address().Port, "", nil),
		s.SendList([][]byte{nil}, s.Address().Port, "", nil),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Connect(1, "", nil); !errors.Is(err, ErrNotImplemented) {
		t.Errorf("Connect: %v", err)
	}
	for _, l := range []*listeners[protocol.ID]{&p.peer, &p.down} {
		l.emit(protocol.ID{1})
	}
	p.onError(ErrBound)
	if err := s.Close(nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(nil); !errors.Is(err, ErrNotRunning) {
		t.Errorf("a second Close: %v", err)
	}
	if err := s.Bind(0, nil); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Bind after Close: %v", err)
	}
	p.Destroy(nil)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	never := func(protocol.ID) { t.Error("a handler is called after Close") }
	p.OnPeer(never)
	p.OnDisconnect(never)
	p.OnError(func(error) { t.Error("a handler is called after Close") })
	s.OnClose(func() { t.Error("the close event comes twice") })
	if !p.calls.ended || len(p.calls.later) > 0 {
		t.Error("calls are due after Close")
	}
}
