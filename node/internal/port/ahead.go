package port

import (
	"io"
	"sync"
)

const (
	// maxAhead is the number of bytes that are read ahead at most.
	maxAhead = 32 << 10
	// aheadFrom is the number of bytes of a read after which the next one reads ahead. It is the size of
	// the HTTP server's buffer, through which a WebSocket is read: more bytes wait if it was filled.
	aheadFrom = 4 << 10
)

var aheadBuffers = sync.Pool{New: func() any { return new([maxAhead]byte) }}

// An ahead reads a busy connection in large pieces, whatever the pieces are that its reader asks for. A
// WebSocket with many messages would cost several calls of the system for each of its frames. A
// connection with little to read has no buffer.
type ahead struct {
	busy   bool            // the last read brought much
	buffer *[maxAhead]byte // nil means that nothing was read ahead
	left   []byte          // part of buffer that was not returned yet
}

// read reads from r, or returns what was read ahead.
func (a *ahead) read(r io.Reader, b []byte) (n int, err error) {
	if len(a.left) == 0 {
		if !a.busy || len(b) >= maxAhead {
			n, err = r.Read(b)
			a.busy = n >= aheadFrom
			return n, err
		}
		a.buffer = aheadBuffers.Get().(*[maxAhead]byte)
		n, err = r.Read(a.buffer[:])
		a.busy = n >= aheadFrom
		a.left = a.buffer[:n]
		if n > 0 {
			err = nil // the next read returns it again
		}
	}
	n = copy(b, a.left)
	if a.left = a.left[n:]; len(a.left) == 0 {
		aheadBuffers.Put(a.buffer)
		a.buffer, a.left = nil, nil
	}
	return n, err
}
