//go:build !js

package legacy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

func TestWebRTCWithSimplePeer(t *testing.T) {
	for _, test := range []struct {
		name   string
		ours   bool // we receive the answer, and so begin
		change func(*simplePeer)
	}{
		{"initiator", true, nil},
		{"initiator, as version 9", true, func(p *simplePeer) { p.typed, p.binary = true, true }},
		{"answerer", false, nil},
		{"answerer, as version 9", false, func(p *simplePeer) { p.typed, p.binary = true, true }},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newRTCPair(t, test.change)
			if test.ours {
				p.Connect(p.js.ID())
			} else {
				p.js.Connect(p.ID())
			}
			channel := wait(t, "channel", p.js.opened)
			up := wait(t, "link", p.ups)
			if up.ID != p.js.ID() || up.Dialed != test.ours || up.Proved || up.Opener != "" {
				t.Errorf("the link is %+v", up)
			}
			if _, _, err := net.SplitHostPort(up.Addr); err != nil {
				t.Errorf("the address: %v", err)
			}
			if m := p.js.read("findPeers"); !strings.Contains(m, `"data":"`+p.ID().String()+`"`) {
				t.Errorf("the greeting: %s", m)
			}
			if test.ours && (len(channel.Label()) != 40 || !channel.Ordered() || channel.Protocol() != "") {
				t.Errorf("channel %q, ordered %v, protocol %q", channel.Label(), channel.Ordered(), channel.Protocol())
			}
			p.js.send(channel, string(jsUser(p.js.ID(), p.ID(), "1", `"hi"`)))
			if m := wait(t, "message", p.messages); string(m.Payload) != `"hi"` || len(m.Path) != 1 {
				t.Errorf("got %s by %v", m.Payload, m.Path)
			}
			if err := p.Send(p.js.ID(), wire.FormJSON, []byte(`"ho"`)); err != nil {
				t.Fatal(err)
			}
			p.js.read(`"data":"ho"`)
			for i, s := range p.js.signals() {
				switch {
				case i == 0 && test.ours && s.Type != "offer", i == 0 && !test.ours && s.Type != "answer", i > 0 && s.Candidate == nil:
					t.Errorf("signal %d is %+v", i, s)
				case s.Candidate != nil && (!strings.HasPrefix(s.Candidate.Candidate, "candidate:") || s.Type != "" || *s.Candidate.SDPMid != "0" || *s.Candidate.SDPMLineIndex != 0):
					t.Errorf("candidate %+v", s.Candidate)
				}
			}
			if s := p.Stats(); s.Links != 2 || s.LinksRefused != 0 {
				t.Errorf("%d links, %d refused", s.Links, s.LinksRefused)
			}
			p.js.close() // as JS does when it is told to disconnect
			if err := wait(t, "end of the link", p.downs); err != nil {
				t.Errorf("the link ended by %v", err)
			}
		})
	}
}

// Messages up to the limit of the wire pass, in both directions; what is larger is
// refused by us and costs nothing else.
func TestWebRTCSizes(t *testing.T) {
	p := newRTCPair(t, func(p *simplePeer) { p.greedy = true })
	p.Connect(p.js.ID())
	channel := wait(t, "channel", p.js.opened)
	wait(t, "link", p.ups)
	big := strings.Repeat("x", 250_000)
	if err := p.Send(p.js.ID(), wire.FormJSON, []byte(`"`+big+`"`)); err != nil {
		t.Fatal(err)
	}
	p.js.read(big)
	p.js.send(channel, string(jsUser(p.js.ID(), p.ID(), "1", `"`+big+`"`)))
	if m := wait(t, "message", p.messages); string(m.Payload) != `"`+big+`"` {
		t.Errorf("%d bytes arrived", len(m.Payload))
	}
	if err := p.Send(p.js.ID(), wire.FormJSON, []byte(`"`+strings.Repeat("x", wire.MaxText)+`"`)); !errors.Is(err, protocol.ErrTooBig) || !strings.Contains(err.Error(), fmt.Sprint(wire.MaxText)) {
		t.Errorf("a message that is too big: %v", err)
	}
	// A message of another peer may take more room as JSON. The writer has to refuse it.
	l := <-p.links
	err := l.WriteFrame(userFrame(t, p.ID(), p.js.ID(), wire.FormRaw, make([]byte, 200_000)))
	if !errors.Is(err, protocol.ErrTooBig) || !strings.Contains(err.Error(), fmt.Sprint(MaxWebRTC)) {
		t.Errorf("a message that is too big for the channel: %v", err)
	}
	if err := p.Send(p.js.ID(), wire.FormJSON, []byte(`"after it"`)); err != nil {
		t.Fatal(err)
	}
	p.js.read("after it")
	// A peer that sends more than it may is cut.
	p.js.send(channel, strings.Repeat("x", MaxWebRTC+1))
	if err := wait(t, "end of the link", p.downs); err == nil || !strings.Contains(err.Error(), fmt.Sprint(MaxWebRTC)) {
		t.Errorf("the link ended by %v", err)
	}
}

