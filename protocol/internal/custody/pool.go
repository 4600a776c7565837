package custody

// A Pool has bytes for messages that are passed on. The zero value is empty.
type Pool struct {
	free  [len(poolSizes)][][]byte
	bytes int // of all free ones
}

// poolSizes are the sizes of the bytes in a pool: a message of 64 bytes, of 1 KiB, of 4 KiB and of 16 KiB fits
// into one each, with what is around it. Larger ones are not kept.
var poolSizes = [...]int{256, 1280, 4608, 17 << 10}

// poolMost is the most bytes that a pool keeps.
const poolMost = 1 << 20

// Get returns a slice of length 0 with room for size bytes.
func (p *Pool) Get(size int) []byte {
	for i, most := range poolSizes {
		if size > most {
			continue
		}
		if n := len(p.free[i]); n > 0 {
			b := p.free[i][n-1]
			p.free[i][n-1] = nil
			p.free[i] = p.free[i][:n-1]
			p.bytes -= most
			return b[:0]
		}
		return make([]byte, 0, most)
	}
	return make([]byte, 0, size)
}

// Put takes bytes back that Get returned.
func (p *Pool) Put(b []byte) {
	for i, most := range poolSizes {
		if cap(b) == most && p.bytes+most <= poolMost {
			p.free[i] = append(p.free[i], b)
			p.bytes += most
		}
	}
}
