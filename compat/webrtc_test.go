package compat

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A simplePeer is a peer that does what simple-peer does, by pion: it signals over its
// router, and what comes on its data channel it leaves to the test.
type simplePeer struct {
	*protocol.Router
	t      testing.TB
	typed  bool // candidates have a type, as version 9 writes them
	binary bool // messages are sent as bytes
	mute   bool // nothing is sent by itself
	greedy bool // what is too large for us is sent all the same
	silent bool // no signal is answered
	socket net.PacketConn
	ours   WebRTCOptions // of the peer that it meets

	opened   chan *webrtc.DataChannel
	closed   chan struct{}
	messages chan string
	heard    chan rtcSignal // signals that came, which it has taken
	begun    chan struct{}  // one for each handshake that it began and that was answered

	mu     sync.Mutex
	pc     *webrtc.PeerConnection
	mux    ice.UDPMux
	remote protocol.ID
	early  []webrtc.ICECandidateInit
}

// An rtcPair is one of ours and a simplePeer, linked to a peer between them.
type rtcPair struct {
	*protocol.Router
	rtc      *WebRTC
	js       *simplePeer
	hub      *protocol.Router
	messages chan protocol.Message
	ups      chan protocol.LinkInfo
	downs    chan error
	links    chan *rtcLink // that were dialled

	jsMessages chan protocol.Message // that came to the simplePeer over its other links
}

func newRTCPair(t testing.TB, change func(*simplePeer)) *rtcPair {
	t.Helper()
	js := &simplePeer{
		t: t, opened: make(chan *webrtc.DataChannel, 10), closed: make(chan struct{}, 10),
		messages: make(chan string, 1000), heard: make(chan rtcSignal, 1000), begun: make(chan struct{}, 10), ours: WebRTCOptions{Loopback: true},
	}
	if change != nil {
		change(js)
	}
	t.Cleanup(func() { js.close() })
	rtc, err := NewWebRTC(js.ours)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rtc.Close() })
	p := &rtcPair{rtc: rtc, js: js, messages: make(chan protocol.Message, 100), ups: make(chan protocol.LinkInfo, 10), downs: make(chan error, 10),
		links: make(chan *rtcLink, 10), jsMessages: make(chan protocol.Message, 100)}
	n := protocoltest.NewNetwork(t, protocoltest.PipeOptions{})
	who := protocoltest.NewIdentity(1).Options()
	who.NoOverlay, who.Dialers = true, []protocol.Dialer{spy{rtc, p.links}}
	who.OnMessage = func(m protocol.Message) { p.messages <- m }
	who.OnPeer = func(i protocol.LinkInfo) {
		if i.Kind == protocol.LinkWebRTC {
			p.ups <- i
		}
	}
	who.OnPeerDown = func(id protocol.ID, err error) {
		if id == p.js.ID() {
			p.downs <- err
		}
	}
	p.Router = n.Router(who)
	p.js.Router = n.Router(protocol.Options{ID: idB, NoOverlay: true, Dialers: []protocol.Dialer{p.js}, Verify: protocoltest.Verify,
		OnMessage: func(m protocol.Message) { p.jsMessages <- m }})
	p.hub = n.Router(protocol.Options{ID: idA, NoOverlay: true})
	for _, r := range []*protocol.Router{p.Router, p.js.Router} {
		r.SetContact(protocol.Contact{ID: r.ID(), WebRTC: true})
		n.Link(r, p.hub)
	}
	until(t, "links with the hub", func() bool { return len(p.hub.Peers()) == 2 && len(p.Peers()) == 1 && len(p.js.Peers()) == 1 })
	return p
}

func (p *simplePeer) CanDial(c protocol.Contact) bool { return c.WebRTC }

// Dial is what JS does with a handshake-answer.
func (p *simplePeer) Dial(_ context.Context, _ *protocol.Router, c protocol.Contact) (protocol.Link, error) {
	if p.silent {
		p.mu.Lock()
		p.remote = c.ID
		p.mu.Unlock()
		p.begun <- struct{}{}
		return nil, nil
	}
	p.start(c.ID)
	channel, err := p.pc.CreateDataChannel(strings.Repeat("ab", 20), nil)
	if err != nil {
		return nil, err
	}
	p.setup(channel)
	offer, err := p.pc.CreateOffer(nil)
	if err != nil {
		return nil, err
	}
	return nil, p.describe(offer)
}

