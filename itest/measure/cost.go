package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/compat/legacy"
	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
)

// A CostSetting is a relay of one kind, between two of our peers that have one link each,
// to the relay, of one kind.
//
//	sender ── link ── relay, a process of its own ── link ── receiver
type CostSetting struct {
	Name string
	JS   bool // the relay is the npm package's, otherwise ours
	Old  bool // the relay is that of another build

	kind protocol.LinkKind
	over string // part of the relay's multiaddr, for libp2p
}

// CostSettings returns all of them. Those with the same kind of link stand together, the
// npm package last.
func CostSettings() []CostSetting {
	return []CostSetting{
		{Name: "Go, libp2p webrtc-direct", kind: protocol.LinkNative, over: "/webrtc-direct/"},
		{Name: "Go, data channel", kind: protocol.LinkWebRTC},
		{Name: "JS, data channel", kind: protocol.LinkWebRTC, JS: true},
		{Name: "Go, libp2p /ws", kind: protocol.LinkNative, over: "/ws/"},
		{Name: "Go, WebSocket", kind: protocol.LinkWebSocket},
		{Name: "JS, WebSocket", kind: protocol.LinkWebSocket, JS: true},
	}
}

// BuildCostSettings returns the settings by which this build is compared with another one, each pair side
// by side. Any build's relay has a WebSocket port.
func BuildCostSettings() []CostSetting {
	return []CostSetting{
		{Name: "Go, libp2p /ws", kind: protocol.LinkNative, over: "/ws/"},
		{Name: "other build, libp2p /ws", kind: protocol.LinkNative, over: "/ws/", Old: true},
		{Name: "Go, WebSocket", kind: protocol.LinkWebSocket},
		{Name: "other build, WebSocket", kind: protocol.LinkWebSocket, Old: true},
	}
}

// Rival reports whether other is the same setting with the relay of another build.
func (s CostSetting) Rival(other CostSetting) bool {
	return !s.Old && other.Old && !s.JS && s.kind == other.kind && s.over == other.over
}

// WebRTC reports whether the links are WebRTC's.
func (s CostSetting) WebRTC() bool {
	return s.kind == protocol.LinkWebRTC || strings.Contains(s.over, "webrtc")
}

const (
	// costWindow is the most messages of a round in flight. More of 16 KiB at once do not
	// all pass a JS relay's data channel.
	costWindow = 64

	// costLeast is the bytes of the smallest message of a round: its quotes and number.
	costLeast = 2 + costDigits

	costDigits = 16
	costProbe  = `"probe"`
)

// A CostFigure is the cost of one round.
type CostFigure struct {
	Messages int
	CPU      time.Duration // user and system time of the relay's process, in steps of 10 ms
	Took     time.Duration
}

// A CostStage is a relay and the two peers, linked.
type CostStage struct {
	setting          CostSetting
	id               protocol.ID    // of the relay
	proc             *peers.Process // the relay's
	hub              *compat.PeerRelay
	sender, receiver *protocol.Router
	closers          peers.Closers

	probed chan struct{} // holds a token if a probe came
	window chan struct{} // holds a token for each message in flight
	broken chan struct{} // closed when err is set

	mu   sync.Mutex
	want []byte // the next message that is due, nil between rounds
	due  int
	err  error // for the first message that was not as it must be
}

// Start starts the relay, our binary or in Node, and the peers, and returns when messages
// pass.
func (s CostSetting) Start(ctx context.Context, binary string) (*CostStage, error) {
	stage := &CostStage{setting: s, probed: make(chan struct{}, 1), window: make(chan struct{}, costWindow), broken: make(chan struct{})}
	if err := stage.start(ctx, binary); err != nil {
		return nil, fmt.Errorf("itest: cost, %s: %w", s.Name, errors.Join(err, stage.Close()))
	}
	return stage, nil
}

