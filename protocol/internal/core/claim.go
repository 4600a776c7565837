package core

import (
	"errors"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A claim is a legacy connection whose peer has told its id and has not been
// answered. Answering a second connection under one id makes a JS peer close both,
// so the answer waits until it is certain that the link will be kept.
type claim struct {
	index   int
	info    wire.LinkInfo
	granted bool
	until   time.Duration // the rival has this long to answer a ping
}

// Claim asks whether a link described by info may be made. The answer is a Granted
// or a Refused action with this index, at once or within pingAnswer. A granted claim
// lasts until LinkUp or Unclaim.
func (c *Core) Claim(now time.Duration, index int, info wire.LinkInfo) {
	c.now = now
	cl := claim{index: index, info: info}
	if err := c.rival(info); err == nil {
		cl.granted = true
		c.do(Action{Type: Granted, Index: index})
	} else if l := c.table.get(info.ID); errors.Is(err, ErrDuplicate) && l != nil && !l.ended {
		// A phone that comes back from sleep, or from another network, meets its own dead link.
		c.ping(l)
		cl.until = now + pingAnswer
		c.wakeBy(cl.until)
	} else {
		c.refuse(index, err)
		return
	}
	c.claims = append(c.claims, cl)
	c.expect(info.ID, false)
}

// Unclaim takes a claim back.
func (c *Core) Unclaim(index int) {
	c.claims = slices.DeleteFunc(c.claims, func(cl claim) bool { return cl.index == index })
}

func (c *Core) refuse(index int, err error) {
	c.stats.LinksRefused++
	c.do(Action{Type: Refused, Index: index, Err: err})
}

// rival says why a link described by info must not be made beside what there is.
func (c *Core) rival(info wire.LinkInfo) error {
	if info.ID == c.self {
		return ErrSelf
	}
	if c.holder(info) != nil {
		return ErrDuplicate
	}
	for _, cl := range c.claims {
		if cl.info.ID == info.ID && cl.granted && !better(info, cl.info) && !better(cl.info, info) {
			return ErrDuplicate
		}
	}
	return nil
}

// holder returns the link that a link described by info must not displace, if there is one.
func (c *Core) holder(info wire.LinkInfo) *link {
	for _, l := range c.order {
		if l.ID == info.ID && !l.ended && !c.displaces(info, l) {
			return l
		}
	}
	return nil
}

// displaces reports whether a link described by info is to take the place of l.
// Between two links that both only claim their id, the order of links is for peers
// that dial each other at the same instant. Later it would hand a live link's id to
// any peer that claims it.
func (c *Core) displaces(info wire.LinkInfo, l *link) bool {
	return better(info, l.LinkInfo) && (info.Proved || c.now-l.since < glareTime)
}

// better reports whether a is to be kept rather than b, a link to the same peer.
// Both ends come to the same verdict wherever both know the rule. A JS peer does
// not, and a second link makes it close both: the first one stays.
func better(a, b wire.LinkInfo) bool {
	switch {
	case a.Proved != b.Proved:
		return a.Proved
	case a.Opener == "" || b.Opener == "":
		return false
	case a.Kind != b.Kind:
		return a.Kind > b.Kind
	case a.Opener != b.Opener:
		return a.Opener < b.Opener
	default:
		return a.Value < b.Value
	}
}

// settled takes the claim back that has become a link.
func (c *Core) settled(info wire.LinkInfo) {
	for i, cl := range c.claims {
		if x := cl.info; cl.granted && x.ID == info.ID && x.Kind == info.Kind && x.Dialed == info.Dialed && x.Opener == info.Opener && x.Value == info.Value {
			c.claims = slices.Delete(c.claims, i, i+1)
			return
		}
	}
}

// settleClaims grants what waits for an id that has no link any more, and refuses
// what has waited long enough.
func (c *Core) settleClaims(id wire.ID) {
	for i := 0; i < len(c.claims); i++ {
		cl := &c.claims[i]
		if cl.info.ID != id || cl.granted {
			continue
		}
		err := c.rival(cl.info)
		switch {
		case err == nil:
			cl.granted = true
			c.do(Action{Type: Granted, Index: cl.index})
		case c.now < cl.until:
			c.wakeBy(cl.until)
		default:
			c.refuse(cl.index, err)
			c.claims = slices.Delete(c.claims, i, i+1)
			i--
		}
	}
}

// refuseRivals ends the claims of others to the id of a link that has just shown
// that it lives.
func (c *Core) refuseRivals(l *link) {
	if len(c.claims) == 0 || l.ended {
		return
	}
	for i := 0; i < len(c.claims); i++ {
		if cl := c.claims[i]; cl.info.ID == l.ID && !cl.granted {
			c.refuse(cl.index, ErrDuplicate)
			c.claims = slices.Delete(c.claims, i, i+1)
			i--
		}
	}
}
