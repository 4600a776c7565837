package packet

import (
	"bytes"
	"strconv"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A datagram is a message of KindUser and FormRaw whose extra begins with
//
//	{"dgram":"<source port>,<destination port>"
//
// Both ports are decimal, without leading zeros, and not 0. The end of the object or another
// member follows. The extra is a member of the legacy message, and JS relays forward members
// that they do not know. It is a string, since JSON numbers may be rounded.

// The limits of datagrams.
const (
	// MaxDatagram is the size of the largest datagram in bytes. It is [wire.MaxPayload] less
	// room in the legacy form for the ports, and for later members beside them.
	MaxDatagram = 63000

	maxPort        = 1<<16 - 1
	firstEphemeral = 49152                        // first port that RFC 6335 assigns to no service
	ephemerals     = maxPort - firstEphemeral + 1 // number of ephemeral ports

	maxSocket    = 2048     // datagrams that wait in one socket
	socketBytes  = 4 << 20  // bytes of the datagrams that wait in one socket
	socketsBytes = 64 << 20 // bytes of the datagrams that wait in all sockets of a peer
	socketShare  = 64 << 10 // bytes that a socket may hold, or one datagram, even if socketsBytes are used up
)

var dgramStart = []byte(`{"dgram":"`)

const maxPorts = len(`{"dgram":"65535,65535"}`) // bytes of the longest extra that a PacketConn sends

// appendPorts appends the extra of a datagram.
func appendPorts(b []byte, from, to uint16) []byte {
	b = strconv.AppendUint(append(b, dgramStart...), uint64(from), 10)
	b = strconv.AppendUint(append(b, ','), uint64(to), 10)
	return append(b, `"}`...)
}

// parsePorts returns the ports in the extra of a datagram, and whether the extra is valid.
func parsePorts(extra []byte) (from, to uint16, ok bool) {
	ports, ok := bytes.CutPrefix(extra, dgramStart)
	if !ok {
		return 0, 0, false
	}
	ports, rest, ok := bytes.Cut(ports, []byte{'"'})
	if !ok || len(rest) == 0 || rest[0] != '}' && rest[0] != ',' {
		return 0, 0, false
	}
	source, destination, _ := bytes.Cut(ports, []byte{','})
	from, ok = parsePort(source)
	if !ok {
		return 0, 0, false
	}
	to, ok = parsePort(destination)
	return from, to, ok && from != 0 && to != 0
}

// IsDatagram reports whether a message is for a socket and not for the application.
func IsDatagram(b *wire.Body) bool {
	return b.Kind == wire.KindUser && bytes.HasPrefix(b.Extra, dgramStart)
}

// A datagram waits for the reader of its socket.
type datagram struct {
	from    Addr
	proved  bool
	payload []byte
	size    int // bytes of the frame that payload aliases
}

// datagrams is a queue. The reader and an eviction both take the oldest datagram.
type datagrams struct {
	items []datagram
	head  int // number of items that were taken
	bytes int
}

func (q *datagrams) len() int { return len(q.items) - q.head }

func (q *datagrams) put(d datagram) {
	if q.head > len(q.items)/2 { // fewer items are moved than were taken, so put is O(1) on average
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, d)
	q.bytes += d.size
}

func (q *datagrams) take() datagram {
	d := q.items[q.head]
	q.items[q.head] = datagram{}
	q.head++
	q.bytes -= d.size
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return d
}

// parsePort returns the port that decimal digits without a leading zero spell, and whether they
// are valid.
func parsePort[T string | []byte](digits T) (uint16, bool) {
	if len(digits) == 0 || len(digits) > 1 && digits[0] == '0' {
		return 0, false
	}
	port := 0
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0, false
		}
		if port = 10*port + int(digits[i]-'0'); port > maxPort {
			return 0, false
		}
	}
	return uint16(port), true
}
