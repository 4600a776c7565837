package plays

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/compat/legacy"
	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
)

// resendAfter is the time that the mixed network waits for a message before it sends another.
const resendAfter = 2 * time.Second

// legacyLinks is the number of links of each page of the npm package before any peer writes.
// It may never get more: a peer that it once did not find it does not seek again.
const legacyLinks = 2

// A Way is how a message went from one peer of the mixed network to another.
type Way struct {
	From, To string
	Path     []string // the names of the sender and of the relays
	Sends    int      // until one arrived
	Took     time.Duration
}

// kindOf returns the kind of a peer of the mixed network by its name: go, js or legacy.
func kindOf(name string) string { return strings.TrimRight(name, "0123456789") }

// Hops is the number of links that it went over.
func (w Way) Hops() int { return len(w.Path) }

// FarWays counts those that went over two links or more.
func FarWays(ways []Way) (far int) {
	for _, w := range ways {
		if w.Hops() > 1 {
			far++
		}
	}
	return far
}

// Relayed counts how often each kind of peer has relayed.
func Relayed(ways []Way) map[string]int {
	relayed := make(map[string]int)
	for _, w := range ways {
		for _, relay := range w.Path[1:] {
			relayed[kindOf(relay)]++
		}
	}
	return relayed
}

// A MixedNetwork is four Go peers, three pages on js-libp2p and three pages of the npm
// package. go1 and go2 have a port, but tell others an address that does not answer: a page
// on js-libp2p is linked with its bootstraps, and with no other peer.
//
//	js1 ───── go1 ──────── go2 ───── js2
//	           └──── js3 ───┘             js3 comes by /webrtc-direct, the others by /ws
//	go3, legacy2 at go2; go4, legacy1, legacy3 at go1, and all of these by WebRTC
//
// js3 is nearer to js1 than all others are, and legacy2 and legacy3 have the ids next to that of
// js2: messages for these are sent to them first.
type MixedNetwork struct {
	pages *peers.Pages
	peers []*member
	goes  []*compat.PeerRelay
	tabs  []*peers.PagePeer

	written int // messages
}

// A member is a peer of the mixed network.
type member struct {
	name   string
	id     protocol.ID
	events *peers.Log[peers.Event]
	send   func(ctx context.Context, to protocol.ID, text string) error
}

// deadURL is announced in place of an address: no peer listens there.
const deadURL = "ws://127.0.0.1:9"

// OpenMixed starts the peers and waits for the links of their bootstraps. Close ends them.
func OpenMixed(ctx context.Context, p *peers.Pages) (n *MixedNetwork, err error) {
	n = &MixedNetwork{pages: p}
	if err := n.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("itest: mixed network: %w%s", err, n.story()), n.Close())
	}
	return n, nil
}

