package protocol

import (
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
	"github.com/peer-relay/peer-relay/protocol/kept"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// Limits of one batch that is handed over to a peer.
const (
	batchCount = 64      // messages
	batchSize  = 1 << 20 // bytes of their bodies
)

// A keeper passes the router's jobs to its Store. The core bounds their number.
type keeper struct {
	store kept.Store
	ready chan struct{} // holds a token if there may be jobs

	mu   sync.Mutex
	jobs []core.Action // Keep, Fetch, Discard
}

func newKeeper(s kept.Store) *keeper { return &keeper{store: s, ready: make(chan struct{}, 1)} }

func (k *keeper) put(job core.Action) {
	k.mu.Lock()
	k.jobs = append(k.jobs, job)
	k.mu.Unlock()
	select {
	case k.ready <- struct{}{}:
	default:
	}
}

func (k *keeper) take() []core.Action {
	k.mu.Lock()
	defer k.mu.Unlock()
	jobs := k.jobs
	k.jobs = nil
	return jobs
}

// keep does the jobs for the Store until the router ends. All that wait are done together, since each write
// waits for the disk. Messages that are not stored then have no receipt.
func (r *Router) keep() {
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-r.keeper.ready:
		}
		var frames []*wire.Frame
		var fetches []core.Action
		gone := make(map[ID][]uint64)
		for _, j := range r.keeper.take() {
			switch j.Type {
			case core.Keep:
				frames = append(frames, j.Frame)
			case core.Discard:
				gone[j.Peer] = append(gone[j.Peer], j.Number)
			case core.Fetch:
				fetches = append(fetches, j)
			}
		}
		r.storeAll(frames)
		for to, numbers := range gone {
			r.removeStored(to, numbers)
		}
		for _, j := range fetches {
			r.fetchStored(j.Peer, j.Number)
		}
	}
}

// storeAll stores messages, and reports to the core which are stored.
func (r *Router) storeAll(frames []*wire.Frame) {
	var sound []*wire.Frame
	var messages []*kept.Message
	for _, f := range frames {
		b := &f.Body
		m := &kept.Message{To: b.To, From: b.From, E2E: [wire.TokenSize]byte(b.E2E), Until: time.UnixMilli(int64(min(b.Expiry, maxMilli))), Body: b.Raw(), Sig: f.Sig, Nonce: f.Nonce}
		if !m.Until.After(time.Now()) || !f.Check(r.opts.Verify) {
			r.stored(f, m, kept.ErrRefused)
			continue
		}
		sound, messages = append(sound, f), append(messages, m)
	}
	if len(messages) == 0 {
		return
	}
	for i, err := range r.keeper.store.Keep(messages) {
		r.stored(sound[i], messages[i], err)
	}
}

// maxMilli is the greatest number of milliseconds that a time.Time can be made of here.
const maxMilli = 1 << 52

// stored reports to the core that a message is stored, or why it is not.
func (r *Router) stored(f *wire.Frame, m *kept.Message, err error) {
	receipt, why := wire.ReceiptFor(f, false), wire.RefusalNone
	receipt.Kept = uint64(m.Until.UnixMilli())
	if err != nil {
		r.log.Debug("a message is not kept", "from", m.From.Short(), "to", m.To.Short(), "err", err)
		switch {
		case errors.Is(err, kept.ErrQuota):
			why = wire.RefusalQuota
		case errors.Is(err, kept.ErrFull):
			why = wire.RefusalFull
		default:
			why = wire.RefusalOther
		}
	}
	r.enter(func(c *core.Core, now time.Duration) { c.Kept(now, f, receipt, why) })
}

// fetchStored reads what is kept for a peer after a number, and reports it to the core.
func (r *Router) fetchStored(to ID, after uint64) {
	messages, more, err := r.keeper.store.Next(to, after, batchCount, batchSize)
	if err != nil {
		r.log.Warn("what is kept for a peer cannot be read", "to", to.Short(), "err", err)
	}
	var letters []core.Letter
	for _, m := range messages {
		body, err := wire.ParseBody(m.Body)
		if err != nil {
			r.log.Warn("a message that was kept is damaged", "to", to.Short(), "err", err)
			r.removeStored(to, []uint64{m.Number})
			continue
		}
		letters = append(letters, core.Letter{Number: m.Number, Body: body, Sig: m.Sig, Nonce: m.Nonce, Hash: sha256.Sum256(m.Body)})
	}
	r.enter(func(c *core.Core, now time.Duration) { c.Fetched(now, to, after, letters, more) })
}

func (r *Router) removeStored(to ID, numbers []uint64) {
	if err := r.keeper.store.Remove(to, numbers); err != nil {
		r.log.Warn("a message that was handed over cannot be removed", "to", to.Short(), "err", err)
	}
}

// Features returns the names of the features for the HELLO of this peer's native links.
func (r *Router) Features() []string {
	features := wire.Features()
	if r.keeper != nil {
		features = append(features, wire.FeatureMailbox)
	}
	return features
}
