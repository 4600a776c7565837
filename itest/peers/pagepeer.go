package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/peer-relay/peer-relay/protocol"
)

// A Flavour is a build of the npm package for pages.
type Flavour struct {
	Name    string
	scripts []string
}

// The flavours of the npm package.
var (
	// Rebundled is its code of 2016 on simple-peer 9.11.1.
	Rebundled = Flavour{"re-bundled", []string{"rtc.js", "legacy.js", "page.js"}}
	// Published2016 is its bundle as it is in the package, on simple-peer 6.0.4, behind a
	// shim for browsers of today.
	Published2016 = Flavour{"2016", []string{"rtc.js", "shim-2016.js", "bundle.js", "page.js"}}
	// Unshimmed2016 is the same without the shim: it opens data channels and never reads
	// them.
	Unshimmed2016 = Flavour{"2016 unshimmed", []string{"rtc.js", "bundle.js", "page.js"}}
)

// JSLibp2p is our module on js-libp2p: not a build of the npm package, but with its API. Its
// bootstraps are multiaddrs, and its id is random.
var JSLibp2p = Flavour{"js-libp2p", []string{"peer.js", "libp2p.js"}}

// Pages are a browser and a server of pages for it.
type Pages struct {
	Chromium *Chromium
	Server   *PageServer
	dir      string
}

// StartPages builds the bundles, serves them, starts the browser, and proves that its
// pages can use WebRTC here. The error matches ErrNoTool if they cannot.
func StartPages(ctx context.Context) (p *Pages, err error) {
	p = &Pages{}
	defer func() {
		if err != nil {
			p.Close()
			p = nil
		}
	}()
	if _, err = LookTool("chromium"); err != nil {
		return p, err
	}
	js, err := Install(ctx)
	if err != nil {
		return p, err
	}
	if p.dir, err = os.MkdirTemp("", "peer-relay-pages-"); err != nil {
		return p, fmt.Errorf("itest: pages: %w", err)
	}
	if _, err = Bundle(ctx, p.dir); err != nil {
		return p, err
	}
	if p.Server, err = ServePages(p.dir, filepath.Join(js, "pages"), filepath.Join(js, "node_modules", "peer-relay")); err != nil {
		return p, err
	}
	if p.Chromium, err = StartChromium(ctx); err != nil {
		return p, err
	}
	return p, p.proveWebRTC(ctx)
}

// proveWebRTC lets two ends in one page connect.
func (p *Pages) proveWebRTC(ctx context.Context) error {
	page, err := p.Chromium.Open(ctx, "proof", p.Server.URL("proof.js"), nil)
	if err != nil {
		return err
	}
	defer page.Close()
	state, err := Eval[string](ctx, page, "proof()")
	if err == nil && state != "open" {
		err = &toolError{tool: "WebRTC over loopback in chromium", err: fmt.Errorf("a data channel within one page is %s", state)}
	}
	return err
}

// Close ends the browser and the server.
func (p *Pages) Close() error {
	if p.Chromium != nil {
		p.Chromium.Close()
	}
	if p.Server != nil {
		p.Server.Close()
	}
	return os.RemoveAll(p.dir)
}

// A PageSpec describes a peer in a page: the name and the bootstraps of a Spec, and its id,
// zero for a random one.
type PageSpec struct {
	Spec
	ID protocol.ID

	// Near is an id to which a peer on js-libp2p, whose id is that of a random key, is nearer than
	// all Others. Zero means any id.
	Near   protocol.ID
	Others []protocol.ID
}

// Peer opens a page with a peer of the npm package.
func (p *Pages) Peer(ctx context.Context, flavour Flavour, spec PageSpec) (*PagePeer, error) {
	peer := &PagePeer{name: fmt.Sprintf("%s page %s", flavour.Name, spec.Name)}
	peer.events = NewLog[Event](peer.name)
	var err error
	if peer.page, err = p.Chromium.Open(ctx, peer.name, p.Server.URL(flavour.scripts...), peer.heard); err != nil {
		return nil, err
	}
	var nodeID, near string
	if spec.ID != (protocol.ID{}) {
		nodeID = spec.ID.String()
	}
	if spec.Near != (protocol.ID{}) {
		near = spec.Near.String()
	}
	args, err := json.Marshal(map[string]any{
		"bootstrap": append([]string{}, spec.Bootstrap...), "nodeID": nodeID, "near": near, "others": append([]protocol.ID{}, spec.Others...),
	})
	if err == nil {
		var id string
		if id, err = Eval[string](ctx, peer.page, fmt.Sprintf("itest.create(%s)", args)); err == nil {
			peer.id, err = protocol.ParseID(id)
		}
	}
	if err != nil {
		err = fmt.Errorf("itest: start %s: %w; errors of the page: %q", peer.name, err, peer.page.Errors.All())
		peer.page.Close()
		return nil, err
	}
	return peer, nil
}

