package core

import (
	"github.com/peer-relay/peer-relay/protocol/internal/journal"
	"github.com/peer-relay/peer-relay/protocol/internal/probe"
	"github.com/peer-relay/peer-relay/protocol/internal/receipts"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A ping is a reliable message that ends at its receiver's router. If it is traced, each peer that it
// comes to reports to the origin.

// onPing answers a ping with a receipt.
func (c *Core) onPing(l *link, f *wire.Frame) {
	if f.Body.Form != wire.FormRaw || len(f.Body.Payload) > 0 || f.Size() > maxPing || !f.Wants(wire.FlagReceipt) {
		c.drop(journal.DropBadControl, f)
		return
	}
	c.confirmed.Add(c.now, c.receiptKey(f))
	c.confirmAgain(l, f)
}

// report tells the origin of a traced ping that it came to this peer over l. The path does not have
// this peer yet. One ping has many peers report, so its origin must be proved. That is checked where
// the report is signed.
func (c *Core) report(l *link, f *wire.Frame) {
	if !c.cfg.NoTrace && f.IsTraced() && l.traces.Take(c.now, traceBurst, traceRate) {
		r := wire.AppendReport(nil, wire.NewReport(f, l.Kind, c.cfg.Agent))
		c.compose(&Draft{out: Outgoing{To: f.Body.From, Kind: wire.KindReport, Form: wire.FormRaw, Payload: r, Route: f.ReversePath()}, about: f.Message})
	}
}

// onReport processes a message of KindReport.
func (c *Core) onReport(f *wire.Frame, proved bool) {
	r, err := wire.ParseReport(f.Body.Payload)
	if err != nil || f.Body.Form != wire.FormRaw {
		c.drop(journal.DropBadControl, f)
		return
	}
	var s *receipts.Send
	var ends *Receipt
	if proved {
		s, ends = c.book.Report(c.now, r, f.Body.From)
	}
	if s == nil {
		c.drop(journal.DropUnasked, f)
	} else if ends != nil {
		c.receipted(s, *ends, nil)
	}
}

// Hops returns what is known of the way of a traced ping.
func (c *Core) Hops(index int) []probe.Hop {
	hops := c.book.Hops(index)
	if len(hops) > 0 && hops[0].Link == "" { // this peer knows its own link
		if l := c.table.Get(hops[0].ID); l != nil {
			hops[0].Link = l.Kind.String()
		}
	}
	return hops
}
