package core

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/journal"
	"github.com/peer-relay/peer-relay/protocol/internal/probe"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// quietly takes the actions of the last event without output.
func (s *script) quietly() {
	out := s.out
	s.take()
	s.out = out
}

// take writes the actions of the last event to the output.
func (s *script) take() {
	var drafts []*Draft
	var measured, greeted []LinkHandle
	for _, a := range s.c.Actions() {
		if a.Type == Transmit {
			s.queued[a.Link] = append(s.queued[a.Link], a.Frame)
			if l := s.c.byHandle[a.Link]; l != nil && l.keeps && a.Frame.Type == wire.FrameMessage && a.Frame.Body.Kind == wire.KindFind {
				greeted = append(greeted, a.Link)
			}
		}
		if f := a.Frame; a.Type == Transmit && f.Type == wire.FrameMessage && f.Body.From == s.c.self && f.Body.Flags&wire.FlagReceipt != 0 {
			s.nonces[string(f.Body.E2E)] = append(s.nonces[string(f.Body.E2E)], f.Nonce)
		}
		if a.Type == Compose {
			drafts = append(drafts, a.Draft)
		} else if a.Type == Measure {
			measured = append(measured, a.Link)
		} else if line := s.show(a); line != "" {
			s.out = append(s.out, line)
		}
	}
	for _, e := range s.c.Events() {
		switch e.Type {
		case journal.MessageDropped:
			if e.From != (wire.ID{}) {
				s.out = append(s.out, fmt.Sprintf("drop %v %v %s>%s", e.Reason, e.Kind, shortID(e.From), shortID(e.To)))
			}
		case journal.MessageKept:
			s.out = append(s.out, fmt.Sprintf("keep %v %s>%s", e.Kind, shortID(e.From), shortID(e.To)))
		}
	}
	for _, d := range drafts {
		s.c.Compose(d)
		s.c.Composed(s.now, d)
	}
	for _, h := range greeted { // so that transcripts need not acknowledge our findPeers
		s.c.Receive(s.now, h, wire.NewAck(s.c.byHandle[h].ledger.Sent()))
	}
	for _, h := range measured {
		s.c.Measured(s.now, h, s.figures[h])
	}
	if len(drafts)+len(measured) > 0 {
		s.take()
	}
}

func (s *script) show(a Action) string {
	switch a.Type {
	case Transmit:
		return s.showFrame(a.Link, a.Frame)
	case Receipted:
		if a.Err != nil {
			return fmt.Sprintf("receipted %d: error: %v%s", a.Index, a.Err, showHops(a.Hops))
		}
		return fmt.Sprintf("receipted %d: %s%s", a.Index, showReceipt(*a.Receipt), showHops(a.Hops))
	case Keep:
		s.keeping = append(s.keeping, a.Frame)
		return fmt.Sprintf("store %s of %s for %s", a.Frame.Body.Payload, shortID(a.Frame.Body.From), shortID(a.Frame.Body.To))
	case Fetch:
		return fmt.Sprintf("fetch for %s after %d", shortID(a.Peer), a.Number)
	case Discard:
		return fmt.Sprintf("discard %d for %s", a.Number, shortID(a.Peer))
	case Deliver:
		s.last = a.Frame
		proved := ""
		if a.Proved {
			proved = ", proved"
		}
		return fmt.Sprintf("deliver %s from %s%s", a.Frame.Body.Payload, shortID(a.Frame.Body.From), proved)
	case Dial:
		return fmt.Sprintf("dial %s url=%q record=%q webrtc=%v", shortID(a.Contact.ID), a.Contact.URL, a.Contact.Record, a.Contact.WebRTC)
	case DialBootstrap:
		return fmt.Sprintf("dial bootstrap %d at %v", a.Index, s.now.Round(time.Millisecond))
	case BootstrapRefused:
		return fmt.Sprintf("bootstrap %d refuses: %v", a.Index, a.Err)
	case CloseLink:
		return fmt.Sprintf("close %d: %s (%v)", a.Link, byeNames[a.Reason], a.Err)
	case Granted:
		return fmt.Sprintf("granted %d", a.Index)
	case Refused:
		return fmt.Sprintf("refused %d: %v", a.Index, a.Err)
	case Signalled:
		proved := ""
		if a.Proved {
			proved = ", proved"
		}
		return fmt.Sprintf("signal %s from %s%s", a.Frame.Body.Payload, shortID(a.Frame.Body.From), proved)
	case Found:
		if a.Err != nil {
			return fmt.Sprintf("found %d: error: %v", a.Index, a.Err)
		}
		return fmt.Sprintf("found %d: %s", a.Index, showIDs(a.IDs))
	case PeerUp:
		return "peer up " + shortID(a.Peer)
	case PeerDown:
		return "peer down " + shortID(a.Peer)
	}
	return "?"
}

