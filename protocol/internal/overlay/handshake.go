package overlay

import (
	"bytes"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/candidates"
	"github.com/peer-relay/peer-relay/protocol/internal/journal"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A handshake is an offer to or from a peer, and the dial after it.
type handshake struct {
	id      wire.ID
	source  wire.ID       // the peer that named the other peer
	token   []byte        // token of this peer's offer
	likely  time.Duration // until then it will probably lead to a link
	until   time.Duration // when the handshake expires
	via     wire.ID       // the linked peer that brought the other peer's offer
	mine    bool          // this peer sent the offer
	trial   bool          // the link is sought in place of a slower one
	dialing bool          // one end dials, or waits for its turn to dial
	proved  bool          // the other peer proves its messages
	contact *wire.Contact // the contact to dial when it is this handshake's turn; nil means not waiting
}

// Receive processes a control message for this peer, which a link brought.
func (o *Overlay) Receive(l *Link, f *wire.Frame, proved bool) {
	ok := true
	switch f.Body.Kind {
	case wire.KindFind:
		ok = o.onFind(l, f, proved)
	case wire.KindFound:
		ok = o.onFound(f, proved)
	case wire.KindOffer:
		o.onOffer(l, f, proved)
	case wire.KindAnswer:
		ok = o.onAnswer(f, proved)
	case wire.KindSignal:
		ok = o.onSignal(f, proved)
	}
	if !ok {
		o.host.Drop(journal.DropBadControl, f)
	}
}

func (o *Overlay) handshake(id wire.ID) *handshake {
	for _, h := range o.pending {
		if h.id == id {
			return h
		}
	}
	return nil
}

// HandshakeProved reports whether the peer of a pending handshake has proved its id. Such a
// peer signs its signals too, and with them the certificate of its data channel.
func (o *Overlay) HandshakeProved(id wire.ID) bool {
	h := o.handshake(id)
	return h != nil && h.proved
}

func (o *Overlay) endHandshake(id wire.ID) {
	h := o.handshake(id)
	if h == nil {
		return
	}
	o.pending = slices.DeleteFunc(o.pending, func(x *handshake) bool { return x == h })
	if h.dialing && h.contact == nil {
		for _, next := range o.pending {
			if next.contact != nil && next.source == h.source {
				o.dial(next, *next.contact)
				return
			}
		}
	}
}

// await sets the times of a handshake that waits for the other end or for a dial.
func (o *Overlay) await(h *handshake, usual, expiry time.Duration) {
	h.likely, h.until = o.host.Now()+usual, o.host.Now()+expiry
	o.wakeTick(h.likely)
}

// offer sends an offer of a link to a peer.
func (o *Overlay) offer(id wire.ID) {
	h := &handshake{id: id, source: id, token: o.newToken(), mine: true}
	if cand := o.cands.Get(id); cand != nil {
		h.source = cand.Source
	}
	o.pending = append(o.pending, h)
	o.await(h, offerUsual, offerExpiry)
	o.host.Send(nil, Message{To: id, Kind: wire.KindOffer, Record: o.contact.Record, Token: h.token})
}

func (o *Overlay) newToken() []byte {
	token := make([]byte, 0, wire.TokenSize)
	for range wire.TokenSize / 8 {
		x := o.rng.Uint64()
		for range 8 {
			token = append(token, byte(x))
			x >>= 8
		}
	}
	return token
}

// reachable reports whether others can dial this peer.
func (o *Overlay) reachable() bool { return o.contact.URL != "" || len(o.contact.Record) > 0 }

// onOffer answers an offer.
func (o *Overlay) onOffer(by *Link, f *wire.Frame, proved bool) {
	b := &f.Body
	l := o.host.Link(b.From)
	upgrade := l != nil && !l.Native() && l.Extended
	if l != nil && !upgrade {
		l.offer = &lateOffer{by, f, proved, o.host.Now()}
		o.host.Ask(l.ID, proved && l.Proved) // the link may be dead at the other end
		return
	}
	if h := o.handshake(b.From); h != nil && h.mine && (h.dialing || b.From.Compare(o.self) >= 0) {
		return // the offers crossed, and that of the lower id counts
	}
	if o.Shuns(b.From) {
		o.answer(f, false)
		return
	}
	o.endHandshake(b.From)
	if !o.makeRoom(by.ID, proved) {
		o.host.Drop(journal.DropQueueFull, f)
		return
	}
	dialing := 0
	for _, h := range o.pending {
		if h.dialing {
			dialing++
		}
	}
	h := &handshake{id: b.From, source: b.From, via: by.ID, proved: proved}
	o.pending = append(o.pending, h)
	o.await(h, dialUsual, DialExpiry)
	o.answer(f, true)
	if !o.reachable() && len(b.Record) > 0 && proved && dialing < maxPending {
		// The other peer cannot dial this one.
		o.dial(h, wire.Contact{ID: b.From, Record: b.Record})
	}
}

// A lateOffer came from a peer that seemed to be linked.
type lateOffer struct {
	by     *Link
	frame  *wire.Frame
	proved bool
	at     time.Duration
}

// AnswerLate answers the offer of a peer whose link has turned out to be dead.
func (o *Overlay) AnswerLate(l *Link) {
	if x := l.offer; x != nil && o.host.Now()-x.at < offerExpiry {
		o.onOffer(x.by, x.frame, x.proved)
	}
}

// makeRoom reports whether there is room for another answered handshake, which the link to via
// brought. If all places are taken, it ends the oldest handshake of the link that brought most
// of them, an unproved one before a proved one: a flood of forged offers takes the places of
// the links that bring it. A proved handshake takes the place of any unproved one.
func (o *Overlay) makeRoom(via wire.ID, proved bool) bool {
	answered := 0
	brought := map[wire.ID]int{via: 1}
	var forged *handshake // the oldest unproved one
	for _, h := range o.pending {
		if h.mine {
			continue
		}
		answered++
		brought[h.via]++
		if forged == nil && !h.proved {
			forged = h
		}
	}
	if answered < maxAnswered {
		return true
	}
	crowd := via
	for _, h := range o.pending { // in order, so that a tie has one outcome
		if !h.mine && brought[h.via] > brought[crowd] {
			crowd = h.via
		}
	}
	var oldest *handshake
	for _, h := range o.pending {
		if !h.mine && h.via == crowd && (oldest == nil || oldest.proved && !h.proved) {
			oldest = h
		}
	}
	if proved && forged != nil && (oldest == nil || oldest.proved) {
		oldest = forged
	}
	if oldest == nil || oldest.proved && !proved && crowd == via {
		return false
	}
	o.endHandshake(oldest.id)
	return true
}

func (o *Overlay) answer(f *wire.Frame, yes bool) {
	b := &f.Body
	out := Message{To: b.From, Kind: wire.KindAnswer, Token: b.Token, Route: f.ReversePath()}
	switch {
	case yes:
		out.Form = wire.FormRaw
		out.Payload = wire.AppendAnswer(nil, wire.Answer{WS: o.contact.URL, NoWS: o.contact.URL == "", WRTC: o.contact.WebRTC})
		out.Record = o.contact.Record
	case len(b.Key) == 0:
		return // a legacy peer would never forget the refusal
	}
	o.host.Send(nil, out)
}

// onAnswer dials the peer that answered this peer's offer. A peer that knows the extensions
// signs its answer and repeats the token of the offer.
func (o *Overlay) onAnswer(f *wire.Frame, proved bool) bool {
	b := &f.Body
	h := o.handshake(b.From)
	extended := len(b.Key) > 0 || len(b.Token) > 0
	if h == nil || !h.mine || h.dialing || extended && !bytes.Equal(b.Token, h.token) || len(b.Key) > 0 && !proved {
		o.host.Drop(journal.DropUnasked, f)
		return true
	}
	var a wire.Answer
	var err error
	if b.Form != wire.FormNone {
		if a, err = wire.ParseAnswer(b.Payload); err != nil || b.Form != wire.FormRaw {
			return false
		}
	}
	h.proved = proved
	contact := wire.Contact{ID: b.From, URL: a.WS, WebRTC: a.WRTC && o.contact.WebRTC, Record: b.Record}
	if l := o.host.Link(b.From); l != nil {
		if l.Native() || len(contact.Record) == 0 {
			o.endHandshake(b.From)
			return true
		}
		contact.URL, contact.WebRTC = "", false // there is a legacy link already
	}
	switch {
	case b.Form == wire.FormNone:
		o.endHandshake(b.From)
		o.failed(b.From, refuseBackoff)
	case contact.URL != "" || len(contact.Record) > 0:
		o.dial(h, contact)
	case len(o.contact.Record) > 0 && extended: // the other peer dials
		h.dialing = true
		o.await(h, dialUsual, DialExpiry)
	case contact.WebRTC:
		o.dial(h, contact)
	default: // neither peer can dial the other, and that will not change soon
		o.endHandshake(b.From)
		o.failed(b.From, candidates.Longest)
	}
	return true
}

// dial opens a link to a peer. If sourceDials dials to peers of the same source are in flight,
// the handshake waits for its turn. So no peer can make this one dial many addresses at once.
func (o *Overlay) dial(h *handshake, contact wire.Contact) {
	h.dialing = true
	o.await(h, dialUsual, DialExpiry)
	same := 0
	for _, x := range o.pending {
		if x != h && x.source == h.source && x.dialing && x.contact == nil {
			same++
		}
	}
	if same >= sourceDials && !o.isBootstrap(h.source) {
		h.contact = &contact
		return
	}
	h.contact = nil
	o.host.Dial(contact)
}

// DialFailed ends the handshake of a Dial that failed.
func (o *Overlay) DialFailed(id wire.ID) {
	if h := o.handshake(id); h != nil && h.dialing {
		o.endHandshake(id)
		o.failed(id, candBackoff)
		o.soon()
	}
}

// onSignal passes a signal about a WebRTC connection to the shell. The signal must be from a
// peer with a handshake, so that the number of handshakes bounds what strangers can start.
func (o *Overlay) onSignal(f *wire.Frame, proved bool) bool {
	b := &f.Body
	h := o.handshake(b.From)
	switch {
	case b.Form != wire.FormJSON:
		return false
	case !o.contact.WebRTC:
		o.host.Drop(journal.DropUnsupported, f)
	case h == nil, h.mine && !h.dialing, h.proved && !proved, o.linked(b.From):
		o.host.Drop(journal.DropUnasked, f)
	default:
		o.host.Signalled(f, proved)
	}
	return true
}