func (s *CostStage) start(ctx context.Context, binary string) (err error) {
	bootstrap := ""
	if s.setting.kind == protocol.LinkWebRTC {
		// The peers signal through a third one. When that has closed they have one link each.
		if s.hub, err = compat.New(compat.Options{Options: node.Options{Listen: true, ListenHost: peers.Loopback}, NoWebRTC: true}); err != nil {
			return err
		}
		s.closers.Add(s.hub.Close)
		bootstrap = s.hub.URL()
	}
	switch {
	case s.setting.JS:
		bootstrap, err = s.startJS(ctx, bootstrap)
	default:
		bootstrap, err = s.startGo(ctx, binary, bootstrap)
	}
	if err != nil {
		return err
	}
	for i, end := range []**protocol.Router{&s.receiver, &s.sender} {
		if s.hub != nil {
			err = peers.Until(ctx, "the third peer's links", func() (bool, error) { return len(s.hub.Node().Router().Peers()) == i+1, nil })
		}
		if err == nil {
			*end, err = s.startEnd(bootstrap)
		}
		if err != nil {
			return err
		}
	}
	if s.hub != nil {
		if err := s.meet(ctx); err != nil {
			return err
		}
	}
	return peers.Until(ctx, "a message through the relay", func() (bool, error) {
		select {
		case <-s.probed:
			return s.linked() == nil, nil
		default:
			return false, s.sender.Send(s.receiver.ID(), protocol.FormJSON, []byte(costProbe))
		}
	})
}

// startJS starts the npm package as the relay and returns what to bootstrap to.
func (s *CostStage) startJS(ctx context.Context, hub string) (string, error) {
	d, err := peers.StartDriver(ctx)
	if err != nil {
		return "", err
	}
	s.closers.Add(d.Close)
	s.proc = d.Process()
	spec := peers.NPMSpec{Spec: peers.Spec{Name: "relay", Listen: hub == ""}, WebRTC: hub != ""}
	if hub != "" {
		spec.Bootstrap = []string{hub}
	}
	p, err := d.Peer(ctx, spec)
	if err != nil {
		return "", err
	}
	s.id = p.ID()
	if hub != "" {
		return hub, nil
	}
	return p.URL(), nil
}

// startGo starts our relay and returns what to bootstrap to.
func (s *CostStage) startGo(ctx context.Context, binary, hub string) (string, error) {
	spec := peers.Spec{Name: "relay", Listen: hub == ""}
	if hub != "" {
		spec.Bootstrap = []string{hub}
	}
	p, err := peers.StartGo(ctx, binary, spec, "--webrtc-loopback")
	if err != nil {
		return "", err
	}
	s.closers.Add(p.Close)
	s.proc, s.id = p.Process(), p.ID()
	switch s.setting.kind {
	case protocol.LinkWebRTC:
		return hub, nil
	case protocol.LinkWebSocket:
		return p.URL(), nil
	}
	return p.AddrWith(s.setting.over)
}

// startEnd starts the sender or the receiver. It makes only the links that it is told to
// make.
func (s *CostStage) startEnd(bootstrap string) (*protocol.Router, error) {
	if s.setting.kind == protocol.LinkWebSocket {
		// A router without a node: a node would change over to libp2p, which our relay speaks.
		r, err := protocol.NewRouter(protocol.Options{Dialers: []protocol.Dialer{&legacy.WebSocket{}},
			Bootstraps: []protocol.Contact{{URL: bootstrap}}, NoOverlay: true, OnMessage: s.take})
		if err != nil {
			return nil, err
		}
		s.closers.Add(r.Close)
		return r, nil
	}
	o := node.Options{Bootstraps: []string{bootstrap}, NoOverlay: true, NoDiscovery: true, OnMessage: s.take}
	if s.setting.kind == protocol.LinkWebRTC {
		w, err := legacy.NewWebRTC(legacy.WebRTCOptions{Loopback: true})
		if err != nil {
			return nil, err
		}
		s.closers.Add(w.Close)
		o.WebRTC, o.Legacy = w, peers.DialOnly{WebSocket: &legacy.WebSocket{}}
	}
	n, err := node.New(o)
	if err != nil {
		return nil, err
	}
	s.closers.Add(n.Close)
	return n.Router(), nil
}