// A spy gets the links that a WebRTC dials.
type spy struct {
	*WebRTC
	links chan *rtcLink
}

func (s spy) Dial(ctx context.Context, r *protocol.Router, c protocol.Contact) (protocol.Link, error) {
	l, err := s.WebRTC.Dial(ctx, r, c)
	if l, ok := l.(*rtcLink); ok {
		s.links <- l
	}
	return l, err
}

// A page whose scripts are too old for its browser opens the channel and reads nothing.
// It is never a link, and messages go on by others.
func TestWebRTCMute(t *testing.T) {
	t.Parallel()
	p := newRTCPair(t, func(p *simplePeer) { p.mute = true })
	p.Connect(p.js.ID())
	wait(t, "channel", p.js.opened)
	if err := p.Send(p.js.ID(), wire.FormJSON, []byte(`"by the hub"`)); err != nil {
		t.Fatal(err)
	}
	wait(t, "message by the hub", p.jsMessages)
	wait(t, "end of the channel", p.js.closed)
	if len(p.ups) > 0 {
		t.Errorf("a mute peer is a link: %+v", <-p.ups)
	}
}

// A mortal is a socket through which nothing comes or goes once it is dead.
type mortal struct {
	net.PacketConn
	dead atomic.Bool
}

func (m *mortal) WriteTo(b []byte, to net.Addr) (int, error) {
	if m.dead.Load() {
		return len(b), nil
	}
	return m.PacketConn.WriteTo(b, to)
}

func (m *mortal) ReadFrom(b []byte) (n int, from net.Addr, err error) {
	for {
		if n, from, err = m.PacketConn.ReadFrom(b); err != nil || !m.dead.Load() {
			return n, from, err
		}
	}
}

// newMortalPair returns a pair whose simplePeer has a link over a mortal socket.
func newMortalPair(t *testing.T) (*rtcPair, *mortal) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket := &mortal{PacketConn: conn}
	p := newRTCPair(t, func(p *simplePeer) { p.socket = socket })
	p.Connect(p.js.ID())
	wait(t, "link", p.ups)
	return p, socket
}

// silence kills a socket, and waits for the end of the link.
func (p *rtcPair) silence(t *testing.T, socket *mortal) {
	t.Helper()
	socket.dead.Store(true)
	if err := wait(t, "end of the link", p.downs); err == nil || !strings.Contains(err.Error(), "disconnected") {
		t.Errorf("the link ended by %v", err)
	}
}

// A process that is killed says nothing. Its connection waits for it, as long as there is room
// and the transport is open.
func TestWebRTCDeadPeer(t *testing.T) {
	t.Parallel()
	p, socket := newMortalPair(t)
	p.silence(t, socket)
	until(t, "a connection that waits", func() bool { return len(p.rtc.waiting) == 1 })
	if err := p.rtc.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(p.rtc.waiting); n != 0 {
		t.Errorf("%d connections wait in a transport that is closed", n)
	}
}

// A peer that was suspended, or out of the radio's reach, has its link again, over the channel
// that it had. Its messages of meanwhile arrive.
func TestWebRTCPeerComesBack(t *testing.T) {
	t.Parallel()
	p, socket := newMortalPair(t)
	channel := wait(t, "channel", p.js.opened)
	for _, text := range []string{"once", "twice"} {
		p.silence(t, socket)
		p.js.send(channel, string(jsUser(p.js.ID(), p.ID(), text, `"`+text+`"`)))
		socket.dead.Store(false)
		if up := wait(t, "link again", p.ups); up.ID != p.js.ID() || up.Kind != protocol.LinkWebRTC {
			t.Errorf("the link is %+v", up)
		}
		if m := wait(t, "message of before", p.messages); string(m.Payload) != `"`+text+`"` {
			t.Errorf("got %s", m.Payload)
		}
		p.js.send(channel, string(jsUser(p.js.ID(), p.ID(), text+" more", `"more"`)))
		if m := wait(t, "message", p.messages); string(m.Payload) != `"more"` || len(m.Path) != 1 {
			t.Errorf("got %s by %v", m.Payload, m.Path)
		}
		if err := p.Send(p.js.ID(), wire.FormJSON, []byte(`"answer `+text+`"`)); err != nil {
			t.Fatal(err)
		}
		p.js.read("answer " + text)
	}
	if len(p.rtc.waiting) != 0 {
		t.Errorf("%d connections wait", len(p.rtc.waiting))
	}
	if len(p.js.closed) > 0 || len(p.js.opened) > 0 {
		t.Error("the channel is another one")
	}
	// The end that the application wants is one.
	p.Disconnect(p.js.ID())
	wait(t, "end of the channel", p.js.closed)
	if err := wait(t, "end of the link", p.downs); err != nil && !errors.Is(err, protocol.ErrDisconnected) {
		t.Errorf("the link ended by %v", err)
	}
	if len(p.rtc.waiting) != 0 {
		t.Errorf("%d connections wait after Disconnect", len(p.rtc.waiting))
	}
}

