package plays

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/protocol"
)

// pageRounds is the number of messages each way where a page's counters are looked at.
const pageRounds = 10

// A stepper keeps the steps of a run, for reports.
type stepper struct{ steps []Step }

func (s *stepper) step(name string, do func() (note string, err error)) error {
	started := time.Now()
	note, err := do()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.steps = append(s.steps, Step{name, time.Since(started), note})
	return nil
}

// pageTrio is a Go node and two pages, each with a gate of its own before the node.
type pageTrio struct {
	stepper
	node  *peers.GoPeer
	pages [2]*peers.PagePeer
	gates [2]*peers.Gate
}

// MeetPages has two pages that are bootstrapped to our binary find each other, takes their
// WebSockets away at TCP level one by one, so that each comes back to the node by
// WebRTC, signalled through the other page, and then kills the node. Between all peers that
// are left there are messages each way, over WebRTC links that the pages' own counters name.
func MeetPages(ctx context.Context, p *peers.Pages, binary string, flavours [2]peers.Flavour) (steps []Step, err error) {
	t := &pageTrio{}
	err = t.play(ctx, p, binary, flavours)
	if err != nil {
		err = fmt.Errorf("itest: pages %s and %s: %w%s", flavours[0].Name, flavours[1].Name, err, t.story())
	}
	return t.steps, errors.Join(err, t.close())
}

func (t *pageTrio) play(ctx context.Context, p *peers.Pages, binary string, flavours [2]peers.Flavour) (err error) {
	if t.node, err = peers.StartGo(ctx, binary, peers.Spec{Name: "node", Listen: true}); err != nil {
		return err
	}
	for i, flavour := range flavours {
		if t.gates[i], err = peers.NewGate(t.node.PortURL()); err != nil {
			return err
		}
		t.gates[i].Open()
		if t.pages[i], err = p.Peer(ctx, flavour, peers.PageSpec{Spec: peers.Spec{Name: string(rune('a' + i)), Bootstrap: []string{t.gates[i].URL()}}}); err != nil {
			return err
		}
		// An offer to a peer that is not linked yet is lost, and the package never makes another one.
		if _, err := t.node.Events().Wait(ctx, peers.IsPeer(t.pages[i].ID())); err != nil {
			return err
		}
	}
	a, b := t.pages[0], t.pages[1]
	if err := t.step("the pages link by WebRTC, signalled through the node", func() (string, error) {
		for _, pair := range [][2]*peers.PagePeer{{a, b}, {b, a}} {
			if _, err := pair[0].Events().Wait(ctx, peers.IsPeer(pair[1].ID())); err != nil {
				return "", err
			}
		}
		return t.talk(ctx)
	}); err != nil {
		return err
	}
	for i, page := range t.pages {
		if err := t.step(fmt.Sprintf("page %c loses its WebSocket and links with the node by WebRTC", 'a'+i), func() (string, error) {
			return "", t.cut(ctx, i, page)
		}); err != nil {
			return err
		}
	}
	if err := t.step(fmt.Sprintf("%d messages each way between all three, over WebRTC only", pageRounds), func() (string, error) { return t.talk(ctx) }); err != nil {
		return err
	}
	return t.step(fmt.Sprintf("%d messages each way between the pages, the node killed", pageRounds), func() (string, error) {
		if err := t.node.Kill(); err != nil {
			return "", err
		}
		t.node = nil
		return t.talk(ctx)
	})
}

// cut closes a page's WebSocket at TCP level, and waits until it has WebRTC instead.
func (t *pageTrio) cut(ctx context.Context, i int, page *peers.PagePeer) error {
	isNode := peers.IsPeer(t.node.ID())
	if err := t.gates[i].Close(); err != nil {
		return err
	}
	if _, err := page.Events().Wait(ctx, peers.IsDisconnect(t.node.ID())); err != nil {
		return err
	}
	if _, err := t.node.Events().Wait(ctx, peers.IsDisconnect(page.ID())); err != nil {
		return err
	}
	// The package does not seek a peer that it has lost.
	if err := page.Connect(ctx, t.node.ID()); err != nil {
		return err
	}
	if _, err := page.Events().WaitN(ctx, 2, isNode); err != nil {
		return err
	}
	_, err := t.node.Events().WaitN(ctx, 2, peers.IsPeer(page.ID()))
	return err
}

