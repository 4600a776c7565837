package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/peer-relay/peer-relay/itest/peers"
)

// A mutation takes one safeguard out of the source. A test must fail then.
type mutation struct {
	name string
	file string // from the top of the module
	old  string // stands in the file exactly once
	new  string
	test string // that must fail
	in   string // its folder; "": that of the file
	race bool   // the test runs under the race detector
}

// folder returns the folder of the test.
func (m mutation) folder() string {
	if m.in != "" {
		return m.in
	}
	return filepath.ToSlash(filepath.Dir(filepath.FromSlash(m.file)))
}

const (
	corePackage    = "protocol/internal/core"
	overlayPackage = "protocol/internal/overlay"
)

// safeguards is the list. The source says of each what would happen without it.
var safeguards = []mutation{
	// Messages.
	{name: "duplicate suppression, relaying", file: corePackage + "/receive.go", test: "TestTranscripts",
		old: "if c.transit.has(c.now, h) {", new: "if c.transit.has(c.now, h) && false {"},
	{name: "duplicate suppression, delivery", file: corePackage + "/receive.go", test: "TestTranscripts",
		old: "case again:", new: "case again && false:"},
	{name: "the end-to-end id of a proved message", file: corePackage + "/receive.go", test: "TestTranscripts",
		old: "if id == nil {", new: "if id == nil || true {"},
	{name: "one proof for a signed body without an end-to-end id", file: corePackage + "/receive.go", test: "TestTranscripts",
		old: "if c.delivered.Has(c.now, body) {", new: "if c.delivered.Has(c.now, body) && false {"},
	{name: "delivery of a proved message behind a stripped copy", file: corePackage + "/receive.go", test: "TestTranscripts",
		old: "if !signed && !straight {", new: "if true {"},
	{name: "no trace of a copy that went nowhere", file: corePackage + "/receive.go", test: "TestTranscripts",
		old: "c.forward(f, l)", new: "c.transit.finish(c.now, h)\n\t\tc.forward(f, l)"},
	{name: "the hop limit", file: corePackage + "/forward.go", test: "TestTranscripts",
		old: "if f.PathLen() >= wire.MaxPath {", new: "if f.PathLen() >= wire.MaxPath && false {"},
	{name: "the transmission budget", file: corePackage + "/forward.go", test: "TestTranscripts",
		old: "if f.Hop.TxLeft() <= 0 {", new: "if f.Hop.TxLeft() <= 0 && false {"},
	{name: "no budget above the first one", file: corePackage + "/forward.go", test: "TestTranscripts",
		old: "min(f.Hop.TxLeft(), wire.TxBudget)", new: "f.Hop.TxLeft()"},
	{name: "the id proof of a signature", file: "protocol/wire/message.go", test: "TestTranscripts", in: corePackage,
		old: "ok && id == m.Body.From", new: "ok && id != (ID{})"},
	{name: "the id proof of a link", file: corePackage + "/receive.go", test: "TestTranscripts",
		old: "l.Proved && l.ID == b.From && f.PathLen() == 1 && f.PathAt(0) == b.From", new: "l.Proved"},

	// Memory and time.
	{name: "the bound of a link's queue", file: corePackage + "/links.go", test: "TestQueueBound",
		old: "return l.queuedFrames >= maxQueueFrames || l.queuedBytes+size > maxQueueBytes ||", new: "return false ||"},
	{name: "the bound of all queues", file: corePackage + "/links.go", test: "TestQueuesTogether", in: "protocol",
		old: "c.queued+size > queuesBytes &&", new: "false &&"},
	{name: "the bound of what waits for a link", file: corePackage + "/send.go", test: "TestWaitingBound",
		old: "if len(c.waiting) >= maxWaiting || c.waitSize+f.Size() > waitBytes {", new: "if false {"},
	{name: "the bound of the inbox", file: "protocol/inbox.go", test: "TestRouterSlowApplication",
		old: "b.closed || b.count >= maxInbox || b.bytes+f.Size() > inboxBytes", new: "b.closed"},
	{name: "little memory for a length prefix", file: "protocol/wire/read.go", test: "TestReadFrameGrowsWithWhatArrives",
		old: "newFrame(min(size, firstRead), size", new: "newFrame(size, size"},
	{name: "no time limit of the HTTP server for libp2p over plain TCP", file: "node/internal/port/conn.go", test: "TestTCPConnectionOutlivesTheRequestsTimeout",
		old: "c.Conn.SetDeadline(time.Time{}) // libp2p", new: "// libp2p"},
	{name: "a connection of libp2p over plain TCP that the HTTP server closes", file: "node/internal/port/conn.go", test: "TestTCP",
		old: "connClosed) && c.isGiven()", new: "connClosed) && c.isGiven() && false"},
	{name: "growth of a table in steps", file: "protocol/internal/seen/seen.go", test: "TestGrowsInSteps",
		old: "for range copyLines {", new: "for range 16 * copyLines {"},
	{name: "no entries of an old generation under its number", file: "protocol/internal/seen/seen.go", test: "TestSweeps",
		old: "sweepEvery     = 2 ", new: "sweepEvery     = 16 "},
	{name: "the budget of a link for questions", file: "protocol/internal/rate/allowance.go", test: "TestTranscripts", in: corePackage,
		old: "if a.left < 1 {", new: "if a.left < 1 && false {"},
	{name: "signatures outside the lock", file: "protocol/router.go", test: "TestSignOutsideTheLock",
		old: "r.core.Compose(d)\n\t\t\tr.enter(func(c *core.Core, now time.Duration) { c.Composed(now, d) })",
		new: "r.enter(func(c *core.Core, now time.Duration) { c.Compose(d); c.Composed(now, d) })"},
	{name: "room for offers beside a flood of them", file: overlayPackage + "/handshake.go", test: "TestTranscripts", in: corePackage,
		old: "crowd := via\n", new: "crowd := via\n\tif crowd == via {\n\t\treturn false\n\t}\n"},

	{name: "the bound of expected handshakes", file: corePackage + "/held.go", test: "TestExpectedBound",
		old: "if len(c.expected) < maxExpected {", new: "if true {"},
	{name: "the bound of a link's queue, control messages", file: corePackage + "/send.go", test: "TestControlMeetsAFullQueue",
		old: "case by != nil && !by.Ended && c.full(by, f.Size()):", new: "case false:"},
	{name: "no events that are not read", file: corePackage + "/trace.go", test: "TestEventsOnlyWhenTraced",
		old: "if !c.tracing {", new: "if false {"},
	{name: "ages beyond 32 bits", file: "protocol/internal/candidates/candidates.go", test: "TestWorstOf",
		old: "return c.Heard < x.Heard", new: "return int32(c.Heard-x.Heard) < 0"},

	// Links.
	{name: "no proved id lost to a claim", file: corePackage + "/claim.go", test: "TestTranscripts",
		old: "case a.Proved != b.Proved:\n\t\treturn a.Proved", new: "case false:\n\t\treturn a.Proved"},
	{name: "the one-link rule", file: corePackage + "/claim.go", test: "TestOneLink",
		old: "if l.ID == info.ID && !l.Ended && !c.displaces(info, l) {", new: "if false {"},
	{name: "the one-link rule, replacing", file: corePackage + "/links.go", test: "TestOneLink",
		old: "if x.ID == info.ID {", new: "if x.ID == info.ID && false {"},
	{name: "no message with another way for a claimed id", file: corePackage + "/held.go", test: "TestTranscripts",
		old: "return e.proved || next.first == nil || next.far", new: "return true"},
	{name: "another way for what is not acknowledged", file: corePackage + "/custody.go", test: "TestTranscripts",
		old: "c.ping(l)\n\t\tc.handOver(l)", new: "c.ping(l)"},
	{name: "messages of a NACK that this peer has sent", file: corePackage + "/custody.go", test: "TestTranscripts",
		old: "f.PathAt(f.PathLen()-1) != c.self || !c.transit.has(c.now, c.hash(f))", new: "f.PathAt(f.PathLen()-1) != c.self"},
	{name: "what was written to a link that ended", file: corePackage + "/unsent.go", test: "TestCustodyOfABrokenLink", in: "protocol",
		old: "c.inherit(l, left)", new: "c.inherit(l, left+1<<20)"},
	{name: "another way for what was sent just before Close", file: "protocol/close.go", test: "TestCloseHandsOver",
		old: "\tr.awaitAcks(ctx)\n", new: ""},
	{name: "no wait of Close for acknowledgements where there is no other way", file: corePackage + "/unsent.go", test: "TestCloseAwaitsAcknowledgements", in: "protocol",
		old: " && c.relayBeside(l)", new: ""},
	{name: "a word about what came back while the router closed", file: corePackage + "/custody.go", test: "TestCloseNamesWhatCameBack", in: "protocol",
		old: "if t.late && f.Tracked {", new: "if false {"},
	{name: "no doubt about what was acknowledged", file: "protocol/serve.go", test: "TestCloseBelievesAcknowledgements",
		old: "s.handle, s.keeps = h, c.Keeps(h)", new: "s.handle = h"},
	{name: "acknowledgements before the byes", file: corePackage + "/links.go", test: "TestCloseAcknowledges", in: "protocol",
		old: "c.tell(l) // nothing", new: "// nothing"},
	{name: "the bound of messages without an acknowledgement", file: corePackage + "/custody.go", test: "TestUnacknowledgedTogether", in: "protocol",
		old: "c.entrusted+size > queuesBytes &&", new: "false &&"},
	{name: "messages of a late link without another way", file: corePackage + "/custody.go", test: "TestTranscripts",
		old: "case a.late:\n\t\treturn false", new: "case false:"},
	{name: "a message whose way is being replaced", file: corePackage + "/forward.go", test: "TestTranscripts",
		old: "if !next.busy && c.replacing() {", new: "if false {"},
	{name: "the offer of a peer whose link is dead", file: corePackage + "/links.go", test: "TestTranscripts",
		old: "c.overlay.AnswerLate(&l.Link)", new: ""},
	{name: "a wait for acknowledgements after a message met a closed channel", file: "compat/legacy/rtclink.go", test: "TestWebRTCWriteAfterReset",
		old: "l.drain() // the peer has closed", new: "// the peer has closed"},
	{name: "two kinds of fields in one frame", file: "protocol/wire/read.go", test: "TestFieldsOfTwoFrames",
		old: "} else if m == nil && !linkFields.has(x.number) {", new: "} else if false {"},
	{name: "a sign of the peer for a ping of a data channel", file: "compat/legacy/rtclink.go", test: "TestWebRTCClaim",
		old: "for l.Progress().Acked <= acked {", new: "for false {"},
	{name: "receipts of the receiver only", file: "protocol/internal/receipts/book.go", test: "TestReceipt",
		old: "|| (r.Handed || r.Kept != 0) == (from.From == s.Frame.Body.To) {", new: "{"},
	{name: "receipts for the Body that was sent", file: "protocol/internal/receipts/book.go", test: "TestReceipt",
		old: "|| r.Hash != s.hash ", new: ""},
	{name: "no attempt for a legacy peer that has taken another", file: corePackage + "/reliable.go", test: "TestTranscripts",
		old: "to != nil && !to.Extended && c.confirmed.Has(c.now, c.receiptKey(f))", new: "false && to != nil"},
	{name: "an attempt that comes straight is not another message", file: corePackage + "/receive.go", test: "TestTranscripts",
		old: " || !signed && c.delivered.Has(c.now, content)", new: ""},
	{name: "no notice about a message that came without custody", file: corePackage + "/reliable.go", test: "TestTranscripts",
		old: "return l.keeps || l.Extended && !l.Native() && (c.table.Len() > 1 || !l.Dialed)", new: "return true"},
	{name: "no notice at once where a legacy relay may lead on", file: corePackage + "/reliable.go", test: "TestTranscripts",
		old: "c.overlay.Surrounds(f.Body.To) && !c.mayLeadOn(f)", new: "c.overlay.Surrounds(f.Body.To)"},
	{name: "no notice where a legacy relay may lead on", file: corePackage + "/reliable.go", test: "TestTranscripts",
		old: "case why == wire.RefusalNone && c.mayLeadOn(f):", new: "case false:"},
	{name: "no NACK that there is no route where a legacy relay may lead on", file: corePackage + "/custody.go", test: "TestTranscripts",
		old: "if why == wire.NackNoRoute && c.mayLeadOn(f) {", new: "if false {"},
	{name: "no notice at once while a near peer that died is replaced", file: "protocol/internal/overlay/fill.go", test: "TestTranscripts", in: corePackage,
		old: "if o.host.Now() < o.diedUntil && id != o.died {", new: "if false {"},
	{name: "no notice at once about a peer that joins", file: "protocol/internal/overlay/fill.go", test: "TestTranscripts", in: corePackage,
		old: "if h != nil && !h.mine ||", new: "if"},
	{name: "a probe past the peers that have heard of the receiver", file: corePackage + "/reliable.go", test: "TestTranscripts",
		old: "|| c.hasHeard(f.Body.To))", new: ")"},
	{name: "searches past peers that join", file: corePackage + "/receive.go", test: "TestTranscripts",
		old: "case c.now-l.Since >= joiningTime:", new: "case true:"},
	{name: "receipts of mailboxes only with their signature", file: "protocol/internal/receipts/book.go", test: "TestTranscripts", in: corePackage,
		old: "if !from.Proved || r.Kept", new: "if r.Kept"},
	{name: "no longer promise of a mailbox than its origin wants", file: "protocol/internal/receipts/book.go", test: "TestTranscripts", in: corePackage,
		old: "|| r.Kept > s.Frame.Body.Expiry {", new: "{"},
	{name: "further attempts beside a mailbox's promise", file: "protocol/internal/receipts/book.go", test: "TestTranscripts", in: corePackage,
		old: "return s.weak == nil || s.weak.IsKept()", new: "return s.weak == nil"},
	{name: "nothing kept that its origin has not signed", file: "protocol/wire/receipt.go", test: "TestIsKept",
		old: "m.Body.Key != nil && m.Sig != nil &&", new: ""},
	{name: "a signature that is verified before a message is kept", file: "protocol/store.go", test: "TestSendKeptWithAWrongSignature",
		old: "|| !f.Check(r.opts.Verify) {", new: "{"},
	{name: "mailboxes only near the receiver", file: corePackage + "/params.go", test: "TestTranscripts",
		old: "nearMailbox  = 8 ", new: "nearMailbox  = 800 "},
	{name: "one mailbox for all attempts", file: corePackage + "/mailbox.go", test: "TestTranscripts",
		old: "case f.InPath(id) && prev != nil:", new: "case false:"},
	{name: "receipts of the receiver itself before a message is removed", file: corePackage + "/handover.go", test: "TestTranscripts",
		old: "|| f.Body.From != l.ID ||", new: "||"},
	{name: "signed receipts of a peer that claims its id", file: corePackage + "/handover.go", test: "TestTranscripts",
		old: "|| !l.Proved && !f.Verify(c.cfg.Verify) {", new: "{"},
	{name: "a receipt for the Body that was kept", file: corePackage + "/handover.go", test: "TestTranscripts",
		old: "&& p.Hash == r.Hash", new: ""},
	{name: "messages handed over that came long ago", file: corePackage + "/receive.go", test: "TestTranscripts",
		old: "|| again\n", new: "&& again || again\n"},
	{name: "further attempts of a kept message", file: "node/mailbox/store.go", test: "TestDuplicates",
		old: "]; ok {\n\t\t\tm.Until", new: "]; ok && false {\n\t\t\tm.Until"},
	{name: "a share for each sender", file: "node/mailbox/store.go", test: "TestQuotas",
		old: "case s.index.senders[m.From]+size > s.opts.MaxSender:", new: "case false:"},
	{name: "a share for each receiver", file: "node/mailbox/store.go", test: "TestQuotas",
		old: "case s.index.receivers[m.To].bytes+size > s.opts.MaxReceiver:", new: "case false:"},
	{name: "a bound of all that is kept", file: "node/mailbox/store.go", test: "TestQuotas",
		old: "case s.index.total+size > s.opts.MaxBytes:", new: "case false:"},
	{name: "a reserve to empty a full disk", file: "node/mailbox/store.go", test: "TestFullDisk",
		old: "if isFull(err) && os.Remove(s.reserveName()) == nil {", new: "if false {"},
	{name: "no promise for what is not on the disk", file: "node/mailbox/store.go", test: "TestFailedWrite",
		old: "if err := failed[identityOf(m)]; err != nil {", new: "if err := failed[identityOf(m)]; false {"},
	{name: "notices from behind two first links", file: "protocol/internal/receipts/book.go", test: "TestNoRoute",
		old: "!slices.Contains(ids, w.first)", new: "true"},
	{name: "a probe of its own only over a link that had no attempt", file: corePackage + "/reliable.go", test: "TestTranscripts",
		old: "probe && !s.Probes(0) && s.Used(l.ID)", new: "false"},
	{name: "a probe beside the second attempt", file: "protocol/internal/receipts/book.go", test: "TestNoRoute",
		old: "return s.none || i == repeats", new: "return s.none"},
	{name: "the silence of a receiver only as two links say it", file: "protocol/internal/receipts/book.go", test: "TestSilent",
		old: "s.silent && all >= 2", new: "s.silent && all >= min(2, links)"},
	{name: "the silence of a receiver that is busy for a moment", file: "protocol/internal/receipts/book.go", test: "TestSilent",
		old: "enough, least = true, silence", new: "enough = true"},
	{name: "one more attempt for each notice, not for each repetition", file: "protocol/internal/receipts/book.go", test: "TestNoRoute",
		old: "	if news {\n", new: "	if news || true {\n"},
	{name: "no blame for the copies of one attempt", file: "protocol/internal/receipts/book.go", test: "TestWays",
		old: "w.at < won.at && now-w.at", new: "now-w.at"},
	{name: "no blame before a receipt is late", file: "protocol/internal/receipts/book.go", test: "TestWays",
		old: "now-w.at >= retryMin && ", new: ""},
	{name: "no blame for word of a missing route", file: "protocol/internal/receipts/book.go", test: "TestWays",
		old: "&& !w.none && !w.silent {\n\t\t\tlost", new: "{\n\t\t\tlost"},
	{name: "another chance for a link that lost a message", file: corePackage + "/alive.go", test: "TestTranscripts",
		old: "l.did.Expire(c.now)", new: ""},
	{name: "no messages of others over links that lose", file: corePackage + "/forward.go", test: "TestTranscripts",
		old: "	if direct == nil || !direct.Answers() {", new: "	if q.prev == nil && (direct == nil || !direct.Answers()) {"},
	{name: "one way of what the origin sends again", file: corePackage + "/forward.go", test: "TestTranscripts",
		old: "(l.Doubted || q.frame.Hop.Attempt() > 0)", new: "false"},
	{name: "no third copy when a late link ends", file: corePackage + "/custody.go", test: "TestTranscripts",
		old: "(e.Copied || c.tellsOf(l, f))", new: "false"},
	{name: "times of links without the delay of acknowledgements", file: corePackage + "/custody.go", test: "TestTranscripts",
		old: "l.pulse.sample(c.now - at)", new: "l.sample(c.now - at)"},
	{name: "no questions to peers that tell their neighbours", file: overlayPackage + "/overlay.go", test: "TestTranscripts", in: corePackage,
		old: "(deficit || l.Named == 0)", new: "true"},
	{name: "reports only of proved peers", file: corePackage + "/probe.go", test: "TestTranscripts",
		old: "if proved {", new: "if true {"},
	{name: "reports only at their place of the path", file: "protocol/internal/probe/probe.go", test: "TestReportsThatDoNotCount",
		old: "r.from == id && r.Hops == place &&", new: "r.from == id &&"},
	{name: "reports only to origins that have signed", file: corePackage + "/send.go", test: "TestTranscripts",
		old: "if d.about == nil || d.about.Check(c.cfg.Verify) {", new: "if true {"},
	{name: "no receipt for what the application did not get", file: "protocol/inbox.go", test: "TestSendReliableToAFullMailbox",
		old: "if taken {", new: "if true {"},
	{name: "another attempt of what had no room", file: corePackage + "/receive.go", test: "TestSendReliableToAFullMailbox", in: "protocol",
		old: "again = !c.undelivered.Take(c.now, c.receiptKey(f))", new: "again = true"},
	{name: "no word for a receiver that makes receipts itself", file: corePackage + "/reliable.go", test: "TestTranscripts",
		old: "case l == nil || l.Extended || l.ID != f.Body.To ||", new: "case l == nil || l.ID != f.Body.To ||"},
	{name: "an answer before a link is made again", file: "compat/legacy/rtcconn.go", test: "TestWebRTCOldPackets",
		old: "return fresh && answers > c.answers", new: "_ = fresh\n\treturn answers >= c.answers"},
	{name: "connections whose socket does not tell its address", file: "node/network.go", test: "TestConnectionsFromALostAddressAreMadeAgain",
		old: "return e.own[c]", new: "return netip.Addr{}"},
	{name: "the way that proved an id, beside a link that claims it", file: corePackage + "/forward.go", test: "TestTranscripts",
		old: "if way := c.provedWay(direct); takes(way) {", new: "if way := c.provedWay(direct); takes(way) && false {"},
	{name: "an end of refused links with Close", file: "protocol/serve.go", test: "TestRefusedLinkEndsWithRouter",
		old: "unhook := context.AfterFunc(r.ctx, func() { link.Close() })", new: "unhook := func() bool { return true }"},
	{name: "no turns of two processes with one key", file: corePackage + "/claim.go", test: "TestTranscripts",
		old: "return age < pairTime", new: "return true"},

	// Peers that are gone, paused, or at the end of a slow line.
	{name: "a ping after messages without an answer", file: corePackage + "/alive.go", test: "TestTranscripts",
		old: "l.unheard != 0 && c.now >= l.askAt()", new: "false"},
	{name: "links that answer before a doubted one", file: overlayPackage + "/link.go", test: "TestTranscripts", in: corePackage,
		old: "return !l.Ended && !l.Doubted", new: "return !l.Ended"},
	{name: "a copy to a doubted receiver", file: corePackage + "/forward.go", test: "TestTranscripts",
		old: "takes && ch.second == nil", new: "false"},
	{name: "a bound on the peers that a message for a silent receiver visits", file: corePackage + "/forward.go", test: "TestTranscripts",
		old: "if !ch.detour {", new: "if false {"},
	{name: "a word about what a silent receiver has not got", file: corePackage + "/alive.go", test: "TestTranscripts",
		old: "if f := e.Frame(); f.Body.To == l.ID {", new: "if f := e.Frame(); false {"},
	{name: "no word of a missing route beside a late link", file: corePackage + "/forward.go", test: "TestTranscripts",
		old: "if direct == nil && prev != nil && !f.IsKept() && c.answersFor", new: "if prev != nil && !f.IsKept() && c.answersFor"},
	{name: "a look at idle links when many peers die", file: corePackage + "/ahead.go", test: "TestTranscripts",
		old: "\tc.losses = 0\n\tfor _, l := range c.order {", new: "\tc.losses = 0\n\tfor _, l := range c.order[:0] {"},
	{name: "neighbours only of a peer that names them", file: corePackage + "/ahead.go", test: "TestTranscripts",
		old: "	if !l.names {\n		c.drop", new: "	if false {\n		c.drop"},
	{name: "a bound on the neighbours of one peer", file: corePackage + "/ahead.go", test: "TestNeighboursAreBounded",
		old: "named[:min(len(named), wire.MaxNamed-l.Named)]", new: "named"},
	{name: "no ping for a rumour about a peer that was heard just now", file: corePackage + "/ahead.go", test: "TestTranscripts",
		old: " && c.now-l.heard >= doubtAfter {\n\t\tc.ping(l)", new: " {\n\t\tc.ping(l)"},
	{name: "a rate for what a peer says of its links", file: corePackage + "/ahead.go", test: "TestNeighboursHaveARate",
		old: "!l.news.Take(c.now, heardBurst, heardRate)", new: "false"},
	{name: "no neighbours of a link that was replaced", file: corePackage + "/links.go", test: "TestNeighboursGoWithTheirLink",
		old: "	l.Ended = true\n	c.ahead.Drop(l)\n", new: "	l.Ended = true\n"},
	{name: "news only of those that a peer had named", file: corePackage + "/ahead.go", test: "TestTranscripts",
		old: "	if !c.ahead.Remove(l, id) {\n		return false\n	}\n", new: "	c.ahead.Remove(l, id)\n"},
	{name: "news made again for a link that knows less", file: corePackage + "/ahead.go", test: "TestTranscripts",
		old: "return t.since == l.version", new: "return true"},
	{name: "no news without a peer for another one", file: corePackage + "/ahead.go", test: "TestTranscripts",
		old: "if err == nil && !about {", new: "if err == nil {"},
	{name: "an early end of links in a bucket with many", file: overlayPackage + "/prune.go", test: "TestTranscripts", in: corePackage,
		old: "if have[o.bucket(l.ID)] > fullBucket {", new: "if false {"},
	{name: "the fastest link of each quarter of a far bucket", file: overlayPackage + "/prune.go", test: "TestTranscripts", in: corePackage,
		old: "bucketLinks<<max(min(far, mostSplits-b), 0)", new: "bucketLinks"},
	{name: "no other link for one that saves little", file: overlayPackage + "/prune.go", test: "TestTranscripts", in: corePackage,
		old: "max(b/closerShare, leastSaving)", new: "b/closerShare"},
	{name: "no other link for one that is hardly faster", file: overlayPackage + "/prune.go", test: "TestTranscripts", in: corePackage,
		old: "max(b/closerShare, leastSaving)", new: "leastSaving"},
	{name: "a round trip time that rises slowly", file: corePackage + "/alive.go", test: "TestTripsThatJitter",
		old: "(min(rtt, 2*l.Trip+doubtAfter) - l.Trip) / 16", new: "(min(rtt, 2*l.Trip+doubtAfter) - l.Trip) / 2"},
	{name: "another peer in place of one that has answered and died", file: overlayPackage + "/fill.go", test: "TestTranscripts", in: corePackage,
		old: "if h.likely <= o.host.Now() {", new: "if h.mine && !h.dialing && h.likely <= o.host.Now() {"},
	{name: "a look at a bucket that was not full for long", file: overlayPackage + "/fill.go", test: "TestTranscripts", in: corePackage,
		old: "o.missing[b] = have < bucketLinks", new: "o.missing[b] = have < bucketLinks && o.findTries[b] <= 3"},
	{name: "near links beside many to one subnet", file: overlayPackage + "/prune.go", test: "TestTranscripts", in: corePackage,
		old: "|| !l.alike && apart(l.ID)", new: ""},
	{name: "a first link of a bucket that is chosen by time", file: overlayPackage + "/fill.go", test: "TestTranscripts", in: corePackage,
		old: "cand = o.quickest(b)", new: "cand = nil"},
	{name: "a round trip that is not known as an average one", file: corePackage + "/way.go", test: "TestTranscripts",
		old: "there = 2 * c.pace", new: "there = usualTrip"},
	{name: "no emergency at the first loss", file: overlayPackage + "/overlay.go", test: "TestTranscripts", in: corePackage,
		old: "if o.lostOf == 0 || o.host", new: "if o.host"},
	{name: "no end of links for a while after many were lost", file: overlayPackage + "/prune.go", test: "TestTranscripts", in: corePackage,
		old: "} else if o.host.Now() < o.pruneFrom {", new: "} else if false {"},
	{name: "an emergency when more than a quarter of the links is lost", file: overlayPackage + "/params.go", test: "TestTranscripts", in: corePackage,
		old: "lossShare    = 4 ", new: "lossShare    = 3 "},
	{name: "one end of a link after the other when many began together", file: overlayPackage + "/prune.go", test: "TestTranscripts", in: corePackage,
		old: "if l.Since >= o.pruneFrom {", new: "if l.Since >= 0 {"},
	{name: "no wait for links that began after many others", file: overlayPackage + "/prune.go", test: "TestTranscripts", in: corePackage,
		old: "if l.Since >= o.pruneFrom {", new: "if l.Since < 0 {"},
	{name: "no faster links while others mend", file: overlayPackage + "/prune.go", test: "TestTranscripts", in: corePackage,
		old: "max(o.nextCloser, o.pruneFrom)", new: "o.nextCloser"},
	{name: "a budget of offers without those that are not answered", file: overlayPackage + "/fill.go", test: "TestTranscripts", in: corePackage,
		old: "return h.dialing || h.likely > o.host.Now()", new: "return true"},
	{name: "no question over a link that was only sought because it seemed faster", file: overlayPackage + "/overlay.go", test: "TestTranscripts", in: corePackage,
		old: "h == nil || !h.trial {", new: "h == nil || h.id == l.ID {"},
	{name: "a question over a link that was sought because it seemed faster, when it stays", file: overlayPackage + "/prune.go", test: "TestTranscripts", in: corePackage,
		old: "if l.trial && !l.asked {", new: "if false {"},
	{name: "more offers to near peers after those without an answer", file: overlayPackage + "/fill.go", test: "TestTranscripts", in: corePackage,
		old: "i == n+unanswered", new: "i == n"},
	{name: "no offers to near peers beyond enough links", file: overlayPackage + "/fill.go", test: "TestTranscripts", in: corePackage,
		old: "if have == n || i == n+unanswered {", new: "if i == n+unanswered {"},
	{name: "the bytes of a message until its link has written them", file: "protocol/internal/custody/ledger.go", test: "TestLedger",
		old: "e.bytes != nil && e.Seq <= written", new: "e.bytes != nil"},
	{name: "bytes that are acknowledged before they are known to be written", file: "protocol/internal/custody/ledger.go", test: "TestLedger",
		old: "l.early = append(l.early, *e)", new: ""},
	{name: "a frame that waits in a queue", file: corePackage + "/links.go", test: "TestFramesInQueues", in: "protocol",
		old: "f.Spent = false // the queue", new: "// the queue"},
	{name: "more offers after those without an answer", file: overlayPackage + "/fill.go", test: "TestTranscripts", in: corePackage,
		old: "want++", new: ""},
	{name: "a link that the other end needs in its bucket", file: overlayPackage + "/prune.go", test: "TestTranscripts", in: corePackage,
		old: "o.bucket(id) > b", new: "true"},
	{name: "a link that is near for the other end", file: overlayPackage + "/prune.go", test: "TestTranscripts", in: corePackage,
		old: "l.ID.Closer(id, o.self)", new: "true"},
	{name: "links of a bucket beside many to one subnet", file: overlayPackage + "/prune.go", test: "TestTranscripts", in: corePackage,
		old: "|| x.alike && !l.alike", new: ""},
	{name: "the end of links that only others need", file: overlayPackage + "/prune.go", test: "TestManyLinks", in: corePackage,
		old: "return n > crowd", new: "return false"},
	{name: "no end of such a link twice", file: overlayPackage + "/prune.go", test: "TestManyLinks", in: corePackage,
		old: "&& !(was && o.host.Now()-at < shedAgain)", new: "&& !(was && false && o.host.Now()-at < shedAgain)"},
	{name: "no way back into the path", file: corePackage + "/way.go", test: "TestTranscripts",
		old: " && !f.InPath(e.ID)", new: ""},
	{name: "a candidate that no linked peer is linked with", file: corePackage + "/ahead.go", test: "TestTranscripts",
		old: "!c.ahead.Names(id)", new: "false"},
	{name: "patience while the data before a ping moves", file: corePackage + "/alive.go", test: "TestTranscripts",
		old: "p.Known && p.Moves > old.Moves", new: "false"},
	{name: "no patience once the ping has arrived", file: corePackage + "/alive.go", test: "TestTranscripts",
		old: "&& old.Acked < l.target", new: ""},
	{name: "a part of a frame that shows that the peer lives", file: corePackage + "/alive.go", test: "TestTranscripts",
		old: "l.measured && p.Received > old.Received", new: "false"},
	{name: "links of a process that is stopped for a while", file: corePackage + "/alive.go", test: "TestTranscripts",
		old: "if !l.strict { //", new: "if false { //"},
	{name: "an end after 3 s if the peer is claimed", file: corePackage + "/alive.go", test: "TestTranscripts",
		old: "l.strict, l.moved = true, c.now", new: "l.moved = c.now"},
	{name: "time to read after this process was stopped", file: corePackage + "/alive.go", test: "TestTranscripts",
		old: "if late {", new: "if late && false {"},
	{name: "patience learned from round trips", file: corePackage + "/alive.go", test: "TestTranscripts",
		old: "p.rtt+max(p.rtt, 4*p.rttError), ", new: ""},
	{name: "patience learned from the transport", file: corePackage + "/alive.go", test: "TestTranscripts",
		old: ", 2*p.progress.RTT)", new: ")"},
	{name: "one late answer that is no round trip", file: corePackage + "/alive.go", test: "TestTranscripts",
		old: "rtt = min(rtt, 2*p.rtt+doubtAfter)", new: ""},
	{name: "time for what was written, without figures", file: corePackage + "/alive.go", test: "TestTranscripts",
		old: "behind > 0 && !l.progress.Known", new: "false"},
	{name: "the data in flight on a link that was replaced", file: "protocol/ending.go", test: "TestReplacedLinkFlowsToItsEnd",
		old: "waits := left > 0 && (moved || unread)", new: "waits := left > 0 && (moved && false || unread)"},
	{name: "time for a handshake after the connection", file: "node/internal/port/dial.go", test: "TestConnectTimeEndsWithTheConnection",
		old: "GotConn: func(httptrace.GotConnInfo) { timer.Stop() }", new: ""},
	{name: "no pings of yamux on a slow line", file: "node/internal/port/dial.go", test: "TestMuxerHasNoPings",
		old: "t.EnableKeepAlive = false", new: ""},
	{name: "no webrtc-direct to a peer that was reached already", file: "node/internal/port/dial.go", test: "TestDirectIsTheLastResort",
		old: "Connectedness(p) == network.Connected {", new: "Connectedness(p) == network.Connected && false {"},
	{name: "the end of a connection without a link", file: "node/link.go", test: "TestIdleConnectionsAreClosed",
		old: "n.tidy(remote, true)", new: ""},
	{name: "the end of spare connections", file: "node/network.go", test: "TestSpareConnectionsAreClosed",
		old: "len(n.host.Network().ConnsToPeer(p)) > 1 {", new: "false {"},

	// Handlers.
	{name: "a bound of the events for a slow handler", file: "protocol/inbox.go", test: "TestSlowHandlerRefusesNobody",
		old: "if b.events >= b.thinAt {", new: "if false {"},
	{name: "no handler after one that is stuck", file: "protocol/inbox.go", test: "TestCloseLeavesAStuckHandler",
		old: "over := r.inbox.isAbandoned()", new: "over := false"},
	{name: "no handler after Close", file: "compat/events.go", test: "TestNoHandlerRunsAfterTheEnd",
		old: "case <-c.done:\n\tcase <-c.left:", new: "case <-c.done:\n\t\tf()\n\tcase <-c.left:"},
	{name: "a lock for the calls that are due", file: "compat/events.go", test: "TestListenerAddedWhileItEnds", race: true,
		old: "c.mu.Lock()\n\tdefer c.mu.Unlock()\n\tif c.ended {", new: "if c.ended {"},
	{name: "no lock held over a handler", file: "compat/events.go", test: "TestNoLockIsHeldOverAHandler",
		old: "l.mu.Unlock()\n\t\tfor _, f := range fs {\n\t\t\tif l.calls.isLeft() {\n\t\t\t\treturn\n\t\t\t}\n\t\t\tf(e)\n\t\t}", new: "for _, f := range fs {\n\t\t\tf(e)\n\t\t}\n\t\tl.mu.Unlock()"},

	// The log, the metrics, the status page, and contacts.
	{name: "drops in the log", file: corePackage + "/trace.go", test: "TestFollowALostMessage", in: "protocol",
		old: "c.note(journal.MessageDropped, f, wire.ID{}, reason)", new: ""},
	{name: "drops in the metrics", file: "node/metrics.go", test: "TestMetricsAreThoseOfTheRouter",
		old: "put(c.dropped, counter, count, reason)", new: "_, _ = count, reason"},
	{name: "a list of peers once in a second", file: "node/status.go", test: "TestStatusListsPeersSeldom",
		old: "now.Sub(l.at) >= listAge", new: "true"},
	{name: "contacts in their order", file: "node/contact.go", test: "TestTheLatestContactIsStored",
		old: "s.mu.Lock()\n\tdefer s.mu.Unlock()\n\tstore(make())", new: "store(make())"},
}

