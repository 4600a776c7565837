package protocol

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
)

// Why the application is told that a bootstrap has this peer's id.
var (
	errOnlySelf  = fmt.Errorf("%w: each bootstrap has its id, so there is no peer to join; another process needs a key of its own", ErrSelf)
	errOtherSelf = fmt.Errorf("%w: by the process that answers, which has the same key", ErrIDInUse)
)

// A selves value distinguishes links of this process to itself from those with another process
// that has the same key. Of the first, both ends are seen here.
type selves struct {
	dials atomic.Int32  // dials in progress
	met   atomic.Uint64 // links from a peer with this peer's id
	told  atomic.Bool
}

// meet notes the error of a link that another peer has opened. If it has this peer's id, and this
// process dials no peer, it is another process.
func (r *Router) meet(info LinkInfo, err error) {
	if info.Dialed || !errors.Is(err, ErrSelf) {
		return
	}
	r.selves.met.Add(1)
	if r.selves.dials.Load() == 0 && !r.selves.told.Swap(true) {
		r.log.Warn("another process has the id of this peer, and so its key, or says that it has", "id", r.id, "addr", info.Addr)
	}
}

// onlySelf reports whether all bootstraps are named with this peer's id.
func (r *Router) onlySelf() bool {
	return !slices.ContainsFunc(r.opts.Bootstraps, func(c Contact) bool { return c.ID != r.id })
}