// Signal takes a signal as JS does.
func (p *simplePeer) Signal(_ *protocol.Router, s protocol.Signal) {
	sig, err := parseSignal(s.Payload)
	if err != nil {
		p.t.Errorf("%s: %v", s.Payload, err)
		return
	}
	p.heard <- sig
	if p.silent {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pc == nil {
		p.startLocked(s.From)
	}
	if c := sig.Candidate; c != nil {
		if p.early = append(p.early, c.init()); p.pc.RemoteDescription() == nil {
			return
		}
	} else {
		if p.greedy {
			sig.SDP = strings.Replace(sig.SDP, fmt.Sprintf("max-message-size:%d", MaxWebRTC), "max-message-size:1000000", 1)
		}
		if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.NewSDPType(sig.Type), SDP: sig.SDP}); err != nil {
			p.t.Error(err)
			return
		}
	}
	for _, c := range p.early {
		p.pc.AddICECandidate(c)
	}
	p.early = nil
	if sig.Type == "offer" {
		answer, err := p.pc.CreateAnswer(nil)
		if err == nil {
			err = p.describe(answer)
		}
		if err != nil {
			p.t.Error(err)
		}
	}
}

func (p *simplePeer) start(id protocol.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.startLocked(id)
}

func (p *simplePeer) startLocked(id protocol.ID) {
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	if p.socket != nil {
		p.mux = webrtc.NewICEUDPMux(nil, p.socket)
		s.SetICEUDPMux(p.mux)
	}
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(s)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		p.t.Error(err)
		return
	}
	p.pc, p.remote = pc, id
	pc.OnDataChannel(p.setup)
	pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c == nil {
			return
		}
		line, mid := uint16(0), "0"
		sig := rtcSignal{Candidate: &rtcCandidate{Candidate: c.ToJSON().Candidate, SDPMLineIndex: &line, SDPMid: &mid}}
		if p.typed {
			sig.Type = "candidate"
		}
		p.signal(sig)
	})
}

func (p *simplePeer) signal(s rtcSignal) {
	text, err := s.text()
	if err != nil {
		p.t.Error(err)
	}
	p.Router.Signal(p.remote, text) // fails when the test is over
}

func (p *simplePeer) describe(d webrtc.SessionDescription) error {
	p.signal(rtcSignal{Type: d.Type.String(), SDP: d.SDP})
	return p.pc.SetLocalDescription(d)
}

func (p *simplePeer) setup(channel *webrtc.DataChannel) {
	channel.OnMessage(func(m webrtc.DataChannelMessage) { p.messages <- string(m.Data) })
	channel.OnClose(func() { p.closed <- struct{}{} })
	channel.OnOpen(func() {
		if !p.mute {
			p.send(channel, string(jsFind(p.ID(), p.remote, "")))
		}
		p.opened <- channel
	})
}

func (p *simplePeer) send(channel *webrtc.DataChannel, text string) {
	var err error
	if p.binary {
		err = channel.Send([]byte(text))
	} else {
		err = channel.SendText(text)
	}
	if err != nil {
		p.t.Error(err)
	}
}

// read gives the next message that holds a text.
func (p *simplePeer) read(text string) string {
	p.t.Helper()
	for {
		if m := wait(p.t, text, p.messages); strings.Contains(m, text) {
			return m
		}
	}
}

func (p *simplePeer) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pc != nil {
		p.pc.GracefulClose()
	}
	if p.mux != nil {
		p.mux.Close()
	}
}

// signals gives what was heard so far.
func (p *simplePeer) signals() (all []rtcSignal) {
	for len(p.heard) > 0 {
		all = append(all, <-p.heard)
	}
	return all
}

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
	// What others send may take more room as JSON. It is for the writer to refuse.
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

// A spy hears of the links that a WebRTC dials.
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

// A process that is killed says nothing.
func TestWebRTCDeadPeer(t *testing.T) {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket := &mortal{PacketConn: conn}
	p := newRTCPair(t, func(p *simplePeer) { p.socket = socket })
	p.Connect(p.js.ID())
	wait(t, "link", p.ups)
	socket.dead.Store(true)
	if err := wait(t, "end of the link", p.downs); err == nil || !strings.Contains(err.Error(), "disconnected") {
		t.Errorf("the link ended by %v", err)
	}
}

// Who opens a second channel is no simple-peer.
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

// What is open when the router is closed ends with it.
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

// An offer that nobody answers costs nothing but itself: messages go on by the relay while
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
	// Left alone, it ends by itself.
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
	// What comes after all is an answer to nothing.
	p.js.signal(rtcSignal{Type: "answer", SDP: strings.ReplaceAll(testSDP, `\r\n`, "\r\n")})
	relayed("after a late answer")
	p.rtc.mu.Lock()
	defer p.rtc.mu.Unlock()
	if len(p.rtc.attempts)+len(p.rtc.resting) > 0 {
		t.Error("a late answer begins an attempt")
	}
}
