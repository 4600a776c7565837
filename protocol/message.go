package protocol

// message takes a message that came over a link: for us, or to be passed on.
func (c *Core) message(l *link, f *Frame) {
	b := &f.Body
	if b.From == c.self || f.inPath(c.self) {
		c.stats.Dropped[DropLoop]++
		return
	}
	if !c.seen.add(c.now, c.hash(f)) {
		c.stats.Dropped[DropDuplicate]++
		return
	}
	c.learned.learn(c.now, b.From, l.ID)
	switch {
	case len(f.Targets) > 0:
		c.stats.Dropped[DropUnsupported]++
	case b.To == c.self, c.isLast(f):
		c.deliver(l, f)
	default:
		c.forward(f, l)
	}
}

// hash is over everything that makes a message itself: whoever knows its origin and
// nonce alone cannot pre-empt it.
func (c *Core) hash(f *Frame) uint64 {
	return c.cfg.Hash(f.Body.From[:], f.Nonce, f.Body.raw)
}

// deliver takes a message for this peer.
func (c *Core) deliver(l *link, f *Frame) {
	b := &f.Body
	straight := l.native() && l.Proved && l.ID == b.From && f.PathLen() == 1 && f.PathAt(0) == b.From
	proved := f.Verify(c.cfg.Verify) || straight
	if len(f.Sig) > 0 && !f.signed {
		c.stats.BadSignatures++
	}
	id, content := f.Nonce, b.raw
	if b.E2E != nil {
		id = b.E2E
		if proved {
			content = nil // a retry is the same message, whatever else changed
		}
	}
	h := c.cfg.Hash(b.From[:], id, content)
	if c.delivered.has(c.now, h) {
		c.stats.Dropped[DropDuplicate]++
		return
	}
	c.noteDelivery(l, h)
	switch {
	case b.Form > FormWholeJSON:
		c.stats.Dropped[DropUnsupported]++
	case b.Kind == KindUser || b.Kind == KindOther:
		c.stats.Delivered++
		c.do(Action{Type: Deliver, Frame: f, Proved: proved})
	case b.Kind > KindOther, b.Kind == KindReceipt, b.Kind == KindNotice:
		c.stats.Dropped[DropUnsupported]++
	default:
		c.overlay.control(l, f, proved)
	}
}

// noteDelivery writes h into the delivery table. One link may fill only a share
// of it; what it brings beyond that is delivered and not remembered, so that it
// cannot push out what others brought.
func (c *Core) noteDelivery(l *link, h uint64) {
	if c.now-l.deliveredFrom >= deliverAge {
		l.delivered, l.deliveredFrom = 0, c.now
	}
	if l.delivered < c.delivered.most/deliverShare {
		l.delivered++
		c.delivered.add(c.now, h)
	}
}

// isLast reports whether f is a search that ends here: it asks for the peer that
// has no strictly nearer link to go on by, and that is this one.
func (c *Core) isLast(f *Frame) bool {
	return f.isSearch() && c.nearer(f) == nil
}

// isSearch reports whether f looks for the peer that is nearest to an id.
func (f *Frame) isSearch() bool {
	return f.Body.Kind == KindFind && f.Body.Flags&FlagClosest != 0
}

// nearer gives the link by which a search goes on: the nearest one, strictly nearer
// than this peer, to a peer that knows what a search is.
func (c *Core) nearer(f *Frame) (next *link) {
	c.table.nearest(f.Body.To, func(l *link) bool {
		if !f.Body.To.Closer(l.ID, c.self) {
			return false
		}
		if l.newer && l.Role != RoleLeaf && !l.ended && l.ID != f.Body.From && !f.inPath(l.ID) {
			next = l
		}
		return next == nil
	})
	return next
}