// A PagePeer is a peer in a page of its own.
type PagePeer struct {
	name   string
	id     protocol.ID
	page   *Page
	events *Log[Event]
}

var _ Peer = (*PagePeer)(nil)

// heard takes one event, on the goroutine that reads from the browser.
func (p *PagePeer) heard(text string) {
	var e struct {
		Kind EventKind
		Node protocol.ID
		Text *string
		Path []protocol.ID
	}
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		p.events.End(fmt.Errorf("itest: report of %s: %w: %.200q", p.name, err, text))
		return
	}
	event := Event{Kind: e.Kind, Node: e.Node, Path: e.Path}
	if e.Text != nil {
		event.Data = json.RawMessage(*e.Text)
	}
	p.events.Add(event)
}

// ID implements Peer.
func (p *PagePeer) ID() protocol.ID { return p.id }

// URL implements Peer: a page cannot be dialled.
func (p *PagePeer) URL() string { return "" }

// Events implements Peer.
func (p *PagePeer) Events() *Log[Event] { return p.events }

// Name names the peer in reports.
func (p *PagePeer) Name() string { return p.name }

// Page returns the tab that the peer is in.
func (p *PagePeer) Page() *Page { return p.page }

// Send implements Peer. A page takes what has a JSON text, and JavaScript.
func (p *PagePeer) Send(ctx context.Context, to protocol.ID, data any) error {
	var js string
	switch v := data.(type) {
	case Undefined:
		js = "undefined"
	case JS:
		js = string(v)
	case []byte:
		return fmt.Errorf("itest: %s has no Buffer", p.name)
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("itest: send from %s: %w", p.name, err)
		}
		js = string(text)
	}
	return p.page.Do(ctx, fmt.Sprintf("itest.send('%s', %s)", to, js))
}

// Connect implements Peer.
func (p *PagePeer) Connect(ctx context.Context, to protocol.ID) error {
	return p.page.Do(ctx, fmt.Sprintf("itest.connect('%s')", to))
}

// Disconnect implements Peer.
func (p *PagePeer) Disconnect(ctx context.Context, to protocol.ID) error {
	return p.page.Do(ctx, fmt.Sprintf("itest.disconnect('%s')", to))
}

// Peers implements Peer.
func (p *PagePeer) Peers(ctx context.Context) ([]protocol.ID, error) {
	return Eval[[]protocol.ID](ctx, p.page, "itest.peers()")
}

// A PageLink is the link of a page to a peer.
type PageLink struct {
	Kind string // "websocket", "webrtc"; "" without a link

	// Of WebRTC: its data channel's label, which is random, and the candidate pair that is
	// selected now.
	Label         string
	State         string
	Local, Remote string // "host udp 127.0.0.1:40000"

	// The traffic of its transport and its data channel.
	BytesSent, BytesReceived       int64
	MessagesSent, MessagesReceived int64
}

// Link returns the page's own view of a link, and what the browser's getStats counts on
// that very one.
func (p *PagePeer) Link(ctx context.Context, to protocol.ID) (PageLink, error) {
	link, err := Eval[*PageLink](ctx, p.page, fmt.Sprintf("itest.link('%s')", to))
	if err != nil || link == nil {
		return PageLink{}, err
	}
	return *link, nil
}

// Destroy implements Peer.
func (p *PagePeer) Destroy(ctx context.Context) error { return p.page.Do(ctx, "itest.destroy()") }

// Close implements Peer: it closes the tab.
func (p *PagePeer) Close() error { return p.page.Close() }

// WebRTC returns a page's link to a peer, which must be by WebRTC, once the browser's
// figures show it. They are renewed every 50 ms.
func (p *PagePeer) WebRTC(ctx context.Context, peer protocol.ID) (link PageLink, err error) {
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

// Risen waits until a page has counted a number of further messages each way on a link,
// which must be the same WebRTC link as before.
func (p *PagePeer) Risen(ctx context.Context, peer protocol.ID, before PageLink, messages int64) (after PageLink, err error) {
	err = Until(ctx, "the page's counters to rise", func() (bool, error) {
		if after, err = p.Link(ctx, peer); err != nil {
			return false, err
		}
		// The state of a pair that is being checked is in-progress for a moment.
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

// Story returns what happened to a page, for the report of a failure.
func (p *PagePeer) Story() string {
	return fmt.Sprintf("\n%s %v: %v\nits errors: %q", p.name, p.id, p.events.All(), p.page.Errors.All())
}
