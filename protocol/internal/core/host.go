package core

import (
	"iter"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/journal"
	"github.com/peer-relay/peer-relay/protocol/internal/lookahead"
	"github.com/peer-relay/peer-relay/protocol/internal/overlay"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A host is a Core as its overlay sees it. The methods of a Core are for the shell.
type host struct{ c *Core }

func (h host) Now() time.Duration      { return h.c.now }
func (h host) WakeBy(at time.Duration) { h.c.tickBy(at) }

// --- the links

func (h host) Link(id wire.ID) *overlay.Link {
	if l := h.c.table.Get(id); l != nil {
		return &l.Link
	}
	return nil
}

func (h host) Links() iter.Seq[*overlay.Link]       { return views(h.c.table.All()) }
func (h host) LinkCount() int                       { return h.c.table.Len() }
func (h host) Bucket(b int) iter.Seq[*overlay.Link] { return views(h.c.table.Bucket(h.c.self, b)) }

// views returns what the overlay knows of each link.
func views(links []*link) iter.Seq[*overlay.Link] {
	return func(yield func(*overlay.Link) bool) {
		for _, l := range links {
			if !yield(&l.Link) {
				return
			}
		}
	}
}

func (h host) Nearest(target wire.ID, visit func(*overlay.Link) bool) {
	h.c.table.Nearest(target, func(l *link) bool { return visit(&l.Link) })
}

func (h host) Closest(target wire.ID, n int, keep func(*overlay.Link) bool) []*overlay.Link {
	out := make([]*overlay.Link, 0, min(n, h.LinkCount()))
	h.Nearest(target, func(l *overlay.Link) bool {
		if keep == nil || keep(l) {
			out = append(out, l)
		}
		return len(out) < n
	})
	return out
}

func (h host) Named(near wire.ID, visit func(overlay.Neighbour) bool) {
	h.c.ahead.Nearest(near, func(e lookahead.Entry[*link]) bool { return visit(neighbour(e)) })
}

func (h host) NamedIn(b int, visit func(overlay.Neighbour)) {
	h.c.ahead.Bucket(h.c.self, b, func(e lookahead.Entry[*link]) { visit(neighbour(e)) })
}

func neighbour(e lookahead.Entry[*link]) overlay.Neighbour {
	return overlay.Neighbour{ID: e.ID, By: &e.Via.Link, There: e.Time.Duration()}
}

func (h host) Ask(id wire.ID, proved bool) {
	if l := h.c.table.Get(id); l != nil {
		h.c.ask(l, proved)
	}
}

func (h host) End(id wire.ID, reason wire.ByeReason) {
	if l := h.c.table.Get(id); l != nil {
		h.c.end(l, reason)
	}
}

// --- messages

func (h host) Send(by *overlay.Link, m overlay.Message)        { h.c.send(by, outgoing(m)) }
func (h host) Search(index int, m overlay.Message) (last bool) { return h.c.search(index, outgoing(m)) }
func (h host) Drop(reason journal.DropReason, f *wire.Frame)   { h.c.drop(reason, f) }

func outgoing(m overlay.Message) Outgoing {
	return Outgoing{To: m.To, Kind: m.Kind, Form: m.Form, Flags: m.Flags, Payload: m.Payload, Record: m.Record, Token: m.Token, Route: m.Route}
}

// --- the shell

func (h host) Dial(contact wire.Contact) { h.c.do(Action{Type: Dial, Contact: &contact}) }
func (h host) DialBootstrap(index int)   { h.c.do(Action{Type: DialBootstrap, Index: index}) }

func (h host) BootstrapRefused(index int, why error) {
	h.c.do(Action{Type: BootstrapRefused, Index: index, Err: why})
}

func (h host) Found(index int, ids []wire.ID) {
	h.c.do(Action{Type: Found, Index: index, IDs: ids})
}

func (h host) Signalled(f *wire.Frame, proved bool) {
	h.c.do(Action{Type: Signalled, Frame: f, Proved: proved})
}
