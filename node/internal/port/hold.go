package port

import (
	"encoding/binary"
	"sync"
)

// maxHeld is the number of bytes above which nothing more is held: more than the frame with the largest record
// of libp2p's noise, 64 KiB.
const maxHeld = 68 << 10

// Bits in the first two bytes of a frame.
const (
	reservedBits = 0x70
	maskBit      = 0x80
)

var heldBuffers = sync.Pool{New: func() any { return new([maxHeld]byte) }}

// A holder is in front of a connection. While it holds, it collects what is written, so that
// many small messages cost one call of the system. A relay writes each message of a legacy peer
// by itself. A frame of more than 4 KiB is written in two pieces, and costs one as well, up to maxHeld.
type holder struct {
	to func([]byte) (int, error)

	mu     sync.Mutex // held while writing
	holds  bool
	framed bool           // what is written are frames of a WebSocket's server, as far as is known
	rest   uint64         // bytes of the last frame that were not written yet
	held   *[maxHeld]byte // nil means that nothing is held
	n      int            // bytes of held
	err    error          // of what was held and could not be written
}

// frame makes a holder expect frames of a WebSocket's server from now on.
func (h *holder) frame() {
	h.mu.Lock()
	h.framed = true
	h.mu.Unlock()
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
	if h.framed && h.rest == 0 {
		h.rest, h.framed = frameSize(b)
	}
	h.rest -= min(h.rest, uint64(len(b)))
	holds := h.holds || h.rest > 0
	if h.n+len(b) > maxHeld {
		h.send()
	}
	switch {
	case h.err != nil:
		return 0, h.err
	case h.held == nil && !holds || len(b) > maxHeld:
		return h.to(b)
	case h.held == nil:
		h.held = heldBuffers.Get().(*[maxHeld]byte)
	}
	h.n += copy(h.held[h.n:], b)
	if !holds {
		if h.send(); h.err != nil {
			return 0, h.err
		}
	}
	return len(b), nil
}

// frameSize returns the bytes of the frame whose first piece is b, and false if b is no such piece. It has the whole
// header (RFC 6455, 5.2). A server does not mask, and this one does not compress.
func frameSize(b []byte) (uint64, bool) {
	if len(b) < 2 || b[0]&reservedBits != 0 || b[1]&maskBit != 0 {
		return 0, false
	}
	switch n := b[1]; {
	case n < 126:
		return 2 + uint64(n), true
	case n == 126 && len(b) >= 4:
		return 4 + uint64(binary.BigEndian.Uint16(b[2:])), true
	case n == 127 && len(b) >= 10:
		return 10 + binary.BigEndian.Uint64(b[2:]), true
	}
	return 0, false
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
