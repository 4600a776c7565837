//go:build !js

package legacy

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
)

// TestSignalFlood checks that floods of signals from many peers with a handshake cost a bounded
// number of connections, which all end.
func TestSignalFlood(t *testing.T) {
	const sources, times = 100, 5
	rtc, err := NewWebRTC(WebRTCOptions{Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rtc.Close() })
	n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
	r := n.Router(protocol.Options{ID: idA, NoOverlay: true})
	signals := append(hostileSignals(),
		`{"type":"answer","sdp":"`+testSDP+`"}`,
		`{"candidate":{"candidate":`+testCandidate+`,"sdpMid":"0"}}`,
		`{"candidate":{"candidate":"candidate:junk","sdpMid":"9"}}`,
		`{"type":"offer","sdp":"`+strings.Replace(testSDP, "a=ice-ufrag:abcdefgh\\r\\n", "", 1)+`"}`,
	)
	endless := `{"type":"offer","sdp":"` + testSDP + `"}` // no peer is there to complete it
	before := runtime.NumGoroutine()
	most := 0
	for range times {
		for i := range sources {
			from := protocol.ID{0xee, byte(i)}
			if i%2 == 0 {
				rtc.Signal(r, protocol.Signal{From: from, Payload: []byte(endless)})
			}
			for _, s := range signals {
				rtc.Signal(r, protocol.Signal{From: from, Payload: []byte(s)})
			}
		}
		rtc.mu.Lock()
		if n := len(rtc.attempts); n > maxAttempts {
			t.Errorf("%d attempts, want at most %d", n, maxAttempts)
		}
		rtc.mu.Unlock()
		most = max(most, runtime.NumGoroutine()-before)
	}
	until(t, "all connections that may be made", func() bool { return len(rtc.answers) == maxAnswers })
	most = max(most, runtime.NumGoroutine()-before)
	if t.Logf("%d goroutines more", most); most > 500 {
		t.Errorf("the flood made %d goroutines, want at most 500", most)
	}
	// During the flood this peer still makes its own links.
	if _, err := rtc.connection(false); err != nil {
		t.Error(err)
	}
	if err := rtc.Close(); err != nil {
		t.Fatal(err)
	}
	until(t, "the goroutines of before", func() bool { return runtime.NumGoroutine() <= before })
}

// TestSignalGlare checks that while this peer's own offer is pending, the other peer's offer
// counts only if its id is lower. Then the own attempt yields, and the other's offer is
// answered.
func TestSignalGlare(t *testing.T) {
	rtc, err := NewWebRTC(WebRTCOptions{Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rtc.Close() })
	n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
	r := n.Router(protocol.Options{ID: protocol.ID{0x80}, NoOverlay: true})
	offer := []byte(`{"type":"offer","sdp":"` + testSDP + `"}`)
	role := func(id protocol.ID) string {
		rtc.mu.Lock()
		defer rtc.mu.Unlock()
		a := rtc.attempts[id]
		if a == nil {
			return "none"
		}
		return map[bool]string{true: "initiator", false: "answerer"}[a.initiator]
	}
	for id, want := range map[protocol.ID]string{{0x40}: "answerer", {0xc0}: "initiator"} {
		ctx, cancel := context.WithCancel(testContext(t))
		ended := make(chan error, 1)
		go func() { // ends with the dial, which is awaited below
			l, err := rtc.Dial(ctx, r, protocol.Contact{ID: id, WebRTC: true})
			if l != nil {
				err = fmt.Errorf("a link %v", l.Info())
			}
			ended <- err
		}()
		until(t, "our attempt", func() bool { return role(id) == "initiator" })
		rtc.Signal(r, protocol.Signal{From: id, Payload: offer})
		if got := role(id); got != want {
			t.Errorf("to %v this peer is the %s, want the %s", id, got, want)
		}
		if want == "initiator" {
			cancel()
			if err := wait(t, "end of the dial", ended); !errors.Is(err, context.Canceled) {
				t.Errorf("the dial ended with %v", err)
			}
			until(t, "no attempt", func() bool { return role(id) == "none" })
		} else if err := wait(t, "end of the dial", ended); err != nil {
			t.Errorf("the dial that yielded: %v", err)
		}
		cancel()
	}
	rtc.Signal(r, protocol.Signal{From: protocol.ID{1}, Payload: []byte(`{"type":"answer","sdp":"` + testSDP + `"}`)})
	if got := role(protocol.ID{1}); got != "none" {
		t.Errorf("an answer to nothing makes this peer the %s", got)
	}
}

