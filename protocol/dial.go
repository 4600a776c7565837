package protocol

import (
	"context"
	"errors"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
)

// dialTimeout is the time limit of one dialer's dial. Its handshakes take seven round trips, and
// one over a long line takes up to 6 s. A dialer has shorter limits of its own.
const dialTimeout = 45 * time.Second

func (r *Router) dial(contact Contact) {
	err := r.dialAny(contact, core.Sought())
	if err == nil {
		return
	}
	r.log.Debug("dial failed", "peer", contact.ID.Short(), "err", err)
	r.enter(func(c *core.Core, now time.Duration) {
		if errors.Is(err, ErrDuplicate) {
			c.DialRefused(now, contact.ID)
		} else {
			c.DialFailed(now, contact.ID)
		}
	})
}

func (r *Router) dialBootstrap(index int) {
	contact := r.opts.Bootstraps[index]
	if contact.ID == r.id {
		var why error
		if r.onlySelf() {
			why = errOnlySelf
		}
		r.enter(func(c *core.Core, now time.Duration) { c.BootstrapSelf(now, index, why) })
		return
	}
	met := r.selves.met.Load()
	err := r.dialAny(contact, core.Bootstrap(index))
	switch {
	case err == nil:
	case errors.Is(err, ErrSelf):
		var why error
		if r.selves.met.Load() == met { // the other end is not in this process
			why = errOtherSelf
		}
		r.log.Debug("a bootstrap has this peer's id", "url", contact.URL, "otherProcess", why != nil)
		r.enter(func(c *core.Core, now time.Duration) { c.BootstrapSelf(now, index, why) })
	case errors.Is(err, ErrDuplicate):
		r.enter(func(c *core.Core, now time.Duration) { c.BootstrapLinked(now, index) })
	default:
		r.log.Debug("bootstrap failed", "url", contact.URL, "err", err)
		if r.opts.OnDialError != nil && r.ctx.Err() == nil && !errors.Is(err, errNetworkChanged) {
			r.emit(&event{kind: dialFailed, contact: contact, err: err})
		}
		r.enter(func(c *core.Core, now time.Duration) { c.BootstrapFailed(now, index) })
	}
}

// dialAny opens a link with the first dialer that succeeds, and serves it until it ends. The
// error is nil if a link was up, whatever its end was.
func (r *Router) dialAny(contact Contact, cause core.Cause) error {
	var errs []error
	for _, d := range r.opts.Dialers {
		if !d.CanDial(contact) {
			continue
		}
		ctx, cancel := context.WithTimeout(r.dialing(), dialTimeout)
		r.selves.dials.Add(1)
		link, err := d.Dial(ctx, r, contact)
		r.selves.dials.Add(-1)
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
			return err // another dialer would have the same result
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return errors.New("no dialer for this contact")
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

// Introduce dials a contact of the application once, unless the peer is linked. It is
// independent of the overlay's own dials. It does not wait.
func (r *Router) Introduce(contact Contact) {
	r.mu.Lock()
	known := r.core.Linked(contact.ID) || contact.ID == r.id || r.closed
	if !known {
		r.sought++
	}
	r.mu.Unlock()
	if known {
		return
	}
	r.task(func() { // ends with the dial, or with the link
		defer r.endSought()
		if err := r.dialAny(contact, core.Sought()); err != nil && !errors.Is(err, ErrDuplicate) {
			r.log.Debug("dial of an introduced peer failed", "peer", contact.ID.Short(), "err", err)
		}
	})
}

func (r *Router) endSought() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sought--
	r.signalMoved()
}

// Wants reports whether a link to a peer would be useful: the peer is not linked, no handshake
// with it is in progress, and its bucket or the neighbourhood has room for it.
func (r *Router) Wants(id ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.closed && r.core.Wants(r.now(), id)
}

// Connect asks the overlay for a direct link to a peer. The overlay tries until there is one,
// or six tries have failed. Connect does not wait.
func (r *Router) Connect(id ID) {
	r.enter(func(c *core.Core, now time.Duration) { c.Connect(now, id) })
}

// Suggest adds peers to which the overlay may seek links, as it does for the peers that linked
// peers name.
func (r *Router) Suggest(ids ...ID) {
	r.enter(func(c *core.Core, now time.Duration) { c.Suggest(now, ids) })
}

// Disconnect ends the direct link to a peer, if there is one. The overlay does not seek the
// peer again for a minute.
func (r *Router) Disconnect(id ID) {
	r.enter(func(c *core.Core, now time.Duration) { c.Disconnect(now, id) })
}

// SetContact sets how other peers can reach this one.
func (r *Router) SetContact(contact Contact) {
	r.enter(func(c *core.Core, _ time.Duration) { c.SetContact(contact) })
}

// A Dialer opens links to one kind of contact. A Router tries its dialers in their order.
type Dialer interface {
	// CanDial reports whether this dialer handles a contact.
	CanDial(Contact) bool

	// Dial opens a link for the router, which serves it. It may call Router.Claim. A nil
	// link without an error means that the link will be served in another way.
	Dial(context.Context, *Router, Contact) (Link, error)
}

// A Signal is a message of another peer about a WebRTC connection that is to be made.
type Signal struct {
	From    ID
	Payload []byte // JSON text
	Proved  bool   // the signal is proved to be from From, which therefore knows the extensions
}

// A Signaller is a Dialer whose links need signals between the two peers. Signals are routed
// like other messages.
type Signaller interface {
	Dialer

	// Signal handles a signal of a peer that has a handshake with this one and is not
	// linked. It must not block, and must end with the router. It sends its own signals
	// with Router.Signal. It serves the links that it did not dial.
	Signal(*Router, Signal)
}