// No more connections than there are places wait for their peers.
func TestWebRTCWaitingIsBounded(t *testing.T) {
	t.Parallel()
	p, socket := newMortalPair(t)
	for range maxWaiting {
		p.rtc.waiting <- struct{}{}
	}
	p.silence(t, socket)
	socket.dead.Store(false)
	wait(t, "end of the channel", p.js.closed)
	if len(p.ups) > 0 || len(p.rtc.waiting) != maxWaiting {
		t.Errorf("%d links again, %d wait", len(p.ups), len(p.rtc.waiting))
	}
}

// A peer that opens a second channel is no simple-peer.
func TestWebRTCSecondChannel(t *testing.T) {
	p := newRTCPair(t, nil)
	p.js.Connect(p.ID())
	wait(t, "link", p.ups)
	if _, err := p.js.pc.CreateDataChannel("more", nil); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, "end of the link", p.downs); !errors.Is(err, errChannels) {
		t.Errorf("the link ended by %v", err)
	}
}

// A connection that is open when the router is closed ends with it.
func TestWebRTCCloses(t *testing.T) {
	p := newRTCPair(t, nil)
	p.Connect(p.js.ID())
	wait(t, "link", p.ups)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	wait(t, "end of the channel", p.js.closed)
	if err := p.rtc.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.rtc.Dial(testContext(t), p.Router, protocol.Contact{ID: idB, WebRTC: true}); !errors.Is(err, protocol.ErrClosed) {
		t.Errorf("a closed transport dials: %v", err)
	}
}

// An offer that is not answered costs nothing but itself: messages go on by the relay while
// it hangs and after, and the end of it is final.
func TestWebRTCUnanswered(t *testing.T) {
	p := newRTCPair(t, func(p *simplePeer) { p.silent = true })
	relayed := func(text string) {
		t.Helper()
		if err := p.Send(p.js.ID(), wire.FormJSON, []byte(`"`+text+`"`)); err != nil {
			t.Fatal(err)
		}
		if m := wait(t, text, p.jsMessages); string(m.Payload) != `"`+text+`"` || len(m.Path) != 2 {
			t.Errorf("%s came by %v, want %s by the hub", m.Payload, m.Path, text)
		}
		if err := p.js.Router.Send(p.ID(), wire.FormJSON, []byte(`"`+text+`"`)); err != nil {
			t.Fatal(err)
		}
		if m := wait(t, text, p.messages); len(m.Path) != 2 {
			t.Errorf("%s came back by %v", m.Payload, m.Path)
		}
	}
	// A signal of who does not shake hands is dropped, and an offer is sent once. Those of
	// real peers follow an answer, and so find the handshake there.
	p.js.Connect(p.ID())
	wait(t, "answer to the handshake", p.js.begun)
	dialled := make(chan error, 1)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	go func() { // ends with the attempt, which is awaited below
		_, err := p.rtc.Dial(ctx, p.Router, protocol.Contact{ID: p.js.ID(), WebRTC: true})
		dialled <- err
	}()
	if s := wait(t, "offer", p.js.heard); s.Type != "offer" {
		t.Fatalf("heard %+v", s)
	}
	relayed("while it hangs")
	select {
	case err := <-dialled:
		t.Fatalf("the dial ended by %v before it was given up", err)
	default:
	}
	cancel()
	if err := wait(t, "end of the dial", dialled); !errors.Is(err, context.Canceled) {
		t.Errorf("the dial that was given up ended by %v", err)
	}
	// An attempt that no caller ends is ended by its timeout.
	p.rtc.timeout = 100 * time.Millisecond
	if _, err := p.rtc.Dial(testContext(t), p.Router, protocol.Contact{ID: p.js.ID(), WebRTC: true}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the dial ended by %v", err)
	}
	until(t, "its place given back", func() bool {
		p.rtc.mu.Lock()
		defer p.rtc.mu.Unlock()
		return len(p.rtc.attempts) == 0 && len(p.rtc.offers) == 0
	})
	relayed("after it")
	if len(p.ups) > 0 {
		t.Errorf("there is a link: %+v", <-p.ups)
	}
	// An answer that comes after all answers nothing.
	p.js.signal(rtcSignal{Type: "answer", SDP: strings.ReplaceAll(testSDP, `\r\n`, "\r\n")})
	relayed("after a late answer")
	p.rtc.mu.Lock()
	defer p.rtc.mu.Unlock()
	if len(p.rtc.attempts)+len(p.rtc.resting) > 0 {
		t.Error("a late answer begins an attempt")
	}
}