func (n *MixedNetwork) open(ctx context.Context) error {
	relay := func(bootstrap ...string) compat.Options {
		return compat.Options{
			Options: node.Options{Listen: true, ListenHost: peers.Loopback, Announce: []string{deadURL}, Bootstraps: bootstrap},
			WRTC:    legacy.WebRTCOptions{Loopback: true},
		}
	}
	go1, err := n.addGo(ctx, relay())
	if err != nil {
		return err
	}
	go2, err := n.addGo(ctx, relay(realURL(go1)), go1)
	if err != nil {
		return err
	}
	if _, err := n.addGo(ctx, compat.Options{Options: node.Options{Bootstraps: []string{realURL(go2)}}, WRTC: legacy.WebRTCOptions{Loopback: true}}, go2); err != nil {
		return err
	}
	if _, err := n.addGo(ctx, compat.Options{Options: node.Options{Bootstraps: []string{realURL(go1)}}, WRTC: legacy.WebRTCOptions{Loopback: true}}, go1); err != nil {
		return err
	}
	js1, err := n.addPage(ctx, peers.JSLibp2p, peers.PageSpec{Spec: peers.Spec{Name: "js1", Bootstrap: []string{realAddr(go1, "/ws")}}}, 1)
	if err != nil {
		return err
	}
	js2, err := n.addPage(ctx, peers.JSLibp2p, peers.PageSpec{Spec: peers.Spec{Name: "js2", Bootstrap: []string{realAddr(go2, "/ws")}}}, 1)
	if err != nil {
		return err
	}
	js3 := peers.PageSpec{Spec: peers.Spec{Name: "js3", Bootstrap: []string{realAddr(go1, "/webrtc-direct"), realAddr(go2, "/webrtc-direct")}}, Near: js1.id}
	far := js1.id // that of legacy1
	far[0] ^= 0x80
	js3.Others = append(js3.Others, far)
	for _, m := range n.peers {
		if m != js1 {
			js3.Others = append(js3.Others, m.id)
		}
	}
	if _, err := n.addPage(ctx, peers.JSLibp2p, js3, 2); err != nil {
		return err
	}
	for i, at := range []*compat.PeerRelay{go1, go2, go1} {
		spec := peers.PageSpec{Spec: peers.Spec{Name: n.next("legacy"), Bootstrap: []string{realURL(at)}}}
		if i == 0 {
			spec.ID = far
		} else {
			spec.ID = js2.id
			spec.ID[len(spec.ID)-1] ^= byte(i)
		}
		if _, err := n.addPage(ctx, peers.Rebundled, spec, 1); err != nil {
			return err
		}
	}
	// They find each other, and the Go peers, through their bootstraps.
	for _, page := range n.peers[len(n.peers)-3:] {
		if _, err := page.events.WaitN(ctx, legacyLinks, peers.IsKind(peers.EventPeer)); err != nil {
			return err
		}
	}
	return nil
}

// TalkOverPages closes the links of go4 but those to legacy pages, and has it write to every
// other peer but these.
func (n *MixedNetwork) TalkOverPages(ctx context.Context) (ways []Way, err error) {
	p := n.goes[3]
	m := n.peers[slices.IndexFunc(n.peers, func(m *member) bool { return m.id == p.ID() })]
	if err := n.behindPages(ctx, p, m); err != nil {
		return nil, fmt.Errorf("itest: mixed network: %s behind pages: %w%s", m.name, err, n.story())
	}
	for _, to := range n.peers {
		if to == m || kindOf(to.name) == "legacy" {
			continue
		}
		way, err := n.talk(ctx, m, to)
		if err != nil {
			return ways, fmt.Errorf("itest: mixed network: from %s behind pages to %s: %w%s", m.name, to.name, err, n.story())
		}
		ways = append(ways, way)
	}
	return ways, nil
}

func (n *MixedNetwork) behindPages(ctx context.Context, p *compat.PeerRelay, m *member) error {
	if _, err := m.events.Wait(ctx, func(e peers.Event) bool {
		return e.Kind == peers.EventPeer && kindOf(n.nameOf(e.Node)) == "legacy"
	}); err != nil {
		return err
	}
	for _, other := range n.goes {
		linked := slices.ContainsFunc(p.Node().Router().Peers(), func(i protocol.LinkInfo) bool { return i.ID == other.ID() })
		p.Disconnect(other.ID())
		if !linked {
			continue
		}
		if _, err := m.events.Wait(ctx, func(e peers.Event) bool { return e.Kind == peers.EventDisconnect && e.Node == other.ID() }); err != nil {
			return err
		}
	}
	return nil
}

// next names the next peer of a kind.
func (n *MixedNetwork) next(kind string) string {
	i := 1
	for _, m := range n.peers {
		if kindOf(m.name) == kind {
			i++
		}
	}
	return fmt.Sprintf("%s%d", kind, i)
}

// realURL returns the URL at which a peer listens, which is not the one that it announces.
func realURL(p *compat.PeerRelay) string {
	return fmt.Sprintf("ws://%s:%d", peers.Loopback, p.Node().Port())
}

// realAddr returns the multiaddr of a peer's own port for a transport.
func realAddr(p *compat.PeerRelay, transport string) string {
	for _, a := range p.Node().Addrs() {
		if s := a.String(); strings.HasPrefix(s, "/ip4/"+peers.Loopback+"/") && strings.Contains(s, fmt.Sprintf("/%d/", p.Node().Port())) && strings.Contains(s, transport+"/") {
			return s
		}
	}
	return ""
}