// meet links both peers with the relay and closes the third one.
func (s *CostStage) meet(ctx context.Context) error {
	err := peers.Until(ctx, "the third peer's links", func() (bool, error) { return len(s.hub.Node().Router().Peers()) == 3, nil })
	if err != nil {
		return err
	}
	for _, r := range []*protocol.Router{s.sender, s.receiver} {
		r.Connect(s.id)
		err := peers.Until(ctx, "a data channel with the relay", func() (bool, error) {
			for _, l := range r.Peers() {
				if l.ID == s.id && l.Kind == protocol.LinkWebRTC {
					return true, nil
				}
			}
			return false, nil
		})
		if err != nil {
			return err
		}
	}
	if err := s.hub.Close(); err != nil {
		return err
	}
	return peers.Until(ctx, "the third peer's end", func() (bool, error) {
		return len(s.sender.Peers()) == 1 && len(s.receiver.Peers()) == 1, nil
	})
}

// linked checks that each peer has one link, to the relay, of the kind of the setting.
func (s *CostStage) linked() error {
	for _, r := range []*protocol.Router{s.sender, s.receiver} {
		links := r.Peers()
		if len(links) != 1 || links[0].ID != s.id || links[0].Kind != s.setting.kind || !strings.Contains(links[0].Addr+"/", s.setting.over) {
			return fmt.Errorf("the links are %+v, want one with %v by %v%s", links, s.id, s.setting.kind, s.setting.over)
		}
	}
	return nil
}

// take takes a message that came. Those of a round come in their order: there is only one
// way.
func (s *CostStage) take(m protocol.Message) {
	if string(m.Payload) == costProbe {
		select {
		case s.probed <- struct{}{}:
		default:
		}
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	if !bytes.Equal(m.Payload, s.want) || len(m.Path) != 2 || m.Path[0] != s.sender.ID() || m.Path[1] != s.id {
		s.err = fmt.Errorf("%.40q of %d bytes came by way of %v, want %.40q of %d bytes", m.Payload, len(m.Payload), m.Path, s.want, len(s.want))
		close(s.broken)
		return
	}
	s.due++
	number(s.want, s.due)
	<-s.window
}

// number writes the number of a message into its text.
func number(text []byte, n int) { digits(text[1:][:costDigits], n) }

// digits fills b with the last digits of n.
func digits(b []byte, n int) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = '0' + byte(n%10)
		n /= 10
	}
}

// Round sends messages of size bytes, strings as JSON text, as long as more returns true
// for the number that were sent, and waits until all have arrived. At most 64 are in
// flight. The sender learns outside the network that they arrived, so that the relay
// carries nothing else. Round fails if a message is lost, differs, is late or came another
// way.
func (s *CostStage) Round(ctx context.Context, size int, more func(sent int) bool) (CostFigure, error) {
	f, err := s.round(ctx, size, more)
	if err != nil {
		return CostFigure{}, fmt.Errorf("itest: cost, %s, %d bytes: %w", s.setting.Name, size, err)
	}
	return f, nil
}

func (s *CostStage) round(ctx context.Context, size int, more func(int) bool) (f CostFigure, err error) {
	if err := s.linked(); err != nil {
		return f, err
	}
	text := append(bytes.Repeat([]byte("a"), size-1), '"')
	text[0] = '"'
	number(text, 0)
	s.mu.Lock()
	s.want, s.due = bytes.Clone(text), 0
	s.mu.Unlock()

	before, err := cpuTime(s.proc.Pid())
	if err != nil {
		return f, err
	}
	started := time.Now()
	for more(f.Messages) {
		if err := s.await(ctx); err != nil {
			return f, err
		}
		number(text, f.Messages)
		if err := s.sender.Send(s.receiver.ID(), protocol.FormJSON, text); err != nil {
			return f, err
		}
		f.Messages++
	}
	for range costWindow { // when all have arrived the whole window is free
		if err := s.await(ctx); err != nil {
			return f, err
		}
	}
	f.Took = time.Since(started)
	after, err := cpuTime(s.proc.Pid())
	if err != nil {
		return f, err
	}
	f.CPU = after - before
	for range costWindow {
		<-s.window
	}
	return f, s.linked()
}

// await waits for room in the window and takes it.
func (s *CostStage) await(ctx context.Context) error {
	select {
	case s.window <- struct{}{}:
		return nil
	case <-s.broken:
		return s.err
	case <-s.proc.Done():
		return errors.Join(errors.New("the relay is gone"), s.proc.Close())
	case <-ctx.Done():
		return fmt.Errorf("%w with %d messages in flight", ctx.Err(), len(s.window))
	}
}

// Close ends the peers and the relay.
func (s *CostStage) Close() error { return s.closers.Close() }
