package overlay

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/idtable"
	"github.com/peer-relay/peer-relay/protocol/internal/journal"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// Questions for peers near an id are findPeers, and the answers foundPeers.

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