// mutations copies the module to a temporary folder and takes its safeguards out one by
// one. The test of each must pass as it is, and fail without it.
func mutations(ctx context.Context, opts options, r *report) error {
	root, err := peers.Root()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutations")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, part := range []string{"go.mod", "go.sum", "protocol", "node", "compat"} {
		if err := copyTree(filepath.Join(dir, part), filepath.Join(root, part)); err != nil {
			return fmt.Errorf("copy the module: %w", err)
		}
	}
	opts.log.Print("as it is")
	for _, m := range safeguards {
		if failed, out, err := m.run(ctx, dir); err != nil {
			return err
		} else if failed {
			return fmt.Errorf("%s fails as it is:\n%s", m.test, out)
		}
	}
	t := r.table("taken out", "file", "noticed by")
	var survivors []error
	for _, m := range safeguards {
		opts.log.Print(m.name)
		failed, err := m.try(ctx, dir)
		if err != nil {
			return err
		}
		noticed := m.test
		if !failed {
			survivors = append(survivors, fmt.Errorf("%s passes without %s", m.test, m.name))
			noticed = "NOTHING"
		}
		t.row(m.name, m.file, noticed)
	}
	return errors.Join(survivors...)
}

// try reports whether the test fails with the mutation.
func (m mutation) try(ctx context.Context, dir string) (failed bool, err error) {
	file := filepath.Join(dir, filepath.FromSlash(m.file))
	source, err := os.ReadFile(file)
	if err != nil {
		return false, err
	}
	if n := bytes.Count(source, []byte(m.old)); n != 1 {
		return false, fmt.Errorf("%s: %q stands %d times in %s, want once: the mutation is out of date", m.name, m.old, n, m.file)
	}
	if err := os.WriteFile(file, bytes.Replace(source, []byte(m.old), []byte(m.new), 1), 0o644); err != nil {
		return false, err
	}
	failed, _, err = m.run(ctx, dir)
	return failed, errors.Join(err, os.WriteFile(file, source, 0o644))
}

// run runs the test, and reports whether it failed. Code that does not compile proves
// nothing, nor does a test that is not there: both are errors.
func (m mutation) run(ctx context.Context, dir string) (failed bool, output []byte, err error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-vet=off", "-v", "-timeout=60s", "-run=^"+m.test+"$", "-race="+strconv.FormatBool(m.race), "./"+m.folder())
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return false, out, ctx.Err()
	case err != nil && !errors.As(err, &exit):
		return false, out, err
	case !bytes.Contains(out, []byte("=== RUN   "+m.test+"\n")):
		return false, out, fmt.Errorf("%s: %s did not run:\n%s", m.name, m.test, out)
	}
	return err != nil, out, nil
}

// copyTree copies a file or a folder, without what npm installed.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			if d.Name() == "node_modules" {
				return fs.SkipDir
			}
			return os.MkdirAll(target, 0o755)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o644)
	})
}
