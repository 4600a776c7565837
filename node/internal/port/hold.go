package port

import "sync"

// maxHeld is the number of bytes above which nothing more is held.
const maxHeld = 32 << 10

var heldBuffers = sync.Pool{New: func() any { return new([maxHeld]byte) }}

// A holder is in front of a connection. While it holds, it collects what is written, so that
// many small messages cost one call of the system. A relay writes each message of a legacy peer
// by itself.
type holder struct {
	to func([]byte) (int, error)

	mu    sync.Mutex // held while writing
	holds bool
	held  *[maxHeld]byte // nil means that nothing is held
	n     int            // bytes of held
	err   error          // of what was held and could not be written
}

// hold makes the following writes wait for flush.
func (h *holder) hold() {
	h.mu.Lock()
	h.holds = true
	h.mu.Unlock()
}

// Write implements io.Writer.
func (h *holder) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n+len(b) > maxHeld || !h.holds {
		h.send()
	}
	switch {
	case h.err != nil:
		return 0, h.err
	case !h.holds || len(b) > maxHeld:
		return h.to(b)
	case h.held == nil:
		h.held = heldBuffers.Get().(*[maxHeld]byte)
	}
	h.n += copy(h.held[h.n:], b)
	return len(b), nil
}

// flush writes what is held, and holds no more.
func (h *holder) flush() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holds = false
	h.send()
	return h.err
}

// last is flush for a connection that is about to be closed. It does nothing while a write is in
// progress, which the closing ends.
func (h *holder) last() {
	if h.mu.TryLock() {
		h.holds = false
		h.send()
		h.mu.Unlock()
	}
}

// send writes what is held; h.mu is held.
func (h *holder) send() {
	if h.held == nil {
		return
	}
	if h.err == nil {
		_, h.err = h.to(h.held[:h.n])
	}
	heldBuffers.Put(h.held)
	h.held, h.n = nil, 0
}
