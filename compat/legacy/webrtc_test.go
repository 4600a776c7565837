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
		ours   bool // the Go peer gets the answer, and so makes the offer
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
			p.js.close() // as JS does in disconnect
			if err := wait(t, "end of the link", p.downs); err != nil {
				t.Errorf("the link ended by %v", err)
			}
		})
	}
}

// TestWebRTCSizes checks that messages up to the limit of the wire pass in both directions, and
// that a larger one is refused without another effect.
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
	// A message of another implementation may be larger as JSON. The writer refuses it.
	l := <-p.links
	err := l.WriteFrame(userFrame(t, p.ID(), p.js.ID(), wire.FormRaw, make([]byte, 200_000)))
	if !errors.Is(err, protocol.ErrTooBig) || !strings.Contains(err.Error(), fmt.Sprint(MaxWebRTC)) {
		t.Errorf("a message that is too big for the channel: %v", err)
	}
	if err := p.Send(p.js.ID(), wire.FormJSON, []byte(`"after it"`)); err != nil {
		t.Fatal(err)
	}
	p.js.read("after it")
	// A link ends if its peer sends a message above the limit.
	p.js.send(channel, strings.Repeat("x", MaxWebRTC+1))
	if err := wait(t, "end of the link", p.downs); err == nil || !strings.Contains(err.Error(), fmt.Sprint(MaxWebRTC)) {
		t.Errorf("the link ended by %v", err)
	}
}

// A spy records the links that a WebRTC dials, and may keep them from its router.
type spy struct {
	*WebRTC
	links chan *rtcLink
	keeps bool
}

func (s spy) Dial(ctx context.Context, r *protocol.Router, c protocol.Contact) (protocol.Link, error) {
	l, err := s.WebRTC.Dial(ctx, r, c)
	if l, ok := l.(*rtcLink); ok {
		s.links <- l
		if s.keeps {
			return nil, nil
		}
	}
	return l, err
}

// TestWebRTCMute checks that a peer which opens the channel but reads nothing, like a page
// whose scripts are too old for its browser, is never a link, and that messages take other
// links.
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
		t.Errorf("a mute peer is linked: %+v", <-p.ups)
	}
}

// A mortal is a socket that passes no packets once it is dead.
type mortal struct {
	net.PacketConn
	dead atomic.Bool
	deaf atomic.Bool // it reads nothing
}

func (m *mortal) WriteTo(b []byte, to net.Addr) (int, error) {
	if m.dead.Load() {
		return len(b), nil
	}
	return m.PacketConn.WriteTo(b, to)
}

func (m *mortal) ReadFrom(b []byte) (n int, from net.Addr, err error) {
	for {
		if n, from, err = m.PacketConn.ReadFrom(b); err != nil || !m.dead.Load() && !m.deaf.Load() {
			return n, from, err
		}
	}
}

// newMortalPair returns a pair whose simplePeer has a link over a mortal socket.
func newMortalPair(t *testing.T, changes ...func(*simplePeer)) (*rtcPair, *mortal) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket := &mortal{PacketConn: conn}
	p := newRTCPair(t, func(p *simplePeer) {
		p.socket = socket
		for _, change := range changes {
			change(p)
		}
	})
	p.Connect(p.js.ID())
	wait(t, "link", p.ups)
	return p, socket
}

// silence kills a socket, and waits for the end of the link.
func (p *rtcPair) silence(t *testing.T, socket *mortal) {
	t.Helper()
	socket.dead.Store(true)
	err := wait(t, "end of the link", p.downs)
	if !errors.Is(err, protocol.ErrSilent) && (err == nil || !strings.Contains(err.Error(), "disconnected")) {
		t.Errorf("the link ended by %v", err)
	}
}

// TestWebRTCDeadPeer checks that the link to a killed process, which sends no bye, ends, and
// that its connection waits until the transport closes.
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

