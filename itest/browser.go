package itest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/compat/legacy"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
)

// BigPayload is the size of a text that passes every kind of link, in bytes.
const BigPayload = 250_000

// pageRounds is how many messages go each way where a page's counters are looked at.
const pageRounds = 10

// A run of steps, for reports.
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

// --- two pages and a Go node

// pageTrio is a Go node and two pages, each with a gate of its own before the node.
type pageTrio struct {
	stepper
	node  *GoPeer
	pages [2]*PagePeer
	gates [2]*Gate
}

// MeetPages has two pages that are bootstrapped to our binary find each other, takes their
// WebSockets away at TCP level one by one, so that each comes back to the node by
// WebRTC, signalled through the other page, and then kills the node. Between all who are
// left there are messages each way, over WebRTC links that the pages' own counters name.
func MeetPages(ctx context.Context, p *Pages, binary string, flavours [2]Flavour) (steps []Step, err error) {
	t := &pageTrio{}
	err = t.play(ctx, p, binary, flavours)
	if err != nil {
		err = fmt.Errorf("itest: pages %s and %s: %w%s", flavours[0].Name, flavours[1].Name, err, t.story())
	}
	return t.steps, errors.Join(err, t.close())
}

func (t *pageTrio) play(ctx context.Context, p *Pages, binary string, flavours [2]Flavour) (err error) {
	if t.node, err = StartGo(ctx, binary, Spec{Name: "node", Listen: true}); err != nil {
		return err
	}
	for i, flavour := range flavours {
		if t.gates[i], err = NewGate(t.node.PortURL()); err != nil {
			return err
		}
		t.gates[i].Open()
		if t.pages[i], err = p.Peer(ctx, flavour, PageSpec{Spec: Spec{Name: string(rune('a' + i)), Bootstrap: []string{t.gates[i].URL()}}}); err != nil {
			return err
		}
		// An offer to who is not there yet is lost, and the package never makes another one.
		if _, err := t.node.Events().Wait(ctx, IsPeer(t.pages[i].ID())); err != nil {
			return err
		}
	}
	a, b := t.pages[0], t.pages[1]
	if err := t.step("the pages link by WebRTC, signalled through the node", func() (string, error) {
		for _, pair := range [][2]*PagePeer{{a, b}, {b, a}} {
			if _, err := pair[0].Events().Wait(ctx, IsPeer(pair[1].ID())); err != nil {
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
	if err := t.step(fmt.Sprintf("%d messages each way between all three, over WebRTC alone", pageRounds), func() (string, error) { return t.talk(ctx) }); err != nil {
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
func (t *pageTrio) cut(ctx context.Context, i int, page *PagePeer) error {
	isNode := IsPeer(t.node.ID())
	if err := t.gates[i].Close(); err != nil {
		return err
	}
	if _, err := page.Events().Wait(ctx, IsDisconnect(t.node.ID())); err != nil {
		return err
	}
	if _, err := t.node.Events().Wait(ctx, IsDisconnect(page.ID())); err != nil {
		return err
	}
	// The package seeks nobody whom it has lost.
	if err := page.Connect(ctx, t.node.ID()); err != nil {
		return err
	}
	if _, err := page.Events().WaitN(ctx, 2, isNode); err != nil {
		return err
	}
	_, err := t.node.Events().WaitN(ctx, 2, IsPeer(page.ID()))
	return err
}

// A pageWay is a link with a page at one end at least.
type pageWay struct {
	from, to Peer
}

// talk sends messages over every WebRTC link, both ways. They must come straight, and be
// counted on that very link.
func (t *pageTrio) talk(ctx context.Context) (string, error) {
	type end struct {
		page   *PagePeer
		peer   protocol.ID
		before PageLink
	}
	var ends []*end
	var ways []pageWay
	all := []Peer{t.pages[0], t.pages[1]}
	if t.node != nil {
		all = append(all, t.node)
	}
	for _, page := range t.pages {
		for _, peer := range all {
			if peer.ID() == page.ID() {
				continue
			}
			if t.node != nil && peer.ID() == t.node.ID() && len(t.steps) == 0 {
				continue // as long as nothing is cut it is linked by WebSocket
			}
			link, err := page.webRTC(ctx, peer.ID())
			if err != nil {
				return "", err
			}
			ends = append(ends, &end{page, peer.ID(), link})
			ways = append(ways, pageWay{page, peer})
			if peer == Peer(t.node) {
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
		after, err := e.page.risen(ctx, e.peer, e.before, pageRounds)
		if err != nil {
			return "", err
		}
		notes = append(notes, fmt.Sprintf("%s, %s: +%d/%d messages, +%d/%d bytes", after.Local, after.Remote,
			after.MessagesSent-e.before.MessagesSent, after.MessagesReceived-e.before.MessagesReceived,
			after.BytesSent-e.before.BytesSent, after.BytesReceived-e.before.BytesReceived))
	}
	return strings.Join(notes, "; "), nil
}

// send sends pageRounds messages one way and waits for them. What a page receives tells
// that it came over one link; so do, at the other end, the page's counters.
func (w pageWay) send(ctx context.Context, round int) error {
	text := func(i int) string { return fmt.Sprintf("round %d, message %d to %v", round, i, w.to.ID()) }
	for i := range pageRounds {
		if err := w.from.Send(ctx, w.to.ID(), text(i)); err != nil {
			return err
		}
	}
	for i := range pageRounds {
		e, err := w.to.Events().Wait(ctx, func(e Event) bool {
			return e.Kind == EventMessage && e.Node == w.from.ID() && string(e.Data) == fmt.Sprintf("%q", text(i))
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
			text += page.story()
		}
	}
	if t.node != nil {
		text += fmt.Sprintf("\nnode %v: %v", t.node.ID(), t.node.Events().All())
	}
	return text
}

// webRTC gives a page's link to a peer, which is to be by WebRTC, once the browser's
// figures tell of it. They are renewed every 50 ms.
func (p *PagePeer) webRTC(ctx context.Context, peer protocol.ID) (link PageLink, err error) {
	err = Until(ctx, "figures of the link", func() (bool, error) {
		if link, err = p.Link(ctx, peer); err == nil && link.Kind != "webrtc" {
			err = errors.New("it is not by WebRTC")
		}
		return link.Label != "" && link.State == "succeeded", err
	})
	if err != nil {
		err = fmt.Errorf("the link of %s to %v is %+v: %w", p.name, peer, link, err)
	}
	return link, err
}

// risen waits until a page has counted so many more messages each way on a link, which is
// to be the same WebRTC link as before.
func (p *PagePeer) risen(ctx context.Context, peer protocol.ID, before PageLink, messages int64) (after PageLink, err error) {
	err = Until(ctx, "the page's counters to rise", func() (bool, error) {
		if after, err = p.Link(ctx, peer); err != nil {
			return false, err
		}
		// Of a pair that was asked for a sign of life the state is in-progress for a moment.
		if after.Kind != "webrtc" || after.Label != before.Label {
			return false, errors.New("it is another link")
		}
		return after.MessagesSent >= before.MessagesSent+messages && after.MessagesReceived >= before.MessagesReceived+messages &&
			after.BytesSent > before.BytesSent && after.BytesReceived > before.BytesReceived, nil
	})
	if err != nil {
		err = fmt.Errorf("the link of %s to %v was %+v and is %+v: %w", p.name, peer, before, after, err)
	}
	return after, err
}

// story tells what happened to a page, for a failure.
func (p *PagePeer) story() string {
	return fmt.Sprintf("\n%s %v: %v\nits errors: %q", p.name, p.id, p.events.All(), p.page.Errors.All())
}

// --- pages and a Go peer that nobody can dial

// pageHall is a Go node that everybody is bootstrapped to and a Go peer without a port,
// which pages can be linked with by WebRTC alone.
type pageHall struct {
	stepper
	hub, us *compat.PeerRelay
	events  *Log[Event] // of us
	atHub   *Log[Event] // peers of the hub
	pages   []*PagePeer
}

// wireGo logs what a peer in this process reports.
func wireGo(p *compat.PeerRelay, log *Log[Event]) {
	p.OnPeer(func(id compat.ID) { log.Add(Event{Kind: EventPeer, Node: id}) })
	p.OnDisconnect(func(id compat.ID) { log.Add(Event{Kind: EventDisconnect, Node: id}) })
	p.OnReceive(func(m compat.Message) {
		log.Add(Event{Kind: EventMessage, Node: m.From, Data: m.JSON, Path: m.Path})
	})
}

func openHall(ctx context.Context) (h *pageHall, err error) {
	h = &pageHall{events: NewLog[Event]("go peer"), atHub: NewLog[Event]("go node")}
	if h.hub, err = compat.New(compat.Options{Options: node.Options{Listen: true, ListenHost: loopback}, NoWebRTC: true}); err != nil {
		return h, err
	}
	wireGo(h.hub, h.atHub)
	h.us, err = h.goPeer(ctx, compat.Options{WRTC: legacy.WebRTCOptions{Loopback: true}}, h.events)
	return h, err
}

// goPeer starts a peer without a port and waits until it is linked with the hub.
func (h *pageHall) goPeer(ctx context.Context, o compat.Options, events *Log[Event]) (*compat.PeerRelay, error) {
	o.Bootstraps = []string{h.hub.URL()}
	p, err := compat.New(o)
	if err != nil {
		return nil, err
	}
	wireGo(p, events)
	if _, err = events.Wait(ctx, IsPeer(h.hub.ID())); err == nil {
		_, err = h.atHub.Wait(ctx, IsPeer(p.ID()))
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// page opens a page and waits until it is linked with the hub.
func (h *pageHall) page(ctx context.Context, p *Pages, flavour Flavour, spec PageSpec) (*PagePeer, error) {
	spec.Bootstrap = []string{h.hub.URL()}
	page, err := p.Peer(ctx, flavour, spec)
	if err != nil {
		return nil, err
	}
	h.pages = append(h.pages, page)
	if _, err := page.Events().Wait(ctx, IsPeer(h.hub.ID())); err != nil {
		return nil, err
	}
	_, err = h.atHub.Wait(ctx, IsPeer(page.ID()))
	return page, err
}

// linkKind gives the kind of our link to a peer, LinkUnknown if there is none.
func (h *pageHall) linkKind(id protocol.ID) (kind protocol.LinkKind, up bool) {
	for _, l := range h.us.Node().Router().Peers() {
		if l.ID == id {
			return l.Kind, true
		}
	}
	return kind, false
}

// awaitLink waits until a page and the Go peer both have their link, by WebRTC.
func (h *pageHall) awaitLink(ctx context.Context, page *PagePeer) error {
	if _, err := h.events.Wait(ctx, IsPeer(page.ID())); err != nil {
		return err
	}
	if _, err := page.Events().Wait(ctx, IsPeer(h.us.ID())); err != nil {
		return err
	}
	if kind, up := h.linkKind(page.ID()); !up || kind != protocol.LinkWebRTC {
		return fmt.Errorf("the link to %s is %v, %v", page.name, kind, up)
	}
	return nil
}

// exchange sends a text each way between a page and the Go peer, and gives over how many
// links each went.
func (h *pageHall) exchange(ctx context.Context, page *PagePeer, text string) (up, down int, err error) {
	is := func(from protocol.ID) func(Event) bool {
		return func(e Event) bool {
			return e.Kind == EventMessage && e.Node == from && string(e.Data) == `"`+text+`"`
		}
	}
	if err := page.Send(ctx, h.us.ID(), text); err != nil {
		return 0, 0, err
	}
	if err := h.us.Send(page.ID(), text); err != nil {
		return 0, 0, err
	}
	e, err := h.events.Wait(ctx, is(page.ID()))
	if err != nil {
		return 0, 0, err
	}
	up = len(e.Path)
	if e, err = page.Events().Wait(ctx, is(h.us.ID())); err != nil {
		return 0, 0, err
	}
	return up, len(e.Path), nil
}

func (h *pageHall) close() error {
	var errs []error
	for _, page := range h.pages {
		errs = append(errs, page.Close())
	}
	for _, p := range []*compat.PeerRelay{h.us, h.hub} {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	return errors.Join(errs...)
}

func (h *pageHall) story() string {
	text := ""
	if h.us != nil {
		text += fmt.Sprintf("\nus %v, dropped %v", h.us.ID(), h.us.Node().Router().Stats().Dropped)
	}
	for _, page := range h.pages {
		text += page.story()
	}
	return text
}

// HalfOpenPage has a page with the bundle of 2016, unshimmed, and one with the shim be
// sought by a Go peer. The first opens its data channel and never reads it: it is no
// link, and its messages keep coming by relay. The second is linked.
func HalfOpenPage(ctx context.Context, p *Pages) (steps []Step, err error) {
	h, err := openHall(ctx)
	if err == nil {
		err = h.halfOpen(ctx, p)
	}
	if err != nil {
		err = fmt.Errorf("itest: a half-open page: %w%s", err, h.story())
	}
	return h.steps, errors.Join(err, h.close())
}

func (h *pageHall) halfOpen(ctx context.Context, p *Pages) error {
	deaf, err := h.page(ctx, p, Unshimmed2016, PageSpec{Spec: Spec{Name: "deaf"}})
	if err != nil {
		return err
	}
	relayed := func(when string) (string, error) {
		up, down, err := h.exchange(ctx, deaf, when)
		if err == nil && (up != 2 || down != 2) {
			err = fmt.Errorf("messages went over %d and %d links, want 2, through the node", up, down)
		}
		return "by relay", err
	}
	if err := h.step("the unshimmed page opens a data channel", func() (string, error) {
		h.us.Connect(deaf.ID())
		return "", Until(ctx, "an open data channel", func() (bool, error) {
			states, err := Eval[[]string](ctx, deaf.page, "itest.channels()")
			return len(states) > 0 && states[0] == "open", err
		})
	}); err != nil {
		return err
	}
	if err := h.step("messages while it is open", func() (string, error) { return relayed("open") }); err != nil {
		return err
	}
	if err := h.step("the shimmed page is linked", func() (string, error) {
		page, err := h.page(ctx, p, Published2016, PageSpec{Spec: Spec{Name: "shimmed"}})
		if err != nil {
			return "", err
		}
		h.us.Connect(page.ID())
		if err := h.awaitLink(ctx, page); err != nil {
			return "", err
		}
		before, err := page.webRTC(ctx, h.us.ID())
		if err != nil {
			return "", err
		}
		// The package sends another copy by the way that the last message came.
		if _, down, err := h.exchange(ctx, page, "straight"); err != nil || down != 1 {
			return "", fmt.Errorf("a message went over %d links, want 1; %w", down, err)
		}
		_, err = page.risen(ctx, h.us.ID(), before, 1)
		return "messages straight", err
	}); err != nil {
		return err
	}
	if err := h.step("the Go peer gives the half-open channel up", func() (string, error) {
		return "", Until(ctx, "the end of the data channel", func() (bool, error) {
			states, err := Eval[[]string](ctx, deaf.page, "itest.channels()")
			return len(states) > 0 && states[0] == "closed", err
		})
	}); err != nil {
		return err
	}
	if err := h.step("messages after that", func() (string, error) { return relayed("closed") }); err != nil {
		return err
	}
	if n := h.events.Count(IsPeer(deaf.ID())); n != 0 {
		return fmt.Errorf("the link to the unshimmed page came up %d times", n)
	}
	if n := h.events.Count(IsDisconnect(deaf.ID())); n != 0 {
		return fmt.Errorf("the link to the unshimmed page went down %d times", n)
	}
	if kind, up := h.linkKind(deaf.ID()); up {
		return fmt.Errorf("a link to the unshimmed page is counted: %v", kind)
	}
	return nil
}

// BigMessages has a page and a Go peer send each other as much as passes, and more.
func BigMessages(ctx context.Context, p *Pages) (steps []Step, err error) {
	h, err := openHall(ctx)
	if err == nil {
		err = h.big(ctx, p)
	}
	if err != nil {
		err = fmt.Errorf("itest: big messages to a page: %w%.4000s", err, h.story())
	}
	return h.steps, errors.Join(err, h.close())
}

func (h *pageHall) big(ctx context.Context, p *Pages) error {
	page, err := h.page(ctx, p, Rebundled, PageSpec{Spec: Spec{Name: "big"}})
	if err != nil {
		return err
	}
	if err := h.awaitLink(ctx, page); err != nil {
		return err
	}
	straight := func(text string) error {
		up, down, err := h.exchange(ctx, page, text)
		if err == nil && (up != 1 || down != 1) {
			err = fmt.Errorf("messages went over %d and %d links, want 1", up, down)
		}
		return err
	}
	if err := h.step(fmt.Sprintf("%d bytes each way", BigPayload), func() (string, error) {
		return "straight", straight(strings.Repeat("x", BigPayload))
	}); err != nil {
		return err
	}
	before, err := page.webRTC(ctx, h.us.ID())
	if err != nil {
		return err
	}
	huge := strings.Repeat("x", legacy.MaxWebRTC)
	if err := h.step("too much from Go is an error", func() (string, error) {
		err := h.us.Send(page.ID(), huge)
		if !errors.Is(err, protocol.ErrTooBig) {
			return "", fmt.Errorf("sending %d bytes gives %v", len(huge), err)
		}
		return err.Error(), nil
	}); err != nil {
		return err
	}
	if err := h.step("too much from the page is an error", func() (string, error) {
		err := page.page.Do(ctx, fmt.Sprintf("itest.send('%s', 'x'.repeat(%d))", h.us.ID(), len(huge)))
		if err == nil {
			return "", fmt.Errorf("sending %d bytes gives none", len(huge))
		}
		message, _, _ := strings.Cut(err.Error(), "\n")
		return message, nil
	}); err != nil {
		return err
	}
	return h.step("the link stays up", func() (string, error) {
		if err := straight("still here"); err != nil {
			return "", err
		}
		if _, err := page.risen(ctx, h.us.ID(), before, 1); err != nil {
			return "", err
		}
		if n := h.events.Count(IsDisconnect(page.ID())); n != 0 {
			return "", fmt.Errorf("it went down %d times", n)
		}
		return "", nil
	})
}

// A PageEnd is how a page goes without a word.
type PageEnd struct {
	Name string
	end  func(context.Context, *Pages, *PagePeer) error
}

// PageEnds gives all of them. The last one takes the browser with it.
func PageEnds() []PageEnd {
	return []PageEnd{
		{"the tab is closed", func(_ context.Context, _ *Pages, page *PagePeer) error { return page.Close() }},
		{"the browser is killed", func(ctx context.Context, p *Pages, _ *PagePeer) error { return p.Chromium.Kill(ctx) }},
	}
}

// Play ends a page that is linked with a Go peer, and gives how long that takes to notice.
// Until then it goes on to send to a third peer whose nearest neighbour is that page:
// every message must arrive another way.
func (end PageEnd) Play(ctx context.Context, p *Pages) (noticed time.Duration, sent int, err error) {
	h, err := openHall(ctx)
	if err == nil {
		noticed, sent, err = h.end(ctx, p, end)
	}
	if err != nil {
		err = fmt.Errorf("itest: %s: %w%s", end.Name, err, h.story())
	}
	return noticed, sent, errors.Join(err, h.close())
}

func (h *pageHall) end(ctx context.Context, p *Pages, end PageEnd) (noticed time.Duration, sent int, err error) {
	atThird := NewLog[Event]("third peer")
	third, err := h.goPeer(ctx, compat.Options{NoWebRTC: true}, atThird)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, third.Close()) }()
	near := third.ID()
	near[len(near)-1] ^= 1
	page, err := h.page(ctx, p, Rebundled, PageSpec{Spec: Spec{Name: "ends"}, ID: near})
	if err != nil {
		return 0, 0, err
	}
	if err := h.awaitLink(ctx, page); err != nil {
		return 0, 0, err
	}
	if _, up := h.linkKind(third.ID()); up {
		return 0, 0, errors.New("the third peer is linked with us, and needs no other way")
	}
	text := func(i int) string { return fmt.Sprintf("message %d", i) }
	send := func() error {
		sent++
		return h.us.Send(third.ID(), text(sent))
	}
	if err := send(); err != nil { // over the page as well, while it is there
		return 0, 0, err
	}
	if _, err := atThird.Wait(ctx, IsKind(EventMessage)); err != nil {
		return 0, 0, err
	}
	start := time.Now()
	if err := end.end(ctx, p, page); err != nil {
		return 0, 0, err
	}
	if err := Until(ctx, "the end of the link", func() (bool, error) {
		_, up := h.linkKind(page.ID())
		return !up, send()
	}); err != nil {
		return 0, 0, err
	}
	noticed = time.Since(start)
	for i := 1; i <= sent; i++ {
		if _, err := atThird.Wait(ctx, func(e Event) bool { return e.Kind == EventMessage && string(e.Data) == fmt.Sprintf("%q", text(i)) }); err != nil {
			return 0, 0, err
		}
	}
	return noticed, sent, nil
}