// TestSignalFails checks that a peer's attempts are refused for a while after one failed, and
// while it has a link.
func TestSignalFails(t *testing.T) {
	p := newRTCPair(t, nil)
	junk := []byte(`{"type":"offer","sdp":"` + strings.Replace(testSDP, "a=ice-ufrag:abcdefgh\\r\\n", "", 1) + `"}`)
	from := protocol.ID{0xee}
	p.rtc.Signal(p.Router, protocol.Signal{From: from, Payload: junk})
	resting := func() bool {
		p.rtc.mu.Lock()
		defer p.rtc.mu.Unlock()
		return p.rtc.attempts[from] == nil && p.rtc.resting[from].After(time.Now())
	}
	until(t, "rest", resting)
	p.rtc.Signal(p.Router, protocol.Signal{From: from, Payload: junk})
	if !resting() {
		t.Error("a resting peer begins an attempt")
	}
	_, err := p.rtc.Dial(testContext(t), p.Router, protocol.Contact{ID: p.hub.ID(), WebRTC: true})
	if !errors.Is(err, protocol.ErrDuplicate) {
		t.Errorf("an attempt to a peer that has a link: %v", err)
	}
	if s := p.js.signals(); len(s) > 0 {
		t.Errorf("signals were sent: %+v", s)
	}
}

// TestSignalLinks checks that an offer above the limit of connections for others is refused
// before anything is made or sent, and that an ended connection frees its place.
func TestSignalLinks(t *testing.T) {
	p := newRTCPair(t, nil)
	for range maxRTCLinks {
		p.rtc.links <- struct{}{}
	}
	p.js.Connect(p.ID())
	until(t, "the offer refused", func() bool {
		p.rtc.mu.Lock()
		defer p.rtc.mu.Unlock()
		return !p.rtc.resting[p.js.ID()].IsZero()
	})
	if s := p.js.signals(); len(s) > 0 {
		t.Errorf("it was answered: %+v", s)
	}
	if _, err := p.rtc.connection(true); !errors.Is(err, errLinks) {
		t.Errorf("a connection above the limit: %v", err)
	}
	own, err := p.rtc.connection(false)
	if err != nil {
		t.Fatalf("a connection that this peer wants: %v", err)
	}
	own.end(errLinks)
	<-p.rtc.links
	last, err := p.rtc.connection(true)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(p.rtc.links); n != maxRTCLinks {
		t.Errorf("%d places are taken, want %d", n, maxRTCLinks)
	}
	last.end(errLinks)
	until(t, "its place given back", func() bool { return len(p.rtc.links) == maxRTCLinks-1 })
}

// TestSignalWaits checks that an attempt that waits for its place keeps only one description.
func TestSignalWaits(t *testing.T) {
	p := newRTCPair(t, nil)
	for range maxAnswers {
		p.rtc.answers <- struct{}{}
	}
	from := protocol.ID{0xee}
	signal := func(text string) {
		p.rtc.Signal(p.Router, protocol.Signal{From: from, Payload: []byte(text)})
	}
	signal(`{"type":"offer","sdp":"` + testSDP + `"}`)
	p.rtc.mu.Lock()
	a := p.rtc.attempts[from]
	p.rtc.mu.Unlock()
	until(t, "the offer taken", func() bool { return len(a.signals) == 0 })
	for range 5 {
		signal(`{"type":"offer","sdp":"` + testSDP + `"}`)
		signal(`{"type":"answer","sdp":"` + testSDP + `"}`)
	}
	signal(`{"candidate":{"candidate":` + testCandidate + `,"sdpMid":"0"}}`)
	if n := len(a.signals); n != 1 {
		t.Errorf("%d signals wait, want only the candidate", n)
	}
}

// TestSignalYields checks that an attempt that ends during its claim returns the reason of its
// end.
func TestSignalYields(t *testing.T) {
	p := newRTCPair(t, nil)
	ctx, cancel := context.WithCancelCause(testContext(t))
	cancel(errYield)
	a := &attempt{w: p.rtc, r: p.Router, id: p.hub.ID()} // this peer has a link
	if _, err := a.claim(ctx, a.info()); !errors.Is(err, errYield) {
		t.Errorf("the claim failed with %v, want %v", err, errYield)
	}
}
