package protocol

import (
	"errors"
	"time"

	"github.com/peer-relay/peer-relay/protocol/internal/core"
)

var (
	// errNetworkChanged is why a dial ended that NetworkChanged found in progress.
	errNetworkChanged = errors.New("the addresses of this machine changed")
	// errAddrGone is why a link ended that NetworkChanged found lost.
	errAddrGone = errors.New("this machine lost the address that the link ran from")
)

// NetworkChanged tells that the addresses of this machine changed, so that the router need not
// find out by itself which links are dead. It ends at once those for which lost returns true,
// asks the others whether they live, and ends the dials in progress. Then it dials again what it
// has lost, as eagerly as at the start. lost must not block nor call the router; nil means that
// no link is known to be lost.
func (r *Router) NetworkChanged(lost func(LinkInfo) bool) {
	r.mu.Lock()
	stopDials := r.renewDials()
	var gone []Link
	for _, s := range r.served {
		if lost != nil && !s.closing && lost(s.info) {
			s.closing, s.reason = true, errAddrGone
			gone = append(gone, s.link)
		}
	}
	r.mu.Unlock()
	r.enter(func(c *core.Core, now time.Duration) { c.NetworkChanged(now) })
	stopDials(errNetworkChanged)
	for _, l := range gone {
		r.task(func() { l.Close() })
	}
}
