//go:build !js

package legacy

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
)

// A simplePeer is a peer that does what simple-peer does, with pion. It signals over its
// router, and leaves the messages on its data channel to the test.
type simplePeer struct {
	*protocol.Router
	t      testing.TB
	typed  bool // candidates have a type, as version 9 writes them
	binary bool // messages are sent as bytes
	mute   bool // the peer sends no message on its own
	greedy bool // the peer also sends messages that are too large
	silent bool // the peer answers no signal
	found  bool // the peer answers findPeers, as the npm package does
	socket net.PacketConn

	ours       WebRTCOptions // options of the Go peer
	keepsLinks bool          // the Go peer's router does not get the links that it dials

	opened   chan *webrtc.DataChannel
	closed   chan struct{}
	messages chan string
	heard    chan rtcSignal // signals that it has received and handled
	begun    chan struct{}  // one for each of its handshakes that was answered

	mu     sync.Mutex
	pc     *webrtc.PeerConnection
	mux    ice.UDPMux
	remote protocol.ID
	early  []webrtc.ICECandidateInit
}

// An rtcPair is a Go peer and a simplePeer, linked to a peer between them.
type rtcPair struct {
	*protocol.Router
	rtc      *WebRTC
	js       *simplePeer
	hub      *protocol.Router
	messages chan protocol.Message
	ups      chan protocol.LinkInfo
	downs    chan error
	links    chan *rtcLink // links that were dialled

	jsMessages chan protocol.Message // messages that the simplePeer got over its other links
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
	who.NoOverlay, who.Dialers = true, []protocol.Dialer{spy{rtc, p.links, js.keepsLinks}}
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

// Dial does what JS does after a handshake-answer.
func (p *simplePeer) Dial(_ context.Context, _ *protocol.Router, c protocol.Contact) (protocol.Link, error) {
	if p.silent {
		p.mu.Lock()
		p.remote = c.ID
		p.mu.Unlock()
		p.begun <- struct{}{}
		return nil, nil
	}
	p.mu.Lock() // no answer is taken before the offer is its own
	defer p.mu.Unlock()
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

// Signal handles a signal as JS does.
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
		p.start(s.From)
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

// start makes the PeerConnection. p.mu is held.
func (p *simplePeer) start(id protocol.ID) {
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetSCTPRTOMax(time.Second) // pion would wait up to a minute before it sends again
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
	channel.OnMessage(func(m webrtc.DataChannelMessage) {
		if p.found && strings.Contains(string(m.Data), `"findPeers"`) {
			p.send(channel, string(jsFound(p.ID(), p.remote)))
		}
		p.messages <- string(m.Data)
	})
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

// read returns the next message that contains text.
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

// signals returns the signals received so far.
func (p *simplePeer) signals() (all []rtcSignal) {
	for len(p.heard) > 0 {
		all = append(all, <-p.heard)
	}
	return all
}
