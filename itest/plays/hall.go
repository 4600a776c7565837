package plays

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/compat/legacy"
	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
)

// pageHall is a Go node that all peers are bootstrapped to and a Go peer without a port, with
// which pages can be linked only by WebRTC.
type pageHall struct {
	stepper
	hub, us *compat.PeerRelay
	events  *peers.Log[peers.Event] // of us
	atHub   *peers.Log[peers.Event] // peers of the hub
	pages   []*peers.PagePeer
}

// wireGo logs what a peer in this process reports.
func wireGo(p *compat.PeerRelay, log *peers.Log[peers.Event]) {
	p.OnPeer(func(id compat.ID) { log.Add(peers.Event{Kind: peers.EventPeer, Node: id}) })
	p.OnDisconnect(func(id compat.ID) { log.Add(peers.Event{Kind: peers.EventDisconnect, Node: id}) })
	p.OnReceive(func(m compat.Message) {
		log.Add(peers.Event{Kind: peers.EventMessage, Node: m.From, Data: m.JSON, Path: m.Path})
	})
}

func openHall(ctx context.Context) (h *pageHall, err error) {
	h = &pageHall{events: peers.NewLog[peers.Event]("go peer"), atHub: peers.NewLog[peers.Event]("go node")}
	if h.hub, err = compat.New(compat.Options{Options: node.Options{Listen: true, ListenHost: peers.Loopback}, NoWebRTC: true}); err != nil {
		return h, err
	}
	wireGo(h.hub, h.atHub)
	h.us, err = h.goPeer(ctx, compat.Options{WRTC: legacy.WebRTCOptions{Loopback: true}}, h.events)
	return h, err
}