// A pageWay is a link with a page at one end at least.
type pageWay struct {
	from, to peers.Peer
}

// talk sends messages over every WebRTC link, both ways. They must come straight, and be
// counted on that very link.
func (t *pageTrio) talk(ctx context.Context) (string, error) {
	type end struct {
		page   *peers.PagePeer
		peer   protocol.ID
		before peers.PageLink
	}
	var ends []*end
	var ways []pageWay
	all := []peers.Peer{t.pages[0], t.pages[1]}
	if t.node != nil {
		all = append(all, t.node)
	}
	for _, page := range t.pages {
		for _, peer := range all {
			if peer.ID() == page.ID() {
				continue
			}
			if t.node != nil && peer.ID() == t.node.ID() && len(t.steps) == 0 {
				continue // until it is cut it is linked by WebSocket
			}
			link, err := page.WebRTC(ctx, peer.ID())
			if err != nil {
				return "", err
			}
			ends = append(ends, &end{page, peer.ID(), link})
			ways = append(ways, pageWay{page, peer})
			if peer == peers.Peer(t.node) {
				ways = append(ways, pageWay{peer, page})
			}
		}
	}
	for _, way := range ways {
		if err := way.send(ctx, len(t.steps)); err != nil {
			return "", err
		}
	}
	var notes []string
	for _, e := range ends {
		after, err := e.page.Risen(ctx, e.peer, e.before, pageRounds)
		if err != nil {
			return "", err
		}
		notes = append(notes, fmt.Sprintf("%s, %s: +%d/%d messages, +%d/%d bytes", after.Local, after.Remote,
			after.MessagesSent-e.before.MessagesSent, after.MessagesReceived-e.before.MessagesReceived,
			after.BytesSent-e.before.BytesSent, after.BytesReceived-e.before.BytesReceived))
	}
	return strings.Join(notes, "; "), nil
}

// send sends pageRounds messages one way and waits for them. The path of a message that a
// page receives shows that it came over one link; in the other direction the page's counters
// show it.
func (w pageWay) send(ctx context.Context, round int) error {
	text := func(i int) string { return fmt.Sprintf("round %d, message %d to %v", round, i, w.to.ID()) }
	for i := range pageRounds {
		if err := w.from.Send(ctx, w.to.ID(), text(i)); err != nil {
			return err
		}
	}
	for i := range pageRounds {
		e, err := w.to.Events().Wait(ctx, func(e peers.Event) bool {
			return e.Kind == peers.EventMessage && e.Node == w.from.ID() && string(e.Data) == fmt.Sprintf("%q", text(i))
		})
		if err != nil {
			return err
		}
		if len(e.Path) > 1 {
			return fmt.Errorf("%s came over %v", e.Data, e.Path)
		}
	}
	return nil
}

func (t *pageTrio) close() error {
	var errs []error
	for _, page := range t.pages {
		if page != nil {
			errs = append(errs, page.Close())
		}
	}
	if t.node != nil {
		errs = append(errs, t.node.Close())
	}
	for _, gate := range t.gates {
		if gate != nil {
			errs = append(errs, gate.Close())
		}
	}
	return errors.Join(errs...)
}

func (t *pageTrio) story() string {
	text := ""
	for _, page := range t.pages {
		if page != nil {
			text += page.Story()
		}
	}
	if t.node != nil {
		text += fmt.Sprintf("\nnode %v: %v", t.node.ID(), t.node.Events().All())
	}
	return text
}
