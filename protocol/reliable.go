package protocol

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
	"github.com/peer-relay/peer-relay/protocol/kept"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A Receipt says that a message arrived, or that another peer keeps it.
//
//	Proved bool  the receiver has signed it with the key that hashes to its id, or it came straight from the receiver's proved link
//	Handed bool  the receiver is a legacy peer, which makes no receipts: the peer in front of it says that it handed the message on
//	Hops   int   links over which the message came; 0 means unknown
//	Took   time.Duration from the first attempt to the receipt; of a ping, from the attempt that arrived
//	Kept   time.Time the receiver is offline, and Keeper keeps the message until then; the zero Time means that it arrived
//	Keeper ID    a mailbox, which has signed the receipt; its method IsKept() bool reports whether there is one
//
// Without Proved, a hostile relay may have made it. A mailbox can break its promise.
type Receipt = core.Receipt

// An outcome is the end of a reliable message.
type outcome struct {
	receipt Receipt
	hops    []Hop // of a traced ping
	err     error
}

// SendReliable sends a message to a peer until the peer's receipt arrives. It sends further copies
// over other links, after 1 s and then at growing intervals of up to 4 s. The receiver's application
// gets one of them. A message for which there is no link yet waits.
//
// The error is ErrNoRoute if no peer has the id: if peers behind two of this peer's links say so, or
// behind the only one. It is ErrSilent if some of these say that they are linked with the receiver,
// which does not answer them: it may have died just now. If it is only paused, it may get the message
// later. The error is that of the context if no receipt arrives before its end: the message may have arrived. It is ErrQueueFull if more than 1,024 messages, or 16 MiB of
// them, wait for their receipts. A receiver from before this feature sends none.
// JSON that JSON.stringify would write in another way may cross an npm peer as another text, for
// which no receipt counts.
func (r *Router) SendReliable(ctx context.Context, to ID, form Form, payload []byte) (Receipt, error) {
	wait, err := r.StartReliable(to, form, payload)
	if err != nil {
		return Receipt{}, err
	}
	return wait(ctx)
}

// StartReliable is the first half of SendReliable, for a caller that has many messages in flight and
// sends them in order. It never blocks. An error means that the message is not sent. Otherwise the
// caller must call wait once. It is the second half: it waits for the receipt and ends the attempts.
func (r *Router) StartReliable(to ID, form Form, payload []byte) (wait func(context.Context) (Receipt, error), err error) {
	return r.startMessage(core.Outgoing{To: to, Form: form, Payload: payload, Sign: r.opts.SignMessages})
}

// minKeep is the shortest time for which a message is kept.
const minKeep = time.Second

// SendKept is SendReliable, and asks mailboxes near the receiver to keep the message for that time, 1 s
// to [kept.MaxTime], if the receiver is offline. The message is signed, so this peer needs a key. The Receipt
// says whether the message has arrived or is kept. If it is kept SendKept waits 2 s longer, since the
// receiver may be there all the same. It may arrive later: the mailbox hands it over when the receiver
// is linked with it, and no other receipt comes.
//
// If no mailbox keeps it the error is ErrNoRoute. It wraps the reason as well if a mailbox has refused:
// [kept.ErrQuota], [kept.ErrFull] or [kept.ErrRefused].
func (r *Router) SendKept(ctx context.Context, to ID, form Form, payload []byte, keep time.Duration) (Receipt, error) {
	wait, err := r.StartKept(to, form, payload, keep)
	if err != nil {
		return Receipt{}, err
	}
	return wait(ctx)
}

// StartKept is to SendKept what StartReliable is to SendReliable.
func (r *Router) StartKept(to ID, form Form, payload []byte, keep time.Duration) (wait func(context.Context) (Receipt, error), err error) {
	switch {
	case keep < minKeep || keep > kept.MaxTime:
		return nil, fmt.Errorf("send to %v: keep it for %v: want %v to %v", to, keep, minKeep, kept.MaxTime)
	case r.opts.Sign == nil:
		return nil, fmt.Errorf("send to %v: only a signed message is kept, and this peer has no key", to)
	}
	expiry := uint64(time.Now().Add(keep).UnixMilli())
	return r.startMessage(core.Outgoing{To: to, Form: form, Flags: wire.FlagKeep, Expiry: expiry, Payload: payload, Sign: true})
}

// startMessage is startReliable for a message of the application.
func (r *Router) startMessage(m core.Outgoing) (wait func(context.Context) (Receipt, error), err error) {
	end, err := r.startReliable("send to", m)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (Receipt, error) {
		o, err := end(ctx)
		return o.receipt, err
	}, nil
}

// startReliable is StartReliable for any message. The errors begin with what was done.
func (r *Router) startReliable(what string, m core.Outgoing) (wait func(context.Context) (outcome, error), err error) {
	done := make(chan outcome, 1)
	r.mu.Lock()
	draw := r.core.Draw()
	r.lastID++
	index := int(r.lastID)
	r.mu.Unlock()
	m.Flags |= wire.FlagReceipt | wire.FlagNotice
	f, err := r.core.NewFrame(m, draw)
	if err != nil {
		return nil, fmt.Errorf("%s %v: %w", what, m.To, err)
	}
	hash := sha256.Sum256(f.Body.Raw())
	r.enter(func(c *core.Core, now time.Duration) {
		if r.closing {
			err = ErrClosed
			return
		}
		r.reliable[index] = done
		err = c.SendReliable(now, index, f, hash)
	})
	if err != nil {
		r.endReliable(index)
		return nil, fmt.Errorf("%s %v: %w", what, m.To, err)
	}
	return func(ctx context.Context) (outcome, error) {
		o := r.awaitReceipt(ctx, done)
		if hops := r.endReliable(index); o.hops == nil {
			o.hops = hops
		}
		if o.err != nil {
			return outcome{hops: o.hops}, fmt.Errorf("%s %v: %w", what, m.To, o.err)
		}
		return o, nil
	}, nil
}

func (r *Router) awaitReceipt(ctx context.Context, done <-chan outcome) outcome {
	select {
	case o := <-done:
		return o
	case <-ctx.Done():
		return outcome{err: ctx.Err()}
	case <-r.ctx.Done():
		return outcome{err: ErrClosed}
	}
}

// endReliable ends the attempts of a message. It returns what is known of the way of a traced ping.
func (r *Router) endReliable(index int) []Hop {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.reliable, index)
	hops := r.core.Hops(index)
	r.core.EndReliable(index)
	return hops
}

// confirm reports to the core that the application has a message whose origin wants a receipt.
func (r *Router) confirm(f *wire.Frame) {
	if f.Body.Flags&wire.FlagReceipt != 0 {
		receipt := wire.ReceiptFor(f, false) // without the lock, since the hash of a long Body takes long
		r.enter(func(c *core.Core, now time.Duration) { c.Confirm(now, f, receipt) })
	}
}
