package wire

import (
	"math"
	"math/bits"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Neighbours tells a linked peer which peers the sender has links with, as changes to what the
// sender told before. Its lists have at most MaxNamed entries in all.
type Neighbours struct {
	Reset bool        // all that was named before is to be forgotten first
	Named []Neighbour // peers that are linked now, or whose round trip time has changed
	Gone  []ID        // peers that are linked no longer
	Lost  []ID        // peers that do not answer the sender: it is linked with them no longer, or not for long
}

// A Neighbour is a peer that a linked peer has a link with.
type Neighbour struct {
	ID   ID
	Time TimeCode // round trip time between the two
}

// A TimeCode is a duration in a byte, with a precision of an eighth. 0 means unknown.
type TimeCode uint8

const (
	timeUnit    = 125 * time.Microsecond  // the duration of code 1
	longestTime = timeUnit * 14 << 31 / 8 // that of code 255
)

// CodeTime returns the code of the longest duration that is not longer than d. It is 1 for any
// shorter one, and 0 if d is not positive.
func CodeTime(d time.Duration) TimeCode {
	switch {
	case d <= 0:
		return 0
	case d >= longestTime:
		return math.MaxUint8
	}
	eighths := max(uint64(d)*8/uint64(timeUnit), 8) // of a unit
	octave := bits.Len64(eighths) - 4
	return TimeCode(1 + 8*octave + int(eighths>>octave&7))
}

// Duration returns the duration of a code.
func (c TimeCode) Duration() time.Duration { return durations[c] }

var durations = func() (all [math.MaxUint8 + 1]time.Duration) {
	for i := range all[1:] {
		octave, eighths := i/8, i%8
		all[1+i] = timeUnit * time.Duration(8+eighths) << octave / 8
	}
	return all
}()

// NewNeighbours returns a frame that names neighbours. It returns an error for one that a reader
// would refuse.
func NewNeighbours(n Neighbours) (*Frame, error) {
	if n.count() > MaxNamed {
		return nil, errNamed
	}
	return &Frame{Type: FrameNeighbours, Peers: &n, room: n.encode()}, nil
}

var errNamed = malformed("more than %d neighbours", MaxNamed)

func (n *Neighbours) count() int { return len(n.Named) + len(n.Gone) + len(n.Lost) }

// encode returns the bytes of a frame.
func (n *Neighbours) encode() []byte {
	size := len(n.Named)*namedSize + (len(n.Gone)+len(n.Lost))*(namedSize-1)
	if n.Reset {
		size += resetSize
	}
	b := make([]byte, 0, protowire.SizeTag(fieldPeers)+protowire.SizeBytes(size))
	b = protowire.AppendVarint(protowire.AppendTag(b, fieldPeers, protowire.BytesType), uint64(size))
	if n.Reset {
		b = appendUint(b, 1, 1)
	}
	var entry [IDSize + 1]byte
	for _, p := range n.Named {
		copy(entry[:], p.ID[:])
		entry[IDSize] = byte(p.Time)
		b = appendBytes(b, 2, entry[:])
	}
	for _, id := range n.Gone {
		b = appendBytes(b, 3, id[:])
	}
	for _, id := range n.Lost {
		b = appendBytes(b, 4, id[:])
	}
	return b
}

// Lengths with tags.
const (
	resetSize = 2
	namedSize = 2 + IDSize + 1 // of a Neighbour, which is one byte more than an id that is gone or lost
)

func parseNeighbours(f *field) (*Neighbours, error) {
	b, err := f.sized(0, MaxFrame)
	if err != nil {
		return nil, err
	}
	n := &Neighbours{}
	most := min(len(b)/(namedSize-1), MaxNamed) // the frame has no room for more ids: most have one or two
	_, err = eachField(b, 4, 1<<2|1<<3|1<<4, func(f *field) (err error) {
		if f.number > 1 && n.count() == MaxNamed {
			return errNamed
		}
		switch f.number {
		case 1:
			n.Reset, err = f.num == 1, f.want(protowire.VarintType)
			if err == nil && f.num > 1 {
				err = malformed("reset is %d, want 0 or 1", f.num)
			}
		case 2:
			var entry []byte
			if n.Named == nil {
				n.Named = make([]Neighbour, 0, min(len(b)/namedSize, MaxNamed))
			}
			if entry, err = f.sized(IDSize+1, IDSize+1); err == nil {
				n.Named = append(n.Named, Neighbour{ID(entry[:IDSize]), TimeCode(entry[IDSize])})
			}
		case 3:
			n.Gone, err = f.appendID(n.Gone, most)
		case 4:
			n.Lost, err = f.appendID(n.Lost, most)
		}
		return err
	})
	return n, err
}
