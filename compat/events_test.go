package compat

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
)

// newListeners returns the listeners of a kind, and the calls of them, which run.
func newListeners() (*listeners[int], *calls) {
	c := newCalls()
	l := new(listeners[int])
	l.init(c, nil)
	go c.run() // ends with c.end
	return l, c
}

// A listener that is added while the peer ends races with nothing, and hears all or nothing.
func TestListenerAddedWhileItEnds(t *testing.T) {
	for range 200 {
		l, c := newListeners()
		l.emit(1)
		heard := 0
		var both sync.WaitGroup
		both.Go(func() { l.add(func(int) { heard++ }) })
		both.Go(c.end)
		both.Wait()
		if heard > 1 {
			t.Fatalf("one event was heard %d times", heard)
		}
	}
}

// Nothing runs after the end: not what was kept for a listener that is added then, nor
// what happens then.
func TestNoHandlerRunsAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, c := newListeners()
		l.emit(1)
		c.end()
		l.add(func(int) { t.Error("a handler is called after the end") })
		l.emit(2)
		l.emitSoon(3)
		c.soon(func() { t.Error("called after the end") })
		synctest.Wait()
	})
}

// A handler that a handler registers while the peer ends is called, however deep.
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
	c.end()
	if heard != 7 {
		t.Errorf("heard %d, want 7", heard)
	}
}

// A handler is called by itself, in order, and without a lock: other goroutines use the
// peer meanwhile.
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
		c.end()
	})
}

// The end of a peer is the end of its handlers, and nil is no handler.
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
	if err := s.SendTo(nil, s.Address().Port, "", nil); err != nil {
		t.Fatal(err)
	}
	for _, l := range []*listeners[protocol.ID]{&p.peer, &p.down} {
		l.emit(protocol.ID{1})
	}
	p.onError(ErrBound)
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