// addGo starts a Go peer and waits for its links to others.
func (n *MixedNetwork) addGo(ctx context.Context, o compat.Options, to ...*compat.PeerRelay) (*compat.PeerRelay, error) {
	p, err := compat.New(o)
	if err != nil {
		return nil, err
	}
	n.goes = append(n.goes, p)
	m := &member{name: n.next("go"), id: p.ID(), send: func(_ context.Context, to protocol.ID, text string) error { return p.Send(to, text) }}
	m.events = peers.NewLog[peers.Event](m.name)
	n.peers = append(n.peers, m)
	wireGo(p, m.events)
	for _, other := range to {
		if _, err := m.events.Wait(ctx, peers.IsPeer(other.ID())); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// addPage opens a page and waits until it has a number of links.
func (n *MixedNetwork) addPage(ctx context.Context, flavour peers.Flavour, spec peers.PageSpec, links int) (*member, error) {
	p, err := n.pages.Peer(ctx, flavour, spec)
	if err != nil {
		return nil, err
	}
	m := &member{name: spec.Name, id: p.ID(), events: p.Events(), send: func(ctx context.Context, to protocol.ID, text string) error { return p.Send(ctx, to, text) }}
	n.peers = append(n.peers, m)
	n.tabs = append(n.tabs, p)
	_, err = m.events.WaitN(ctx, links, peers.IsKind(peers.EventPeer))
	return m, err
}

// Talk has every peer write to every other one, and returns the ways that the messages took.
// The pages of the npm package begin: after a message has come to them, they send to its
// origin by the link over which it came.
func (n *MixedNetwork) Talk(ctx context.Context) (ways []Way, err error) {
	for _, from := range slices.Backward(n.peers) {
		for _, to := range n.peers {
			if from == to {
				continue
			}
			way, err := n.talk(ctx, from, to)
			if err != nil {
				return ways, fmt.Errorf("itest: mixed network: from %s to %s: %w%s", from.name, to.name, err, n.story())
			}
			ways = append(ways, way)
		}
	}
	return ways, nil
}

func (n *MixedNetwork) talk(ctx context.Context, from, to *member) (way Way, err error) {
	start := time.Now()
	way = Way{From: from.name, To: to.name}
	n.written++
	text := fmt.Sprintf("message %d, from %s to %s", n.written, from.name, to.name)
	for {
		way.Sends++
		if err := from.send(ctx, to.id, text); err != nil {
			return way, err
		}
		waiting, cancel := context.WithTimeout(ctx, resendAfter)
		e, err := to.events.Wait(waiting, func(e peers.Event) bool {
			return e.Kind == peers.EventMessage && e.Node == from.id && string(e.Data) == fmt.Sprintf("%q", text)
		})
		cancel()
		if err == nil {
			way.Took = time.Since(start)
			for _, id := range e.Path {
				way.Path = append(way.Path, n.nameOf(id))
			}
			return way, nil
		}
		if ctx.Err() != nil || waiting.Err() == nil {
			return way, err
		}
	}
}

func (n *MixedNetwork) nameOf(id protocol.ID) string {
	for _, m := range n.peers {
		if m.id == id {
			return m.name
		}
	}
	return id.String()
}

// story returns what each peer saw, for the report of a failure.
func (n *MixedNetwork) story() string {
	text := ""
	for _, m := range n.peers {
		text += fmt.Sprintf("\n%s %v:", m.name, m.id)
		for _, e := range m.events.All() {
			if e.Kind != peers.EventMessage {
				text += fmt.Sprintf(" %s %s", e.Kind, n.nameOf(e.Node))
			}
		}
	}
	for _, p := range n.tabs {
		if errs := p.Page().Errors.All(); len(errs) > 0 {
			text += fmt.Sprintf("\nerrors of %s: %q", p.Name(), errs)
		}
	}
	return text
}

// Close ends the peers. A tab that closes vanishes, and what it had not acknowledged may not have
// arrived, so the Go peers end first.
func (n *MixedNetwork) Close() error {
	var errs []error
	for _, p := range n.goes {
		errs = append(errs, p.Close())
	}
	for _, p := range n.tabs {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}
