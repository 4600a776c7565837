package protocol_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
)

// A fork is a sender, two relays, and a receiver.
type fork struct {
	n                   *protocoltest.Network
	from, near, far, to *protocol.Router
	toNear, nearTo      *protocoltest.End // the ends of the links from the sender to the near relay, and from there to the receiver
	toFar, farTo        *protocoltest.End // the same by way of the far relay
	got                 diary
	before              int // messages that had arrived before the test began
}

// newFork links all but the near relay and the receiver.
func newFork(t *testing.T) *fork {
	return forkBy(t, func(f *fork) { f.toNear, _ = f.n.Link(f.from, f.near) })
}

// newDeafFork is newFork with a link that the near relay can stop to read. The sender takes it first if
// both relays have a link to the receiver.
func newDeafFork(t *testing.T) (f *fork, near *deafLink) {
	f = forkBy(t, func(f *fork) { near = linkDeaf(f.n, f.from, f.near) })
	return f, near
}

func forkBy(t *testing.T, linkNear func(*fork)) *fork {
	f := &fork{n: protocoltest.NewNetwork(t, protocoltest.PipeOptions{Latency: 10 * time.Millisecond})}
	f.from, f.to = f.n.Router(quiet(1)), f.n.Router(f.got.options(quiet(2)))
	f.near, f.far = f.n.Router(quiet(3)), f.n.Router(quiet(4))
	if f.to.ID().Closer(f.far.ID(), f.near.ID()) {
		f.near, f.far = f.far, f.near
	}
	linkNear(f)
	f.toFar, _ = f.n.Link(f.from, f.far)
	f.farTo, _ = f.n.Link(f.far, f.to)
	time.Sleep(time.Second)
	return f
}

func (f *fork) linkNear() {
	f.nearTo, _ = f.n.Link(f.near, f.to)
	time.Sleep(time.Second)
}

// linkBoth is linkNear, and names the relay the near one that the sender takes first then.
func (f *fork) linkBoth(t *testing.T) {
	f.linkNear()
	sendAll(t, f.from, f.to.ID(), 1, 64)
	time.Sleep(time.Second)
	f.before = f.arrived()
	if f.far.Stats().Forwarded > 0 {
		f.near, f.toNear, f.nearTo, f.far, f.toFar, f.farTo = f.far, f.toFar, f.farTo, f.near, f.toNear, f.nearTo
	}
	if f.near.Stats().Forwarded != 1 {
		t.Fatal("no relay has forwarded the first message")
	}
}

// arrived returns the number of messages that the receiver's handler got.
func (f *fork) arrived() int {
	f.got.mu.Lock()
	defer f.got.mu.Unlock()
	return len(f.got.messages)
}

// check waits, and checks that that number of messages arrived, each once.
func (f *fork) check(t *testing.T, want int) {
	t.Helper()
	time.Sleep(5 * time.Second)
	synctest.Wait()
	if n := f.arrived() - f.before; n != want {
		t.Errorf("%d messages arrived, want %d", n, want)
	}
}

func TestCustodyOfAPeerWithoutARoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFork(t)
		sendAll(t, f.from, f.to.ID(), 100, 64)
		f.check(t, 100)
		if s := f.near.Stats(); s.Dropped.Total() > 0 {
			t.Errorf("the near relay dropped %v", s.Dropped)
		}
	})
}

func TestCustodyOfAPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFork(t)
		f.linkBoth(t)
		f.toNear.Block()
		sendAll(t, f.from, f.to.ID(), 100, 64)
		f.check(t, 100)
		f.toNear.Unblock()
		f.check(t, 100)
	})
}

func TestCustodyOfARelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFork(t)
		f.linkBoth(t)
		f.nearTo.Block() // the relay has taken the messages, and has no other way than back
		sendAll(t, f.from, f.to.ID(), 100, 64)
		f.check(t, 0)                // the receiver may only be paused
		time.Sleep(30 * time.Second) // the link ends
		f.check(t, 100)
	})
}

func TestCustodyOfABrokenLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFork(t)
		f.linkBoth(t)
		for range 10 {
			sendAll(t, f.from, f.to.ID(), 10, 64)
			time.Sleep(time.Millisecond)
		}
		f.toNear.Break()
		f.check(t, 100)
	})
}
