package overlay

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/candidates"
	"github.com/peer-relay/peer-relay/protocol/internal/idtable"
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

// A query is a search in flight, which a foundPeers may answer once.
type query struct {
	token []byte
	until time.Duration // when the query expires
	index int           // the argument of Search; 0 means that the overlay searches
	near  wire.ID       // the id searched for
}

// A direct is the state of questions to a linked peer. The peer may answer over a later link.
type direct struct {
	open   int           // questions not answered
	proved bool          // the peer proves its answers
	until  time.Duration // when the questions expire
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

// --- findPeers and foundPeers

func (o *Overlay) findPeers(l *Link, target wire.ID) {
	d, known := o.asked[l.ID]
	if known || len(o.asked) < maxAsked {
		o.asked[l.ID] = direct{open: d.open + 1, proved: l.Proved, until: o.host.Now() + QueryExpiry}
	}
	o.host.Send(l, Message{To: l.ID, Kind: wire.KindFind, Form: wire.FormRaw, Payload: target[:]})
}

// findRouted sends a search for this peer's own id through a link. The peer nearest to that
// id answers.
func (o *Overlay) findRouted(l *Link) {
	token := o.query(0, o.self)
	o.host.Send(l, Message{To: o.self, Kind: wire.KindFind, Form: wire.FormRaw, Flags: wire.FlagClosest, Token: token, Payload: o.self[:]})
}

// query adds a search and returns its token.
func (o *Overlay) query(index int, near wire.ID) []byte {
	token := o.newToken()
	if len(o.queries) >= maxQueries {
		o.queries = slices.Delete(o.queries, 0, 1)
	}
	o.queries = append(o.queries, query{token, o.host.Now() + QueryExpiry, index, near})
	return token
}

// Search asks the peer nearest to an id for the peers that it knows near that id.
func (o *Overlay) Search(index int, near wire.ID) error {
	if near == (wire.ID{}) {
		return fmt.Errorf("%w: no peer has the zero id", wire.ErrMalformed)
	}
	mine := 0
	for _, q := range o.queries {
		if q.index != 0 && q.until > o.host.Now() {
			mine++
		}
	}
	if mine >= maxSearches { // they must not evict the overlay's own searches
		return fmt.Errorf("%d searches are in flight: %w", mine, ErrQueueFull)
	}
	if o.host.Search(index, Message{To: near, Kind: wire.KindFind, Form: wire.FormRaw, Flags: wire.FlagClosest,
		Token: o.query(index, near), Payload: near[:]}) {
		o.found(index, near, nil)
	}
	return nil
}

// found reports the answer to a search to the shell, with the peers that this peer knows
// itself.
func (o *Overlay) found(index int, near wire.ID, ids []wire.ID) {
	o.EndSearch(index)
	ids = append(ids, o.self)
	for _, l := range o.host.Closest(near, wire.MaxFound, (*Link).Answers) {
		ids = append(ids, l.ID)
	}
	slices.SortFunc(ids, func(a, b wire.ID) int { return idtable.CompareDistance(near, a, b) })
	o.host.Found(index, slices.Compact(ids))
}

func (o *Overlay) EndSearch(index int) {
	o.queries = slices.DeleteFunc(o.queries, func(q query) bool { return q.index == index })
}

// answered reports whether a foundPeers answers an open question, and closes the question.
// The answer of a proved peer must be proved.
func (o *Overlay) answered(b *wire.Body, proved bool) bool {
	if i := o.asking(b.Token); i >= 0 {
		o.queries = slices.Delete(o.queries, i, i+1)
		return true
	}
	d, ok := o.asked[b.From]
	if !ok || d.until <= o.host.Now() || d.proved && !proved {
		return false
	}
	if d.open--; d.open > 0 {
		o.asked[b.From] = d
	} else {
		delete(o.asked, b.From)
	}
	return true
}

// asking returns the index of the search with a token, or -1.
func (o *Overlay) asking(token []byte) int {
	if len(token) == 0 {
		return -1
	}
	return slices.IndexFunc(o.queries, func(q query) bool { return q.until > o.host.Now() && bytes.Equal(q.token, token) })
}

// onFind answers a findPeers with the nearest of this peer's links.
func (o *Overlay) onFind(l *Link, f *wire.Frame, proved bool) bool {
	b := &f.Body
	if b.Form != wire.FormRaw || len(b.Payload) != wire.IDSize {
		return false
	}
	target := wire.ID(b.Payload)
	most := wire.MaxFound
	if !proved && l.ID != b.From {
		// The origin may be forged. So the answer is not much longer than the question, and
		// this peer does not amplify an attack on the origin.
		most = max(1, min(most, 3*f.Size()/wire.IDSize-answerIDs))
	}
	links := o.host.Closest(target, most, func(l *Link) bool { return l.ID != b.From && l.Answers() })
	ids := make([]wire.ID, len(links), len(links)+1)
	for i, l := range links {
		ids[i] = l.ID
	}
	if f.IsSearch() { // the origin may not know this peer
		ids = append(o.withNamed(ids, target, b.From, most-1), o.self)
	}
	o.host.Send(nil, Message{To: b.From, Kind: wire.KindFound, Form: wire.FormRaw, Payload: wire.AppendFound(nil, ids), Token: b.Token, Route: f.ReversePath()})
	return true
}

// withNamed returns the peers nearest to a target, at most n of the linked ones and of those that these have
// named. A peer that is joining so learns at once of all that it will be nearest to.
func (o *Overlay) withNamed(ids []wire.ID, target, except wire.ID, n int) []wire.ID {
	var last wire.ID
	named := 0
	o.host.Named(target, func(x Neighbour) bool {
		if x.ID == last {
			return true
		}
		last = x.ID
		if x.ID != except && x.ID != o.self && !o.linked(x.ID) {
			ids = append(ids, x.ID)
			named++
		}
		return named < n
	})
	slices.SortFunc(ids, func(a, b wire.ID) int { return idtable.CompareDistance(target, a, b) })
	return ids[:min(len(ids), n)]
}

// onFound processes a foundPeers. It adds the candidates that this peer asked for.
func (o *Overlay) onFound(f *wire.Frame, proved bool) bool {
	b := &f.Body
	ids, err := wire.ParseFound(b.Payload)
	if err != nil || b.Form != wire.FormRaw {
		return false
	}
	if i := o.asking(b.Token); i >= 0 && o.queries[i].index != 0 {
		q := o.queries[i]
		o.found(q.index, q.near, ids)
		return true
	}
	if !o.answered(b, proved) {
		o.host.Drop(journal.DropUnasked, f)
		return true
	}
	added := false
	near := o.nearBound()
	var others []wire.ID // useful candidates get the source's places first
	last, lacks := -1, false
	for _, id := range ids {
		if id == o.self || o.linked(id) {
			continue
		}
		bucket := o.bucket(id)
		if bucket != last { // most are in few buckets
			last, lacks = bucket, o.lacks(bucket)
		}
		if !lacks && !near(id) {
			others = append(others, id)
			continue
		}
		fresh := o.cands.Get(id) == nil
		if o.cands.Learn(o.host.Now(), id, b.From) != nil && fresh {
			added = true
			o.findTries[bucket] = min(o.findTries[bucket], 1)
		}
	}
	for _, id := range others {
		o.cands.Learn(o.host.Now(), id, b.From)
	}
	if added {
		o.soon()
	}
	return true
}

// --- offers and answers

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