// goPeer starts a peer without a port and waits until it is linked with the hub.
func (h *pageHall) goPeer(ctx context.Context, o compat.Options, events *peers.Log[peers.Event]) (*compat.PeerRelay, error) {
	o.Bootstraps = []string{h.hub.URL()}
	p, err := compat.New(o)
	if err != nil {
		return nil, err
	}
	wireGo(p, events)
	if _, err = events.Wait(ctx, peers.IsPeer(h.hub.ID())); err == nil {
		_, err = h.atHub.Wait(ctx, peers.IsPeer(p.ID()))
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// page opens a page and waits until it is linked with the hub.
func (h *pageHall) page(ctx context.Context, p *peers.Pages, flavour peers.Flavour, spec peers.PageSpec) (*peers.PagePeer, error) {
	spec.Bootstrap = []string{h.hub.URL()}
	page, err := p.Peer(ctx, flavour, spec)
	if err != nil {
		return nil, err
	}
	h.pages = append(h.pages, page)
	if _, err := page.Events().Wait(ctx, peers.IsPeer(h.hub.ID())); err != nil {
		return nil, err
	}
	_, err = h.atHub.Wait(ctx, peers.IsPeer(page.ID()))
	return page, err
}

// linkKind returns the kind of our link to a peer, and whether there is one.
func (h *pageHall) linkKind(id protocol.ID) (kind protocol.LinkKind, up bool) {
	for _, l := range h.us.Node().Router().Peers() {
		if l.ID == id {
			return l.Kind, true
		}
	}
	return kind, false
}

// awaitLink waits until a page and the Go peer both have their link, by WebRTC.
func (h *pageHall) awaitLink(ctx context.Context, page *peers.PagePeer) error {
	if _, err := h.events.Wait(ctx, peers.IsPeer(page.ID())); err != nil {
		return err
	}
	if _, err := page.Events().Wait(ctx, peers.IsPeer(h.us.ID())); err != nil {
		return err
	}
	if kind, up := h.linkKind(page.ID()); !up || kind != protocol.LinkWebRTC {
		return fmt.Errorf("the link to %s is %v, %v", page.Name(), kind, up)
	}
	return nil
}

// exchange sends a text each way between a page and the Go peer, and returns the number of
// links over which each went.
func (h *pageHall) exchange(ctx context.Context, page *peers.PagePeer, text string) (up, down int, err error) {
	is := func(from protocol.ID) func(peers.Event) bool {
		return func(e peers.Event) bool {
			return e.Kind == peers.EventMessage && e.Node == from && string(e.Data) == `"`+text+`"`
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
		text += page.Story()
	}
	return text
}

// HalfOpenPage has a page with the bundle of 2016, unshimmed, and one with the shim be
// sought by a Go peer. The first opens its data channel and never reads it: it is no
// link, and its messages keep coming by relay. The second is linked.
func HalfOpenPage(ctx context.Context, p *peers.Pages) (steps []Step, err error) {
	h, err := openHall(ctx)
	if err == nil {
		err = h.halfOpen(ctx, p)
	}
	if err != nil {
		err = fmt.Errorf("itest: a half-open page: %w%s", err, h.story())
	}
	return h.steps, errors.Join(err, h.close())
}

func (h *pageHall) halfOpen(ctx context.Context, p *peers.Pages) error {
	deaf, err := h.page(ctx, p, peers.Unshimmed2016, peers.PageSpec{Spec: peers.Spec{Name: "deaf"}})
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
		return "", peers.Until(ctx, "an open data channel", func() (bool, error) {
			states, err := peers.Eval[[]string](ctx, deaf.Page(), "itest.channels()")
			return len(states) > 0 && states[0] == "open", err
		})
	}); err != nil {
		return err
	}
	if err := h.step("messages while it is open", func() (string, error) { return relayed("open") }); err != nil {
		return err
	}
	if err := h.step("the shimmed page is linked", func() (string, error) {
		page, err := h.page(ctx, p, peers.Published2016, peers.PageSpec{Spec: peers.Spec{Name: "shimmed"}})
		if err != nil {
			return "", err
		}
		h.us.Connect(page.ID())
		if err := h.awaitLink(ctx, page); err != nil {
			return "", err
		}
		before, err := page.WebRTC(ctx, h.us.ID())
		if err != nil {
			return "", err
		}
		// The package sends another copy by the link over which the last message came.
		if _, down, err := h.exchange(ctx, page, "straight"); err != nil || down != 1 {
			return "", fmt.Errorf("a message went over %d links, want 1; %w", down, err)
		}
		_, err = page.Risen(ctx, h.us.ID(), before, 1)
		return "messages straight", err
	}); err != nil {
		return err
	}
	if err := h.step("the Go peer closes the half-open channel", func() (string, error) {
		return "", peers.Until(ctx, "the end of the data channel", func() (bool, error) {
			states, err := peers.Eval[[]string](ctx, deaf.Page(), "itest.channels()")
			return len(states) > 0 && states[0] == "closed", err
		})
	}); err != nil {
		return err
	}
	if err := h.step("messages after that", func() (string, error) { return relayed("closed") }); err != nil {
		return err
	}
	if n := h.events.Count(peers.IsPeer(deaf.ID())); n != 0 {
		return fmt.Errorf("the link to the unshimmed page came up %d times", n)
	}
	if n := h.events.Count(peers.IsDisconnect(deaf.ID())); n != 0 {
		return fmt.Errorf("the link to the unshimmed page went down %d times", n)
	}
	if kind, up := h.linkKind(deaf.ID()); up {
		return fmt.Errorf("a link to the unshimmed page is counted: %v", kind)
	}
	return nil
}

// BigMessages has a page and a Go peer send each other the largest message, and a larger one.
func BigMessages(ctx context.Context, p *peers.Pages) (steps []Step, err error) {
	h, err := openHall(ctx)
	if err == nil {
		err = h.big(ctx, p)
	}
	if err != nil {
		err = fmt.Errorf("itest: big messages to a page: %w%.4000s", err, h.story())
	}
	return h.steps, errors.Join(err, h.close())
}

func (h *pageHall) big(ctx context.Context, p *peers.Pages) error {
	page, err := h.page(ctx, p, peers.Rebundled, peers.PageSpec{Spec: peers.Spec{Name: "big"}})
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
	if err := h.step(fmt.Sprintf("%d bytes each way", bigPayload), func() (string, error) {
		return "straight", straight(strings.Repeat("x", bigPayload))
	}); err != nil {
		return err
	}
	before, err := page.WebRTC(ctx, h.us.ID())
	if err != nil {
		return err
	}
	huge := strings.Repeat("x", legacy.MaxWebRTC)
	if err := h.step("too much from Go is an error", func() (string, error) {
		err := h.us.Send(page.ID(), huge)
		if !errors.Is(err, protocol.ErrTooBig) {
			return "", fmt.Errorf("sending %d bytes returns %v", len(huge), err)
		}
		return err.Error(), nil
	}); err != nil {
		return err
	}
	if err := h.step("too much from the page is an error", func() (string, error) {
		err := page.Page().Do(ctx, fmt.Sprintf("itest.send('%s', 'x'.repeat(%d))", h.us.ID(), len(huge)))
		if err == nil {
			return "", fmt.Errorf("sending %d bytes returns no error", len(huge))
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
		if _, err := page.Risen(ctx, h.us.ID(), before, 1); err != nil {
			return "", err
		}
		if n := h.events.Count(peers.IsDisconnect(page.ID())); n != 0 {
			return "", fmt.Errorf("it went down %d times", n)
		}
		return "", nil
	})
}

// A PageEnd is a way in which a page ends silently.
type PageEnd struct {
	Name string
	end  func(context.Context, *peers.Pages, *peers.PagePeer) error
}

// PageEnds returns all of them. The last one takes the browser with it.
func PageEnds() []PageEnd {
	return []PageEnd{
		{"the tab is closed", func(_ context.Context, _ *peers.Pages, page *peers.PagePeer) error { return page.Close() }},
		{"the browser is killed", func(ctx context.Context, p *peers.Pages, _ *peers.PagePeer) error { return p.Chromium.Kill(ctx) }},
	}
}

// Play ends a page that is linked with a Go peer, and returns how long that takes to notice.
// Until then it goes on to send to a third peer whose nearest neighbour is that page:
// every message must arrive another way.
func (end PageEnd) Play(ctx context.Context, p *peers.Pages) (noticed time.Duration, sent int, err error) {
	h, err := openHall(ctx)
	if err == nil {
		noticed, sent, err = h.end(ctx, p, end)
	}
	if err != nil {
		err = fmt.Errorf("itest: %s: %w%s", end.Name, err, h.story())
	}
	return noticed, sent, errors.Join(err, h.close())
}

func (h *pageHall) end(ctx context.Context, p *peers.Pages, end PageEnd) (noticed time.Duration, sent int, err error) {
	atThird := peers.NewLog[peers.Event]("third peer")
	third, err := h.goPeer(ctx, compat.Options{NoWebRTC: true}, atThird)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, third.Close()) }()
	near := third.ID()
	near[len(near)-1] ^= 1
	page, err := h.page(ctx, p, peers.Rebundled, peers.PageSpec{Spec: peers.Spec{Name: "ends"}, ID: near})
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
	if _, err := atThird.Wait(ctx, peers.IsKind(peers.EventMessage)); err != nil {
		return 0, 0, err
	}
	start := time.Now()
	if err := end.end(ctx, p, page); err != nil {
		return 0, 0, err
	}
	if err := peers.Until(ctx, "the end of the link", func() (bool, error) {
		_, up := h.linkKind(page.ID())
		return !up, send()
	}); err != nil {
		return 0, 0, err
	}
	noticed = time.Since(start)
	for i := 1; i <= sent; i++ {
		if _, err := atThird.Wait(ctx, func(e peers.Event) bool {
			return e.Kind == peers.EventMessage && string(e.Data) == fmt.Sprintf("%q", text(i))
		}); err != nil {
			return 0, 0, err
		}
	}
	return noticed, sent, nil
}

// bigPayload is the size of a text that passes every kind of link, in bytes.
const bigPayload = 250_000