// TestWebRTCClaim checks that a claim to the id of a peer that has just died is granted long before
// ICE notices, and that one to the id of a peer that lives is refused. When the peer comes back, it
// has its link again.
func TestWebRTCClaim(t *testing.T) {
	t.Parallel()
	p, socket := newMortalPair(t)
	channel := wait(t, "channel", p.js.opened)
	rival := protocol.LinkInfo{ID: p.js.ID(), Kind: protocol.LinkWebSocket, Opener: "a rival"}
	if _, err := p.Claim(t.Context(), rival); !errors.Is(err, protocol.ErrDuplicate) {
		t.Errorf("a claim to the id of a living peer got %v", err)
	}
	l := <-p.links
	until(t, "the last acknowledgement", func() bool { return l.Progress().Pending == 0 })
	socket.dead.Store(true)
	release, err := p.Claim(t.Context(), rival)
	if err != nil {
		t.Fatalf("a claim to the id of a dead peer: %v", err)
	}
	if err := wait(t, "end of the link", p.downs); !errors.Is(err, protocol.ErrSilent) {
		t.Errorf("the link ended by %v", err)
	}
	release()
	until(t, "a connection that waits", func() bool { return len(p.rtc.waiting) == 1 })
	socket.dead.Store(false)
	p.js.send(channel, string(jsUser(p.js.ID(), p.ID(), "1", `"still here"`)))
	wait(t, "link again", p.ups)
}

// pion waits for the handlers of a connection while it closes it, so they must not wait for anything.
func TestWebRTCHandlersDoNotWait(t *testing.T) {
	t.Parallel()
	p, socket := newMortalPair(t)
	c := (<-p.links).conn
	c.mu.Lock()
	defer c.mu.Unlock()
	socket.dead.Store(true)
	until(t, "the silence of the peer", func() bool { return !c.isConnected() })
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		closeConn(c.pc)
	}()
	wait(t, "end of a connection whose silence is not handled yet", closed)
}

// TestWebRTCPeerComesBack checks that a peer that was suspended, or out of radio reach, has its
// link again over the same channel, and that what it sent in the meantime arrives.
func TestWebRTCPeerComesBack(t *testing.T) {
	t.Parallel()
	p, socket := newMortalPair(t, func(p *simplePeer) { p.found = true }) // a link may have taken what was sent as it ended
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
	// An end that the application asked for leaves nothing that waits.
	p.Disconnect(p.js.ID())
	wait(t, "end of the channel", p.js.closed)
	if err := wait(t, "end of the link", p.downs); err != nil && !errors.Is(err, protocol.ErrDisconnected) {
		t.Errorf("the link ended by %v", err)
	}
	if len(p.rtc.waiting) != 0 {
		t.Errorf("%d connections wait after Disconnect", len(p.rtc.waiting))
	}
}

// After a process was stopped, what arrives first is old, and the peer may be gone. A link is made
// again only when the peer answers.
func TestWebRTCOldPackets(t *testing.T) {
	t.Parallel()
	p, socket := newMortalPair(t)
	wait(t, "channel", p.js.opened)
	c := (<-p.links).conn
	p.silence(t, socket)
	until(t, "a connection that waits", func() bool { return len(p.rtc.waiting) == 1 })
	socket.deaf.Store(true)
	socket.dead.Store(false)
	until(t, "the wait for an answer", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.asks
	})
	if len(p.ups) > 0 || len(p.rtc.waiting) != 1 {
		t.Errorf("%d links with a peer that does not answer, %d connections wait", len(p.ups), len(p.rtc.waiting))
	}
	socket.deaf.Store(false)
	until(t, "a connection that does not wait", func() bool { return len(p.rtc.waiting) == 0 })
}

// A deadline of pion's that comes late ends no link.
func TestWebRTCStrayDeadline(t *testing.T) {
	p := newRTCPair(t, nil)
	p.Connect(p.js.ID())
	channel := wait(t, "channel", p.js.opened)
	wait(t, "link", p.ups)
	l := <-p.links
	for _, text := range []string{"once", "twice"} {
		l.raw.SetReadDeadline(past)
		p.js.send(channel, string(jsUser(p.js.ID(), p.ID(), text, `"`+text+`"`)))
		if m := wait(t, "message", p.messages); string(m.Payload) != `"`+text+`"` {
			t.Errorf("got %s", m.Payload)
		}
	}
	if len(p.downs) > 0 {
		t.Errorf("the link ended by %v", <-p.downs)
	}
}

// A peer that has come back and is slow to speak keeps its connection.
func TestWebRTCSlowPeerComesBack(t *testing.T) {
	t.Parallel()
	p, socket := newMortalPair(t)
	channel := wait(t, "channel", p.js.opened)
	p.silence(t, socket)
	until(t, "a connection that waits", func() bool { return len(p.rtc.waiting) == 1 })
	refused := p.Stats().LinksRefused
	socket.dead.Store(false)
	until(t, "the end of a link that brought nothing", func() bool { return p.Stats().LinksRefused > refused && len(p.rtc.waiting) == 1 })
	p.js.send(channel, string(jsUser(p.js.ID(), p.ID(), "1", `"at last"`)))
	wait(t, "link", p.ups)
	if m := wait(t, "message", p.messages); string(m.Payload) != `"at last"` {
		t.Errorf("got %s", m.Payload)
	}
	if len(p.js.closed) > 0 {
		t.Error("the channel is closed")
	}
}

