package core

import (
	"errors"
	"slices"
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A claim is a legacy connection whose peer has sent its id and has not been answered. If
// this peer answers a second connection under one id, a JS peer closes both. So the answer
// waits until it is certain that the link will be kept.
type claim struct {
	index   int
	info    wire.LinkInfo
	granted bool
	until   time.Duration // when the wait for the existing link's answer to a ping ends
}

// Claim asks whether a link described by info may be made. A Granted or a Refused action with
// this index follows, at once or within the peer's time to answer a ping. A granted claim lasts
// until LinkUp or Unclaim.
func (c *Core) Claim(now time.Duration, index int, info wire.LinkInfo) {
	c.now = now
	cl := claim{index: index, info: info}
	if err := c.rival(info); err == nil {
		cl.granted = true
		c.do(Action{Type: Granted, Index: index})
	} else if l := c.table.Get(info.ID); errors.Is(err, ErrDuplicate) && l != nil && !l.Ended {
		// A phone that wakes up, or that changed networks, may find its own dead link here.
		c.ask(l, false)
		cl.until = l.answerBy() + claimGrace
		c.wakeBy(cl.until)
	} else {
		c.refuse(index, err)
		return
	}
	c.claims = append(c.claims, cl)
	c.expect(info.ID, false)
}

// Unclaim withdraws a claim.
func (c *Core) Unclaim(index int) {
	c.claims = slices.DeleteFunc(c.claims, func(cl claim) bool { return cl.index == index })
}

func (c *Core) refuse(index int, err error) {
	c.stats.LinksRefused++
	c.do(Action{Type: Refused, Index: index, Err: err})
}

// rival returns an error if a link described by info must not be made, because of a link or
// a claim that exists.
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

// holder returns the link that a link described by info must not displace, or nil.
func (c *Core) holder(info wire.LinkInfo) *link {
	for _, l := range c.order {
		if l.ID == info.ID && !l.Ended && !c.displaces(info, l) {
			return l
		}
	}
	return nil
}

// displaces reports whether a link described by info replaces l. If both ids are only
// claimed, the order of links applies for glareTime, since the two peers may have dialled each
// other at once. After that it would let any peer that claims the id take a live link's place.
// If the same peer opened both links, the order applies for pairTime. After that they are links of
// two processes with one key, which would take each other's place in turn.
func (c *Core) displaces(info wire.LinkInfo, l *link) bool {
	age := c.now - l.Since
	switch {
	case !better(info, l.LinkInfo):
		return false
	case info.Kind == wire.LinkNative && l.Native() && info.Opener == l.Opener:
		return age < pairTime
	}
	return info.Proved || age < glareTime
}

// better reports whether a is preferred to b, a link to the same peer. Two ends that know the
// rule decide alike. A JS peer does not know it, and closes both links if there are two, so
// the first link stays.
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

// settled removes the claim that has become a link.
func (c *Core) settled(info wire.LinkInfo) {
	for i, cl := range c.claims {
		if x := cl.info; cl.granted && x.ID == info.ID && x.Kind == info.Kind && x.Dialed == info.Dialed && x.Opener == info.Opener && x.Value == info.Value {
			c.claims = slices.Delete(c.claims, i, i+1)
			return
		}
	}
}

// settleClaims grants the claims to an id whose link is gone, and refuses those that have
// waited long enough.
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

// refuseRivals refuses the claims of others to the id of a link that has just brought a frame.
func (c *Core) refuseRivals(l *link) {
	if len(c.claims) == 0 || l.Ended {
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
