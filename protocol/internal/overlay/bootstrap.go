package overlay

import (
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A bootstrap is a peer that the configuration names. It is dialled until it answers, and
// again when its link is lost. Later it is visited now and then, so that the parts of a
// partitioned network find each other.
type bootstrap struct {
	id      wire.ID       // the peer that answered last
	known   bool          // id is set
	next    time.Duration // when to dial
	since   time.Duration // when the tries began
	until   time.Duration // when a dial without an outcome counts as failed
	tries   int           // failed dials
	dialing bool
	crossed bool // the last dial was refused while another link was about to be up

	refusals int           // refusals of this peer's id since a link to it has settled
	refused  time.Duration // when the first of these came
}

func (o *Overlay) bootstrap() {
	alone := !o.connected()
	for i := range o.boots {
		b := &o.boots[i]
		if b.dialing && b.until <= o.host.Now() {
			o.BootstrapFailed(i)
		}
		if b.dialing {
			o.wakeTick(b.until)
			continue
		}
		own := b.known && b.id == o.self // now, but a name may have another address later
		if b.known && !own && o.linked(b.id) {
			continue
		}
		if alone && !own && b.next > o.host.Now()+2*bootMostLate {
			b.next = o.host.Now() + o.jitter(b.wait(o.host.Now()))
			b.tries++
		}
		if b.next > o.host.Now() {
			o.wakeTick(b.next)
			continue
		}
		if !b.known && (b.refusals == 1 || b.crossed) && !alone { // two peers dialled each other, and the other dial won
			o.bootstrapElsewhere(i)
			continue
		}
		if b.tries == 0 {
			b.since = o.host.Now()
		}
		b.dialing, b.crossed, b.until = true, false, o.host.Now()+bootExpiry
		o.wakeTick(b.until)
		o.host.DialBootstrap(i)
	}
}

// wait returns the wait before the next try. It grows with the time that the failed tries took:
// after minutes without a network, the next try is not minutes away.
func (b *bootstrap) wait(now time.Duration) time.Duration {
	most := min(max(bootMost, (now-b.since)/bootShare), bootMostLate)
	return min(bootFirst<<min(b.tries, 10), most)
}

func (o *Overlay) BootstrapAnswered(index int, id wire.ID) {
	b := &o.boots[index]
	b.id, b.known, b.dialing = id, true, false
	b.next = o.host.Now() + o.rebootIn()
}

// isBootstrap reports whether a bootstrap has this id.
func (o *Overlay) isBootstrap(id wire.ID) bool {
	return slices.ContainsFunc(o.boots, func(b bootstrap) bool { return b.known && b.id == id })
}

// BootstrapLinked processes the outcome that a bootstrap has a link already. It is not known
// which link that is, so the bootstrap is dialled again now and then. If this peer has no such
// link, expects reports whether one is about to be up here.
func (o *Overlay) BootstrapLinked(index int, expects func(wire.ID) bool) {
	b := &o.boots[index]
	if b.known && !o.linked(b.id) || !o.connected() {
		b.crossed = expects(b.id)
		coming := b.crossed
		for i := range o.boots {
			coming = coming || !b.known && i != index && o.boots[i].dialing
		}
		if coming {
			o.BootstrapFailed(index)
		} else {
			o.bootstrapRefused(index)
		}
		return
	}
	o.bootstrapElsewhere(index)
}

// bootstrapElsewhere sets when a bootstrap is dialled again that has a link already.
func (o *Overlay) bootstrapElsewhere(index int) {
	b := &o.boots[index]
	b.dialing, b.crossed, b.tries, b.refusals = false, false, 0, 0
	b.next = o.host.Now() + o.jitter(bootMostLate)
	o.wakeTick(b.next)
}

// bootstrapRefused processes the outcome that a bootstrap has a link under this peer's id which
// this peer does not have. It may be about to be up here: then the next try finds it. Otherwise it
// is dead, as the bootstrap is about to find out, or it is one of another process with the same
// key. The application is told once, after the second refusal.
func (o *Overlay) bootstrapRefused(index int) {
	b, now := &o.boots[index], o.host.Now()
	switch b.refusals++; b.refusals {
	case 1:
		b.refused = now
	case 2:
		o.host.BootstrapRefused(index, errTaken)
	}
	wait := bootMostLate
	switch {
	case b.refusals <= bootQuick:
		wait = tickSoon
	case now-b.refused < bootRefused:
		wait = bootFirst
	}
	b.dialing = false
	b.next = now + o.jitter(wait)
	b.tries++
	o.wakeTick(b.next)
}

// BootstrapSelf processes the outcome that a bootstrap has this peer's id. The application is told
// why once, unless why is nil.
func (o *Overlay) BootstrapSelf(index int, why error) {
	o.BootstrapAnswered(index, o.self)
	b := &o.boots[index]
	if b.tries = 0; why != nil && b.refusals == 0 {
		b.refusals = 1
		o.host.BootstrapRefused(index, why)
	}
	o.wakeTick(b.next)
}

func (o *Overlay) BootstrapFailed(index int) {
	b := &o.boots[index]
	if !b.dialing { // the link was up, and bootstrapDown has set when to dial
		return
	}
	b.dialing = false
	b.next = o.host.Now() + o.jitter(b.wait(o.host.Now()))
	b.tries++
	o.wakeTick(b.next)
}

// bootstrapDown sets when the bootstrap of a link that ended is dialled again.
func (o *Overlay) bootstrapDown(l *Link) {
	for i := range o.boots {
		b := &o.boots[i]
		if b.dialing || !b.known || b.id != l.ID {
			continue
		}
		if l.Usable && o.host.Now()-l.Since >= bootSettled {
			b.tries, b.since, b.refusals = 0, o.host.Now(), 0
		}
		switch {
		case l.Replaced:
			o.bootstrapRefused(i)
			continue
		case l.Gone || !l.Usable:
			b.next = o.host.Now() + o.jitter(b.wait(o.host.Now()))
			b.tries++
		default: // one of the two ended it on purpose
			b.next = o.host.Now() + o.rebootIn()
		}
		o.wakeTick(b.next)
	}
}

// rebootIn returns the time until the next visit to a bootstrap. It grows with the network,
// so that all peers together visit one at most ten times a second.
func (o *Overlay) rebootIn() time.Duration {
	visits := time.Duration(o.estimate()/(10*max(1, len(o.boots)))) * time.Second
	return o.jitter(max(rebootEvery, visits))
}