// TestWebRTCWaitingIsBounded checks that maxWaiting bounds the connections that wait for their
// peers.
func TestWebRTCWaitingIsBounded(t *testing.T) {
	t.Parallel()
	p, socket := newMortalPair(t)
	for range maxWaiting {
		p.rtc.waiting <- struct{}{}
	}
	l := <-p.links
	p.silence(t, socket)
	wait(t, "end of the connection", l.conn.ended)
	socket.dead.Store(false)
	if len(p.ups) > 0 || len(p.rtc.waiting) != maxWaiting {
		t.Errorf("%d links again, %d wait", len(p.ups), len(p.rtc.waiting))
	}
}

// TestWebRTCSecondChannel checks that a link ends if its peer opens a second channel, which no
// simple-peer does.
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

// TestWebRTCCloses checks that open links end with the router.
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

// TestWebRTCPeerResets checks that a link knows what has arrived at a peer that closes its channel
// before it has acknowledged the last message.
func TestWebRTCPeerResets(t *testing.T) {
	p := newRTCPair(t, nil)
	p.Connect(p.js.ID())
	channel, l := wait(t, "channel", p.js.opened), wait(t, "dialled link", p.links)
	wait(t, "link", p.ups)
	until(t, "the first acknowledgements", func() bool { now := l.Progress(); return now.Acked > 0 && now.Pending == 0 })
	if err := p.Send(p.js.ID(), wire.FormJSON, []byte(`"last"`)); err != nil {
		t.Fatal(err)
	}
	p.js.read(`"data":"last"`)
	if err := channel.Close(); err != nil { // the acknowledgement follows within 200 ms
		t.Fatal(err)
	}
	until(t, "the acknowledgement", func() bool { return l.Progress().Pending == 0 })
	if err := p.Close(); err != nil {
		t.Errorf("close after all has arrived: %v", err)
	}
}

// TestWebRTCWriteAfterReset checks that a link knows what has arrived at a peer that closes its
// channel, also if it writes another message meanwhile.
func TestWebRTCWriteAfterReset(t *testing.T) {
	p := newRTCPair(t, func(p *simplePeer) { p.keepsLinks = true })
	p.Connect(p.js.ID())
	channel, l := wait(t, "channel", p.js.opened), wait(t, "dialled link", p.links)
	defer l.Close()
	write := func(text string) error {
		return l.WriteFrame(userFrame(t, p.ID(), p.js.ID(), wire.FormJSON, []byte(`"`+text+`"`)))
	}
	if err := write("first"); err != nil {
		t.Fatal(err)
	}
	until(t, "the first acknowledgement", func() bool { now := l.Progress(); return now.Acked > 0 && now.Pending == 0 })
	if err := write("last"); err != nil {
		t.Fatal(err)
	}
	p.js.read(`"data":"last"`)
	if err := channel.Close(); err != nil {
		t.Fatal(err)
	}
	for {
		f, err := l.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if f.Type == wire.FrameBye {
			break
		}
	}
	if err := write("too late"); err == nil {
		t.Error("a closed channel took a message")
	}
	l.Close()
	if now := l.Progress(); !now.Known || now.Pending != 0 {
		t.Errorf("after the end: %+v", now)
	}
}

// TestWebRTCUnanswered checks that an unanswered offer has no other effect: messages take the
// relay while it is pending and after it, and its end is final.
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
	// A signal without a handshake is dropped, and an offer is sent once. The signals of a real
	// peer follow its answer, so the handshake is already known.
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
		t.Fatalf("the dial ended by %v before it was cancelled", err)
	default:
	}
	cancel()
	if err := wait(t, "end of the dial", dialled); !errors.Is(err, context.Canceled) {
		t.Errorf("the cancelled dial ended with %v", err)
	}
	// If it is not cancelled, it ends by itself.
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
	// A signal after all that is an answer to nothing.
	p.js.signal(rtcSignal{Type: "answer", SDP: strings.ReplaceAll(testSDP, `\r\n`, "\r\n")})
	relayed("after a late answer")
	p.rtc.mu.Lock()
	defer p.rtc.mu.Unlock()
	if len(p.rtc.attempts)+len(p.rtc.resting) > 0 {
		t.Error("a late answer begins an attempt")
	}
}
