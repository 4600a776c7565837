package protocol

import (
	"context"
	"errors"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
)

const dialTimeout = 15 * time.Second

func (r *Router) dial(contact Contact) {
	if err := r.dialAny(contact, core.Sought()); err != nil && !errors.Is(err, ErrDuplicate) {
		r.log.Debug("dial failed", "peer", contact.ID.Short(), "err", err)
		r.enter(func(c *core.Core, now time.Duration) { c.DialFailed(now, contact.ID) })
	}
}

func (r *Router) dialBootstrap(index int) {
	contact := r.opts.Bootstraps[index]
	err := r.dialAny(contact, core.Bootstrap(index))
	switch {
	case err == nil:
	case errors.Is(err, ErrDuplicate), errors.Is(err, ErrSelf):
		r.enter(func(c *core.Core, now time.Duration) { c.BootstrapLinked(now, index) })
	default:
		r.log.Debug("bootstrap failed", "url", contact.URL, "err", err)
		if r.opts.OnDialError != nil && r.ctx.Err() == nil && !errors.Is(err, errNetworkChanged) {
			r.inbox.put(func() { r.opts.OnDialError(contact, err) })
		}
		r.enter(func(c *core.Core, now time.Duration) { c.BootstrapFailed(now, index) })
	}
}

// dialAny opens and serves a link by the first dialer that can. The error is nil
// once a link was up, however it ended.
func (r *Router) dialAny(contact Contact, cause core.Cause) error {
	var errs []error
	for _, d := range r.opts.Dialers {
		if !d.CanDial(contact) {
			continue
		}
		ctx, cancel := context.WithTimeout(r.dialing(), dialTimeout)
		link, err := d.Dial(ctx, r, contact)
		if err != nil && context.Cause(ctx) == errNetworkChanged {
			cancel()
			return errNetworkChanged
		}
		cancel()
		if err == nil && link == nil {
			return nil
		}
		if err == nil {
			var up bool
			if up, err = r.serve(r.ctx, link, cause); up {
				return nil
			}
		}
		if errors.Is(err, ErrDuplicate) || errors.Is(err, ErrSelf) {
			return err // it is there, whatever way it is dialled
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return errors.New("no way to dial it")
	}
	return errors.Join(errs...)
}

// dialing returns the context of the dials that begin now.
func (r *Router) dialing() context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dials
}

// renewDials makes the context of the dials that begin from now on, and returns what ends that
// of those before; r.mu is held.
func (r *Router) renewDials() (stopOlder context.CancelCauseFunc) {
	stopOlder = r.stopDials
	r.dials, r.stopDials = context.WithCancelCause(r.ctx)
	return stopOlder
}

// Introduce dials a peer of which the application knows how to reach it, unless it is
// linked: once, and beside whatever the overlay does about it. It does not wait.
func (r *Router) Introduce(contact Contact) {
	r.mu.Lock()
	linked := r.core.Linked(contact.ID)
	r.mu.Unlock()
	if linked || contact.ID == r.id {
		return
	}
	r.task(func() { // ends with the dial, or with the link that it makes
		if err := r.dialAny(contact, core.Sought()); err != nil && !errors.Is(err, ErrDuplicate) {
			r.log.Debug("dial of an introduced peer failed", "peer", contact.ID.Short(), "err", err)
		}
	})
}

// Wants reports whether a link to a peer would be of use: it is not linked, and its
// bucket or the neighbourhood has room for it.
func (r *Router) Wants(id ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.closed && r.core.Wants(id)
}

// Connect asks for a direct link to a peer, now and again until there is one or
// it has failed six times. It does not wait.
func (r *Router) Connect(id ID) {
	r.enter(func(c *core.Core, now time.Duration) { c.Connect(now, id) })
}

// Suggest names peers that the overlay may seek links with, as those do that linked
// peers tell of.
func (r *Router) Suggest(ids ...ID) {
	r.enter(func(c *core.Core, now time.Duration) { c.Suggest(now, ids) })
}

// Disconnect ends the direct link to a peer, if there is one, and does not seek it
// again for a minute.
func (r *Router) Disconnect(id ID) {
	r.enter(func(c *core.Core, now time.Duration) { c.Disconnect(now, id) })
}

// SetContact says how other peers can reach this one.
func (r *Router) SetContact(contact Contact) {
	r.enter(func(c *core.Core, _ time.Duration) { c.SetContact(contact) })
}

// A Dialer opens links to one kind of contact. A Router tries its dialers in
// their order.
type Dialer interface {
	// CanDial reports whether Dial may be tried.
	CanDial(Contact) bool

	// Dial opens a link for the router, which it may ask for a Claim, and does not
	// serve it. A nil link without an error means that the link will come in
	// another way.
	Dial(context.Context, *Router, Contact) (Link, error)
}

// A Signal is what another peer says about a WebRTC connection that is to be made.
type Signal struct {
	From    ID
	Payload []byte // JSON text
	Proved  bool   // the signal is proved to be from From, which therefore knows the extensions
}

// A Signaller is a Dialer whose links are agreed on by signals, which go over the
// overlay like other messages.
type Signaller interface {
	Dialer

	// Signal takes a signal of a peer that shakes hands with this one and is not
	// linked. It must not block and must not keep the router from being closed. It
	// sends its own signals by Router.Signal, and serves itself the links that it did
	// not dial.
	Signal(*Router, Signal)
}