func (s *script) showFrame(h LinkHandle, f *wire.Frame) string {
	if f.Type != wire.FrameMessage {
		switch f.Type {
		case wire.FrameAck:
			return fmt.Sprintf("-> %d ack %d", h, f.Num)
		case wire.FrameNeighbours:
			line := fmt.Sprintf("-> %d neighbours", h)
			if f.Peers.Reset {
				line += " all"
			}
			for _, n := range f.Peers.Named {
				line += fmt.Sprintf(" %s/%v", shortID(n.ID), n.Time.Duration())
			}
			if len(f.Peers.Gone) > 0 {
				line += " gone=" + showIDs(f.Peers.Gone)
			}
			if len(f.Peers.Lost) > 0 {
				line += " lost=" + showIDs(f.Peers.Lost)
			}
			return line
		case wire.FrameNack:
			line := fmt.Sprintf("-> %d nack %d %d", h, f.Nack.Seq, f.Nack.Reason)
			if back, err := wire.ParseFrame(f.Nack.Frame); err == nil {
				line += fmt.Sprintf(" %s>%s path=%s hop=%08x", shortID(back.Body.From), shortID(back.Body.To), showIDs(back.Path()), uint32(back.Hop))
			}
			return line
		}
		if f.Type == wire.FramePong {
			return fmt.Sprintf("-> %d pong %d", h, f.Num)
		}
		return fmt.Sprintf("-> %d %v", h, f.Type)
	}
	b := &f.Body
	if b.Kind == wire.KindFind && b.From == s.c.self && !s.greets {
		if f.IsSearch() {
			s.search = b.Token
		}
		return ""
	}
	line := fmt.Sprintf("-> %d %v %s>%s", h, b.Kind, shortID(b.From), shortID(b.To))
	switch b.Kind {
	case wire.KindFind:
		line += " target=" + shortID(wire.ID(b.Payload))
		if f.IsSearch() {
			line += " closest"
		}
	case wire.KindFound:
		ids, _ := wire.ParseFound(b.Payload)
		line += " ids=" + showIDs(ids)
	case wire.KindOffer:
		s.tokens[b.To] = b.Token
	case wire.KindAnswer:
		if b.Form == wire.FormNone {
			line += " no"
		} else {
			a, _ := wire.ParseAnswer(b.Payload)
			line += fmt.Sprintf(" url=%q record=%q", a.WS, b.Record)
			if a.WRTC {
				line += " wrtc"
			}
		}
	case wire.KindReceipt:
		r, err := wire.ParseReceipt(b.Payload)
		line += fmt.Sprintf(" of %s hops=%d handed=%v %v", bytes.TrimSpace(r.E2E), r.Hops, r.Handed, err)
		if len(r.Path) > 0 {
			line += " way=" + showIDs(r.Path)
		}
		if r.Kept > 0 {
			line += fmt.Sprintf(" kept=%d", r.Kept)
		}
	case wire.KindReport:
		r, err := wire.ParseReport(b.Payload)
		line += fmt.Sprintf(" of %s hops=%d link=%s agent=%s %v", bytes.TrimSpace(r.E2E), r.Hops, r.Link, r.Agent, err)
	case wire.KindPing:
		if f.IsTraced() {
			line += " traced"
		}
	case wire.KindNotice:
		n, err := wire.ParseNotice(b.Payload)
		line += fmt.Sprintf(" of %s nonce=%s %v", bytes.TrimSpace(n.E2E), n.Nonce, err)
		if n.Silent {
			line += " silent"
		}
		if n.Refusal != 0 {
			line += fmt.Sprintf(" refusal=%d", n.Refusal)
		}
	default:
		line += " " + string(b.Payload)
	}
	if n := f.Hop.Attempt(); n > 0 {
		line += fmt.Sprintf(" attempt=%d", n)
	}
	line += fmt.Sprintf(" path=%s tx=%d detours=%d", showIDs(f.Path()), f.Hop.TxLeft(), f.Hop.DetoursLeft())
	if len(f.Route) > 0 {
		line += " route=" + showIDs(f.Route)
	}
	return line
}

func showIDs(ids []wire.ID) string {
	var s []string
	for _, id := range ids {
		s = append(s, shortID(id))
	}
	return strings.Join(s, ",")
}

func showReceipt(r Receipt) string {
	if r.IsKept() {
		return fmt.Sprintf("kept until %d by %s Hops:%d Took:%v", r.Kept.UnixMilli(), shortID(r.Keeper), r.Hops, r.Took)
	}
	return fmt.Sprintf("{Proved:%v Handed:%v Hops:%d Took:%v}", r.Proved, r.Handed, r.Hops, r.Took)
}

// showHops shows the peers on the way of a traced ping.
func showHops(hops []probe.Hop) (text string) {
	for _, h := range hops {
		text += " | " + shortID(h.ID)
		if !h.InPath {
			text += " unconfirmed"
		}
		if h.Link != "" {
			text += " " + h.Link
		}
		if h.Told {
			text += fmt.Sprintf(" %v %s", h.RTT, h.Agent)
		}
	}
	return text
}
